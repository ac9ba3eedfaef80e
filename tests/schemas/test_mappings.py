"""What codes mean: a party's own row first, codes of 2005 for packets only, antimony to antimony or nowhere."""

from __future__ import annotations

import pytest

from schemas.factors import Factors
from schemas.mappings import Mappings, MeaningError, check_meaning, says_antimony
from schemas.tables import Table, TableError, shipped, shipped_tables

FACTORS = shipped_tables()[Factors]
COLUMNS = ("party", "system", "code", "name", "factor", "unit", "note", "source")


def row(text: str) -> dict[str, str]:
    """`party system code name factor [unit]`; `*` is every party."""
    party, system, code, name, factor, *unit = text.split()
    cells = ("" if party == "*" else party, system, code, name, factor, unit[0] if unit else "", "", "a test")
    return dict(zip(COLUMNS, cells, strict=True))


def mappings(*rows: str) -> Mappings:
    return Mappings(Table("mappings", 7, 0, "li", "wang", tuple(map(row, rows))))


@pytest.mark.parametrize(
    ("old", "factor"),
    [
        ("B01", "w00000"),
        ("001", "w01001"),
        ("011", "w01018"),
        ("060", "w21003"),
        ("101", "w21011"),
        ("065", "w21001"),
        ("02", "a21026"),
        ("S01", "a19001"),
    ],
)
def test_the_codes_of_2005_ship_for_packets_and_mean_nothing_elsewhere(old: str, factor: str) -> None:
    codes = shipped_tables()[Mappings].codes_of("320509")
    found = codes.find(old, hj212=True)
    assert found is not None
    assert (found.factor, found.unit) == (factor, None), "a packet carries no unit, and no table guesses one"
    assert codes.find(old, hj212=False) is None


def test_what_ships_says_for_every_code_where_it_is_from_and_fits_the_table_of_factors() -> None:
    assert list(shipped_tables()[Mappings].contradictions(shipped_tables())) == []
    assert all(one["source"] for one in shipped("mappings").rows)


def test_an_own_row_goes_before_a_row_of_a_standard_and_a_partys_row_before_everybodys() -> None:
    codes = mappings(
        "* hj212-2005 011 化学需氧量 w01018",
        "320509 hj212-2005 011 高锰酸盐指数 w01019",
        "320509 own 060 总磷 w21011",
        "* hj212-2005 060 氨氮 w21003",
    )
    assert meant(codes, "320509") == {"011": "w01019", "060": "w21011"}
    assert meant(codes, "330421") == {"011": "w01018", "060": "w21003"}


def meant(codes: Mappings, party: str) -> dict[str, str]:
    """What `011` and `060` mean in that party's packets."""
    found = {code: codes.codes_of(party).find(code, hj212=True) for code in ("011", "060")}
    return {code: one.factor for code, one in found.items() if one is not None}


def test_two_codes_may_mean_one_factor() -> None:
    codes = mappings("320509 own 011 总锑 w20004", "320509 own 060 锑 w20004")
    assert meant(codes, "320509") == {"011": "w20004", "060": "w20004"}


@pytest.mark.parametrize(
    "name",
    [
        "锑",
        "总锑",
        "锑（Sb）",
        "Antimony",
        "total antimony",
        "stibium",
        "Sb",
        "TSb",
        "总Sb",
        "Sb3+",
        "SB",
        "sb",
        "w20004",
    ],
)
@pytest.mark.parametrize(("code", "fits"), [("w20004", True), ("a20004", True), ("w20141", False), ("w21025", False),
                                            ("w01018", False), ("w99999", False)])  # fmt: skip
def test_what_says_antimony_leads_to_antimony_or_is_refused_with_the_reason(name: str, code: str, fits: bool) -> None:
    assert says_antimony(name)
    if fits:
        check_meaning(name, code, FACTORS)
    else:
        with pytest.raises(MeaningError, match=r"is antimony.*w20004 in water") as caught:
            check_meaning(name, code, FACTORS)
        assert caught.value.code == "mapping.contradicts"
        if code == "w20141":
            assert "Arsenic" in caught.value.detail


@pytest.mark.parametrize("name", ["SB001", "Sbxyz", "砷", "游离氯", "disb", "", "TSP", "USB", "硼", "锡"])
def test_other_names_do_not_say_antimony(name: str) -> None:
    assert not says_antimony(name)


@pytest.mark.parametrize(
    ("name", "code"),
    [("化学需氧量", "w01019"), (" 氨 氮 ", "w21011"), ("Permanganate index (CODMn)", "w01018"), ("总砷", "w20120"),
     ("二氧化硫", "a21004")],
)  # fmt: skip
def test_a_name_of_another_factor_is_refused(name: str, code: str) -> None:
    with pytest.raises(MeaningError):
        check_meaning(name, code, FACTORS)


@pytest.mark.parametrize(
    ("name", "code"),
    [("化学需氧量", "w01018"), ("COD 在线", "w01018"), ("铜", "w20122"), ("砷", "w20119"), ("二氧化硫", "a21026"),
     ("二氧化硫", "w21026")],
)  # fmt: skip
def test_a_name_that_fits_or_that_nobody_else_has_is_taken(name: str, code: str) -> None:
    check_meaning(name, code, FACTORS)


@pytest.mark.parametrize(
    ("rows", "faulty"),
    [
        (["* own XS-07 锑 w20004"], ["row 2"]),
        (["wujiang own XS-07 锑 w20004"], ["row 2"]),
        (["320509 gb XS-07 锑 w20004"], ["row 2"]),
        (["320509 own XS-07 锑 w20004", "320509 own XS-07 总锑 w20004"], ["row 3"]),
        ([f"320509 own {'X' * 41} 锑 w20004", "3 own A 锑 w20004"], ["row 2", "row 3"]),
    ],
)
def test_malformed_rows_are_refused_all_at_once_by_their_numbers(rows: list[str], faulty: list[str]) -> None:
    with pytest.raises(TableError) as caught:
        mappings(*rows)
    assert list(caught.value.pointers) == faulty
