"""`taipu hj212 decode`: values on standard output, what was not taken on standard error."""

from __future__ import annotations

import json

import pytest

from gateway.cli.exits import ExitCode
from gateway.cli.terminal import MAX_INPUT
from schemas.hj212 import crc16
from schemas.hj212.sm4 import seal
from tests.gateway.commands import refused, taipu

MN = "010000A8900016F000169DC0"
DEVICES = f"""\
devices:
  - mn: "{MN}"
    site: 320509-SW-0003
    profile: hj212-2017
    minute: PT1M
    factors:
      w20004: {{unit: mg/L}}
"""


def packet(data: str, cn: str = "2051") -> bytes:
    """One packet around a data area, sound or not."""
    segment = f"QN=20261123100001000;ST=21;CN={cn};PW=123456;MN={MN};Flag=5;CP=&&{data}&&".encode()
    return b"##%04d%b%04X\r\n" % (len(segment), segment, crc16(segment))


def resealed(data: bytes) -> bytes:
    """A packet whose segment was changed, with the length and the check sum of what it is now."""
    segment = data[6:-6]
    return b"##%04d%b%04X\r\n" % (len(segment), segment, crc16(segment))


READINGS = packet("DataTime=20261123100000;w20004-Avg=0.0021,w20004-Flag=N;w01001-Avg=7.30,w01001-Flag=N")


def records(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_without_a_registration_the_unit_is_null_and_the_site_is_the_mn():
    done = taipu("hj212", "decode", "-", given=READINGS)
    assert done.exit_code == 0
    first, second = records(done)
    assert (first["kind"], first["site"], first["factor"], first["value"]) == (
        "observation", f"mn:{MN}", "w20004", "0.0021",
    )  # fmt: skip
    assert [one["unit"] for one in (first, second)] == [None, None]
    assert second["value"] == "7.30", "the text of a value is never touched"
    assert "packet 1: noted: packet.period-assumed" in done.stderr
    assert done.stderr.splitlines()[-1] == "1 packets decoded, 0 refused"


def test_with_a_registration_site_unit_and_period_are_known(tmp_path):
    (tmp_path / "devices.yaml").write_text(DEVICES)
    (tmp_path / "packets.txt").write_bytes(READINGS)
    done = taipu("hj212", "decode", tmp_path / "packets.txt", "--devices", tmp_path / "devices.yaml")
    first, second = records(done)
    assert (first["site"], first["unit"], first["period"]) == ("320509-SW-0003", "mg/L", "PT1M")
    assert second["unit"] is None, "a code that nobody registered"
    assert "period-assumed" not in done.stderr


def test_encrypted_packets_are_opened_with_the_registered_key(tmp_path):
    key = "0123456789abcdef0123456789abcdef"
    segment = READINGS[6:-6]
    sealed = READINGS.replace(segment, seal(segment, key))
    (tmp_path / "devices.yaml").write_text(DEVICES + f'    key: "{key}"\n')
    done = taipu("hj212", "decode", "-", "--devices", tmp_path / "devices.yaml", given=sealed)
    assert [one["value"] for one in records(done)] == ["0.0021", "7.30"]
    assert key not in done.stdout + done.stderr
    done = taipu("hj212", "decode", "-", given=sealed)
    assert (done.exit_code, done.stdout) == (ExitCode.FAILED, "")
    assert "packet 1: refused: packet.key-missing: the data area is encrypted, and no key is registered" in done.stderr


def test_another_time_of_sampling_is_kept_and_a_wrong_one_noted():
    area = "DataTime=20261123100000;w20004-SampleTime={},w20004-Avg=0.0021,w20004-Flag=N"
    done = taipu("hj212", "decode", "-", given=packet(area.format("20261123093000")) + packet(area.format("soon")))
    first, second = records(done)
    assert (first["sampled"], "sampled" in second) == ("2026-11-23T09:30:00+08:00", False)
    assert "packet 2, w20004, SampleTime: noted: packet.sample-time" in done.stderr


def test_a_message_cut_into_parts_is_one_again():
    area = "DataTime=20261123100000;w20004-Avg=0.0021,w20004-Flag=N"
    parts = [
        packet(piece).replace(b"Flag=5;", b"Flag=7;PNUM=2;PNO=%d;" % n)
        for n, piece in enumerate((area[:41], area[41:]), 1)
    ]
    done = taipu("hj212", "decode", "-", given=b"".join(map(resealed, parts)))
    assert [one["value"] for one in records(done)] == ["0.0021"]
    assert "packet.parts-joined" in done.stderr


def test_a_broken_packet_costs_that_packet_and_the_report_is_ndjson_if_asked():
    broken = READINGS.replace(b"0.0021", b"0.0022")
    done = taipu("hj212", "decode", "-", "--json", given=READINGS + broken + READINGS)
    assert done.exit_code == ExitCode.SOME_REFUSED
    assert len(records(done)) == 4
    report = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(one["place"], one["code"]) for one in report if one["verdict"] == "refused"] == [
        ("packet 2", "packet.crc-wrong")
    ]


def test_a_value_that_is_none_is_reported_and_the_others_go_on():
    done = taipu("hj212", "decode", "-", given=packet("DataTime=20261123100000;w20004-Avg=+5;w01001-Avg=7.3"))
    assert done.exit_code == 0, "the packet was decoded"
    assert "packet 1, w20004, Avg: refused: packet.value-malformed" in done.stderr
    assert [one["factor"] for one in records(done)] == ["w01001"]


@pytest.mark.parametrize("given", [b"", b"nothing of the kind", READINGS[:-20]], ids=["nothing", "no packet", "half"])
def test_no_packet_at_all_fails(given):
    done = taipu("hj212", "decode", "-", given=given)
    assert (done.exit_code, done.stdout) == (ExitCode.FAILED, "")


def test_what_cannot_be_read_is_named(tmp_path):
    refused(taipu("hj212", "decode", tmp_path / "absent"), "input.unreadable")
    refused(taipu("hj212", "decode", tmp_path), "input.unreadable")
    (tmp_path / "devices.yaml").write_text("devices: 1")
    refused(taipu("hj212", "decode", "-", "--devices", tmp_path / "devices.yaml", given=READINGS), "device.malformed")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_INPUT + 1)
    refused(taipu("hj212", "decode", tmp_path / "large"), "input.too-large")


def test_the_packets_of_real_field_units_are_decoded(shared):
    lines = (shared / "testdata" / "hj212_packets.jsonl").read_text("utf-8").splitlines()
    packets = [json.loads(line) for line in lines]
    done = taipu("hj212", "decode", "-", given="\r\n".join(one["packet"] for one in packets))
    assert done.exit_code == ExitCode.SOME_REFUSED
    assert len(records(done)) > 300
    assert all(one["unit"] is None for one in records(done))
