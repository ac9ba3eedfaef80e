"""The key ring: which key of each use signs at this moment, and which ones it has to be followed by or came after.

The database says from which instant on which key signs, so that all processes and hosts change at once; private halves
are files in `keys/`, found by `kid`. Whoever signs asks at that moment and keeps no key, so that nothing is restarted.
Where the private half of the key in use is not here, this process signs nothing for that use, and says so.

A use without rows in the database has had one key only: the one in its first file, in use since ever.
"""

from __future__ import annotations

import json
import math
import threading
import time

from joserfc.jwk import ECKey

from audit.note import NoteSigner
from gateway.db import Database
from gateway.home import Home
from gateway.store.own_keys import OwnKey, Use, all_keys, newest_document
from partners.keys import KeysError, OauthKey, Rotating, Secret, find_key
from partners.oauth.jwt import SKEW
from partners.oauth.keys import load_signing_key, public_jwks
from partners.oauth.token_keys import TOKEN_LIFETIME
from schemas import jws
from schemas.times import now_millis

TOKENS_END = TOKEN_LIFETIME * 1000 + SKEW
"""Milliseconds after which no token is good any more that a key signed before it ended."""

_KEEP = 2.0  # seconds another process's change may go unseen; less than the notice that a change gives
_FIRST: tuple[Rotating, ...] = ("manifest", "log", "witness", "oauth")


class KeyRing:
    """This gateway's keys, as `partners.keys.OwnKeys` names them, each the one in use now; safe to share."""

    def __init__(self, home: Home, database: Database) -> None:
        self._home = home
        self._database = database
        self._lock = threading.Lock()  # one thread at a time looks into the database or at the files
        self._read = -math.inf  # when it was looked into last, by the monotonic clock
        self._rows: tuple[OwnKey, ...] = ()
        self._document: tuple[int, str] | None = None
        self._private: dict[str, jws.SigningKey | OauthKey] = {
            key.kid: key for key in (home.keys.manifest, home.keys.log, home.keys.witness, home.keys.oauth)
        }

    @property
    def identity(self) -> jws.SigningKey | None:
        return self._home.keys.identity

    @property
    def secret(self) -> Secret:
        return self._home.keys.secret

    @property
    def manifest(self) -> jws.SigningKey:
        """Signs manifests and receipts. Raises as `private_of` does, as the others do."""
        return self._signing("manifest")

    @property
    def log(self) -> jws.SigningKey:
        return self._signing("log")

    @property
    def witness(self) -> jws.SigningKey:
        return self._signing("witness")

    @property
    def oauth(self) -> OauthKey:
        key = self.private_of(self.in_use("oauth", now_millis()))
        assert isinstance(key, OauthKey)
        return key

    def log_signers(self, origin: str, now: int) -> list[NoteSigner]:
        """Who signs the log's checkpoints at `now`: the key in use first, and the one before it while both do."""
        keys = [self.in_use("log", now), *self.overlapping("log", now)]
        return [NoteSigner(origin, self._signing_half(key).private) for key in keys]

    def overlapping(self, use: Use, now: int) -> list[OwnKey]:
        """Keys that were rotated out and still count for a while."""
        return [
            key for key in self.held(use) if key.phase(now) == "retired" and not key.over and key.reason == "rotated"
        ]

    def oauth_keys(self, now: int) -> list[OwnKey]:
        """The keys that tokens may be signed with at `now`, the one in use first: what `/oauth/jwks` has.

        The next one is among them, and an old one until its last token has ended; a stolen one is not.
        """
        alive = [
            key
            for key in self.held("oauth")
            if (key.phase(now) != "retired" and not key.over)
            or (key.reason in ("rotated", "lost") and key.ends is not None and now < key.ends + TOKENS_END)
        ]
        return sorted(alive, key=lambda key: key.phase(now) != "in use")

    def oauth_publics(self, now: int) -> list[ECKey]:
        """As `oauth_keys`, to verify with."""
        return [ECKey.import_key(json.loads(key.public)) for key in self.oauth_keys(now)]

    def held(self, use: Use | None = None) -> list[OwnKey]:
        """Every key of one use or of all, oldest first; also those without a row."""
        rows = self._known()
        rowed = {key.use for key in rows}
        first = [self._first(name) for name in _FIRST if name not in rowed]
        return [key for key in (*first, *rows) if use is None or key.use == use]

    def in_use(self, use: Use, now: int) -> OwnKey:
        """The key that signs at `now` (ms UTC).

        Raises:
            KeysError: `keys.stopped`: somebody stopped the last one.
        """
        found = next((key for key in self.held(use) if key.phase(now) == "in use"), None)
        if found is None:
            raise KeysError(f"no {use} key is in use: the last one was stopped", code="keys.stopped")
        return found

    def next(self, use: Use, now: int) -> OwnKey | None:
        """The key that comes next, if there is one."""
        return next((key for key in self.held(use) if key.phase(now) == "next" and not key.over), None)

    def private_of(self, key: OwnKey) -> jws.SigningKey | OauthKey:
        """The private half of a key.

        Raises:
            KeysError: `keys.absent`: it is not in this gateway's files, or they cannot be used.
        """
        held = self._private.get(key.kid)
        if held is None:
            settings = self._home.settings
            assert key.use != "tls"
            with self._lock:
                held = find_key(settings.home / "keys", key.use, key.kid, passphrase=settings.passphrase())
            if held is None:
                detail = f"the private half of the {key.use} key {key.kid} is not in {settings.home / 'keys'}"
                raise KeysError(detail, code="keys.absent", pointers=[key.kid])
            self._private[key.kid] = held
        return held

    def document(self) -> tuple[int, str] | None:
        """Serial and text of the newest party document published through the database."""
        self._known()
        return self._document

    def forget(self) -> None:
        """Something was changed: look into the database next time."""
        self._read = -math.inf

    def forget_private(self, kid: str) -> None:
        """The private half was destroyed."""
        self._private.pop(kid, None)

    def _known(self) -> tuple[OwnKey, ...]:
        if time.monotonic() - self._read > _KEEP:
            with self._lock:
                started = time.monotonic()
                with self._database.read() as session:
                    self._rows, self._document = tuple(all_keys(session)), newest_document(session)
                self._read = started
        return self._rows

    def _signing(self, use: Use) -> jws.SigningKey:
        return self._signing_half(self.in_use(use, now_millis()))

    def _signing_half(self, key: OwnKey) -> jws.SigningKey:
        held = self.private_of(key)
        assert isinstance(held, jws.SigningKey)
        return held

    def _first(self, use: Rotating) -> OwnKey:
        """The key that a gateway begins with, in use since ever and named in its first document."""
        key: jws.SigningKey | OauthKey = getattr(self._home.keys, use)
        return OwnKey(key.kid, use, public_of(key), made=0, published=0, serial=1, begins=0)


def public_of(key: jws.SigningKey | OauthKey) -> str:
    """The public half as a row keeps it."""
    if isinstance(key, OauthKey):
        jwks = public_jwks([load_signing_key(key.private)])["keys"]
        assert isinstance(jwks, list)
        return json.dumps(jwks[0])
    return jws.public_text(key.public)
