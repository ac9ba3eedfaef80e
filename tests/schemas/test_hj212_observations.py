"""Messages as observations: which statistic, period, time, unit and qualifier, and what happens to a bad value."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.devices import Device, DeviceFactor
from schemas.errors import PacketError
from schemas.hj212 import (
    ASSUMED_MINUTE_PERIOD,
    NOTED,
    Finding,
    Frame,
    Message,
    crc16,
    parse_message,
    split_packets,
)
from schemas.hj212 import to_observations as convert
from schemas.records import Observation, check_record

MN = "010000A8900016F000169DC0"
DEVICE = Device(
    mn=MN,
    site="320509-SW-0003",
    profile="hj212-2017",
    minute="PT5M",
    factors={
        "w20004": DeviceFactor("w20004", "mg/L"),
        "011": DeviceFactor("w01018", "mg/L"),
        "a34004": DeviceFactor("a34004", "ug/m3", "end"),
        "w01010": DeviceFactor("w01010", "Cel", "instant"),
    },
)


def message(area: str, cn: str = "2011", head: str = "") -> Message:
    header = head or f"QN=20260701100001123;ST=21;CN={cn};PW=123456;MN={MN};Flag=5;"
    return parse_message(Frame(f"{header}CP=&&DataTime=20260701100000;{area}&&".encode(), number=4, offset=77))


def values(area: str, cn: str = "2011", device: Device | None = DEVICE) -> list[Observation]:
    observations, findings = convert(message(area, cn), device)
    assert findings == []
    return observations


def codes(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(found.code, found.factor, found.attribute) for found in findings]


def test_a_real_time_value_is_an_instant_with_everything_the_packet_and_the_registration_say():
    assert values("w20004-Rtd=0.10,w20004-Flag=N") == [
        Observation(
            site="320509-SW-0003",
            factor="w20004",
            at="2026-07-01T10:00:00+08:00",
            value="0.10",
            unit="mg/L",
            stat="inst",
            period="PT0S",
            flag="N",
            profile="hj212-2017",
            sent="2026-07-01T10:00:01.123+08:00",
        )
    ]


def test_what_a_registered_device_sends_is_a_record_the_schema_admits():
    for value in values("w20004-Avg=0.10,w20004-Flag=N;011-Avg=12,011-Flag=T", "2061"):
        check_record(value)


@pytest.mark.parametrize(
    ("cn", "attributes", "expected"),
    [
        ("2011", "Rtd ZsRtd", [("inst", "PT0S"), ("zs-inst", "PT0S")]),
        ("2051", "Min Avg Max Cou", [("min", "PT5M"), ("avg", "PT5M"), ("max", "PT5M"), ("total", "PT5M")]),
        ("2061", "ZsMin ZsAvg ZsMax", [("zs-min", "PT1H"), ("zs-avg", "PT1H"), ("zs-max", "PT1H")]),
        ("2031", "Avg Cou", [("avg", "P1D"), ("total", "P1D")]),
    ],
)
def test_command_and_attribute_give_period_and_statistic(cn: str, attributes: str, expected: list[tuple[str, str]]):
    area = ",".join(f"w20004-{attribute}=1" for attribute in attributes.split())
    assert [(value.stat, value.period) for value in values(area, cn)] == expected


@pytest.mark.parametrize("cn", ["1011", "2021", "2081", "3020", "9014"])
def test_other_commands_hold_no_values(cn: str):
    assert convert(message("w20004-Rtd=1", cn), DEVICE) == ([], [])


@pytest.mark.parametrize(
    ("cn", "code", "expected"),
    [
        pytest.param("2061", "w20004", "2026-07-01T10:00:00+08:00", id="start of the hour"),
        pytest.param("2061", "a34004", "2026-07-01T09:00:00+08:00", id="end of the hour"),
        pytest.param("2051", "a34004", "2026-07-01T09:55:00+08:00", id="end of five minutes"),
        pytest.param("2031", "a34004", "2026-06-30T10:00:00+08:00", id="end of the day"),
        pytest.param("2061", "w01010", "2026-07-01T10:00:00+08:00", id="instant"),
    ],
)
def test_the_label_says_which_moment_data_time_names(cn: str, code: str, expected: str):
    assert [value.at for value in values(f"{code}-Avg=1", cn)] == [expected]


def test_a_real_time_value_is_not_moved_by_an_end_label():
    assert [value.at for value in values("a34004-Rtd=1")] == ["2026-07-01T10:00:00+08:00"]


def test_an_old_code_is_given_the_factor_it_is_registered_as():
    assert [(value.factor, value.unit) for value in values("011-Rtd=12.5")] == [("w01018", "mg/L")]


def test_a_code_nobody_registered_comes_through_as_it_stands_and_without_a_unit():
    assert [(value.factor, value.unit) for value in values("LA-Rtd=49")] == [("LA", None)]


def test_a_device_nobody_registered_is_named_by_its_mn():
    assert [(value.site, value.unit) for value in values("w20004-Rtd=1", device=None)] == [(f"mn:{MN}", None)]


@pytest.mark.parametrize("device", [None, Device(mn=MN, site="S1", profile="hj212-2017")])
def test_an_unregistered_minute_period_is_assumed_and_said_to_be(device: Device | None):
    observations, findings = convert(message("w20004-Avg=1", "2051"), device)
    assert [value.period for value in observations] == [ASSUMED_MINUTE_PERIOD] == ["PT10M"]
    assert codes(findings) == [("packet.period-assumed", "", "")]


def test_a_value_keeps_its_text():
    texts = ["0.10", "0", "-0.4643", "3.9204547790766", "156720160.000", "235.292750833832"]
    area = ";".join(f"a{index}-Rtd={text}" for index, text in enumerate(texts))
    assert [value.value for value in values(area)] == texts


def test_an_empty_value_is_not_measured_and_the_flag_says_why():
    assert [(value.value, value.q, value.flag) for value in values("w20004-Rtd=,w20004-Flag=T")] == [(None, None, "T")]


@pytest.mark.parametrize(
    "text", ["NaN", "-", "1e5", "1.2.3", "0x1F", "+1", ".5", "5.", "00.5", "--1", "１", "1 2", "inf", "9" * 19]
)
def test_a_value_that_is_no_plain_decimal_is_refused_by_name_and_the_others_go_on(text: str):
    area = f"w20004-Rtd={text},w20004-Flag=N;011-Rtd=2,011-Flag=N"
    observations, findings = convert(message(area), DEVICE)
    assert [value.factor for value in observations] == ["w01018"]
    assert codes(findings) == [("packet.value-malformed", "w20004", "Rtd")]


@pytest.mark.parametrize(
    ("area", "expected"),
    [
        pytest.param("w20004-Rtd=1;w20004-Rtd=2", ("packet.value-ambiguous", "w20004", "Rtd"), id="two values"),
        pytest.param(
            "w20004-Rtd=1,w20004-Flag=N;w20004-Flag=D", ("packet.flag-malformed", "w20004", "Flag"), id="two flags"
        ),
        pytest.param(
            "w20004-Rtd=1,w20004-Flag=" + "N" * 129, ("packet.flag-malformed", "w20004", "Flag"), id="no flag"
        ),
        pytest.param("LA-td=50.1", ("packet.attribute-unknown", "LA", "td"), id="a misspelt attribute"),
        pytest.param("w20004-Avg=1", ("packet.attribute-unknown", "w20004", "Avg"), id="an average in real time"),
        pytest.param("w 1-Rtd=1", ("packet.factor-malformed", "w 1", ""), id="a code with a blank"),
        pytest.param("锑-Rtd=1", ("packet.factor-malformed", "锑", ""), id="a code in Chinese"),
        pytest.param("FAN=1", ("packet.field-unknown", "", "FAN"), id="a value of nothing"),
    ],
)
def test_what_is_not_taken_is_named_and_the_others_go_on(area: str, expected: tuple[str, str, str]):
    observations, findings = convert(message(area + ";011-Rtd=2,011-Flag=N"), DEVICE)
    assert [value.factor for value in observations] == ["w01018"]
    assert codes(findings) == [expected]


def test_two_codes_of_one_factor_in_one_packet_do_not_overwrite_each_other():
    observations, findings = convert(message("011-Rtd=1;w01018-Rtd=2"), DEVICE)
    assert [(value.factor, value.value) for value in observations] == [("w01018", "1")]
    assert codes(findings) == [("packet.factor-repeated", "w01018", "")]


def test_attributes_that_are_no_values_are_no_findings():
    area = "w20004-SampleTime=20260701100000,w20004-Rtd=1,w20004-Flag=N,w20004-EFlag=A01"
    assert [value.stat for value in values(area)] == ["inst"]


def test_a_time_of_sampling_apart_from_data_time_is_kept_beside_it():
    area = "w20004-SampleTime=20260701093000,w20004-Rtd=1,w20004-Flag=N;011-SampleTime=20260701100000000,011-Rtd=2"
    batch, other = values(area)
    assert {batch.at, other.at} == {"2026-07-01T10:00:00+08:00"}
    assert (batch.sampled, other.sampled) == ("2026-07-01T09:30:00+08:00", "")
    check_record(batch)


@pytest.mark.parametrize(
    "sampled",
    ["20260230093000", "2026-07-01", "00010101000000", "20260701093000,w20004-SampleTime=20260701094000"],
    ids=["no such day", "not digits", "before anything was measured", "two times"],
)
def test_a_time_of_sampling_that_is_none_is_told_and_the_value_taken(sampled: str):
    observations, findings = convert(message(f"w20004-SampleTime={sampled},w20004-Rtd=1"), DEVICE)
    assert [(value.value, value.sampled) for value in observations] == [("1", "")]
    assert codes(findings) == [("packet.sample-time", "w20004", "SampleTime")]
    assert findings[0].code in NOTED, "nothing was left out for it"


def test_a_request_number_of_an_impossible_year_does_not_spoil_the_values():
    head = f"QN=00010101000000000;ST=21;CN=2011;PW=1;MN={MN};Flag=5;"
    (value,), _ = convert(message("w20004-Rtd=1", head=head), DEVICE)
    assert value.sent == ""
    check_record(value)


@pytest.mark.parametrize(
    ("profile", "flag", "q"),
    [
        ("hj212-2017", "T", ">"),
        ("hj212-2017", "N", None),
        ("hj212-2017", "L", None),
        ("hj212-2017", "D", None),
        ("hj212-2017", "t", None),
        ("hj212-2017", "", None),
        ("hj212-2005", "T", ">"),
        ("hj212-2025", "T", ">"),
        ("surface-water", "T", ">"),
        ("surface-water", "L", "<"),
    ],
)
def test_the_flag_qualifies_the_value_under_its_profile_and_is_kept(profile: str, flag: str, q: str | None):
    device = Device(mn=MN, site="S1", profile=profile)  # type: ignore[arg-type]
    area = f"w20004-Rtd=3.5,w20004-Flag={flag}" if flag else "w20004-Rtd=3.5"
    (value,) = values(area, device=device)
    assert (value.q, value.value, value.flag, value.profile) == (q, "3.5", flag, profile)


@pytest.mark.parametrize(
    ("header", "profile"),
    [
        ("ST=31;CN=2011;MN=X;Flag=0;", "hj212-2005"),
        ("ST=32;CN=2011;MN=X;", "hj212-2005"),
        ("ST=21;CN=2011;MN=X;Flag=5;", "hj212-2017"),
        (f"ST=31;CN=2011;MN={MN};Flag=9;", "hj212-2025"),
        (f"ST=21;CN=2011;MN={MN};Flag=9;", "hj212-2025"),
        ("ST=21;CN=2011;MN=A140100_2006;Flag=9;", "surface-water"),
        ("ST=31;CN=2011;MN=X;Flag=255;", "hj212-2025"),
    ],
)
def test_the_profile_of_an_unregistered_device_is_read_from_its_header(header: str, profile: str):
    observations, _ = convert(message("a1-Rtd=1", head=header))
    assert [value.profile for value in observations] == [profile]


def test_a_value_sent_again_says_so_and_its_key_stays():
    head = f"QN=20260701120000000;ST=21;CN=2011;PW=1;MN={MN};Flag=9;RF=1;"
    (again,), _ = convert(message("w20004-Rtd=1", head=head), DEVICE)
    assert (again.resent, again.at, again.sent) == (True, "2026-07-01T10:00:00+08:00", "2026-07-01T12:00:00+08:00")


@pytest.mark.parametrize("qn", ["", "1617936069734", "20261301100000123", "20260701250000123"])
def test_a_qn_that_is_no_time_leaves_the_time_of_sending_open(qn: str):
    observations, _ = convert(message("w20004-Rtd=1", head=f"QN={qn};ST=21;CN=2011;PW=1;MN={MN};Flag=5;"), DEVICE)
    assert [value.sent for value in observations] == [""]


@pytest.mark.parametrize(
    ("data_time", "at"),
    [
        ("20260701100000000", "2026-07-01T10:00:00+08:00"),
        ("20260701100000250", "2026-07-01T10:00:00.250+08:00"),
        ("20240229235959", "2024-02-29T23:59:59+08:00"),
    ],
)
def test_times_of_14_and_17_digits_are_beijing_time(data_time: str, at: str):
    segment = f"ST=21;CN=2011;MN={MN};Flag=5;CP=&&DataTime={data_time};w20004-Rtd=1&&"
    observations, _ = convert(parse_message(Frame(segment.encode())), DEVICE)
    assert [value.at for value in observations] == [at]


@pytest.mark.parametrize(
    "data_time",
    [
        "",
        "2026070110",
        "20260230100000",
        "20260701240000",
        "20260701106000",
        "2026-07-01T10",
        "２０２６０７０１１０００００",
    ],
)
def test_values_without_a_possible_time_are_refused_with_their_packet(data_time: str):
    segment = f"ST=21;CN=2011;MN={MN};Flag=5;CP=&&DataTime={data_time};w20004-Rtd=1&&"
    with pytest.raises(PacketError) as caught:
        convert(parse_message(Frame(segment.encode(), number=4, offset=77)), DEVICE)
    assert caught.value.code == "packet.time-invalid"
    assert caught.value.extra == {"packet": 4, "offset": 77}


@pytest.mark.parametrize("year", ["0001", "1799", "3001", "9999"])
@pytest.mark.parametrize("code", ["a34004", "w20004"])
@pytest.mark.parametrize("flag", ["", ",w20004-Flag=N"])
def test_a_year_in_which_nothing_was_measured_is_no_time(year: str, code: str, flag: str):
    """No record could be made of it; and under an end label the first hour of all has none before it."""
    segment = f"ST=21;CN=2061;MN={MN};Flag=5;CP=&&DataTime={year}0101000000;{code}-Avg=1{flag}&&"
    with pytest.raises(PacketError) as caught:
        convert(parse_message(Frame(segment.encode())), DEVICE)
    assert caught.value.code == "packet.time-invalid"


@pytest.mark.parametrize("mn", ["", "a/b", "a b"])
def test_a_device_that_cannot_be_named_needs_a_registration(mn: str):
    segment = f"ST=21;CN=2011;MN={mn};Flag=5;CP=&&DataTime=20260701100000;w20004-Rtd=1&&"
    read = parse_message(Frame(segment.encode()))
    with pytest.raises(PacketError) as caught:
        convert(read)
    assert caught.value.code == "packet.mn-invalid"
    assert len(convert(read, DEVICE)[0]) == 1


@pytest.mark.parametrize("cn", ["2013", "2052", "2062", "2111"])
def test_values_of_commands_we_do_not_read_are_not_lost_without_a_word(cn: str):
    observations, findings = convert(message("w20004-Rtd=1", cn), DEVICE)
    assert observations == []
    assert codes(findings) == [("packet.command-unread", "", "")]
    assert convert(parse_message(Frame(f"CN={cn};MN={MN};CP=&&&&".encode())), DEVICE) == ([], []), "nothing is lost"


_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_AREA = st.lists(
    st.tuples(
        st.sampled_from(["w20004", "011", "", "锑", "a34004"]), st.sampled_from(["Rtd", "Avg", "Flag", "x"]), _TEXT
    )
).map(lambda parts: ";".join(f"{code}-{attribute}={text}" for code, attribute, text in parts))
_SEGMENT = st.tuples(
    st.sampled_from(["2011", "2051", "2061", "2031", "9014"]),
    _TEXT,
    st.sampled_from(["20260701100000", "x", ""]),
    _AREA,
).map(lambda part: f"ST=21;CN={part[0]};MN={MN};{part[1]};CP=&&DataTime={part[2]};{part[3]}&&".encode())


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300) | _SEGMENT, st.sampled_from([None, DEVICE]))
def test_hostile_bytes_raise_nothing_but_packet_errors(segment: bytes, device: Device | None):
    data = b"##%04d%b%04X" % (len(segment), segment, crc16(segment))
    for found in [*split_packets(segment), *split_packets(data)]:
        if not isinstance(found, Frame):
            assert found.error().code.startswith("packet.")
            continue
        observations = values_or_refusal(found, device)
        assert all(value.value is None or Decimal(value.value).is_finite() for value in observations)


def values_or_refusal(frame: Frame, device: Device | None) -> list[Observation]:
    """The values; none when the packet is refused as it should be. Any other exception goes through."""
    try:
        return convert(parse_message(frame), device)[0]
    except PacketError as error:
        if error.code.startswith("packet.") and error.extra.keys() == {"packet", "offset"}:
            return []
        raise
