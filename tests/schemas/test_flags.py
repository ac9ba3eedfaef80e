from __future__ import annotations

import pytest

from schemas.data import read_table
from schemas.flags import Flags
from schemas.tables import shipped_tables
from schemas.times import to_millis

NOW = to_millis("2026-11-23T10:00:00+08:00")
FLAGS = shipped_tables()[Flags]


@pytest.mark.parametrize(
    ("profile", "flag", "valid"),
    [
        *[("hj212-2017", flag, flag in "NT") for flag in "NFMSDCTB"],
        *[("hj212-2025", flag, flag in "NT") for flag in "NFMSDCTB"],
        *[("hj212-2005", flag, flag in "NT13") for flag in "PFCMTDSN0123"],
        *[
            ("surface-water", flag, flag in {"N", "T", "L"})
            for flag in ("N", "T", "L", "P", "D", "F", "B", "Z", "S", "M")
        ],
        ("surface-water", "hd", False),
        ("water-4h", "正常", True),
        ("water-4h", "维护", False),
        ("water-4h", "停站", False),
        ("water-4h", "不具备运行条件", False),
        ("hourly-air", "", True),
        ("manual", "", True),
    ],
)
def test_validity_is_what_the_profile_says_of_the_flag(profile: str, flag: str, valid: bool) -> None:
    assert FLAGS.find(profile, flag, NOW) is not None, "a known flag has a row"
    assert FLAGS.is_valid(profile, flag, NOW) is valid


@pytest.mark.parametrize(
    ("profile", "flag"),
    [
        ("hj212-2017", "X"),
        ("hj212-2017", "n"),
        ("hj212-2017", " N"),
        ("hj212-2017", "L"),
        ("surface-water", "lp"),
        ("surface-water", "N,lp"),
        ("manual", "N"),
        ("nobody-knows", "N"),
        ("nobody-knows", ""),
        ("", ""),
        ("hj212-2017", "N" * 10_000),
    ],
)
def test_an_unknown_flag_or_profile_is_not_valid(profile: str, flag: str) -> None:
    assert FLAGS.find(profile, flag, NOW) is None
    assert not FLAGS.is_valid(profile, flag, NOW)


@pytest.mark.parametrize("profile", ["hj212-2005", "hj212-2017", "hj212-2025", "surface-water", "water-4h"])
def test_a_device_whose_profile_has_flags_and_that_sends_none_is_not_valid(profile: str) -> None:
    assert not FLAGS.is_valid(profile, "", NOW)


@pytest.mark.parametrize(
    ("at", "valid"),
    [
        ("2017-04-30T23:59:59.999+08:00", False),
        ("2017-05-01T00:00:00+08:00", True),
        ("2017-04-30T16:00:00Z", True),
        ("2026-06-01T00:00:00+08:00", True),
    ],
)
def test_a_flag_counts_from_the_day_its_row_begins_in_beijing_and_outlives_its_standard(at: str, valid: bool) -> None:
    assert FLAGS.is_valid("hj212-2017", "N", to_millis(at)) is valid


def test_the_same_letter_means_different_things_in_different_profiles() -> None:
    logger, station = FLAGS.find("hj212-2017", "F", NOW), FLAGS.find("surface-water", "F", NOW)
    assert logger is not None
    assert station is not None
    assert logger.meaning_en != station.meaning_en


@pytest.mark.parametrize(
    ("profile", "flag", "qualifier"),
    [("hj212-2005", "T", ">"), ("hj212-2017", "T", ">"), ("surface-water", "T", ">"), ("surface-water", "L", "<")],
)
def test_a_flag_at_the_end_of_a_scale_is_a_qualifier_of_a_valid_value(profile: str, flag: str, qualifier: str) -> None:
    found = FLAGS.find(profile, flag, NOW)
    assert found is not None
    assert (found.valid, found.qualifier) == (True, qualifier)


def test_no_flag_has_two_meanings_at_one_time_and_only_valid_ones_qualify() -> None:
    rows = read_table("flags.csv")
    keys = [(row["profile"], row["flag"]) for row in rows if not row["to"]]
    assert len(keys) == len(set(keys))
    assert {row["profile"] for row in rows} == FLAGS.profiles()
    for row in rows:
        assert row["valid"] in {"yes", "no"}
        assert row["qualifier"] in {"", "<", ">"}
        assert not row["qualifier"] or row["valid"] == "yes"
        assert row["source"]
