"""Governed tables at a gateway: two persons change one, what is in force is told to the moment, nothing is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from functools import partial

import pytest
import zstandard
from sqlalchemy import delete, update
from sqlalchemy.exc import DBAPIError

from audit.form import RELEASE, SUBMISSION, TABLE_APPROVED, TABLE_PROPOSED, TABLE_REJECTED
from gateway.db import Database
from gateway.errors import AccessDeniedError, GovernanceError
from gateway.governance import Governed, content
from gateway.ingest.parcel import HJ212, unpack_lines
from gateway.ingest.registration import bring_devices
from gateway.ingest.release import held_counts, release_arrived
from gateway.ingest.terms import Terms
from gateway.people.person import Person
from gateway.people.roles import MAY, ROLES, Role
from gateway.store import tables
from gateway.store.versions import FIRST_OWN, NOTICE, Version, find_version
from schemas.hj212 import encode_packet, measurement
from schemas.mappings import Mappings
from schemas.tables import TableError, Tables, shipped
from schemas.times import BEIJING, now_millis
from tests.gateway.hands import counts, entries, hand_in, report, rows_of, stored
from tests.people import person
from tests.world import WUJIANG, Node, reading_line

LI, WANG = "lihua", "wangfang"
HOUR = 3_600_000  # ms


def one(node: Node, name: str, *, at: int | None = None) -> Person:
    """Somebody who may propose and approve, and showed the second factor at `at`."""
    return replace(person(node, name, "analyst", "approver"), confirmed=now_millis() if at is None else at)


def own_row(code: str, name: str, factor: str, unit: str = "", party: str = WUJIANG) -> dict[str, str]:
    return {"party": party, "system": "own", "code": code, "name": name, "factor": factor, "unit": unit, "note": "",
            "source": "agreed with the laboratory"}  # fmt: skip


def propose(node: Node, *rows: dict[str, str], table: str = "mappings", at: int | None = None, **options) -> Version:
    """Li proposes what ships with `rows` after it."""
    now = now_millis()
    content = (*shipped(table).rows, *rows)
    return node.gateway.governance.propose(
        table,
        content,
        by=options.pop("by", None) or one(node, LI),
        effective=at or now,
        now=options.pop("now", now),
        **options,
    )


def approve(node: Node, version: Version, by: str = WANG, *, digest: str = "", now: int | None = None) -> Version:
    """By default some seconds ago, so that it decides now."""
    at = now or now_millis() - NOTICE
    return node.gateway.governance.approve(
        version.name, version.version, by=one(node, by, at=at), digest=digest or version.digest, now=at
    )


def code_of(act, *arguments, **options) -> str:
    with pytest.raises((GovernanceError, TableError, AccessDeniedError)) as caught:
        act(*arguments, **options)
    return caught.value.code


def meaning(in_force: Tables, code: str) -> str | None:
    found = in_force[Mappings].codes_of(WUJIANG).find(code, hj212=False)
    return found.factor if found else None


def held(node: Node) -> list[tuple[str, str, int]]:
    with node.gateway.database.read() as session:
        return [(waits_for, name, count) for _, waits_for, name, count, _ in held_counts(session)]


@pytest.fixture
def gateway_database(wujiang: Node) -> Database:
    return wujiang.gateway.database


def test_without_versions_of_its_own_a_gateway_decides_by_what_ships(wujiang: Node) -> None:
    assert wujiang.gateway.tables.references() == tuple(sorted(shipped(table.name).reference
                                                               for table in wujiang.gateway.tables))  # fmt: skip
    assert wujiang.gateway.tables is wujiang.gateway.tables, "what decides is made once and remembered"


def test_a_version_decides_once_another_person_has_approved_it_and_not_before(wujiang: Node) -> None:
    version = propose(wujiang, own_row("XS-07", "总锑", "w20004", "ug/L"))
    assert (version.reference, version.state) == (f"mappings@{FIRST_OWN}", "proposed")
    assert meaning(wujiang.gateway.tables, "XS-07") is None
    approve(wujiang, version)
    assert meaning(wujiang.gateway.tables, "XS-07") == "w20004"
    assert f"mappings@{FIRST_OWN}" in wujiang.gateway.tables.references()


@pytest.mark.parametrize("same", [LI, LI.upper()])
def test_nobody_approves_what_he_proposed_himself(wujiang: Node, same: str) -> None:
    version = propose(wujiang)
    by = replace(one(wujiang, LI), account=same)
    approve_as = wujiang.gateway.governance.approve
    act = partial(approve_as, "mappings", version.version, by=by, digest=version.digest, now=by.confirmed)
    assert code_of(act) == "table.own-proposal"
    with wujiang.gateway.database.read() as session:
        assert find_version(session, "mappings", version.version).state == "proposed"


@pytest.mark.parametrize("role", ROLES)
def test_each_part_takes_its_permission(wujiang: Node, role: Role) -> None:
    """A visitor's is told by what the role may do: an account of one would need an end."""
    by = Person("qian", "Qian", frozenset({role}), now_millis())
    version, governance, now = propose(wujiang), wujiang.gateway.governance, by.confirmed
    rows = shipped("mappings").rows
    acts = {
        "table.propose": partial(governance.propose, "mappings", rows, by=by, effective=now, now=now),
        "table.approve": partial(
            governance.approve, "mappings", version.version, by=by, digest=version.digest, now=now
        ),
    }  # fmt: skip
    for permission, act in acts.items():
        if permission in MAY[role]:
            assert act().name == "mappings"
        else:
            assert code_of(act) == "person.not-permitted"


def test_an_approval_takes_a_second_factor_of_the_last_minutes(wujiang: Node) -> None:
    version, now = propose(wujiang), now_millis()
    by = one(wujiang, WANG, at=now - 5 * 60_000)
    act = partial(wujiang.gateway.governance.approve, "mappings", version.version, by=by, digest=version.digest)
    assert code_of(act, now=now) == "person.confirm-again"


def test_a_proposal_is_rejected_by_an_approver_or_taken_back_by_its_proposer(wujiang: Node) -> None:
    governance, now = wujiang.gateway.governance, now_millis()
    versions = [propose(wujiang).version for _ in range(3)]
    stranger = Person("qian", "Qian", frozenset({"analyst"}), now)
    assert code_of(governance.reject, "mappings", versions[0], by=stranger, now=now) == "person.not-permitted"
    taken_back = governance.reject("mappings", versions[1], by=one(wujiang, LI), now=now)
    rejected = governance.reject("mappings", versions[2], by=one(wujiang, WANG), now=now)
    assert [version.state for version in (taken_back, rejected)] == ["rejected", "rejected"]


def test_the_database_itself_refuses_a_self_approval(wujiang: Node, gateway_database: Database) -> None:
    propose(wujiang)
    change = update(tables.table_version).values(state="approved", decider="LIHUA", decided_at=1)
    with pytest.raises(DBAPIError, match="two_persons"), gateway_database.write() as session:
        session.execute(change)
    with gateway_database.write() as session:  # and it is that alone which it refuses
        session.execute(change.values(decider=WANG))


def test_what_was_decided_can_be_neither_changed_nor_deleted_in_the_database(
    wujiang: Node, gateway_database: Database
) -> None:
    approve(wujiang, propose(wujiang))
    for statement in (
        update(tables.table_version).values(state="proposed", decider=None, decided_at=None),
        update(tables.table_version).values(effective=0),
        delete(tables.table_version),
    ):
        with pytest.raises(DBAPIError, match="stays"), gateway_database.write() as session:
            session.execute(statement)


def change_behind_its_back(database: Database) -> None:
    """Somebody with access to the database puts another mapping into the proposal."""
    rows = [*map(dict, shipped("mappings").rows), own_row("XS-07", "砷", "w20119")]
    body = zstandard.ZstdCompressor().compress(json.dumps(rows).encode())
    with database.write() as session:
        session.execute(update(tables.table_version).values(body=body))


def test_an_approval_is_of_exactly_what_was_shown(wujiang: Node, gateway_database: Database) -> None:
    version = propose(wujiang, own_row("XS-07", "总锑", "w20004"))
    other = replace(version, effective=version.effective + 1)
    assert code_of(approve, wujiang, version, digest=other.digest) == "table.changed"
    assert code_of(approve, wujiang, version, digest=version.digest[:7]) == "table.changed", "too short to be a look"
    change_behind_its_back(gateway_database)
    assert code_of(approve, wujiang, version) == "table.changed"
    assert meaning(wujiang.gateway.tables, "XS-07") is None


def test_the_beginning_of_the_digest_is_enough(wujiang: Node) -> None:
    version = propose(wujiang)
    assert approve(wujiang, version, digest=version.digest[:8]).state == "approved"


def test_a_version_decides_from_its_instant_to_the_moment(wujiang: Node) -> None:
    now = now_millis()
    instant = now + HOUR
    approve(wujiang, propose(wujiang, own_row("XS-07", "总锑", "w20004"), at=instant))
    at = wujiang.gateway.governed.at
    assert meaning(at(now), "XS-07") is None
    assert meaning(at(instant - 1), "XS-07") is None
    assert meaning(at(instant), "XS-07") == "w20004"
    assert meaning(at(instant - 1), "XS-07") is None
    assert meaning(wujiang.gateway.tables, "XS-07") is None


def test_an_approval_after_the_instant_takes_effect_itself_so_the_past_stays_as_it_was(wujiang: Node) -> None:
    now = now_millis()
    version = approve(wujiang, propose(wujiang, own_row("XS-07", "总锑", "w20004"), at=now - HOUR), now=now)
    assert version.as_table().effective == now + NOTICE
    assert meaning(wujiang.gateway.governed.at(now + NOTICE - 1), "XS-07") is None
    assert meaning(wujiang.gateway.governed.at(now + NOTICE), "XS-07") == "w20004"


def test_going_back_restores_the_decisions_and_both_versions_remain(wujiang: Node) -> None:
    first = approve(wujiang, propose(wujiang, own_row("XS-07", "总锑", "w20004")))
    second = approve(wujiang, propose(wujiang, own_row("XS-07", "总铜", "w20122")))
    assert meaning(wujiang.gateway.tables, "XS-07") == "w20122"
    now = now_millis()
    back = wujiang.gateway.governance.go_back("mappings", first.version, by=one(wujiang, WANG), effective=now, now=now)
    assert meaning(wujiang.gateway.tables, "XS-07") == "w20122", "going back needs a second person, too"
    assert code_of(approve, wujiang, back, WANG) == "table.own-proposal"
    approve(wujiang, back, LI)
    assert meaning(wujiang.gateway.tables, "XS-07") == "w20004"
    with wujiang.gateway.database.read() as session:
        kept = [content(session, "mappings", one.version) for one in (first, second, back)]
    assert kept[0].digest == kept[2].digest != kept[1].digest
    assert [one.version for one in kept] == [FIRST_OWN, FIRST_OWN + 1, FIRST_OWN + 2]


def test_one_may_go_back_to_what_ships(wujiang: Node) -> None:
    approve(wujiang, propose(wujiang, own_row("XS-07", "总锑", "w20004")))
    now = now_millis()
    approve(wujiang, wujiang.gateway.governance.go_back("mappings", 1, by=one(wujiang, LI), effective=now, now=now))
    assert meaning(wujiang.gateway.tables, "XS-07") is None
    assert f"mappings@{FIRST_OWN + 1}" in wujiang.gateway.tables.references()


def test_a_rejected_proposal_never_decides_and_cannot_be_approved_later(wujiang: Node) -> None:
    version = propose(wujiang, own_row("XS-07", "总锑", "w20004"))
    wujiang.gateway.governance.reject("mappings", version.version, by=one(wujiang, LI), now=now_millis())
    assert code_of(approve, wujiang, version) == "table.decided"
    assert meaning(wujiang.gateway.tables, "XS-07") is None


@pytest.mark.parametrize(
    ("table", "change", "code", "pointer"),
    [
        ("mappings", {"factor": "w99999"}, "table.malformed", "row 95"),
        ("mappings", {"name": "总锑", "factor": "w20141"}, "table.malformed", "row 95"),
        ("mappings", {"name": "Antimony", "factor": "w21025"}, "table.malformed", "row 95"),
        ("mappings", {"party": "wujiang"}, "table.malformed", "row 95"),
        ("mappings", {"unit": "毫克/升"}, "table.malformed", "row 95"),
        ("wishes", {}, "table.unknown", None),
    ],
)
def test_a_version_that_cannot_decide_is_refused_at_proposal_with_its_rows(
    wujiang: Node, table: str, change: dict[str, str], code: str, pointer: str | None
) -> None:
    rows = (*shipped("mappings").rows, {**own_row("XS-07", "化学需氧量", "w01018"), **change})
    now = now_millis()
    with pytest.raises(TableError) as caught:
        wujiang.gateway.governance.propose(table, rows, by=one(wujiang, LI), effective=now, now=now)
    assert caught.value.code == code
    assert list(caught.value.pointers) == ([pointer] if pointer else [])
    assert not entries(wujiang, TABLE_PROPOSED)


def test_a_version_that_would_break_another_table_is_refused(wujiang: Node) -> None:
    approve(wujiang, propose(wujiang, own_row("XS-07", "总锑", "w20004")))
    without = tuple(row for row in shipped("factors").rows if row["code"] != "w20004")
    now = now_millis()
    with pytest.raises(TableError, match="w20004 is not a factor"):
        wujiang.gateway.governance.propose("factors", without, by=one(wujiang, LI), effective=now, now=now)


def test_a_proposal_that_has_come_to_contradict_what_is_in_force_is_not_approved(wujiang: Node) -> None:
    extra = {**shipped("factors").rows[0], "code": "w99777", "name_zh": "示例", "name_en": "Example"}
    wider = approve(wujiang, propose(wujiang, extra, table="factors"))
    using = propose(wujiang, own_row("XS-08", "示例", "w99777"))
    now = now_millis()
    approve(wujiang, wujiang.gateway.governance.go_back("factors", 1, by=one(wujiang, LI), effective=now, now=now))
    assert wider.version == FIRST_OWN
    assert code_of(approve, wujiang, using) == "table.malformed"


def test_every_act_is_in_the_log_with_the_digest_and_without_anybodys_name(wujiang: Node) -> None:
    version = propose(wujiang, own_row("XS-07", "总锑", "w20004"))
    approve(wujiang, version)
    wujiang.gateway.governance.reject("mappings", propose(wujiang).version, by=one(wujiang, WANG), now=now_millis())
    proposed, approved = entries(wujiang, TABLE_PROPOSED)[0], entries(wujiang, TABLE_APPROVED)[0]
    for entry in (proposed, approved):
        assert entry["detail"]["table"] == f"mappings@{FIRST_OWN}"
        assert entry["detail"]["digest"] == version.digest
    assert proposed["actor"] != approved["actor"], "an auditor sees that there were two"
    assert entries(wujiang, TABLE_REJECTED)[0]["actor"] == approved["actor"], "and that this was one of them"
    written = json.dumps(entries(wujiang), ensure_ascii=False)
    assert LI not in written
    assert WANG not in written
    assert one(wujiang, LI).name not in written


def test_another_process_knows_of_an_approval_before_it_takes_effect(
    wujiang: Node, gateway_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("gateway.governance.time.monotonic", lambda: clock[0])
    other = Governed(gateway_database)
    now = now_millis()
    assert meaning(other.at(now), "XS-07") is None
    approve(wujiang, propose(wujiang, own_row("XS-07", "总锑", "w20004"), at=now, now=now), now=now)
    clock[0] += (NOTICE - 1) / 1000
    assert meaning(other.at(now + NOTICE - 1), "XS-07") is None
    assert meaning(other.at(now + NOTICE), "XS-07") == "w20004"


def test_an_unmapped_code_is_held_and_arrives_by_itself_once_a_mapping_is_approved(wujiang: Node) -> None:
    lines = [reading_line(minute, "5.0", factor="XS-07", unit="ug/L") for minute in range(3)]
    assert counts(hand_in(wujiang, *lines)) == {"held": 3}
    assert held(wujiang) == [("factor", "XS-07", 3)]
    version = propose(wujiang, own_row("XS-07", "总锑", "w20004"))
    assert release_arrived(wujiang.gateway, now=now_millis()) == 0, "a proposal maps nothing"
    approve(wujiang, version)
    assert release_arrived(wujiang.gateway, now=now_millis()) == 3
    assert (held(wujiang), [value for _, _, value in stored(wujiang)]) == ([], ["5.0"] * 3)
    assert series_of(wujiang) == {("w20004", "ug/L")}
    (entry,) = entries(wujiang, RELEASE)
    assert f"mappings@{FIRST_OWN}" in entry["detail"]["tables"]


def series_of(node: Node) -> set[tuple[str, str]]:
    """Factor and unit of everything stored."""
    gateway, table = node.gateway, tables.observation
    with gateway.database.read() as session:
        rows = session.execute(table.select()).all()
        series = gateway.interning.series(session, {row.series_id for row in rows})
        states = gateway.interning.states(session, {row.state_id for row in rows})
    return {(series[row.series_id].factor, states[row.state_id].unit or "") for row in rows}


def test_a_mapped_line_is_taken_its_report_and_the_log_name_the_version(wujiang: Node) -> None:
    approve(wujiang, propose(wujiang, own_row("XS-07", "总锑", "w20004", "ug/L"), own_row("Sb", "锑", "w20004")))
    outcome = hand_in(
        wujiang, reading_line(0, "5.0", factor="XS-07", unit=None), reading_line(1, "0.005", factor="Sb", unit="mg/L"),
        reading_line(2, "5.1", factor="XS-07", unit=None),
    )  # fmt: skip
    assert counts(outcome) == {"accepted": 3}
    assert series_of(wujiang) == {("w20004", "ug/L"), ("w20004", "mg/L")}, "two codes of one factor, each its unit"
    notes = [(one["place"], one["verdict"], one["code"]) for one in report(wujiang, outcome)]
    assert notes == [("line 1", "noted", "record.factor-mapped"), ("line 2", "noted", "record.factor-mapped")]
    (*_, entry) = entries(wujiang, SUBMISSION)
    assert entry["detail"]["tables"] == ["factors@1", f"mappings@{FIRST_OWN}", "units@1"]


def test_a_party_that_uses_the_code_of_chlorine_for_antimony_is_corrected_by_its_own_row(wujiang: Node) -> None:
    approve(wujiang, propose(wujiang, own_row("w21025", "总锑", "w20004")))
    assert counts(hand_in(wujiang, reading_line(0, "0.005", factor="w21025"))) == {"accepted": 1}
    assert {factor for factor, _ in series_of(wujiang)} == {"w20004"}


def test_codes_of_2005_mean_something_in_what_a_logger_sent_and_nothing_elsewhere(wujiang: Node) -> None:
    from_logger = reading_line(0, "20", factor="011", profile="hj212-2017", flag="N", unit="mg/L")
    outcome = hand_in(wujiang, from_logger, reading_line(1, "20", factor="011", profile="manual"))
    assert counts(outcome) == {"accepted": 1, "held": 1}
    assert {factor for factor, _ in series_of(wujiang)} == {"w01018"}
    assert release_arrived(wujiang.gateway, now=now_millis()) == 0, "what still waits does not go round"


def test_a_line_held_for_a_code_of_2005_comes_in_when_a_party_row_of_that_system_is_approved(wujiang: Node) -> None:
    line = reading_line(0, "20", factor="999", profile="hj212-2005", flag="N", unit="mg/L")
    assert counts(hand_in(wujiang, line, reading_line(1, "20", factor="999", profile="manual"))) == {"held": 2}
    row = {**own_row("999", "化学需氧量", "w01018"), "system": "hj212-2005"}
    approve(wujiang, propose(wujiang, row))
    assert release_arrived(wujiang.gateway, now=now_millis()) == 2
    assert held(wujiang) == [("factor", "999", 1)]
    before = rows_of(wujiang)
    assert release_arrived(wujiang.gateway, now=now_millis()) == 0
    assert rows_of(wujiang) == before


DEVICE = b"""\
devices:
  - mn: 010000A8900016F000169DC0
    site: 320509-SW-0003
    profile: hj212-2017
    factors:
      "011": {unit: mg/L}
      w20004: {unit: ug/L}
      "Z9": {factor: w21025, unit: mg/L}
"""


def packet(**codes: str) -> bytes:
    """One packet of instants."""
    at = datetime(2026, 11, 20, 10, 0, tzinfo=BEIJING)
    items = {code: {"Rtd": text, "Flag": "N"} for code, text in codes.items()}
    return encode_packet(measurement("2011", "010000A8900016F000169DC0", at, items, sent=at))


@pytest.fixture
def logger(wujiang: Node) -> Node:
    bring_devices(wujiang.gateway, DEVICE, now=now_millis())
    return wujiang


def test_a_packets_old_codes_are_understood_and_the_devices_registration_goes_first(logger: Node) -> None:
    approve(logger, propose(logger, own_row("w21025", "总锑", "w20004"), own_row("060", "氨氮", "w21003", "mg/L")))
    outcome = hand_in(logger, packet(**{"011": "20", "060": "1", "Z9": "3"}), media=HJ212)
    assert counts(outcome) == {"accepted": 3}
    assert series_of(logger) == {("w01018", "mg/L"), ("w21003", "mg/L"), ("w21025", "mg/L")}


def test_a_packets_code_without_unit_waits_for_one_and_comes_in_with_the_mapping_that_gives_it(logger: Node) -> None:
    assert counts(hand_in(logger, packet(**{"060": "1"}), media=HJ212)) == {"held": 1}
    assert held(logger) == [("device", "010000A8900016F000169DC0/060", 1)]
    approve(logger, propose(logger, own_row("060", "氨氮", "w21003", "mg/L")))
    release_arrived(logger.gateway, now=now_millis())
    assert held(logger) == []
    assert series_of(logger) == {("w21003", "mg/L")}


def test_two_codes_of_one_packet_for_one_factor_are_not_two_values(logger: Node) -> None:
    outcome = hand_in(logger, packet(w20004="5", Sb="6"), media=HJ212)
    assert counts(outcome) == {"accepted": 1, "held": 1}
    approve(logger, propose(logger, own_row("Sb", "锑", "w20004", "ug/L")))
    outcome = hand_in(logger, packet(w20004="5", Sb="7"), media=HJ212)
    assert (counts(outcome), [value for _, _, value in stored(logger)]) == ({"duplicates": 1, "refused": 1}, ["5"])


def test_a_device_that_says_antimony_and_means_another_factor_is_not_registered(wujiang: Node) -> None:
    document = DEVICE.replace(b'"Z9": {factor: w21025', b"Sb: {factor: w21025")
    with pytest.raises(Exception, match="antimony") as caught:
        bring_devices(wujiang.gateway, document, now=now_millis())
    assert caught.value.code == "device.contradicts"
    assert caught.value.pointers == ("/devices/0/factors/Sb",)


def test_what_a_partner_provides_is_never_translated(wujiang: Node) -> None:
    approve(wujiang, propose(wujiang, own_row("XS-07", "总锑", "w20004")))
    parcel = unpack_lines([reading_line(0, "5.0", factor="XS-07", rev=1)], Terms(wujiang.gateway.tables))
    assert ([one.name for one in parcel.waiting], parcel.items) == (["XS-07"], [])
