"""HJ 212 packets handed in as text: a broken one costs itself, a stranger's waits, a re-send changes nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from audit.form import RELEASE
from gateway.ingest.parcel import HJ212
from gateway.ingest.release import held_counts, release_arrived
from gateway.store import tables
from schemas.devices import Device, DeviceFactor, parse_devices
from schemas.hj212 import encode_packet, measurement
from schemas.hj212.sm4 import seal
from schemas.times import BEIJING, now_millis, to_millis
from tests.gateway.hands import counts, entries, hand_in, publish, records_in, report, rows_of, stored
from tests.world import Node, site_line

MN = "010000A8900016F000169DC0"
TEN = datetime(2026, 11, 20, 10, 0, tzinfo=BEIJING)
KEY = "0123456789abcdef0123456789abcdef"
ANTIMONY = "{factor: w20004, unit: mg/L}"


def packet(minute: int = 0, value: str = "0.0021", *, mn: str = MN, sent: int = 0, **codes: str) -> bytes:
    """A packet of minute data of antimony (code `w20004`), and of other codes where given."""
    at = TEN + timedelta(minutes=minute)
    items = {code: {"Avg": text, "Flag": "N"} for code, text in {"w20004": value, **codes}.items()}
    return encode_packet(measurement("2051", mn, at, items, sent=at + timedelta(minutes=1, seconds=sent)))


def register(
    node: Node, factors: str = f"w20004: {ANTIMONY}", *, mn: str = MN, site: str = "320509-SW-0003", more: str = ""
) -> None:
    text = f"devices: [{{mn: {mn}, site: {site}, profile: hj212-2017, minute: PT1M, factors: {{{factors}}}{more}}}]"
    with node.gateway.database.write() as session:
        node.gateway.devices.register(session, parse_devices(text.encode()).values(), now=now_millis())


def hand_in_packets(node: Node, *packets: bytes) -> dict[str, Any]:
    return hand_in(node, b"".join(packets), media=HJ212)


def waiting(node: Node) -> list[tuple[str, int]]:
    with node.gateway.database.read() as session:
        return [(f"{waits_for} {name}", count) for _, waits_for, name, count, _ in held_counts(session)]


def release(node: Node) -> int:
    return release_arrived(node.gateway, now=now_millis())


def test_a_good_packet_becomes_a_value_with_the_registrations_site_unit_and_period(wujiang: Node) -> None:
    register(wujiang)
    noon = to_millis("2026-11-20T12:00:00+08:00")
    assert counts(hand_in(wujiang, packet(), media=HJ212, at=noon)) == {"accepted": 1}
    (record,) = [one for one in records_in(publish(wujiang)) if one["kind"] == "observation"]
    assert record == {
        "kind": "observation", "site": "320509-SW-0003", "factor": "w20004", "at": "2026-11-20T10:00:00+08:00",
        "value": "0.0021", "unit": "mg/L", "origin": "auto", "stat": "avg", "sample": "", "period": "PT1M",
        "flag": "N", "profile": "hj212-2017",
        "rev": 1, "sent": "2026-11-20T10:01:00+08:00", "received": "2026-11-20T12:00:00+08:00",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (packet(1)[:-6] + b"0000\r\n", "packet.crc-wrong"),
        (b"##0999" + packet(1)[6:], "packet.length-wrong"),
        (packet(1)[:-20], "packet.truncated"),
        (b"what is this", "packet.no-header"),
    ],
)
def test_a_broken_packet_costs_that_packet(wujiang: Node, broken: bytes, code: str) -> None:
    register(wujiang)
    outcome = hand_in_packets(wujiang, packet(0), packet(2), broken)
    assert counts(outcome) == {"accepted": 2, "refused": 1}
    (problem,) = report(wujiang, outcome)
    assert (problem["place"], problem["code"]) == ("packet 3", code)
    assert broken[:40].decode() in problem["text"]


def test_a_broken_packet_in_the_middle_leaves_the_ones_behind_it_whole(wujiang: Node) -> None:
    register(wujiang)
    outcome = hand_in_packets(wujiang, packet(0), packet(1)[:-6] + b"0000\r\n", packet(2))
    assert counts(outcome) == {"accepted": 2, "refused": 1}


def test_an_unregistered_devices_packet_waits_as_it_is_and_is_taken_when_the_device_is_registered(
    wujiang: Node,
) -> None:
    outcome = hand_in_packets(wujiang, packet(0, w21003="1.2"), packet(1))
    assert counts(outcome) == {"held": 2}
    assert {problem["code"] for problem in report(wujiang, outcome)} >= {"record.device-unknown"}
    assert waiting(wujiang) == [(f"device {MN}", 2)]
    register(wujiang, f"w20004: {ANTIMONY}, w21003: {{unit: mg/L}}")
    assert release(wujiang) == 2
    assert len(stored(wujiang)) == 3
    assert waiting(wujiang) == []


def test_a_packet_that_waited_says_when_it_came_and_not_when_it_was_understood(wujiang: Node) -> None:
    hand_in(wujiang, packet(), media=HJ212, at=to_millis("2026-11-20T10:02:00+08:00"))
    register(wujiang)
    release(wujiang)
    (record,) = [one for one in records_in(publish(wujiang)) if one["kind"] == "observation"]
    assert record["received"] == "2026-11-20T10:02:00+08:00"


def test_packets_of_one_submission_may_have_come_one_after_the_other(wujiang: Node) -> None:
    register(wujiang)
    first = to_millis("2026-11-20T10:02:00+08:00")
    hand_in(wujiang, packet(0) + packet(1) + packet(2), media=HJ212, received=(first, first + 60_000))
    records = [one for one in records_in(publish(wujiang)) if one["kind"] == "observation"]
    assert [one["received"][11:16] for one in records] == ["10:02", "10:03", "10:03"]


def test_an_encrypted_packet_waits_for_the_registration_with_its_key(wujiang: Node) -> None:
    segment = packet()[6:-6]
    assert counts(hand_in_packets(wujiang, packet().replace(segment, seal(segment, KEY)))) == {"held": 1}
    assert (waiting(wujiang), stored(wujiang)) == ([(f"device {MN}", 1)], [])
    register(wujiang, more=f", key: '{KEY}'")
    assert release(wujiang) == 1
    assert (waiting(wujiang), [value for _, _, value in stored(wujiang)]) == ([], ["0.0021"])


def test_an_encrypted_packet_of_a_device_without_a_key_is_refused(wujiang: Node) -> None:
    register(wujiang)
    segment = packet()[6:-6]
    outcome = hand_in_packets(wujiang, packet(1), packet().replace(segment, seal(segment, KEY)))
    assert counts(outcome) == {"accepted": 1, "refused": 1}
    assert [one["code"] for one in report(wujiang, outcome)] == ["packet.key-missing"]


def test_a_code_that_the_registration_does_not_name_waits_while_the_others_are_stored(wujiang: Node) -> None:
    register(wujiang)
    assert counts(hand_in_packets(wujiang, packet(0, x01="7", x02="8"))) == {"accepted": 1, "held": 2}
    assert waiting(wujiang) == [(f"device {MN}/x01", 1), (f"device {MN}/x02", 1)]
    register(wujiang, f"w20004: {ANTIMONY}, x01: {{factor: w01018, unit: mg/L}}")
    assert release(wujiang) == 1
    assert len(stored(wujiang)) == 2
    register(wujiang, f"w20004: {ANTIMONY}, x01: {{factor: w01018, unit: mg/L}}, x02: {{factor: w01019, unit: mg/L}}")
    release(wujiang)
    assert len(stored(wujiang)) == 3
    assert waiting(wujiang) == []


def test_a_code_mapped_to_a_factor_nobody_knows_waits_for_the_factor(wujiang: Node) -> None:
    register(wujiang, "w20004: {factor: w99999, unit: mg/L}")
    assert counts(hand_in_packets(wujiang, packet())) == {"held": 1}
    assert waiting(wujiang) == [("factor w99999", 1)]


def test_a_registered_device_at_a_site_not_here_yet_waits_for_the_site_once_for_all_its_values(wujiang: Node) -> None:
    register(wujiang, f"w20004: {ANTIMONY}, w21003: {{unit: mg/L}}", site="320509-SW-0077")
    assert counts(hand_in_packets(wujiang, packet(w21003="1"))) == {"held": 2}
    assert waiting(wujiang) == [("site 320509-SW-0077", 2)]
    hand_in(wujiang, site_line("320509-SW-0077"))
    release(wujiang)
    assert (len(stored(wujiang)), waiting(wujiang)) == (2, [])
    (entry,) = entries(wujiang, RELEASE)
    assert (entry["detail"]["accepted"], entry["detail"]["duplicates"]) == (2, 0)


def test_a_packet_that_waits_for_the_same_thing_after_its_release_is_not_looked_at_for_ever(wujiang: Node) -> None:
    hand_in_packets(wujiang, packet())
    factors = {"w20004": DeviceFactor("w20004", None)}  # no registration document can say this
    unitless = Device(mn=MN, site="320509-SW-0003", profile="hj212-2017", factors=factors)
    with wujiang.gateway.database.write() as session:
        wujiang.gateway.devices.register(session, [unitless], now=now_millis())
    assert [release(wujiang), release(wujiang)] == [1, 1]
    assert waiting(wujiang) == [(f"device {MN}/w20004", 1)]


def test_a_packet_sent_again_is_a_duplicate_whenever_it_was_sent(wujiang: Node) -> None:
    register(wujiang)
    hand_in_packets(wujiang, packet())
    assert counts(hand_in_packets(wujiang, packet(sent=30))) == {"duplicates": 1}
    assert rows_of(wujiang)["observation_history"] == 0


def test_a_packet_sent_again_with_another_value_is_a_revision_and_says_so(wujiang: Node) -> None:
    register(wujiang)
    hand_in_packets(wujiang, packet(value="0.0021"))
    publish(wujiang)
    assert counts(hand_in_packets(wujiang, packet(value="0.0022", sent=30))) == {"revised": 1}
    assert [(rev, value) for _, rev, value in stored(wujiang)] == [(2, "0.0022")]
    (record,) = records_in(publish(wujiang))
    assert (record["rev"], record["reason"]) == (2, "resent-differs")


def test_a_packet_without_values_is_taken_and_holds_none(wujiang: Node) -> None:
    heartbeat = encode_packet(measurement("9015", MN, TEN, {}, sent=TEN))
    assert counts(hand_in_packets(wujiang, heartbeat)) == {}


def test_a_device_registered_again_takes_the_earlier_ones_place(wujiang: Node) -> None:
    register(wujiang)
    register(wujiang, "w20004: {factor: w20004, unit: ug/L}")
    hand_in_packets(wujiang, packet())
    with wujiang.gateway.database.read() as session:
        assert len(session.execute(tables.device.select()).all()) == 1
    assert records_in(publish(wujiang))[-1]["unit"] == "ug/L"
