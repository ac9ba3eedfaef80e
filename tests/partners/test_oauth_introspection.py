"""Looking at tokens and taking them back: for the client that holds one, and for nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import create_engine, func, select

from partners import tables
from partners.errors import AuthenticationError
from partners.oauth.client_auth import Answer
from partners.oauth.dpop import token_hash
from partners.oauth.introspection import SIGNED_MEDIA_TYPE, SIGNED_TYPE
from partners.oauth.keys import load_public_key
from partners.oauth.replay import forget_expired
from partners.oauth.revocations import cut_tokens
from partners.oauth.token_keys import TokenKeys
from schemas.jws import peek
from tests.partners.oauth_world import (
    ASSERTION_TYPE,
    FORM,
    ISSUER,
    NOW,
    RESOURCE,
    Pairs,
    World,
    error_of,
    key_of,
    sign,
)
from tests.partners.oauth_world import without as without_members

SECOND = NOW // 1000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def ask(
    world: World,
    which: str,
    token: str | None,
    client_id: str = "wujiang",
    *,
    assertion: str | None = None,
    form: Mapping[str, str] | None = None,
    headers: Pairs | None = None,
    now: int = NOW,
) -> Answer:
    """Ask the endpoint `which` about a token."""
    fields = {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion or world.assertion(client_id, iat=now // 1000, exp=now // 1000 + 60),
        **({} if token is None else {"token": token}),
        **(form or {}),
    }
    endpoint = world.introspection() if which == "introspect" else world.revocation()
    return endpoint.respond([FORM, *(headers or [])], urlencode(fields).encode(), now)


def told(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    assert ("Cache-Control", "no-store") in answer.headers
    members: dict[str, Any] = json.loads(answer.body)
    return members


INACTIVE = {"active": False}


def test_a_client_is_told_of_its_own_token_what_it_is_good_for(world: World) -> None:
    token = world.token("feeds:read receipts:write")
    assert told(ask(world, "introspect", token)) == {
        "active": True,
        "scope": "feeds:read receipts:write",
        "client_id": "wujiang",
        "token_type": "DPoP",
        "exp": SECOND + 300,
        "iat": SECOND,
        "sub": "wujiang",
        "aud": ISSUER,
        "iss": ISSUER,
        "jti": peek(token)[1]["jti"],
        "cnf": {"jkt": world.proof_key.thumbprint()},
    }


def test_a_scope_taken_from_the_client_is_gone_from_the_answer(world: World) -> None:
    token = world.token("feeds:read receipts:write")
    world.change("wujiang", scope="feeds:read records:read")
    assert told(ask(world, "introspect", token))["scope"] == "feeds:read"


def others(world: World) -> dict[str, str]:
    """Tokens that are none of an active token of Wujiang's."""
    token = world.token()
    header, claims = peek(token)
    body, _, signature = token.rpartition(".")
    return {
        "garbage": "garbage",
        "three parts of garbage": "a.b.c",
        "no ASCII": "é",
        "half a character": "\ufffd",
        "a signature of nobody": f"{body}.{signature[::-1]}",
        "a token of another type": sign({**header, "typ": "JWT"}, claims, world.key),
        "a token of another key": sign(header, claims, key_of("ES256", "stranger")),
        "an ended token": sign(header, {**claims, "exp": SECOND}, world.key),
        "a token without a scope": sign(header, without_members(claims, "scope"), world.key),
        "a token of another audience": sign(header, {**claims, "aud": "https://a.example"}, world.key),
        "an assertion": world.assertion(),
        "a long text": "x" * 12_000,
    }


@pytest.mark.parametrize(
    "name",
    [
        "garbage", "three parts of garbage", "no ASCII", "half a character", "a signature of nobody",
        "a token of another type", "a token of another key", "an ended token", "a token without a scope",
        "a token of another audience", "an assertion", "a long text",
    ],
)  # fmt: skip
def test_whatever_is_no_active_token_is_answered_with_one_word_and_can_be_revoked(world: World, name: str) -> None:
    text = others(world)[name]
    assert told(ask(world, "introspect", text)) == INACTIVE
    assert told(ask(world, "revoke", text)) == {}


def test_introspection_as_an_oracle_another_clients_token_is_answered_like_garbage(world: World) -> None:
    token = world.token()
    assert told(ask(world, "introspect", token, "jiashan")) == INACTIVE
    assert ask(world, "introspect", token, "jiashan").body == ask(world, "introspect", "garbage", "jiashan").body
    signed = ask(world, "introspect", token, "jiashan", headers=[("Accept", SIGNED_MEDIA_TYPE)])
    assert peek(signed.body.decode())[1]["token_introspection"] == INACTIVE


def test_a_signed_answer_can_be_verified_and_is_for_who_asked(world: World) -> None:
    token = world.token()
    following = key_of("ES256", "qingpu oauth next")
    world.keys = TokenKeys.of(following, world.key)
    for accept in (SIGNED_MEDIA_TYPE, f"application/json;q=0.5, {SIGNED_MEDIA_TYPE};q=1"):
        answer = ask(world, "introspect", token, headers=[("accept", accept)])
        assert answer.status == 200
        assert set(answer.headers) == {("Content-Type", SIGNED_MEDIA_TYPE), ("Cache-Control", "no-store")}
        text = answer.body.decode("ascii")
        load_public_key(following.as_dict(private=False)).verify(text)
        header, claims = peek(text)
        assert header == {"alg": "ES256", "typ": SIGNED_TYPE, "kid": following.kid}
        assert claims.pop("token_introspection") == told(ask(world, "introspect", token))
        assert claims == {"iss": ISSUER, "aud": "wujiang", "iat": SECOND}
    with pytest.raises(AuthenticationError):
        world.call(text)
    refused = ask(world, "introspect", None, headers=[("accept", SIGNED_MEDIA_TYPE)])
    assert error_of(refused) == "invalid_request"


@pytest.mark.parametrize("which", ["introspect", "revoke"])
def test_both_ask_for_an_assertion_that_is_good_once(world: World, which: str) -> None:
    token, assertion = world.token(), world.assertion()
    assert error_of(ask(world, which, token, assertion="x")) == "invalid_client"
    assert error_of(ask(world, which, token, form={"client_assertion_type": "other"})) == "invalid_client"
    assert error_of(ask(world, which, token, form={"client_id": "jiashan"})) == "invalid_client"
    assert error_of(ask(world, which, token, form={"client_secret": "s"})) == "invalid_client"
    basic = ask(world, which, token, headers=[("Authorization", "Basic d3VqaWFuZzpz")])
    assert (basic.status, error_of(basic)) == (401, "invalid_client")
    assert error_of(ask(world, which, None)) == "invalid_request"
    assert error_of(ask(world, which, "")) == "invalid_request"
    assert world.call(token), "nothing of this was its end"
    assert ask(world, which, token, assertion=assertion).status == 200
    assert error_of(ask(world, which, token, assertion=assertion)) == "invalid_client"
    assert error_of(world.ask(assertion)) == "invalid_client", "nor is it good for a token"
    world.change("wujiang", state="suspended")
    assert error_of(ask(world, which, token)) == "invalid_client"


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "something"])
def test_a_hint_is_only_that(world: World, hint: str) -> None:
    token = world.token()
    assert told(ask(world, "introspect", token, form={"token_type_hint": hint}))["active"] is True
    assert told(ask(world, "revoke", token, form={"token_type_hint": hint})) == {}
    assert told(ask(world, "introspect", token)) == INACTIVE


def code_of(world: World, token: str, **options: Any) -> str:
    with pytest.raises(AuthenticationError) as caught:
        world.call(token, **options)
    return caught.value.code


def test_a_revoked_token_ends_at_every_worker_and_after_a_restart_and_no_other_does(world: World) -> None:
    token, other = world.token(), world.token()
    assert world.call(token)
    assert told(ask(world, "revoke", token)) == {}
    assert told(ask(world, "revoke", token)) == {}, "again"
    engine = create_engine(world.url)
    for resource in (world.resource, world.resource_over(engine)):
        assert code_of(world, token, resource=resource) == "token.revoked"
        assert world.call(other, resource=resource)
    engine.dispose()


def test_another_clients_token_stays_as_good_as_it_was(world: World) -> None:
    token = world.token()
    assert told(ask(world, "revoke", token, "jiashan")) == {}
    assert world.call(token)
    with world.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.token_revoked)) == 0


def test_all_tokens_of_a_client_can_be_ended_at_once_and_the_next_ones_are_good(world: World) -> None:
    tokens = [world.token(), world.token()]
    other = json.loads(world.ask(world.assertion("jiashan")).body)["access_token"]
    for before in (NOW + 1000, NOW - 1000):  # an earlier instant takes nothing back
        with world.engine.begin() as connection:
            cut_tokens(connection, "wujiang", before)
    for token in tokens:
        assert code_of(world, token) == "token.revoked"
        assert told(ask(world, "introspect", token)) == INACTIVE
    assert world.call(other).client_id == "jiashan"
    later = NOW + 1000
    seconds = later // 1000
    answer = world.ask(world.assertion(iat=seconds, exp=seconds + 60), proof=world.proof(iat=seconds), now=later)
    text = json.loads(answer.body)["access_token"]
    assert told(ask(world, "introspect", text, now=later))["active"] is True
    assert world.call(text, proof=world.proof("GET", RESOURCE, ath=token_hash(text), iat=seconds), now=later)


def test_a_revocation_is_forgotten_when_its_token_would_have_ended(world: World) -> None:
    token = world.token()
    ask(world, "revoke", token)
    with world.engine.begin() as connection:
        cut_tokens(connection, "jiashan", NOW)
    ends = NOW + 300_000
    rows = select(func.count()).select_from(tables.token_revoked.join(tables.token_cut, tables.token_cut.c.before > 0))
    with world.engine.begin() as connection:
        forget_expired(connection, ends)
        assert connection.scalar(rows) == 1
        forget_expired(connection, ends + 1)
        assert connection.scalar(rows) == 0
    proof = world.proof("GET", RESOURCE, ath=token_hash(token), iat=ends // 1000)
    assert code_of(world, token, proof=proof, now=ends) == "token.expired"
