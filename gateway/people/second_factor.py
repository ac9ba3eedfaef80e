"""The second factor: codes that change every half minute (TOTP, RFC 6238), each taken once.

The secret an authenticator shares with us is sealed under a key that stands in no database. Which time step was taken
last is compared where it is written down, so that of two workers that are shown one code at one time only one takes it.
"""

from __future__ import annotations

import hmac
import io
import os
import re
from dataclasses import dataclass

import pyotp
import segno
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import update

from gateway.db import WriteSession
from gateway.errors import SignInError
from gateway.people import tables

STEP = 30_000  # ms
WINDOW = 1  # steps before and after the present one: clocks of telephones differ
_NONCE = 12  # bytes
_CODE = re.compile("[0-9]{6}")


@dataclass(frozen=True)
class SecondFactor:
    """What an authenticator is given. `uri` holds the secret: it is shown once, to its owner, and never logged."""

    secret: str
    uri: str

    @classmethod
    def of(cls, secret: str, *, party: str, account: str) -> SecondFactor:
        return cls(secret, pyotp.TOTP(secret, name=account, issuer=f"Taipu {party}").provisioning_uri())

    def svg(self) -> str:
        """The URI as a QR code, an SVG element for a page."""
        return segno.make(self.uri, micro=False).svg_inline(scale=4)

    def for_terminal(self) -> str:
        """The URI as a QR code of characters."""
        drawn = io.StringIO()
        segno.make(self.uri, micro=False).terminal(out=drawn, compact=True)
        return drawn.getvalue()


class Seal:
    """Seals the secrets of second factors; every process with the same keys can open them."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(secret)

    def close(self, owner: str, secret: str) -> bytes:
        """`secret`, for the row of `owner` alone."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), owner.encode())

    def open(self, owner: str, sealed: bytes) -> str:
        """What was sealed for `owner`.

        Raises:
            SignInError: `sign-in.sealed`: not here, or not for this one.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], owner.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise SignInError("this second factor was not sealed by this gateway", code="sign-in.sealed") from error


def new_secret() -> str:
    """160 random bits, as authenticators take them."""
    return pyotp.random_base32()


def matching_step(secret: str, code: str, *, now: int) -> int | None:
    """The time step whose code this is, of the present one (`now` in ms UTC) and its neighbours; or None."""
    if not _CODE.fullmatch(code):
        return None
    totp, present = pyotp.TOTP(secret), now // STEP
    steps = range(present - WINDOW, present + WINDOW + 1)
    return next((step for step in steps if hmac.compare_digest(totp.generate_otp(step), code)), None)


def take_step(session: WriteSession, account: str, step: int) -> bool:
    """Take the code of `step`; False where it, or a later one, was taken before."""
    table = tables.account
    newer = update(table).where(table.c.name == account, table.c.totp_step < step).values(totp_step=step)
    return session.execute(newer).rowcount == 1
