"""Tokens at this gateway: the authorization server, and what guards the routes, over one database and one secret.

What has been used and what was revoked is in the database, for every worker and after a restart. On SQLite the gateway
is one process, and a memory in it keeps proofs, so that reads do not become writes; nonces that end with the process
make up for what it forgets.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.db import Database, ReadSession
from gateway.settings import Settings
from partners.keys import Secret
from partners.oauth.buckets import Buckets
from partners.oauth.client_auth import Issuer
from partners.oauth.clients import Client
from partners.oauth.introspection import IntrospectionEndpoint
from partners.oauth.nonces import Nonces
from partners.oauth.replay import PROOFS, PROOFS_SHARE, DatabaseReplay, MemoryReplay, Replay
from partners.oauth.resource import AccessToken, AccessTokens, ProtectedResource, Standing
from partners.oauth.revocation import RevocationEndpoint
from partners.oauth.revocations import is_revoked, revoke_token
from partners.oauth.server import TokenEndpoint
from partners.oauth.store import load_client as find_client
from partners.oauth.token_keys import LoadTokenKeys
from partners.tables import assertion_seen, proof_seen
from schemas.times import now_millis

FindClient = Callable[[ReadSession, str], Client | None]

_BURST = 10  # seconds' worth of token requests that may come at once


class Authorization:
    """Everything that gives tokens, looks at them and takes them back; safe to share between threads.

    `load_keys` and `find_client` are asked each time: what they answer may change while the gateway runs.
    """

    def __init__(
        self,
        settings: Settings,
        secret: Secret,
        database: Database,
        *,
        load_keys: LoadTokenKeys,
        find_client: FindClient = find_client,
    ) -> None:
        self._database = database
        self._find_client = find_client
        self.load_keys = load_keys
        started = now_millis() if database.is_sqlite else 0
        nonces = Nonces(secret.derive("dpop-nonce"), epoch=started, always=settings.dpop_nonce)
        proofs: Replay = (
            MemoryReplay(started)
            if database.is_sqlite
            else DatabaseReplay(database.write, proof_seen, capacity=PROOFS, share=PROOFS_SHARE)
        )
        issuer = Issuer(
            issuer=settings.url,
            party=settings.party,
            load_keys=load_keys,
            load_client=self.load_client,
            assertions=DatabaseReplay(database.write, assertion_seen),
            proofs=proofs,
            nonces=nonces,
            addresses=Buckets(settings.token_rate, settings.token_rate * _BURST),
            clients=Buckets(settings.token_rate, settings.token_rate * _BURST),
        )  # fmt: skip
        tokens = AccessTokens(settings.url, load_keys)
        self.token_endpoint = TokenEndpoint(issuer)
        self.introspection_endpoint = IntrospectionEndpoint(issuer, tokens, self._is_revoked)
        self.revocation_endpoint = RevocationEndpoint(issuer, tokens, self._revoke)
        self.resource = ProtectedResource(settings.party, tokens, self._load_standing, proofs, nonces)

    def load_client(self, client_id: str) -> Client | None:
        """The client's record as it stands now."""
        with self._database.read() as session:
            return self._find_client(session, client_id)

    def _load_standing(self, token: AccessToken) -> Standing:
        with self._database.read() as session:
            revoked = is_revoked(session, token.jti, token.client_id, issued=token.issued)
            return Standing(self._find_client(session, token.client_id), revoked)

    def _is_revoked(self, token: AccessToken) -> bool:
        with self._database.read() as session:
            return is_revoked(session, token.jti, token.client_id, issued=token.issued)

    def _revoke(self, token: AccessToken) -> None:
        with self._database.write() as session:
            revoke_token(session, token.jti, token.client_id, expires=token.expires)
