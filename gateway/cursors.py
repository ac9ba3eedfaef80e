"""Page cursors: opaque, signed, bound to who asked and for what.

A cursor holds the key of the last row, so a page costs the same wherever it starts. It is signed because a caller's
text must never choose what a query reads, and bound because a cursor of one query means nothing in another.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from gateway.errors import CursorError
from schemas import jws
from schemas.errors import SignatureError

_MAC = 16  # bytes


class Cursors:
    """Makes and opens cursors of one gateway; every process with the same keys can open them."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.sha256(b"taipu/cursor/1\0" + secret).digest()

    def make(self, bound_to: Sequence[str], position: Sequence[Any]) -> str:
        """The cursor of `position` in the query and for the caller that `bound_to` names."""
        body = json.dumps(list(position), separators=(",", ":")).encode()
        return jws.b64encode(self._mac(bound_to, body) + body)

    def open(self, bound_to: Sequence[str], cursor: str) -> list[Any]:
        """The position in `cursor`.

        Raises:
            CursorError: malformed, made elsewhere, or of another query or caller.
        """
        try:
            data = jws.b64decode(cursor)
        except SignatureError as error:
            raise CursorError("this is not a cursor of ours") from error
        mac, body = data[:_MAC], data[_MAC:]
        if not hmac.compare_digest(mac, self._mac(bound_to, body)):
            raise CursorError("this cursor is not of this query, or not of ours")
        position: list[Any] = json.loads(body)  # ours, as the code above it says
        return position

    def _mac(self, bound_to: Sequence[str], body: bytes) -> bytes:
        text = json.dumps(list(bound_to)).encode() + b"\0" + body
        return hmac.digest(self._key, text, "sha256")[:_MAC]
