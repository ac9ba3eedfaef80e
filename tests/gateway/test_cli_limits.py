"""`taipu limits explain`: which limit applies at a site of the store, and why."""

from __future__ import annotations

import os

import pytest

from tests.gateway.commands import refused, taipu, taipu_json
from tests.gateway.hands import counts, hand_in
from tests.world import JIASHAN, WUJIANG, make_node, site_line

SOURCE = "91130200699229617X001P"
SITES = (
    site_line("320509-SW-0003", target="Ⅲ", water_type="river"),
    site_line("320509-DS-0001", type="drinking-source", target="II", water_type="lake"),
    site_line("320509-AQ-0001", type="air-station", programmes=["air-auto"]),
    site_line("320509-MR-0001", type="mobile-route"),
    site_line(
        "320509-WS-0001", type="outlet", source=SOURCE, outlet="DW001", discharge="direct",
        areas=["taihu", "special-protection"],
    ),
    site_line("320509-WS-0002", type="outlet", source="91110000101623741K001P", outlet="DW001"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in [name for name in os.environ if name.upper().startswith("TAIPU_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose store has sites of every sort and the source of an outlet."""
    node = make_node(tmp_path_factory.mktemp("limits"), WUJIANG)
    source = (
        f'{{"kind":"source","id":"{SOURCE}","name":{{"zh":"甲印染"}},"district":"320509",'
        '"categories":["dyeing"],"outlets":["DW001"]}'
    )
    assert counts(hand_in(node, *SITES, source.encode())) == {"accepted": len(SITES) + 1}
    yield node.gateway.settings.home
    node.stop()


def explained(home, *arguments):
    """The explanations of a command that answers."""
    return taipu_json("limits", "explain", *arguments, "--home", home)["explanations"]


def test_it_says_which_limit_applies_why_and_what_else_was_considered(home):
    done = taipu("limits", "explain", "320509-WS-0001", "w20004", "2026-11-24", "--home", home)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "DB32/3432-2018: limit ≤ 0.05 mg/L." in done.stdout
    assert "its source is of category textile dyeing" in done.stdout
    assert "This limit is unconfirmed" in done.stdout
    assert "Behind it (confirmed): GB 4287-2012, amendment of 2015: limit ≤ 0.10 mg/L." in done.stdout
    assert "A local limit goes before a national one." in done.stdout
    assert "limits@1" in done.stdout


def test_it_says_so_in_chinese(home):
    done = taipu("limits", "explain", "320509-SW-0003", "锑", "2014-07-10", "--home", home, "--lang", "zh")
    assert "参考限值仅供比较，不判超标" in done.stdout
    assert "只适用于饮用水水源地" in done.stdout


@pytest.mark.parametrize(
    ("site", "factor", "date", "limit"),
    [
        ("320509-SW-0003", "w21011", "2026-11-24", "gb3838-w21011-river-III"),
        ("320509-SW-0003", "总磷", "2026-11-24", "gb3838-w21011-river-III"),
        ("320509-SW-0003", "w20004", "2026-11-24", "gb3838-w20004-reference"),
        ("320509-DS-0001", "w20004", "2026-11-24", "gb3838-w20004"),
        ("320509-WS-0001", "w20004", "2016-01-01", "gb4287-w20004"),
        ("320509-WS-0001", "w20004", "2015-03-26", None),
        ("320509-WS-0002", "w20004", "2026-11-24", None),
        ("320509-SW-0003", "w01003", "2026-11-24", None),
    ],
)
def test_the_site_its_source_the_factor_and_the_day_decide(home, site, factor, date, limit):
    (found,) = explained(home, site, factor, date)
    assert (found["limit"] or {"id": None})["id"] == limit


def test_an_outlet_whose_source_is_not_here_says_so(home):
    done = taipu("limits", "explain", "320509-WS-0002", "w20004", "2026-11-24", "--home", home)
    assert "The record of the source it belongs to is not here." in done.stdout


def test_limits_of_air_are_told_for_each_averaging_period_or_for_the_one_asked(home):
    found = {one["period"]: one for one in explained(home, "320509-AQ-0001", "a34004", "2026-11-24")}
    assert {period: one["limit"]["high"] for period, one in found.items()} == {"P1Y": "30", "P1D": "60"}
    (day,) = explained(home, "320509-AQ-0001", "a34004", "2026-02-28", "--period", "P1D")
    assert (day["limit"]["high"], day["limit"]["standard"]) == ("75", "GB 3095-2012")
    (hour,) = explained(home, "320509-AQ-0001", "a34004", "2026-11-24", "--period", "PT1H")
    assert hour["limit"] is None


def test_a_name_in_water_and_in_air_is_that_of_what_the_site_measures(home):
    answer = taipu_json("limits", "explain", "320509-SW-0003", "锑", "2026-11-24", "--home", home)
    assert answer["factor"] == "w20004"
    answer = taipu_json("limits", "explain", "320509-AQ-0001", "锑", "2026-11-24", "--home", home)
    assert answer["factor"] == "a20004"


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (("320509-SW-9999", "w20004"), "record.site-unknown", "another party's"),
        (("320509-SW-0003", "w99999"), "record.factor-unknown", "HJ 525"),
        (("320509-SW-0003", "磷"), "record.factor-unknown", "w21011 总磷"),
        (("320509-MR-0001", "锑"), "record.factor-ambiguous", "a20004"),
        (("320509-SW-0003", "w20004", "--provider", JIASHAN), "record.site-unknown", JIASHAN),
    ],
)
def test_what_is_not_known_is_refused_with_a_hint(home, arguments, code, hint):
    site, factor, *options = arguments
    done = taipu("limits", "explain", site, factor, "2026-11-24", *options, "--home", home)
    refused(done, code)
    assert hint in done.stderr


@pytest.mark.parametrize("words", [("soon",), ("2026-02-30",), ("2026-11-24", "--period", "PT7H")])
def test_a_day_or_a_period_that_is_none_is_a_fault_of_the_command(home, words):
    done = taipu("limits", "explain", "320509-SW-0003", "w20004", *words, "--home", home)
    assert (done.exit_code, done.stdout) == (2, "")
