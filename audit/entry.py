"""Make log entries: what happened, to which batch, between whom; never what was in it.

Personal and payload data stay out. `detail` carries counts, salted commitments and codes, so that erasing a payload and
its salt leaves every proof intact.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import rfc8785

from audit.errors import EntryError
from audit.form import parse_entry
from schemas.jws import b64encode

SALT_SIZE = 16  # bytes


def make_entry(
    t: str,
    *,
    at: str,
    party: str,
    actor: str | None = None,
    peer: str | None = None,
    dataset: str | None = None,
    seq: int | None = None,
    manifest: str | None = None,
    verdict: str | None = None,
    receipt: str | None = None,
    basis: str | None = None,
    detail: Mapping[str, object] | None = None,
) -> bytes:
    """One entry of type `t` (a constant of `audit.form`) in the bytes that are hashed; each call draws a new salt.

    `at` is UTC with milliseconds (`schemas.times.utc_text`), `party` whose log it is. `manifest` and `receipt` are
    base64url SHA-256. Members that are None are left out. `detail` holds strings, integers, booleans, lists and
    objects.

    Raises:
        EntryError: the members do not make an entry, or it is longer than 65,535 bytes.
    """
    members: dict[str, Any] = {
        "t": t,
        "salt": b64encode(secrets.token_bytes(SALT_SIZE)),
        "at": at,
        "party": party,
        "actor": actor,
        "peer": peer,
        "dataset": dataset,
        "seq": seq,
        "manifest": manifest,
        "verdict": verdict,
        "receipt": receipt,
        "basis": basis,
        "detail": None if detail is None else dict(detail),
    }
    try:
        entry = rfc8785.dumps({name: value for name, value in members.items() if value is not None})
    except (ValueError, RecursionError) as error:
        raise EntryError(f"not writable as RFC 8785 JSON: {error}") from error
    # Reading it back compares two independent writers of the canonical form, once, before the bytes become evidence.
    parse_entry(entry)
    return entry
