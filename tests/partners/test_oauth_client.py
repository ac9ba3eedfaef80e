"""Our own calls: `GatewayAuth` against our own endpoint, and against partners that answer what they should not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from partners.errors import AuthenticationError, PartnerRefusedError, PartnerUnreachableError
from partners.oauth.client import MAX_ANSWER, GatewayAuth
from schemas.jws import peek
from tests.partners.oauth_world import ISSUER, NOW, RESOURCE, TOKEN_URI, World, key_of

Handler = Callable[[httpx.Request], httpx.Response | None]


def at(path: str, answer: Callable[[], httpx.Response]) -> Handler:
    """Gives `answer()` to requests for `path` and lets the others through."""
    return lambda request: answer() if request.url.path == path else None


class Partner:
    """A partner's gateway behind an in-memory transport: the real endpoint and the real check, and a log of calls."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = NOW
        self.calls: list[str] = []
        self.requests: list[httpx.Request] = []
        self.before: Handler | None = None  # answers in place of the gateway, where it answers at all

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request.url.path)
        self.requests.append(request)
        if self.before is not None and (answer := self.before(request)) is not None:
            return answer
        headers = list(request.headers.multi_items())
        if request.url.path == "/oauth/token":
            reply = self.world.endpoint.respond(headers, request.read(), self.now)
            return httpx.Response(reply.status, headers=reply.headers, content=reply.body)
        try:
            principal = self.world.resource.authenticate(request.method, str(request.url), headers, now=self.now)
        except AuthenticationError as error:
            return httpx.Response(401, headers={"WWW-Authenticate": error.challenge})
        return httpx.Response(200, json={"client": principal.client_id, "body": request.read().decode()})

    def auth(self, **changes: Any) -> GatewayAuth:
        options: dict[str, Any] = {
            "issuer": ISSUER,
            "token_endpoint": TOKEN_URI,
            "client_id": "wujiang",
            "key": key_of("ES256", "wujiang"),
            "scopes": ["feeds:read"],
            "clock": lambda: self.now,
        }
        return GatewayAuth(**{**options, **changes})

    def client(self, **changes: Any) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self), auth=self.auth(**changes))


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Partner]:
    world = World(tmp_path)
    yield Partner(world)
    world.close()


def claims_in(request: httpx.Request) -> tuple[dict[str, object], dict[str, object]]:
    """The claims of the assertion and of the proof in a token request."""
    form = dict(parse_qsl(request.read().decode()))
    return peek(form["client_assertion"])[1], peek(request.headers["dpop"])[1]


def test_a_call_gets_a_token_first_and_the_next_call_uses_it_again(partner: Partner) -> None:
    with partner.client() as client:
        assert client.get(RESOURCE + "?wait=30").json()["client"] == "wujiang"
        assert client.put(RESOURCE, content=b"batch").json()["body"] == "batch"
    assert partner.calls == ["/oauth/token", "/v1/feeds", "/v1/feeds"]
    one, two = (peek(request.headers["dpop"])[1] for request in partner.requests[1:])
    assert one["jti"] != two["jti"]


def test_the_assertion_is_for_the_issuer_and_short_lived(partner: Partner) -> None:
    with partner.client() as client:
        client.get(RESOURCE)
    assertion, proof = claims_in(partner.requests[0])
    assert assertion["aud"] == ISSUER
    assert int(str(assertion["exp"])) - int(str(assertion["iat"])) == 120
    assert proof["htu"] == TOKEN_URI
    assert "ath" not in proof


def test_a_token_is_renewed_shortly_before_it_ends(partner: Partner) -> None:
    with partner.client() as client:
        client.get(RESOURCE)
        partner.now += 269_000
        client.get(RESOURCE)
        assert partner.calls.count("/oauth/token") == 1
        partner.now += 2_000
        client.get(RESOURCE)
    assert partner.calls.count("/oauth/token") == 2


def test_a_token_the_partner_takes_no_more_is_renewed_once(partner: Partner) -> None:
    with partner.client() as client:
        client.get(RESOURCE)
        first = partner.requests[1].headers["authorization"]

        def forget_the_first(request: httpx.Request) -> httpx.Response | None:
            return httpx.Response(401) if request.headers.get("authorization") == first else None

        partner.before = forget_the_first
        assert client.put(RESOURCE, content=b"batch").json()["body"] == "batch", "and the body is sent again"
        assert partner.calls[2:] == ["/v1/feeds", "/oauth/token", "/v1/feeds"]
        partner.before = at("/v1/feeds", lambda: httpx.Response(401))
        partner.calls.clear()
        assert client.get(RESOURCE).status_code == 401
    assert partner.calls == ["/v1/feeds", "/oauth/token", "/v1/feeds"]


def test_a_body_that_can_be_sent_only_once_is_not_sent_again(partner: Partner) -> None:
    partner.before = at("/v1/feeds", lambda: httpx.Response(401))
    with partner.client() as client:
        assert client.put(RESOURCE, content=iter([b"batch"])).status_code == 401
    assert partner.calls == ["/oauth/token", "/v1/feeds"]


def wants_nonce(path: str, nonce: str = "n-1") -> Handler:
    """Asks for a nonce at `path` until a proof has it."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != path or peek(request.headers["dpop"])[1].get("nonce") == nonce:
            return None
        if path == "/oauth/token":
            return httpx.Response(400, headers={"DPoP-Nonce": nonce}, json={"error": "use_dpop_nonce"})
        headers = {"DPoP-Nonce": nonce, "WWW-Authenticate": 'DPoP error="use_dpop_nonce"'}
        return httpx.Response(401, headers=headers)

    return answer


def test_a_nonce_at_the_token_endpoint_is_answered_with_a_new_assertion(partner: Partner) -> None:
    partner.before = wants_nonce("/oauth/token")
    with partner.client() as client:
        assert client.get(RESOURCE).status_code == 200
    assert partner.calls == ["/oauth/token", "/oauth/token", "/v1/feeds"]
    (first, _), (second, proof) = claims_in(partner.requests[0]), claims_in(partner.requests[1])
    assert first["jti"] != second["jti"]
    assert proof["nonce"] == "n-1"


def test_a_nonce_at_a_resource_is_answered_with_the_same_token_and_remembered(partner: Partner) -> None:
    partner.before = wants_nonce("/v1/feeds")
    with partner.client() as client:
        assert client.get(RESOURCE).status_code == 200
        assert partner.calls == ["/oauth/token", "/v1/feeds", "/v1/feeds"]
        assert client.get(RESOURCE).status_code == 200
    assert partner.calls[3:] == ["/v1/feeds"]


@pytest.mark.parametrize("path", ["/oauth/token", "/v1/feeds"])
def test_a_partner_that_always_wants_another_nonce_is_not_followed_for_ever(partner: Partner, path: str) -> None:
    partner.before = lambda request: wants_nonce(path, f"n-{len(partner.calls)}")(request)
    with partner.client() as client:
        if path == "/oauth/token":
            with pytest.raises(PartnerRefusedError) as caught:
                client.get(RESOURCE)
            assert caught.value.code == "partner.token-refused"
            assert len(partner.calls) == 2
        else:
            assert client.get(RESOURCE).status_code == 401
            assert len(partner.calls) <= 5


def test_threads_that_need_a_token_at_once_ask_for_one(partner: Partner) -> None:
    barrier = Barrier(8)
    with partner.client() as client, ThreadPoolExecutor(8) as pool:

        def call(_number: int) -> int:
            barrier.wait()
            return client.get(RESOURCE).status_code

        assert list(pool.map(call, range(8))) == [200] * 8
    assert partner.calls.count("/oauth/token") == 1


def test_after_a_failure_the_next_thread_may_ask(partner: Partner) -> None:
    def unreachable(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    with partner.client() as client:
        partner.before = unreachable
        with pytest.raises(httpx.ConnectError):
            client.get(RESOURCE)
        partner.before = None
        assert client.get(RESOURCE).status_code == 200


def token_answer(**changes: object) -> httpx.Response:
    return httpx.Response(200, json={"access_token": "a.b.c", "token_type": "DPoP", "expires_in": 300, **changes})


REFUSALS: dict[str, tuple[httpx.Response, type[Exception], str]] = {
    "our client is not known": (
        httpx.Response(400, json={"error": "invalid_client"}),
        PartnerRefusedError,
        "partner.token-refused",
    ),
    "a redirect": (httpx.Response(307, headers={"Location": "/"}), PartnerRefusedError, "partner.token-refused"),
    "an error page": (httpx.Response(404, text="<html>"), PartnerRefusedError, "partner.token-refused"),
    "an error that is no text": (
        httpx.Response(400, json={"error": [1]}),
        PartnerRefusedError,
        "partner.token-refused",
    ),
    "too many requests": (httpx.Response(429), PartnerUnreachableError, "partner.unreachable"),
    "out of order": (httpx.Response(503, text="x"), PartnerUnreachableError, "partner.unreachable"),
    "no JSON": (httpx.Response(200, text="<html>"), PartnerRefusedError, "partner.token-malformed"),
    "deep JSON": (httpx.Response(200, text="[" * 10_000), PartnerRefusedError, "partner.token-malformed"),
    "a list": (httpx.Response(200, json=[]), PartnerRefusedError, "partner.token-malformed"),
    "no token": (token_answer(access_token=None), PartnerRefusedError, "partner.token-malformed"),
    "a token with a line end": (token_answer(access_token="a\r\nb"), PartnerRefusedError, "partner.token-malformed"),
    "a bearer token": (token_answer(token_type="Bearer"), PartnerRefusedError, "partner.token-malformed"),
    "more than we read": (httpx.Response(200, content=b"x" * (MAX_ANSWER + 1)), PartnerRefusedError, "partner.refused"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_a_token_endpoint_answers_instead_of_a_token(partner: Partner, name: str) -> None:
    answer, kind, code = REFUSALS[name]

    def stream(request: httpx.Request) -> httpx.Response:
        # As from a wire: the body has not been read yet.
        return httpx.Response(answer.status_code, headers=answer.headers, content=iter([answer.content]))

    partner.before = stream
    with partner.client() as client, pytest.raises((PartnerRefusedError, PartnerUnreachableError)) as caught:
        client.get(RESOURCE)
    assert type(caught.value) is kind
    assert caught.value.code == code
    if name == "our client is not known":
        assert caught.value.extra == {"status": 400, "error": "invalid_client"}


@pytest.mark.parametrize("lifetime", [None, 0, -5, True, "300", 10**9])
def test_a_lifetime_that_makes_no_sense_is_taken_as_a_minute(partner: Partner, lifetime: object) -> None:
    answers = {"/oauth/token": lambda: token_answer(expires_in=lifetime), "/v1/feeds": lambda: httpx.Response(200)}
    partner.before = lambda request: answers[request.url.path]()
    with partner.client() as client:
        client.get(RESOURCE)
        partner.now += 29_000
        client.get(RESOURCE)
        partner.now += 2_000
        client.get(RESOURCE)
    assert partner.calls.count("/oauth/token") == 2


class Endless(httpx.SyncByteStream):
    """A body without an end, and how much of it was taken."""

    taken = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.taken += 1024
            yield b"x" * 1024


def test_a_refusal_without_end_is_not_read_to_its_end(partner: Partner) -> None:
    body = Endless()
    partner.before = at("/v1/feeds", lambda: httpx.Response(401, stream=body))
    with partner.client() as client, pytest.raises(PartnerRefusedError):
        client.get(RESOURCE)
    assert body.taken <= 2 * MAX_ANSWER


def test_the_body_of_a_good_answer_is_left_to_the_caller(partner: Partner) -> None:
    body = Endless()
    partner.before = at("/v1/feeds", lambda: httpx.Response(200, stream=body))
    with partner.client() as client, client.stream("GET", RESOURCE) as response:
        assert body.taken == 0
        next(response.iter_raw())
    assert body.taken == 1024


def test_a_token_request_has_a_time_limit_of_its_own(partner: Partner) -> None:
    with partner.client() as client:
        client.get(RESOURCE, timeout=None)
    assert partner.requests[0].extensions["timeout"] == {"connect": 10.0, "read": 10.0, "write": 10.0, "pool": 10.0}


def test_a_suspended_gateway_hears_it_from_the_token_endpoint(partner: Partner) -> None:
    partner.world.change("wujiang", state="suspended")
    with partner.client() as client, pytest.raises(PartnerRefusedError) as caught:
        client.get(RESOURCE)
    assert json.dumps(caught.value.extra) == '{"status": 400, "error": "invalid_client"}'
