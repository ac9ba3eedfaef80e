"""Passwords: argon2id (RFC 9106), never kept in clear, never guessable from what everybody knows.

One hash takes 64 MiB and a tenth of a second and more, so few are computed at once and few may wait: whoever sends
many passwords at a time costs this gateway neither its memory nor the threads its partners are answered with. A name
that nobody has costs the same work as one that somebody has, and gets the same answer.
"""

from __future__ import annotations

import base64
import secrets
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from gateway.errors import PersonError, SignInError

SHORTEST = 12  # characters
LONGEST = 128  # characters; more is no password but a load
AT_ONCE = 2  # hashes; 64 MiB each
WAITING = 8  # more that may wait for one of those

_WORD = 4  # characters from which on a word that everybody knows makes a password guessable
_PROGRAM = ("taipu", "太浦", "password", "passw0rd", "密码", "gateway", "admin", "qwerty", "welcome")
_COMMON = frozenset(
    {
        *("1q2w3e4r5t6y", "1qaz2wsx3edc", "zaq12wsxcde3", "qazwsxedcrfv", "asdfghjkl123", "asdfghjklzxcv"),
        *("iloveyou1234", "iloveyou5201314", "woaini5201314", "woaini1314520", "letmeinletmein", "trustno1trustno1"),
        *("changeme1234", "changemechangeme", "monkey123456", "dragon123456", "abcd1234abcd", "abc123abc123"),
        *("1qazxsw23edc", "q1w2e3r4t5y6", "a1b2c3d4e5f6", "zhongguo1949", "beijing2008beijing", "footballfootball"),
    }
)


class Passwords:
    """Hashes and verifies, a few at a time; one for all threads of a process."""

    def __init__(self, hasher: PasswordHasher | None = None, *, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._hasher = hasher or PasswordHasher()
        self._working = threading.BoundedSemaphore(at_once)  # held while a hash is computed
        self._places = threading.BoundedSemaphore(at_once + waiting)  # held from coming to leaving
        self._nobodys = _some_hash(self._hasher)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue: taken before anything is counted, so that whoever finds none has not tried.

        Raises:
            SignInError: `sign-in.wait`: too many others are at it.
        """
        if not self._places.acquire(blocking=False):
            raise SignInError("too many are signing in: try again", code="sign-in.wait", extra={"retry_after": 1})
        try:
            yield
        finally:
            self._places.release()

    def hash(self, password: str) -> str:
        """The encoded hash to keep."""
        with self._working:
            return self._hasher.hash(plain(password))

    def verify(self, kept: str, password: str) -> bool:
        """Whether this is the password behind `kept`; empty where there is none, which takes as long to say."""
        with self._working:
            try:
                return self._hasher.verify(kept or self._nobodys, plain(password)) and bool(kept)
            except (Argon2Error, InvalidHashError):
                return False


def check_new(password: str, known: Iterable[str]) -> None:
    """Go on only with a password that is long enough and does not follow from what everybody knows.

    `known` are words about the account and the party: names, numbers, codes.

    Raises:
        PersonError: `password.too-short`, `password.too-long`, `password.guessable`.
    """
    text = plain(password)
    if len(text) < SHORTEST:
        raise PersonError(f"a password has at least {SHORTEST} characters", code="password.too-short")
    if len(text) > LONGEST:
        raise PersonError(f"a password has at most {LONGEST} characters", code="password.too-long")
    folded = text.casefold()
    words = {word for one in (*known, *_PROGRAM) for word in (plain(one).casefold(), *plain(one).casefold().split())}
    told = any(word in folded for word in words if len(word) >= _WORD or (word and not word.isascii()))
    if told or folded in _COMMON or len(set(folded)) < SHORTEST // 2 or _is_run(folded):
        detail = "this password is one of the first that anybody would try: no names, no rows of keys, no repeats"
        raise PersonError(detail, code="password.guessable")


def cut(password: str) -> str:
    """As much of what somebody sent as a password can have, and one character more: nothing longer is ever hashed."""
    return plain(password[: 4 * LONGEST])[: LONGEST + 1]


def plain(password: str) -> str:
    """A password in one spelling: keyboards differ in how they compose characters (NIST SP 800-63B, NFKC)."""
    return unicodedata.normalize("NFKC", password)


def _is_run(text: str) -> bool:
    """Whether every character but a few follows the one before it: 123456789012, abcdefghijkl, and backwards."""
    steps = [ord(after) - ord(before) for before, after in pairwise(text)]
    return max(steps.count(1), steps.count(-1)) >= len(steps) - 2


def _some_hash(hasher: PasswordHasher) -> str:
    """The hash of nothing that can be typed, under the same parameters: to verify against it takes the same work."""
    parts = [base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in
             (hasher.salt_len, hasher.hash_len)]  # fmt: skip
    parameters = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${parameters}${parts[0]}${parts[1]}"
