"""A small world for the OAuth tests: one gateway with its database and clients, and hands to send it anything."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from sqlalchemy import Engine, create_engine, delete, update

from partners import tables
from partners.oauth.buckets import Buckets
from partners.oauth.certificates import certificate_thumbprint
from partners.oauth.client_auth import Answer, Issuer
from partners.oauth.clients import Client
from partners.oauth.dpop import token_hash
from partners.oauth.introspection import IntrospectionEndpoint
from partners.oauth.nonces import Nonces
from partners.oauth.registered import read_client_keys
from partners.oauth.replay import DatabaseReplay, MemoryReplay, Replay
from partners.oauth.resource import AccessToken, AccessTokens, ProtectedResource, Standing
from partners.oauth.revocation import RevocationEndpoint
from partners.oauth.revocations import is_revoked, revoke_token
from partners.oauth.server import TokenEndpoint
from partners.oauth.store import add_client, add_keys, load_client
from partners.oauth.token_keys import TokenKeys
from partners.principal import Principal
from schemas.jws import b64encode

ISSUER = "https://gateway.qingpu.example:8443"
TOKEN_URI = ISSUER + "/oauth/token"
RESOURCE = ISSUER + "/v1/feeds"
PARTY = "310118"
NOW = 1_795_400_000_000  # ms; a day in November 2026
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = ("Content-Type", "application/x-www-form-urlencoded")

Pairs = list[tuple[str, str]]


@cache
def key_of(kind: str, name: str = "") -> Any:
    """A key of a kind, made once for each `name`: RSA keys take their time."""
    makers: dict[str, Callable[[], Key]] = {
        "ES256": lambda: ECKey.generate_key("P-256"),
        "ES384": lambda: ECKey.generate_key("P-384"),
        "PS256": lambda: RSAKey.generate_key(2048),
        "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
        "X25519": lambda: OKPKey.generate_key("X25519"),
        "oct": lambda: OctKey.generate_key(256),
    }
    key = makers[kind]()
    key.ensure_kid()
    return key


def sign(header: Mapping[str, object], claims: object, key: Key | bytes | None, algorithm: str = "") -> str:
    """A compact JWS with whatever header and claims, checked by nobody.

    `algorithm` is what really signs, by default the header's. Bytes as a key make an HMAC, no key an empty signature.
    """
    text = f"{b64encode(json.dumps(header).encode())}.{b64encode(json.dumps(claims).encode())}"
    if key is None:
        return text + "."
    if isinstance(key, bytes):
        return f"{text}.{b64encode(hmac.digest(key, text.encode(), 'sha256'))}"
    signer = jws.JWSRegistry.algorithms[algorithm or str(header["alg"])]
    return f"{text}.{b64encode(signer.sign(text.encode(), key))}"


def without(members: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in members.items() if name not in names}


def jwks_of(*keys: Key) -> str:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]})


class World:
    """Qingpu's gateway at NOW, and two clients: `wujiang` with a P-256 key, `jiashan` with an Ed25519 key."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'gateway.db'}"
        self.engine = create_engine(self.url)
        tables.metadata.create_all(self.engine)
        self.key = key_of("ES256", "qingpu oauth")
        self.proof_key = key_of("ES256", "wujiang proofs")
        self.proofs: Replay = MemoryReplay(NOW - 3_600_000)
        self.nonces = Nonces(b"a secret of this gateway")
        self.records: dict[str, dict[str, Any]] = {}  # what records say beside what the database holds
        self.serial = 0
        self.add("wujiang", "320509", key_of("ES256", "wujiang"), scopes={"feeds:read", "receipts:write"})
        self.add("jiashan", "330421", key_of("Ed25519", "jiashan"), scopes={"feeds:read"})
        self.keys = TokenKeys.of(self.key)
        self.endpoint = self.endpoint_over(self.engine)
        self.tokens = AccessTokens(ISSUER, lambda: self.keys)
        self.resource = self.resource_over(self.engine)

    def close(self) -> None:
        self.engine.dispose()

    def endpoint_over(self, engine: Engine, **changes: Any) -> TokenEndpoint:
        """An endpoint as another process would have it: nothing shared but the database."""
        return TokenEndpoint(self.issuer_over(engine, **changes))

    def resource_over(self, engine: Engine, tokens: AccessTokens | None = None) -> ProtectedResource:
        """What guards the routes, as another process would have it."""

        def standing(token: AccessToken) -> Standing:
            return Standing(self.endpoint.issuer.load_client(token.client_id), self.is_revoked(token, engine))

        return ProtectedResource(PARTY, tokens or self.tokens, standing, self.proofs, self.nonces)

    def is_revoked(self, token: AccessToken, engine: Engine | None = None) -> bool:
        with (engine or self.engine).connect() as connection:
            return is_revoked(connection, token.jti, token.client_id, issued=token.issued)

    def introspection(self) -> IntrospectionEndpoint:
        return IntrospectionEndpoint(self.endpoint.issuer, self.tokens, self.is_revoked)

    def revocation(self) -> RevocationEndpoint:
        def revoke(token: AccessToken) -> None:
            with self.engine.begin() as connection:
                revoke_token(connection, token.jti, token.client_id, expires=token.expires)

        return RevocationEndpoint(self.endpoint.issuer, self.tokens, revoke)

    def issuer_over(self, engine: Engine, **changes: Any) -> Issuer:
        """The authorization server, but for what is given."""

        def load(client_id: str) -> Client | None:
            with engine.connect() as connection:
                known = load_client(connection, client_id)
            return known and replace(known, **self.records.get(client_id, {}))

        parts: dict[str, Any] = {
            "issuer": ISSUER,
            "party": PARTY,
            "load_keys": lambda: self.keys,
            "load_client": load,
            "assertions": DatabaseReplay(engine.begin, tables.assertion_seen),
            "proofs": MemoryReplay(NOW - 3_600_000),
            "nonces": self.nonces,
            "addresses": Buckets(1000, 100_000),
            "clients": Buckets(1000, 100_000),
        }
        return Issuer(**{**parts, **changes})

    def add(self, client_id: str, party: str, *keys: Key, scopes: set[str]) -> None:
        new = Client(client_id, party, "gateway", frozenset(scopes), jwks_of(*keys))
        with self.engine.begin() as connection:
            add_client(connection, new, NOW)

    def bind(self, client_id: str, binding: Any, *certificates: bytes) -> None:
        """From now on the client's record says so of what its tokens are bound to."""
        thumbprints = frozenset(certificate_thumbprint(one) for one in certificates)
        self.records[client_id] = {"binding": binding, "certificates": thumbprints}

    def change_keys(self, client_id: str, *keys: Key) -> None:
        """From now on the client has these keys and no others."""
        with self.engine.begin() as connection:
            connection.execute(delete(tables.client_key).where(tables.client_key.c.client_id == client_id))
            add_keys(connection, client_id, read_client_keys(jwks_of(*keys), begins=NOW), NOW)

    def change(self, client_id: str, **values: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(update(tables.client).where(tables.client.c.client_id == client_id).values(values))

    def fresh(self) -> str:
        self.serial += 1
        return f"jti-{self.serial}"

    def claims(self, client_id: str = "wujiang", **changes: object) -> dict[str, object]:
        seconds = NOW // 1000
        claims = {"iss": client_id, "sub": client_id, "aud": ISSUER, "iat": seconds, "exp": seconds + 60}
        return {**claims, "jti": self.fresh(), **changes}

    def assertion(self, client_id: str = "wujiang", **changes: object) -> str:
        key = key_of("ES256", "wujiang") if client_id == "wujiang" else key_of("Ed25519", "jiashan")
        algorithm = "ES256" if client_id == "wujiang" else "Ed25519"
        return sign({"alg": algorithm, "kid": key.kid}, self.claims(client_id, **changes), key)

    def proof_parts(self, method: str = "POST", uri: str = TOKEN_URI, **changes: object) -> tuple[Any, Any]:
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.proof_key.as_dict(private=False)}
        claims = {"jti": self.fresh(), "htm": method, "htu": uri, "iat": NOW // 1000}
        return header, {**claims, **changes}

    def proof(self, method: str = "POST", uri: str = TOKEN_URI, **changes: object) -> str:
        header, claims = self.proof_parts(method, uri, **changes)
        return sign(header, claims, self.proof_key)

    def ask(
        self,
        assertion: str | None = None,
        *,
        proof: str | None = None,
        headers: Pairs | None = None,
        form: Mapping[str, str] | None = None,
        endpoint: TokenEndpoint | None = None,
        now: int = NOW,
        certificate: bytes | None = None,
        address: str = "192.0.2.1",
    ) -> Answer:
        """A good token request of `wujiang`, but for what is given."""
        fields = {
            "grant_type": "client_credentials",
            "scope": "feeds:read",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion or self.assertion(),
            **(form or {}),
        }
        body = urlencode({name: value for name, value in fields.items() if value != "(absent)"}).encode()
        if headers is None:
            headers = [FORM, ("DPoP", proof or self.proof())]
        return (endpoint or self.endpoint).respond(headers, body, now, certificate=certificate, address=address)

    def token(self, scope: str = "feeds:read") -> str:
        answer = self.ask(form={"scope": scope})
        assert answer.status == 200, answer.body
        text = json.loads(answer.body)["access_token"]
        assert isinstance(text, str)
        return text

    def call(
        self,
        token: str,
        *,
        proof: str | None = None,
        headers: Pairs | None = None,
        uri: str = RESOURCE,
        now: int = NOW,
        certificate: bytes | None = None,
        resource: ProtectedResource | None = None,
    ) -> Principal:
        """A good `GET` of the feeds with `token`, but for what is given."""
        if headers is None:
            proof = proof or self.proof("GET", RESOURCE, ath=token_hash(token))
            headers = [("authorization", f"DPoP {token}"), ("dpop", proof)]
        return (resource or self.resource).authenticate("GET", uri, headers, now=now, certificate=certificate)


def error_of(answer: Answer) -> str:
    """The OAuth error code of a refusal, once its form has been checked."""
    members = json.loads(answer.body)
    assert set(members) == {"error", "error_description"}, members
    allowed = set(map(chr, range(0x20, 0x7F))) - {'"', "\\"}
    assert allowed.issuperset(members["error_description"])
    assert ("Cache-Control", "no-store") in answer.headers
    return str(members["error"])
