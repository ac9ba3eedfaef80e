"""Credit codes, unit ids and outlet codes: what the standards allow is taken, a mistyped character is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RecordError
from schemas.identifiers import check_character, check_credit_code, check_outlet_code, check_unit_id

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
CODES = st.builds(
    lambda kind, division, body: kind + division + body + check_character(kind + division + body),
    st.text(ALPHABET, min_size=2, max_size=2).filter(lambda kind: kind != "H9"),
    st.text("0123456789", min_size=6, max_size=6),
    st.text(ALPHABET, min_size=9, max_size=9),
)


def code_of(check: Callable[[str, str], None], text: str) -> str:
    with pytest.raises(RecordError) as caught:
        check(text, "/id")
    assert caught.value.pointers == ("/id",)
    assert len(caught.value.detail) < 200
    return caught.value.code


@pytest.mark.parametrize("code", ["91130200699229617X", "91110000101623741K", "911101066976941872"])
def test_a_credit_code_of_a_real_enterprise_is_taken(code: str) -> None:
    check_credit_code(code)


@pytest.mark.parametrize(
    "text",
    [
        "91130200699229617x", "91130200699229617", "91130200699229617X0", " 91130200699229617X", "", "9" * 100_000,
        "9113O200699229617X", "S1130200699229617X", "H91302006992296171",
        "９1130200699229617X", "91130200699229617X\n", "911302006\0929617X",
    ],
)  # fmt: skip
def test_what_has_not_the_form_of_a_credit_code_is_refused(text: str) -> None:
    assert code_of(check_credit_code, text) == "record.credit-code-invalid"


@given(code=CODES, place=st.integers(0, 17), character=st.sampled_from(ALPHABET))
def test_one_mistyped_character_is_always_found(code: str, place: int, character: str) -> None:
    check_credit_code(code)
    mistyped = code[:place] + character + code[place + 1 :]
    if mistyped != code:
        assert code_of(check_credit_code, mistyped) == "record.credit-code-invalid"


@given(code=CODES, place=st.integers(0, 16))
def test_two_neighbours_in_the_wrong_order_are_always_found(code: str, place: int) -> None:
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    if swapped != code:
        assert code_of(check_credit_code, swapped) == "record.credit-code-invalid"


@pytest.mark.parametrize(
    "text",
    [
        "91130200699229617X001P",
        "91130200699229617X002P",
        "91130200699229617X001W",
        "91130200699229617X001Z",
        "H9320509123456789a001P",
        "H9320509000000017b001P",
        "H932050912345678XA001Q",
    ],
)
def test_a_unit_id_in_every_form_of_the_standard_is_taken(text: str) -> None:
    check_unit_id(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("91130200699229618X001P", "record.credit-code-invalid"),
        ("911302006992296170001P", "record.credit-code-invalid"),
        ("91130200699229617X", "record.unit-id-invalid"),
        ("91130200699229617X001", "record.unit-id-invalid"),
        ("91130200699229617X0011", "record.unit-id-invalid"),
        ("91130200699229617X001p", "record.unit-id-invalid"),
        ("91130200699229617X01AP", "record.unit-id-invalid"),
        ("91130200699229617X001P\n", "record.unit-id-invalid"),
        ("H9320509123456789i001P", "record.unit-id-invalid"),
        ("H93205091234567890001P", "record.unit-id-invalid"),
        ("", "record.unit-id-invalid"),
        ("盛泽印染厂", "record.unit-id-invalid"),
        ("X" * 100_000, "record.unit-id-invalid"),
    ],
)
def test_a_wrong_unit_id_is_refused_with_the_reason(text: str, code: str) -> None:
    assert code_of(check_unit_id, text) == code


def test_a_wrong_check_character_is_named_with_the_right_one() -> None:
    with pytest.raises(RecordError, match="its last character would be X"):
        check_unit_id("91130200699229617Y001P")


@pytest.mark.parametrize("last", "PQRVWXYZ")
def test_character_22_is_no_check_character(last: str) -> None:
    check_unit_id(f"91130200699229617X001{last}")


@pytest.mark.parametrize("code", ["DW001", "DA001", "DW000", "DA999"])
def test_an_outlet_code_is_taken(code: str) -> None:
    check_outlet_code(code)


@pytest.mark.parametrize("text", ["", "DW1", "DW0001", "dw001", "DN001", "TW001", "DW00１", "DW001 ", "D" * 100_000])
def test_a_wrong_outlet_code_is_refused(text: str) -> None:
    assert code_of(check_outlet_code, text) == "record.outlet-code-invalid"
