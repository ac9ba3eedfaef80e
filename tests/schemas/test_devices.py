"""Registrations of devices: what they say is kept as text, and every fault is named at once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.devices import MAX_DOCUMENT, Device, DeviceError, DeviceFactor, parse_devices
from schemas.errors import LimitError, SharingError

DOCUMENT = """
devices:
  - mn: 010000A8900016F000169DC0
    site: 320509-SW-0003
    profile: hj212-2017
    minute: PT1M
    factors:
      w20004: {unit: mg/L}
      "011": {factor: w01018, unit: mg/L}
"""
ONE = {"mn": "A1", "site": "S1", "profile": "hj212-2017"}


def faults(document: object) -> list[str]:
    with pytest.raises(DeviceError) as caught:
        parse_devices(json.dumps(document).encode())
    assert caught.value.code == "device.malformed"
    return list(caught.value.pointers)


def test_a_registration_is_read():
    assert parse_devices(DOCUMENT.encode()) == {
        "010000A8900016F000169DC0": Device(
            mn="010000A8900016F000169DC0",
            site="320509-SW-0003",
            profile="hj212-2017",
            minute="PT1M",
            factors={"w20004": DeviceFactor("w20004", "mg/L"), "011": DeviceFactor("w01018", "mg/L")},
        )
    }


def test_a_key_is_kept_and_never_shown():
    key = "0123456789abcdefABCDEF0123456789"
    device = parse_devices(json.dumps({"devices": [ONE | {"key": key}]}).encode())["A1"]
    assert device.key == key
    assert key not in repr(device)
    assert key not in str(list(device.__rich_repr__()))
    assert "key='***'" in repr(device)


def test_a_key_that_is_none_is_refused_without_being_repeated():
    for key in ("00112233", "x" * 32, "0" * 33, "", ["0" * 32], "０" * 32):
        with pytest.raises(DeviceError) as caught:
            parse_devices(json.dumps({"devices": [ONE | {"key": key}]}).encode())
        assert caught.value.pointers == ("/devices/0/key",)
        assert not key or str(key) not in caught.value.diagnostics()


def test_a_password_is_kept_and_never_shown():
    document = json.dumps({"devices": [ONE | {"password": "s3cret", "networks": ["10.1.0.0/16", "fd00::1"]}]})
    device = parse_devices(document.encode())["A1"]
    assert (device.password, device.networks) == ("s3cret", ("10.1.0.0/16", "fd00::1"))
    assert "s3cret" not in repr(device)


def test_yaml_and_json_say_the_same():
    document = {
        "devices": [
            {
                "mn": "010000A8900016F000169DC0",
                "site": "320509-SW-0003",
                "profile": "hj212-2017",
                "minute": "PT1M",
                "factors": {"w20004": {"unit": "mg/L"}, "011": {"factor": "w01018", "unit": "mg/L"}},
            }
        ]
    }
    assert parse_devices(json.dumps(document).encode()) == parse_devices(DOCUMENT.encode())


def test_digits_stay_text_in_yaml_even_without_quotes():
    text = "devices:\n- {mn: 00888801, site: 0017, profile: hj212-2005, factors: {011: {factor: w01018, unit: 1}}}"
    (device,) = parse_devices(text.encode()).values()
    assert (device.mn, device.site) == ("00888801", "0017")
    assert device.factors == {"011": DeviceFactor("w01018", "1")}


def test_a_number_in_json_is_a_fault_since_its_zeros_are_gone():
    assert faults({"devices": [ONE | {"mn": 88888880000137}]}) == ["/devices/0/mn"]


def test_factors_take_the_devices_label_unless_they_have_their_own():
    device = ONE | {"label": "end", "factors": {"a1": {"unit": "x"}, "a2": {"unit": "x", "label": "start"}}}
    factors = parse_devices(json.dumps({"devices": [device]}).encode())["A1"].factors
    assert (factors["a1"].label, factors["a2"].label) == ("end", "start")


def test_what_is_left_out_is_start_of_period_utf_8_and_no_minute_period():
    device = parse_devices(json.dumps({"devices": [ONE]}).encode())["A1"]
    assert (device.label, device.encoding, device.minute, device.factors) == ("start", "utf-8", None, {})


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        pytest.param({"colour": "red"}, "/devices/0/colour", id="an unknown member"),
        pytest.param({"profile": "hj212-2030"}, "/devices/0/profile", id="an unknown profile"),
        pytest.param({"profile": None}, "/devices/0/profile", id="no profile"),
        pytest.param({"minute": "PT7M"}, "/devices/0/minute", id="a minute period the standard does not have"),
        pytest.param({"minute": "PT1H"}, "/devices/0/minute", id="an hour as minute period"),
        pytest.param({"label": "middle"}, "/devices/0/label", id="an unknown label"),
        pytest.param({"encoding": "latin-1"}, "/devices/0/encoding", id="an encoding we do not read"),
        pytest.param({"encoding": ["gbk"]}, "/devices/0/encoding", id="a list for a text"),
        pytest.param({"site": ""}, "/devices/0/site", id="an empty site"),
        pytest.param({"site": "S\n1"}, "/devices/0/site", id="a line end in a site"),
        pytest.param({"site": "S" * 129}, "/devices/0/site", id="an endless site"),
        pytest.param({"password": ""}, "/devices/0/password", id="an empty password"),
        pytest.param({"password": "12;456"}, "/devices/0/password", id="a password that would end its field"),
        pytest.param({"password": "密码"}, "/devices/0/password", id="a password that is not ASCII"),
        pytest.param({"password": 123456}, "/devices/0/password", id="a password that is a number"),
        pytest.param({"networks": "10.0.0.0/8"}, "/devices/0/networks", id="networks as a text"),
        pytest.param({"networks": ["10.0.0.0/8", "here"]}, "/devices/0/networks/1", id="no network"),
        pytest.param({"networks": ["10.0.0.1/8"]}, "/devices/0/networks/0", id="a network with bits of a host"),
        pytest.param({"factors": []}, "/devices/0/factors", id="factors as a list"),
        pytest.param({"factors": {"w1": "mg/L"}}, "/devices/0/factors/w1", id="a factor that is only a unit"),
        pytest.param({"factors": {"w1": {}}}, "/devices/0/factors/w1", id="a factor without a unit"),
        pytest.param(
            {"factors": {"w1": {"unit": "x", "u": "y"}}}, "/devices/0/factors/w1/u", id="a member of a factor"
        ),
        pytest.param({"factors": {"w/1": {"unit": "x"}}}, "/devices/0/factors/w~11", id="a code with a slash"),
    ],
)
def test_each_fault_is_named_by_its_place(change: dict[str, object], pointer: str):
    assert faults({"devices": [ONE | change]}) == [pointer]


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ([], "/"),
        ("-", "/"),
        ({}, "/"),
        ({"devices": {}}, "/devices"),
        ({"devices": "-"}, "/devices"),
        ({"devices": [1]}, "/devices/0"),
        ({"devices": [], "more": 1}, "/more"),
    ],
)
def test_a_document_of_another_form_is_refused(document: object, pointer: str):
    assert faults(document) == [pointer]


def test_one_mn_is_registered_once():
    assert faults({"devices": [ONE | {"mn": "-"}, ONE | {"mn": "-"}]}) == ["/devices/1/mn"]


def test_all_faults_are_told_at_once():
    document = {"devices": [ONE | {"profile": "x", "site": 5}, ONE | {"extra": 1}, {}]}
    assert faults(document) == [
        "/devices/0/site",
        "/devices/0/profile",
        "/devices/1/extra",
        "/devices/1/mn",
        "/devices/2",
        "/devices/2",
        "/devices/2",
    ]


def test_every_fault_has_its_sentence():
    with pytest.raises(DeviceError) as caught:
        parse_devices(json.dumps({"devices": [ONE | {"colour": "red"}]}).encode())
    assert caught.value.extra["faults"] == [{"pointer": "/devices/0/colour", "text": "is not a member we know"}]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"devices": [], "devices": []}', id="a member twice in JSON"),
        pytest.param("devices: []\ndevices: []", id="a member twice in YAML"),
        pytest.param("devices: &a [*a]", id="an alias to itself"),
        pytest.param(
            "devices: [{mn: A1, site: S1, profile: hj212-2017, factors: {w1: &u {unit: x}, w2: *u}}]", id="an alias"
        ),
        pytest.param("devices: [", id="neither JSON nor YAML"),
        pytest.param("--- {devices: []}\n--- {devices: []}", id="two documents"),
        pytest.param("[" * 5_000, id="deep YAML"),
        pytest.param('{"devices": ' + "[" * 100_000 + "]" * 100_000 + "}", id="deep JSON"),
        pytest.param('{"a\\ud800": 1}', id="a name that is half a character"),
        pytest.param("? [a]\n: b", id="a list as a name"),
        pytest.param("", id="nothing"),
    ],
)
def test_documents_that_would_mislead_are_refused_in_words_that_can_be_sent(text: str):
    with pytest.raises(DeviceError) as caught:
        parse_devices(text.encode())
    assert caught.value.diagnostics().encode()


def test_bytes_that_are_not_utf_8_are_refused():
    with pytest.raises(DeviceError):
        parse_devices("devices: [] # 正常".encode("gbk"))


def test_a_document_above_the_cap_is_not_read():
    with pytest.raises(LimitError):
        parse_devices(b" " * (MAX_DOCUMENT + 1))


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=120) | st.text(max_size=80).map(lambda text: f"devices: {text}".encode("utf-8", "replace")))
def test_hostile_documents_raise_nothing_but_our_errors(data: bytes):
    try:
        devices = parse_devices(data)
    except SharingError:
        return
    assert all(mn == device.mn for mn, device in devices.items())
