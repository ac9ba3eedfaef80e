"""Who gets in: no route without a caller, no caller without token and proof, and nothing beyond what the plan gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from audit.form import REFUSAL
from gateway.api.access import Body, Caller, Home, principal_of
from gateway.app import create_partner_app
from partners.oauth.dpop import make_proof
from partners.oauth.jwt import read_jwt, sign_jwt
from partners.oauth.keys import load_signing_key
from partners.oauth.resource import TOKEN_TYPE
from partners.tables import client as client_table
from schemas.times import now_millis
from tests.gateway.callers import Caller as Client
from tests.gateway.callers import caller, code_of, listening
from tests.gateway.hands import entries, hand_in, publish
from tests.world import (
    ANTIMONY,
    JIASHAN,
    QINGPU,
    SITES,
    WUJIANG,
    Node,
    bring_plan,
    make_node,
    plan_document,
    reading_line,
    site_line,
)

PUBLIC = {
    "GET /.well-known/taipu",
    "GET /.well-known/oauth-authorization-server",
    "GET /oauth/jwks",
    "POST /oauth/token",  # these three ask for an assertion of their own
    "POST /oauth/introspect",
    "POST /oauth/revoke",
    "GET /log/checkpoint",
    "GET /log/{shard}/checkpoint",
    # How records are written is no secret, and whoever is to write one has no token yet.
    "GET /v1/schemas",
    "GET /v1/schemas/{kind}",
    "GET /v1/schemas/{kind}/table",
    "GET /v1/factors",
    "GET /v1/units",
    "GET /v1/flags",
    "GET /v1/quality-rules",
}
SECRET = {"id": "wj-secret", "select": {"factors": ["w01003"]}, "recipients": [QINGPU]}
FEED = f"/v1/feeds/{WUJIANG}/wj-antimony"


def routes_of(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """Every route, those of included routers too; anything else that answers would be a way around."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            yield from routes_of(route.original_router.routes)


def asks_who_calls(dependant: Dependant) -> bool:
    return dependant.call is principal_of or any(asks_who_calls(one) for one in dependant.dependencies)


def open_routes(app: FastAPI) -> set[str]:
    """The routes that answer whoever calls."""
    return {
        f"{method} {route.path}"
        for route in routes_of(app.routes)
        if not asks_who_calls(route.dependant)
        for method in route.methods
    }


def test_every_route_asks_who_calls_but_those_that_everybody_may_have() -> None:
    app = create_partner_app(None)  # type: ignore[arg-type]  # nothing is asked of it
    assert open_routes(app) == PUBLIC
    assert len(list(routes_of(app.routes))) > len(PUBLIC)


def test_a_route_that_forgets_to_ask_is_found_wherever_it_is() -> None:
    app, inner, outer = FastAPI(openapi_url=None), APIRouter(), APIRouter()

    @app.get("/direct")
    def direct(gateway: Home) -> None: ...

    @inner.put("/included")
    def included(body: Body) -> None: ...

    @inner.get("/asks")
    def asks(gateway: Home, who: Caller) -> None: ...

    outer.include_router(inner)
    app.include_router(outer)
    assert open_routes(app) == {"GET /direct", "PUT /included"}


class World:
    """Wujiang's gateway with one batch of each dataset, and callers of four parties."""

    def __init__(self, node: Node, http: TestClient) -> None:
        self.node = node
        self.http = http
        scopes = ("feeds:read", "records:read")
        self.readers: dict[str, Client] = {
            "owner": caller(http, node, WUJIANG, *scopes),
            "granted": caller(http, node, QINGPU, *scopes),
            "ungranted": caller(http, node, JIASHAN, *scopes),
            "stranger": caller(http, node, "330503", *scopes),
        }

    def reader(self, party: str = JIASHAN, *scopes: str) -> Client:
        return caller(self.http, self.node, party, *(scopes or ("feeds:read",)))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    node = make_node(tmp_path_factory.mktemp("access"), WUJIANG)
    bring_plan(plan_document(SITES, ANTIMONY, SECRET), node)
    hand_in(node, site_line(), reading_line(), reading_line(factor="w01003", unit="[NTU]"))
    publish(node)
    with listening(node) as http:
        yield World(node, http)
    node.stop()


@pytest.mark.parametrize(
    ("who", "status"), [("owner", 200), ("granted", 200), ("ungranted", 403), ("stranger", 403), ("nobody", 401)]
)
@pytest.mark.parametrize("path", [f"/v1/feeds/{WUJIANG}/wj-secret", f"/v1/feeds/{WUJIANG}/wj-secret/1"])
def test_a_feed_is_for_its_owner_and_whom_the_plan_names(world: World, path: str, who: str, status: int) -> None:
    answer = world.readers[who].get(path) if who in world.readers else world.http.get(path)
    assert answer.status_code == status
    assert (b'"w01003"' in answer.content) == (status == 200)


@pytest.mark.parametrize(
    ("who", "factors"),
    [
        ("owner", {"w20004", "w01003"}),
        ("granted", {"w20004", "w01003"}),
        ("ungranted", {"w20004"}),
        ("stranger", set()),
    ],
)
def test_observations_are_for_their_owner_and_whom_the_plan_names(world: World, who: str, factors: set[str]) -> None:
    found = world.readers[who].get("/v1/observations").json()["observations"]
    assert {row["factor"] for row in found} == factors


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/feeds"), ("GET", FEED), ("GET", f"{FEED}/1"), ("PUT", f"/v1/inbox/{JIASHAN}/x/1"),
        ("POST", "/v1/receipts"), ("GET", "/v1/receipts/x/report"), ("GET", "/v1/receipts/x/proof"),
        ("POST", "/v1/submissions"), ("GET", "/v1/submissions/x"), ("GET", "/v1/submissions/x/report"),
        ("GET", "/v1/submissions/x/content"), ("GET", "/v1/observations"), ("GET", "/v1/plan"),
        ("GET", "/log/tile/0/000"),
    ],
)  # fmt: skip
def test_without_a_token_nobody_gets_anything(world: World, method: str, path: str) -> None:
    answer = world.http.request(method, path)
    assert code_of(answer, 401) == "token.missing"
    assert answer.headers["www-authenticate"] == 'DPoP algs="ES256 PS256 Ed25519"'


def claims_of(reader: Client) -> dict[str, Any]:
    _, claims = read_jwt(reader.token or reader.fetch_token(), {TOKEN_TYPE})
    return dict(claims)


def resigned(node: Node, claims: dict[str, Any], *, typ: str = TOKEN_TYPE) -> str:
    key = load_signing_key(node.gateway.keys.oauth.private)
    return sign_jwt(key, {"typ": typ, "kid": key.kid or key.thumbprint()}, claims)


def expired(world: World, reader: Client) -> None:
    reader.token = resigned(world.node, claims_of(reader) | {"exp": now_millis() // 1000 - 1})


def of_another_audience(world: World, reader: Client) -> None:
    reader.token = resigned(world.node, claims_of(reader) | {"aud": "https://127.0.0.1:1"})


def of_another_issuer(world: World, reader: Client) -> None:
    reader.token = resigned(world.node, claims_of(reader) | {"iss": "https://127.0.0.1:1"})


def unbound(world: World, reader: Client) -> None:
    reader.token = resigned(world.node, {name: value for name, value in claims_of(reader).items() if name != "cnf"})


def of_another_type(world: World, reader: Client) -> None:
    reader.token = resigned(world.node, claims_of(reader), typ="JWT")


def changed(world: World, reader: Client) -> None:
    token = reader.fetch_token()
    reader.token = token[:-6] + ("AAAAAA" if token[-6:] != "AAAAAA" else "BBBBBB")


def of_a_client_that_is_no_more(world: World, reader: Client) -> None:
    reader.token = resigned(world.node, claims_of(reader) | {"client_id": "nobody"})


def stolen(world: World, reader: Client) -> None:
    reader.token = world.reader().fetch_token()


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (expired, "token.expired"),
        (of_another_audience, "token.wrong-audience"),
        (of_another_issuer, "token.wrong-issuer"),
        (unbound, "token.unbound"),
        (of_another_type, "token.invalid"),
        (changed, "token.invalid"),
        (of_a_client_that_is_no_more, "token.invalid"),
        (stolen, "token.proof-invalid"),
    ],
)
def test_a_token_that_is_not_good_is_refused(world: World, spoil: Callable[[World, Client], None], code: str) -> None:
    reader = world.reader()
    assert reader.get("/v1/feeds").status_code == 200
    spoil(world, reader)
    answer = reader.get("/v1/feeds")
    assert code_of(answer, 401) == code
    assert answer.headers["www-authenticate"].startswith('DPoP algs="ES256 PS256 Ed25519", error="')


def test_a_token_of_another_gateway_is_refused(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = make_node(tmp_path_factory.mktemp("other"), JIASHAN)
    reader = world.reader()
    claims = claims_of(reader)
    reader.token = resigned(other, claims)
    assert code_of(reader.get("/v1/feeds"), 401) == "token.invalid"
    other.stop()


def test_a_token_without_its_proof_is_refused(world: World) -> None:
    reader = world.reader()
    headers = reader.headers("GET", "/v1/feeds")
    for scheme, proof, code in [
        ("DPoP", {}, "token.proof-missing"),
        ("Bearer", {}, "token.sent-as-bearer"),
        ("Bearer", {"DPoP": headers["DPoP"]}, "token.sent-as-bearer"),
        ("Basic", {"DPoP": headers["DPoP"]}, "token.invalid"),
    ]:
        answer = world.http.get("/v1/feeds", headers={"Authorization": f"{scheme} {reader.token}", **proof})
        assert code_of(answer, 401) == code
        assert "error=" in answer.headers["www-authenticate"]


def test_a_proof_is_good_once(world: World) -> None:
    headers = world.reader().headers("GET", "/v1/feeds")
    assert world.http.get("/v1/feeds", headers=headers).status_code == 200
    assert code_of(world.http.get("/v1/feeds", headers=headers), 401) == "token.proof-replayed"


def test_a_proof_is_good_for_one_request_of_one_token_at_its_time(world: World) -> None:
    reader = world.reader()
    reader.fetch_token()
    url, now = world.node.url + "/v1/feeds", now_millis()
    for proof in [
        make_proof(reader.proof_key, "POST", url, now, token=reader.token),
        make_proof(reader.proof_key, "GET", url + "/", now, token=reader.token),
        make_proof(reader.proof_key, "GET", "https://elsewhere/v1/feeds", now, token=reader.token),
        make_proof(reader.proof_key, "GET", url, now - 3_600_000, token=reader.token),
        make_proof(reader.proof_key, "GET", url, now + 3_600_000, token=reader.token),
        make_proof(reader.proof_key, "GET", url, now, token="another"),
        make_proof(reader.proof_key, "GET", url, now),
        make_proof(reader.key, "GET", url, now, token=reader.token),
    ]:
        headers = {"Authorization": f"DPoP {reader.token}", "DPoP": proof}
        assert code_of(world.http.get("/v1/feeds", headers=headers), 401) == "token.proof-invalid"


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/feeds", "feeds:read"),
        ("GET", FEED, "feeds:read"),
        ("GET", f"{FEED}/1", "feeds:read"),
        ("PUT", f"/v1/inbox/{JIASHAN}/x/1", "feeds:push"),
        ("POST", "/v1/submissions", "records:submit"),
        ("GET", "/v1/observations", "records:read"),
        ("GET", "/log/tile/entries/000.p/1", "audit:read"),
    ],
)
def test_a_scope_is_a_ceiling_also_for_the_gateways_own_party(world: World, method: str, path: str, scope: str) -> None:
    answer = world.reader(WUJIANG, "witness").call(method, path)
    assert code_of(answer, 403) == "token.scope-insufficient"
    assert answer.json()["scope"] == scope
    assert f'error="insufficient_scope", scope="{scope}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("method", "path", "scope", "code"),
    [
        ("POST", "/v1/submissions", "records:submit", "access.not-home"),
        ("GET", "/log/tile/entries/000.p/1", "audit:read", "access.not-home"),
        ("GET", f"/v1/feeds/{WUJIANG}/wj-secret", "feeds:read", "access.not-granted"),
        ("PUT", f"/v1/inbox/{QINGPU}/x/1", "feeds:push", "feed.not-provider"),
        ("GET", "/v1/observations", "feeds:read", "token.scope-insufficient"),
    ],
)
def test_a_refusal_of_a_known_caller_is_in_the_log(world: World, method: str, path: str, scope: str, code: str) -> None:
    reader = world.reader(JIASHAN, scope)
    before = len(entries(world.node, REFUSAL))
    assert code_of(reader.call(method, path), 403) == code
    (entry,) = entries(world.node, REFUSAL)[before:]
    assert (entry["actor"], entry["peer"]) == (reader.client_id, JIASHAN)
    said = {name: text for name, text in entry["detail"].items() if name != "rule"}
    assert said == {"code": code, "method": method, "path": path}
    # The rule that decided is told and logged; a scope is told in the challenge (RFC 6750).
    assert ("rule" in entry["detail"]) is (code != "token.scope-insufficient")


def test_a_refusal_of_somebody_unknown_writes_nothing(world: World) -> None:
    before = len(entries(world.node))
    assert world.http.get("/v1/feeds").status_code == 401
    assert world.http.get("/v1/feeds", headers={"Authorization": "DPoP x", "DPoP": "y"}).status_code == 401
    assert len(entries(world.node)) == before


@pytest.mark.parametrize("state", ["suspended", "ended"])
def test_a_client_that_is_stopped_is_refused_on_its_next_request(world: World, state: str) -> None:
    reader = world.reader()
    assert reader.get("/v1/feeds").status_code == 200
    set_client(world, reader, state=state)
    before = len(entries(world.node, REFUSAL))
    assert code_of(reader.get("/v1/feeds"), 403) == f"client.{state}"
    (entry,) = entries(world.node, REFUSAL)[before:]
    assert (entry["actor"], entry["detail"]["code"]) == (reader.client_id, f"client.{state}")


def test_a_scope_that_is_taken_away_is_gone_on_the_next_request(world: World) -> None:
    reader = world.reader(JIASHAN, "feeds:read", "records:read")
    assert reader.get("/v1/feeds").status_code == 200
    set_client(world, reader, scope="records:read")
    assert code_of(reader.get("/v1/feeds"), 403) == "token.scope-insufficient"


def set_client(world: World, reader: Client, **values: str) -> None:
    change = client_table.update().where(client_table.c.client_id == reader.client_id).values(**values)
    with world.node.gateway.database.write() as session:
        session.execute(change)
