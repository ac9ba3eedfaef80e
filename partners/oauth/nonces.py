"""Nonces for DPoP proofs (RFC 9449, sections 8 and 9): a proof that carries one was made after we gave it out.

They are stateless: an HMAC over a window of time, good in its own window and the next. `epoch` goes into it too. Where
proofs are remembered in one process's memory, it is the instant the process started, so that no nonce of an earlier
process is good any more, and no proof made for that process either: that is what closes the gap a restart leaves.
Where they are remembered in the database it is 0, and a nonce is good at every worker.
"""

from __future__ import annotations

import hmac

from schemas.jws import b64encode

WINDOW = 150_000  # ms; with the window after it, a nonce is good for as long as a token at most
_LENGTH = 16  # bytes: nobody guesses it


class Nonces:
    """Makes and knows the nonces of one gateway. `always` asks every proof for one, not only where it is needed."""

    def __init__(self, key: bytes, *, epoch: int = 0, always: bool = False) -> None:
        self._key = key
        self._epoch = epoch
        self.always = always

    def current(self, now: int) -> str:
        """The nonce to give out at `now` (milliseconds UTC)."""
        return self._of(now // WINDOW)

    def good(self, nonce: object, now: int) -> bool:
        """Whether it was given out in this window of time or the one before."""
        if not isinstance(nonce, str) or not nonce.isascii():
            return False
        window = now // WINDOW
        return any(hmac.compare_digest(nonce, self._of(one)) for one in (window, window - 1))

    def _of(self, window: int) -> str:
        text = f"{self._epoch} {window}".encode()
        return b64encode(hmac.digest(self._key, text, "sha256")[:_LENGTH])
