"""The threats to tokens and to the endpoints that give them, each test named after its row of the threat model.

Tricks with the texts of tokens are in `tests/conformance/test_token_attacks.py`, under the row's name too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from audit.form import REFUSAL
from gateway.api.access import MAX_HEADER
from gateway.authorization import Authorization
from gateway.home import open_home
from gateway.service import Gateway
from partners.oauth.client_auth import MAX_BODY
from partners.oauth.clients import Client as Record
from partners.oauth.dpop import make_proof
from partners.oauth.jwt import sign_jwt
from partners.oauth.metadata import (
    INTROSPECTION_PATH,
    JWKS_PATH,
    METADATA_PATH,
    REVOCATION_PATH,
    TOKEN_PATH,
)
from partners.oauth.replay import DatabaseReplay
from partners.oauth.revocations import cut_tokens
from partners.oauth.server import TokenEndpoint
from partners.oauth.token_keys import TokenKeys
from partners.tables import assertion_seen
from schemas.times import now_millis
from tests.gateway.callers import ASSERTION, Caller, caller, code_of, listening
from tests.gateway.hands import entries
from tests.partners.oauth_world import key_of
from tests.world import JIASHAN, QINGPU, Node

FEEDS = "/v1/feeds"


@pytest.fixture
def http(wujiang: Node) -> Iterator[TestClient]:
    """The partner listener of Wujiang's gateway, on either database."""
    with listening(wujiang) as made:
        yield made


@pytest.fixture
def reader(wujiang: Node, http: TestClient) -> Caller:
    """A client with a token that works."""
    made = caller(http, wujiang, QINGPU, "feeds:read", "records:read")
    assert made.get(FEEDS).status_code == 200
    return made


def assertion_of(who: Caller, **changes: Any) -> str:
    """A client assertion of `who`; a claim that is None is left out."""
    seconds = now_millis() // 1000
    claims = {
        "iss": who.client_id, "sub": who.client_id, "aud": who.node.url, "iat": seconds, "exp": seconds + 60,
        "jti": f"jti-{now_millis()}-{id(changes)}", **changes,
    }  # fmt: skip
    return sign_jwt(who.key, {"kid": who.key.kid}, {name: value for name, value in claims.items() if value is not None})


def ask(who: Caller, path: str = TOKEN_PATH, http: TestClient | None = None, **form: str) -> Any:
    """A request of `who` to one of the endpoints that ask for an assertion."""
    fields = {"client_assertion_type": ASSERTION, "client_assertion": assertion_of(who), **form}
    if path == TOKEN_PATH:
        fields = {"grant_type": "client_credentials", "scope": "feeds:read", **fields}
    proof = make_proof(who.proof_key, "POST", who.node.url + path, now_millis(), nonce=who.nonce)
    return (http or who.http).post(path, data=fields, headers={"DPoP": proof})


def error_of(answer: Any, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["error"])


def refusals(node: Node) -> list[dict[str, Any]]:
    return entries(node, REFUSAL)


def reopened(node: Node) -> Gateway:
    """The same gateway in another process, as far as anything is shared: its home and its database."""
    return Gateway(open_home(node.gateway.settings.home))


def limited(node: Node, **changes: Any) -> None:
    """The gateway, started anew with other settings."""
    gateway = node.gateway
    settings = gateway.settings.model_copy(update=changes)
    gateway.authorization = Authorization(
        settings, gateway.keys.secret, gateway.database, load_keys=gateway.authorization.load_keys
    )


def at_endpoint(node: Node, **changes: Any) -> None:
    """The token endpoint works with other parts from now on."""
    authorization = node.gateway.authorization
    authorization.token_endpoint = TokenEndpoint(replace(authorization.token_endpoint.issuer, **changes))


def test_stolen_client_credential_used_by_another(reader: Caller, http: TestClient, wujiang: Node) -> None:
    """There is no shared secret to steal; another's key does not help, nor does its token without its proof key."""
    thief = caller(http, wujiang, JIASHAN, "feeds:read")
    thief.fetch_token()
    as_reader = assertion_of(thief, iss=reader.client_id, sub=reader.client_id)
    assert error_of(ask(thief, client_assertion=as_reader)) == "invalid_client"
    assert error_of(ask(reader, client_secret="guessed")) == "invalid_client"


def test_assertion_replayed_twice_in_two_workers_and_after_a_restart(reader: Caller, wujiang: Node) -> None:
    assertion = assertion_of(reader)
    assert ask(reader, client_assertion=assertion).status_code == 200
    assert error_of(ask(reader, client_assertion=assertion)) == "invalid_client"
    with_another = reopened(wujiang)
    try:
        other = Node(with_another, wujiang.document)
        with listening(other) as http:
            fresh = Caller(http, other, reader.client_id, reader.key, reader.scopes, reader.proof_key)
            fresh.fetch_token()
            assert error_of(ask(fresh, client_assertion=assertion)) == "invalid_client"
            assert error_of(ask(fresh, INTROSPECTION_PATH, client_assertion=assertion, token="a")) == "invalid_client"
    finally:
        with_another.close()


def test_assertion_meant_for_another_authorization_server(reader: Caller, jiashan: Node) -> None:
    for audience in (jiashan.url, [reader.node.url, jiashan.url], [reader.node.url], reader.node.url + TOKEN_PATH):
        wrong = assertion_of(reader, aud=audience)
        assert error_of(ask(reader, client_assertion=wrong)) == "invalid_client"


def test_client_id_mix(reader: Caller, http: TestClient, wujiang: Node) -> None:
    other = caller(http, wujiang, JIASHAN, "feeds:read")
    assert ask(reader, client_id=reader.client_id).status_code == 200
    assert error_of(ask(reader, client_id=other.client_id)) == "invalid_client"
    assert refusals(wujiang)[-1]["actor"] == reader.client_id, "who it really was is in the log"


def test_stolen_access_token_is_worth_nothing_without_its_key(reader: Caller, http: TestClient, wujiang: Node) -> None:
    thief = caller(http, wujiang, JIASHAN, "feeds:read")
    thief.fetch_token()
    thief.token = reader.token
    assert code_of(thief.get(FEEDS), 401) == "token.proof-invalid"
    for headers in ({"Authorization": f"Bearer {reader.token}"}, {"Authorization": f"DPoP {reader.token}"}):
        assert http.get(FEEDS, headers=headers).status_code == 401
    assert code_of(http.get(f"{FEEDS}?access_token={reader.token}"), 400) == "request.malformed"


def test_stolen_access_token_can_be_given_back(reader: Caller, http: TestClient, wujiang: Node) -> None:
    """By its client, or all of them by an administrator; on the next request, wherever it is made."""
    other = caller(http, wujiang, JIASHAN, "feeds:read")
    other.fetch_token()
    assert ask(other, REVOCATION_PATH, token=reader.token).status_code == 200
    assert reader.get(FEEDS).status_code == 200, "somebody else's word counts for nothing"
    assert ask(reader, REVOCATION_PATH, token=reader.token).json() == {}
    assert code_of(reader.get(FEEDS), 401) == "token.revoked"
    reader.fetch_token()
    assert reader.get(FEEDS).status_code == 200
    with wujiang.gateway.database.write() as session:
        cut_tokens(session, reader.client_id, now_millis() + 1000)
    assert code_of(reader.get(FEEDS), 401) == "token.revoked"
    assert other.get(FEEDS).status_code == 200


def test_dpop_proof_replayed_or_retargeted(reader: Caller) -> None:
    headers = reader.headers("GET", FEEDS)
    assert reader.http.get(FEEDS, headers=headers).status_code == 200
    assert code_of(reader.http.get(FEEDS, headers=headers), 401) == "token.proof-replayed"
    headers = reader.headers("GET", "/v1/observations")
    assert code_of(reader.http.get(FEEDS, headers=headers), 401) == "token.proof-invalid"
    headers = reader.headers("PUT", FEEDS)
    assert code_of(reader.http.get(FEEDS, headers=headers), 401) == "token.proof-invalid"


def test_dpop_proof_replayed_after_a_restart(reader: Caller, wujiang: Node) -> None:
    """On SQLite the memory of proofs ends with the process, and so does the nonce that the proof had to carry."""
    headers = reader.headers("GET", FEEDS)
    assert reader.http.get(FEEDS, headers=headers).status_code == 200
    restarted = reopened(wujiang)
    try:
        with listening(Node(restarted, wujiang.document)) as http:
            answer = http.get(FEEDS, headers=headers)
            if wujiang.gateway.database.is_sqlite:
                assert code_of(answer, 401) == "token.nonce-needed"
                assert 'error="use_dpop_nonce"' in answer.headers["www-authenticate"]
                reader.nonce = answer.headers["DPoP-Nonce"]
                assert http.get(FEEDS, headers=reader.headers("GET", FEEDS)).status_code == 200
            else:
                assert code_of(answer, 401) == "token.proof-replayed"
    finally:
        restarted.close()


def test_over_broad_scope_is_refused_and_a_token_has_all_it_was_asked_for(reader: Caller, wujiang: Node) -> None:
    assert error_of(ask(reader, scope="feeds:read audit:read")) == "invalid_scope"
    assert error_of(ask(reader, scope="")) == "invalid_scope"
    assert refusals(wujiang)[-1]["detail"] == {"code": "oauth.invalid_scope", "method": "POST", "path": TOKEN_PATH}
    reader.fetch_token(["feeds:read"])
    assert code_of(reader.get("/v1/observations"), 403) == "token.scope-insufficient"


def test_introspection_as_an_oracle(reader: Caller, http: TestClient, wujiang: Node) -> None:
    other = caller(http, wujiang, JIASHAN, "feeds:read")
    other.fetch_token()
    told = ask(reader, INTROSPECTION_PATH, token=reader.token).json()
    assert (told["active"], told["client_id"]) == (True, reader.client_id)
    answers = [ask(other, INTROSPECTION_PATH, token=text) for text in (reader.token, "garbage")]
    assert [answer.json() for answer in answers] == [{"active": False}] * 2
    assert all(answer.headers["cache-control"] == "no-store" for answer in answers)
    nobody = http.post(INTROSPECTION_PATH, data={"token": reader.token})
    assert error_of(nobody) == "invalid_client"


def test_token_endpoint_flood_is_stopped_before_anything_is_looked_up(
    reader: Caller, wujiang: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(wujiang, token_rate=0.1)  # one at once, and one more every ten seconds
    looked_up = []
    known = wujiang.gateway.authorization.load_client

    def load(client_id: str) -> Record | None:
        looked_up.append(client_id)
        return known(client_id)

    at_endpoint(wujiang, load_client=load)
    statuses = [ask(reader, client_assertion="x.y.z").status_code for _ in range(5)]
    assert statuses == [400, 429, 429, 429, 429]
    answer = ask(reader)
    assert error_of(answer, 429) == "temporarily_unavailable"
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert looked_up == [], "not even of a client that would be let in"
    for path in (INTROSPECTION_PATH, REVOCATION_PATH):
        assert error_of(ask(reader, path, token="a"), 429) == "temporarily_unavailable"


def test_token_endpoint_flood_of_one_client_leaves_the_others_theirs(
    reader: Caller, http: TestClient, wujiang: Node
) -> None:
    other = caller(http, wujiang, JIASHAN, "feeds:read")
    limited(wujiang, token_rate=0.1)
    endpoint = wujiang.gateway.authorization.token_endpoint

    def from_address(who: Caller, number: int) -> tuple[int, str | None]:
        form = {
            "grant_type": "client_credentials", "scope": "feeds:read", "client_assertion_type": ASSERTION,
            "client_assertion": assertion_of(who),
        }  # fmt: skip
        body = urlencode(form)
        headers = [("content-type", "application/x-www-form-urlencoded")]
        answer = endpoint.respond(headers, body.encode(), now_millis(), address=f"192.0.2.{number}")
        return answer.status, answer.client_id

    assert [from_address(reader, number)[0] for number in range(4)] == [400, 429, 429, 429]
    assert from_address(reader, 5) == (429, reader.client_id), "known, and told to wait"
    assert from_address(other, 6) == (400, other.client_id), "it has no proof, and was asked for one"


def test_requests_beyond_their_caps_are_refused(reader: Caller, http: TestClient) -> None:
    large = http.post(TOKEN_PATH, data={"client_assertion": "x" * MAX_BODY})
    assert code_of(large, 413) == "request.too-large"
    many = {f"X-Padding-{number}": "x" * 4000 for number in range(MAX_HEADER // 4000 + 1)}
    for answer in (http.post(TOKEN_PATH, headers=many), reader.get(FEEDS, headers=many)):
        assert code_of(answer, 431) == "request.header-too-large"


def test_jti_store_grown_by_long_exp(reader: Caller, http: TestClient, wujiang: Node) -> None:
    """An assertion for ten years is refused, and who keeps to an hour fills its own share and nobody else's."""
    seconds = now_millis() // 1000
    assert error_of(ask(reader, client_assertion=assertion_of(reader, exp=seconds + 315_360_000))) == "invalid_client"
    at_endpoint(wujiang, assertions=DatabaseReplay(wujiang.gateway.database.write, assertion_seen, share=20))
    statuses = [
        ask(reader, client_assertion=assertion_of(reader, exp=seconds + 3600, jti=f"flood {number}")).status_code
        for number in range(40)
    ]
    assert statuses[0] == 200
    assert statuses[-20:] == [429] * 20
    rows = select(func.count()).select_from(assertion_seen).where(assertion_seen.c.client_id == reader.client_id)
    with wujiang.gateway.database.read() as session:
        assert session.scalar(rows) == 20
    assert caller(http, wujiang, JIASHAN, "feeds:read").get(FEEDS).status_code == 200


@pytest.mark.parametrize("path", ["/register", "/oauth/register", "/connect/register", "/v1/clients"])
def test_open_dynamic_registration(http: TestClient, path: str) -> None:
    client = {"client_name": "a stranger", "redirect_uris": ["https://a.example"], "scope": "feeds:read"}
    assert code_of(http.post(path, json=client), 404) == "resource.not-found"
    assert "registration_endpoint" not in http.get(METADATA_PATH).json()


@pytest.mark.parametrize(("seconds", "taken"), [(-10, True), (10, True), (-61, False), (61, False)])
def test_clock_wrong_by_some_seconds(reader: Caller, seconds: int, taken: bool) -> None:
    """Ten seconds are taken, more than sixty refused, of assertions and of proofs."""
    now = now_millis()
    issued = now // 1000 + seconds + (1 if seconds > 10 else -1 if seconds < -10 else 0)
    if seconds > 0:  # one that is old is still good until it ends
        answer = ask(reader, client_assertion=assertion_of(reader, iat=issued, exp=issued + 60))
        assert answer.status_code == (200 if taken else 400)
    proof = make_proof(
        reader.proof_key, "GET", reader.node.url + FEEDS, issued * 1000, token=reader.token, nonce=reader.nonce
    )
    answer = reader.http.get(FEEDS, headers={"Authorization": f"DPoP {reader.token}", "DPoP": proof})
    assert answer.status_code == (200 if taken else 401)


def test_key_compromise_of_the_authorization_server(reader: Caller, http: TestClient, wujiang: Node) -> None:
    """The next key is published before it is used, and what the old one signed ends with it, at once."""
    old = wujiang.gateway.authorization.load_keys().signing
    following = key_of("ES256", "wujiang oauth next")
    keys = TokenKeys.of(old, following)

    def rotate(chosen: TokenKeys) -> list[str]:
        gateway = wujiang.gateway
        gateway.authorization = Authorization(
            gateway.settings, gateway.keys.secret, gateway.database, load_keys=lambda: chosen
        )
        reader.nonce = None
        return [key["kid"] for key in http.get(JWKS_PATH).json()["keys"]]

    before = reader.token
    assert rotate(keys) == [old.kid, following.kid]
    assert rotate(TokenKeys.of(following, old)) == [following.kid, old.kid]
    reader.fetch_token()
    assert reader.get(FEEDS).status_code == 200
    after, reader.token = reader.token, before
    assert reader.get(FEEDS).status_code == 200, "during the overlap both are good"
    rotate(TokenKeys.of(following))
    reader.token = after
    reader.fetch_token()
    reader.token = after
    assert reader.get(FEEDS).status_code == 200
    reader.token = before
    assert code_of(reader.get(FEEDS), 401) == "token.invalid"


def test_with_the_setting_every_proof_needs_a_nonce_and_the_answer_brings_the_next(
    reader: Caller, wujiang: Node
) -> None:
    limited(wujiang, dpop_nonce=True)
    reader.nonce = None
    assert error_of(ask(reader)) == "use_dpop_nonce"
    reader.fetch_token()
    assert reader.nonce
    answer = ask(reader)
    assert answer.headers["DPoP-Nonce"] == reader.nonce
    assert reader.get(FEEDS).status_code == 200
    reader.nonce = None
    assert code_of(reader.get(FEEDS), 401) == "token.nonce-needed"
