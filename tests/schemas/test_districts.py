from __future__ import annotations

import pytest

from schemas.data import read_table
from schemas.districts import all_districts, find_district


@pytest.mark.parametrize(
    ("party", "zh", "en", "within"),
    [
        ("310118", "青浦区", "Qingpu District", "上海市"),
        ("320509", "吴江区", "Wujiang District", "江苏省苏州市"),
        ("330421", "嘉善县", "Jiashan County", "浙江省嘉兴市"),
        ("330503", "南浔区", "Nanxun District", "浙江省湖州市"),
    ],
)
def test_the_four_districts_have_their_names_and_division_codes(party: str, zh: str, en: str, within: str) -> None:
    found = find_district(party)
    assert found is not None
    assert (found.division, found.name_zh, found.name_en, found.within_zh) == (party, zh, en, within)


def test_a_credit_code_that_nobody_has_told_us_is_none_and_not_empty_text() -> None:
    assert [one.credit_code for one in all_districts().values()] == [None] * 4


@pytest.mark.parametrize("party", ["", "310115", "taihu-basin-authority", "320509 "])
def test_a_party_without_a_row_brings_its_own_names(party: str) -> None:
    assert find_district(party) is None


def test_every_party_stands_once_in_the_table() -> None:
    assert len(read_table("districts.csv")) == len(all_districts()) == 4
