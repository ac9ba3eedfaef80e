"""Rounding of measured values by GB/T 8170, exact on decimals.

The rule is 四舍六入五成双: what is dropped rounds up above one half, down below it, and to the even digit where it is
exactly one half. Rounding is done once, from the value as given: never from a value that was rounded before, and never
through a binary fraction, where 21 x 50 / 35 would no longer be 30.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException, Inexact, InvalidOperation
from fractions import Fraction

from schemas.errors import RecordError

MAX_DECIMALS = 50  # and powers of ten: what is larger measures nothing, and would fill the memory as a fraction
_ROUNDING = Context(prec=200, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
_EXACT = Context(prec=200, traps=[InvalidOperation, Inexact])


def rounded(value: Decimal | Fraction, decimals: int) -> Decimal:
    """`value` with that many decimals; a negative number rounds to tens, hundreds and so on.

    A `Fraction` is for means and quotients, whose decimals may never end.

    Raises:
        RecordError: `record.value-invalid`: it is no finite number, or has more than about 200 digits.
    """
    if not -MAX_DECIMALS <= decimals <= MAX_DECIMALS:
        raise RuntimeError(f"rounding to {decimals} decimals")
    if isinstance(value, Decimal) and not value.is_finite():
        raise RecordError("the value is not a number that can be rounded", code="record.value-invalid")
    try:
        if isinstance(value, Fraction):
            units = Decimal(round(value * Fraction(10) ** decimals))
            return _plain(units.scaleb(-decimals, _EXACT))
        return _plain(value.quantize(Decimal(1).scaleb(-decimals), context=_ROUNDING))
    except DecimalException:
        raise RecordError("the value cannot be rounded", code="record.value-invalid") from None


def exact(value: Decimal) -> Fraction:
    """`value` as a fraction, in which sums and quotients lose nothing.

    Raises:
        RecordError: `record.value-invalid`: it is no finite number, or of no size that anything measured has.
    """
    if not value.is_finite() or abs(value.adjusted()) > MAX_DECIMALS:
        raise RecordError("the value is not a number that can be reckoned with", code="record.value-invalid")
    return Fraction(value)


def decimals_of(value: Decimal) -> int:
    """How many decimals a number is written with: 3 of `0.005`, 1 of `1.0`, 0 of `250`."""
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _plain(value: Decimal) -> Decimal:
    """The same number without a positive exponent: `1.2E+2` is right, but no sheet reads it."""
    exponent = value.as_tuple().exponent
    return value.quantize(Decimal(1), context=_EXACT) if isinstance(exponent, int) and exponent > 0 else value
