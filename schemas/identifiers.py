"""Identifiers that other standards give: credit codes (GB 32100), polluting units and their outlets (HJ 608-2017).

A unit's id has 22 characters: who it is (18), which of its places (3 digits), and a letter. Who it is, is for ordinary
enterprises the unified social credit code, whose last character is a check character by GB 32100: a mistyped code is
found here and not when two districts fail to find each other's plant. The other forms are taken as they stand:

- `H9`, division (6 digits), organisation code (9), a letter: no credit code, but an organisation code;
- `H9`, division (6 digits), `0000`, a number (5 digits), a letter: neither.

Their letter is a small one in the trial rule of 2017 (固定污染源编码规则); both cases are taken, since HJ 608 itself
was not seen in full. The last character of a unit's id (`P`; `W` to `Z` for registrations) is a mark and no check
character, whatever the earlier rule called it: nothing is computed from it.
"""

from __future__ import annotations

import re

from schemas.errors import RecordError

_ONE = "[0-9A-HJ-NPQRTUWXY]"
CREDIT_CODE = f"(?:[0-9A-GJ-NPQRTUWXY]{_ONE}|H[0-8A-HJ-NPQRTUWXY])[0-9]{{6}}{_ONE}{{10}}"
"""The form of a credit code: department and category (none is `H9`), division, organisation, check character."""
UNIT_ID = f"(?:{CREDIT_CODE}|H9[0-9]{{6}}[0-9A-Z]{{9}}[A-HJ-NP-Za-hj-np-z])[0-9]{{3}}[A-Z]"
"""The form of a unit's id; numbered ones (`0000` and 5 digits) look like organisation codes."""
OUTLET_CODE = "D[AW][0-9]{3}"
"""The form of an outlet's code within its unit: `DW001` lets out water, `DA001` air."""

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
_credit_code = re.compile(CREDIT_CODE)
_unit_id = re.compile(UNIT_ID)
_outlet_code = re.compile(OUTLET_CODE)


def check_credit_code(text: str, pointer: str = "") -> None:
    """That `text` is a unified social credit code of 18 characters, its check character right.

    Raises:
        RecordError: `record.credit-code-invalid`, at `pointer`.
    """
    if _credit_code.fullmatch(text) is None:
        detail = f"{text[:40]!r} is not a credit code: 18 characters, digits and capitals without I, O, S, V, Z"
        raise _refusal(detail, "record.credit-code-invalid", pointer)
    expected = check_character(text[:17])
    if text[17] != expected:
        detail = f"the credit code {text} is mistyped: its last character would be {expected} (GB 32100)"
        raise _refusal(detail, "record.credit-code-invalid", pointer)


def check_character(first: str) -> str:
    """The 18th character that GB 32100 gives to the `first` 17: modulo 31, weights powers of 3."""
    total = sum(_ALPHABET.index(character) * weight for character, weight in zip(first, _WEIGHTS, strict=True))
    return _ALPHABET[-total % 31]


def check_unit_id(text: str, pointer: str = "") -> None:
    """That `text` is the id of a polluting unit, its credit code's check character right where it holds one.

    Raises:
        RecordError: `record.unit-id-invalid` (the form), `record.credit-code-invalid`, at `pointer`.
    """
    if _unit_id.fullmatch(text) is None:
        detail = f"{text[:40]!r} is not a unit id: a credit code, 3 digits and a capital, as in 91130200699229617X001P"
        raise _refusal(detail, "record.unit-id-invalid", pointer)
    if not text.startswith("H9"):
        check_credit_code(text[:18], pointer)


def check_outlet_code(text: str, pointer: str = "") -> None:
    """That `text` is the code of an outlet within its unit.

    Raises:
        RecordError: `record.outlet-code-invalid`, at `pointer`.
    """
    if _outlet_code.fullmatch(text) is None:
        detail = f"{text[:40]!r} is not an outlet code: DW (water) or DA (air) and 3 digits, as in DW001"
        raise _refusal(detail, "record.outlet-code-invalid", pointer)


def _refusal(detail: str, code: str, pointer: str) -> RecordError:
    return RecordError(detail, code=code, pointers=[pointer] if pointer else [])
