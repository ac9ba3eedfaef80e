"""The console's routes: who reaches which, as whom, and that no other site and no partner's token does.

The matrix is made from the routes that are there: one that asks for nobody and stands in no list fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from audit.form import REFUSAL
from gateway.app import create_console_app, create_partner_app
from gateway.console.access import COOKIE, SignedIn, may, require_own_page, signed_in
from gateway.console.headers import ALWAYS, MAX_BODY
from gateway.errors import AccessDeniedError
from gateway.people import tables
from gateway.people.accounts import add_account, set_roles
from gateway.people.person import Person
from gateway.people.roles import MAY, ROLES, Permission, Role
from gateway.people.tries import BURST
from schemas.times import now_millis, utc_text
from tests.gateway.callers import caller, code_of, listening
from tests.gateway.hands import entries
from tests.people import PASSWORD, Owner, owner, person, session_of
from tests.world import WUJIANG, Node, make_node

JSON = {"content-type": "application/json"}
PUBLIC = {
    # Counts, states and times, for whoever watches the machine; never a value, a name or a key.
    "GET /",
    "GET /static/console.css",
    "GET /healthz",
    "GET /metrics",
    "GET /openapi.json",
    # Whoever signs in, or comes with a code, is not signed in yet.
    "POST /api/sign-in",
    "POST /api/enrolment",
    "PUT /api/enrolment",
}


def routes_of(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """Every route, those of included routers too; anything else that answers would be a way around."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            yield from routes_of(route.original_router.routes)


def names_of(app: FastAPI) -> dict[str, APIRoute]:
    return {f"{method} {route.path}": route for route in routes_of(app.routes) for method in route.methods or ()}


def calls_of(dependant: Dependant) -> Iterator[Any]:
    """All that a route depends on, at whatever depth."""
    for one in dependant.dependencies:
        yield one.call
        yield from calls_of(one)


def permissions_asked(route: APIRoute) -> set[Permission]:
    found = (getattr(call, "permission", None) for call in calls_of(route.dependant))
    return {permission for permission in found if permission is not None}


def asks_who(route: APIRoute) -> bool:
    return signed_in in calls_of(route.dependant)


def open_routes(app: FastAPI) -> set[str]:
    return {name for name, route in names_of(app).items() if not asks_who(route)}


def may_reach(route: APIRoute, one: Person) -> bool:
    """Whether all that the route depends on lets somebody in who is signed in."""
    try:
        for call in calls_of(route.dependant):
            if getattr(call, "permission", None) is not None:
                call(one)
    except AccessDeniedError as error:
        return error.code != "person.not-permitted"
    return True


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, FastAPI, dict[str, str]]]:
    """A node, its console, and a session for each role."""
    node = make_node(tmp_path_factory.mktemp("console"), WUJIANG)
    app = create_console_app(node.gateway, create_partner_app(node.gateway))
    yield node, app, {role: session_of(node, in_role(node, role), "console") for role in ROLES}
    node.stop()


def in_role(node: Node, role: Role) -> Person:
    if role != "visitor":
        return person(node, f"{role}-one", role)
    now = now_millis()
    with node.gateway.database.write() as session:
        add_account(session, "visitor-one", "Visitor", "visitor-one", now=now)
        set_roles(session, "visitor-one", ["visitor"], now=now, until=now + 3_600_000)
    return Person("visitor-one", "Visitor", frozenset({"visitor"}), now)


def every_route() -> dict[str, APIRoute]:
    """From an application that serves no gateway: only its routes are looked at."""
    return names_of(create_console_app(None, create_partner_app(None)))  # type: ignore[arg-type]


GUARDED = sorted(name for name in every_route() if name not in PUBLIC)
UNSAFE = sorted(name for name in every_route() if not name.startswith("GET "))


def request(http: TestClient, name: str, secret: str = "", **headers: str) -> Any:
    """Call a route by its name, with anything for what its path leaves open and nothing good in the body."""
    method, _, path = name.partition(" ")
    cookies = {"Cookie": f"{COOKIE}={secret}"} if secret else {}
    return http.request(method, re.sub(r"\{[^}]*\}", "0", path), headers={**JSON, **cookies, **headers})


@pytest.fixture
def http(world: tuple[Node, FastAPI, dict[str, str]]) -> Iterator[TestClient]:
    with TestClient(world[1], base_url="https://console.example") as client:
        yield client


def test_every_route_asks_who_calls_but_those_that_everybody_may_have() -> None:
    assert open_routes(create_console_app(None, create_partner_app(None))) == PUBLIC  # type: ignore[arg-type]
    assert len(GUARDED) > len(PUBLIC)


def test_a_route_that_forgets_to_ask_is_found_wherever_it_is() -> None:
    app, inner = FastAPI(openapi_url=None), APIRouter()

    @app.get("/direct")
    def direct() -> None: ...

    @inner.put("/included")
    def included() -> None: ...

    @inner.get("/asks")
    def asks(person: SignedIn) -> None: ...

    @inner.get("/permitted")
    def permitted(person: Annotated[Person, Depends(may("log.read"))]) -> None: ...

    app.include_router(inner)
    assert open_routes(app) == {"GET /direct", "PUT /included"}
    assert permissions_asked(names_of(app)["GET /permitted"]) == {"log.read"}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", GUARDED)
def test_auditor_or_operator_reaches_admin_route_never_each_role_reaches_what_it_may_and_nothing_else(
    world: tuple[Node, FastAPI, dict[str, str]], http: TestClient, name: str, role: Role
) -> None:
    node, app, sessions = world
    route = names_of(app)[name]
    asked = permissions_asked(route)
    allowed = asked <= MAY[role]
    assert may_reach(route, Person("x", "X", frozenset({role}), 0)) == allowed
    if not allowed:
        assert code_of(request(http, name, sessions[role]), 403) == "person.not-permitted"
        refusal = entries(node, REFUSAL)[-1]
        assert refusal["actor"].startswith("person:")
        assert refusal["detail"]["path"] == route.path


@pytest.mark.parametrize("name", GUARDED)
def test_without_a_session_nobody_gets_anything(http: TestClient, name: str) -> None:
    assert code_of(request(http, name), 401) == "session.missing"
    assert code_of(request(http, name, "x" * 43), 401) == "session.missing"


@pytest.mark.parametrize("name", GUARDED)
def test_partner_token_used_on_console_opens_nothing(
    world: tuple[Node, FastAPI, dict[str, str]], http: TestClient, token: dict[str, str], name: str
) -> None:
    assert code_of(request(http, name, **token), 401) == "session.missing"
    assert code_of(request(http, name, token["Authorization"].split()[1], **token), 401) == "session.missing"


@pytest.fixture(scope="module")
def token(world: tuple[Node, FastAPI, dict[str, str]]) -> dict[str, str]:
    """What a partner's client proves itself with."""
    node = world[0]
    with listening(node) as partner:
        return caller(partner, node, WUJIANG, "records:read").headers("GET", "/v1/records")


def test_a_persons_session_used_on_the_partner_listener_opens_nothing(
    world: tuple[Node, FastAPI, dict[str, str]],
) -> None:
    node, _, sessions = world
    for headers in (
        {"Cookie": f"{COOKIE}={sessions['audit']}"},
        {"Authorization": f"Bearer {sessions['audit']}"},
        {"Authorization": f"DPoP {sessions['audit']}"},
    ):
        with listening(node) as partner:
            assert partner.get("/v1/observations", headers=headers).status_code == 401


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://console.example"},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": ""},
    ],
    ids=str,
)
def test_cross_site_requests_change_nothing(
    world: tuple[Node, FastAPI, dict[str, str]], http: TestClient, name: str, headers: dict[str, str]
) -> None:
    for secret in ("", *world[2].values()):
        assert code_of(request(http, name, secret, **headers), 403) == "request.cross-site"


def test_every_unsafe_route_looks_where_a_request_comes_from() -> None:
    for name in UNSAFE:
        assert {require_own_page, signed_in} & set(calls_of(every_route()[name].dependant)), name


@pytest.mark.parametrize("name", ["GET /", "GET /healthz", "GET /metrics", "GET /api/me", "POST /api/sign-in",
                                  "GET /nothing", "DELETE /", "GET /static/console.css"])  # fmt: skip
def test_every_answer_carries_the_headers_however_it_went(http: TestClient, name: str) -> None:
    answer = request(http, name)
    assert {header: answer.headers.get(header) for header in ALWAYS} == ALWAYS
    assert answer.headers["cache-control"] == "no-store"
    assert "max-age" in answer.headers["strict-transport-security"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "access-control-allow-origin" not in answer.headers


def test_a_body_beyond_the_limit_is_not_read(http: TestClient) -> None:
    answer = http.post("/api/sign-in", content=b"x" * (MAX_BODY + 1), headers=JSON)
    assert code_of(answer, 413) == "request.too-large"
    chunks = (b"x" * 65_536 for _ in range(MAX_BODY // 65_536 + 2))
    assert http.post("/api/sign-in", content=chunks, headers=JSON).status_code in (400, 413)


# Signing in, as a browser does.


@pytest.fixture
def node(tmp_path: Path, database_url: str) -> Iterator[Node]:
    made = make_node(tmp_path, WUJIANG, database_url)
    yield made
    made.stop()


@pytest.fixture
def console(node: Node) -> Iterator[TestClient]:
    app = create_console_app(node.gateway, create_partner_app(node.gateway))
    with TestClient(app, base_url="https://console.example", headers=JSON) as client:
        yield client


def enter(console: TestClient, one: Owner, **changes: str) -> Any:
    body = {"name": one.name, "password": one.password, "code": one.code(now_millis())} | changes
    return console.post("/api/sign-in", json=body)


def test_signing_in_sets_a_cookie_that_no_script_and_no_other_site_has(node: Node, console: TestClient) -> None:
    answer = enter(console, owner(node, "wei", "security"))
    assert (answer.status_code, answer.json()) == (200, {"account": "wei", "failures": 0})
    cookie = answer.headers["set-cookie"]
    name, _, rest = cookie.partition("=")
    assert name == "__Host-taipu"
    assert {part.strip() for part in rest.split(";")[1:]} == {"HttpOnly", "Path=/", "SameSite=strict", "Secure"}
    me = console.get("/api/me").json()
    assert (me["account"], me["roles"]) == ("wei", ["security"])
    assert me["permissions"] == sorted(MAY["security"])


def test_what_is_wrong_is_not_told_apart_and_later_tries_wait(node: Node, console: TestClient) -> None:
    wei = owner(node, "wei", "security")
    answers = [enter(console, wei, **change) for change in (
        {"name": "nobody"}, {"password": "wrong"}, {"code": "000000"})]  # fmt: skip
    assert {code_of(answer, 401) for answer in answers} == {"sign-in.refused"}
    assert len({answer.text for answer in answers}) == 1
    assert not any("set-cookie" in answer.headers for answer in answers)
    for _ in range(3):
        enter(console, wei, password="wrong")
    waits = enter(console, wei)
    assert code_of(waits, 429) == "sign-in.wait"
    assert waits.headers["retry-after"] == "1"


def test_tries_from_one_address_are_bounded_whatever_names_they_try(node: Node, console: TestClient) -> None:
    owner(node, "wei", "security")
    codes = [console.post("/api/enrolment", json={"code": f"none{i}"}).json()["code"] for i in range(BURST + 5)]
    assert codes.count("enrolment.refused") >= BURST
    assert codes[-1] == "sign-in.wait"


def test_session_fixation_a_session_that_somebody_planted_is_another_one_after_signing_in(
    node: Node, console: TestClient
) -> None:
    wei = owner(node, "wei", "security")
    planted = session_of(node, person(node, "mallory", "operator"), "console")
    console.cookies.set(COOKIE, planted, domain="console.example")
    assert enter(console, wei).status_code == 200
    own = console.cookies[COOKIE]
    assert own != planted
    assert console.get("/api/me").json()["account"] == "wei"
    console.cookies.clear()
    assert code_of(console.get("/api/me", headers={"Cookie": f"{COOKIE}={planted}"}), 401) == "session.missing"


def test_step_up_gives_another_session_and_the_one_before_opens_nothing(node: Node, console: TestClient) -> None:
    wei = owner(node, "wei", "security")
    enter(console, wei)
    before = console.cookies[COOKIE]
    answer = console.post("/api/confirm", json={"code": wei.code(now_millis() + 30_000)})
    assert answer.json() == {"account": "wei"}
    assert console.cookies[COOKIE] != before
    assert console.get("/api/me").status_code == 200
    console.cookies.clear()
    assert code_of(console.get("/api/me", headers={"Cookie": f"{COOKIE}={before}"}), 401) == "session.missing"


def test_signing_out_ends_the_session_whatever_the_browser_keeps(node: Node, console: TestClient) -> None:
    enter(console, owner(node, "wei", "security"))
    kept = console.cookies[COOKIE]
    assert console.post("/api/sign-out").status_code == 204
    assert COOKIE not in console.cookies
    assert code_of(console.get("/api/me", headers={"Cookie": f"{COOKIE}={kept}"}), 401) == "session.missing"


def test_ones_sessions_are_listed_and_ended_one_by_one_or_all(node: Node, console: TestClient) -> None:
    enter(console, owner(node, "wei", "security"))
    other = session_of(node, person(node, "wei"))
    foreign = session_of(node, person(node, "li", "approver"))
    listed = console.get("/api/sessions").json()
    assert sorted((one["origin"], one["current"]) for one in listed) == [("console", True), ("terminal", False)]
    assert all(secret not in str(listed) for secret in (other, foreign, console.cookies[COOKIE]))
    (theirs,) = (one["id"] for one in listed if not one["current"])
    assert console.delete(f"/api/sessions/{theirs}").json() == {"ended": 1}
    assert code_of(console.delete(f"/api/sessions/{theirs}"), 404) == "resource.not-found"
    assert console.delete("/api/sessions").json() == {"ended": 1}
    assert code_of(console.get("/api/me"), 401) == "session.missing"
    assert console.get("/api/me", headers={"Cookie": f"{COOKIE}={foreign}"}).status_code == 200


def as_person(console: TestClient, node: Node, one: Person) -> TestClient:
    console.cookies.set(COOKIE, session_of(node, one, "console"), domain="console.example")
    return console


def test_a_person_is_proposed_shown_approved_and_enrolled_over_http(node: Node, console: TestClient) -> None:
    an, li = person(node, "an", "security"), person(node, "li", "approver")
    form = {"account": "zhao", "full_name": "赵强", "person": "S-7", "roles": ["operator"], "reason": "night shift"}
    proposed = as_person(console, node, an).post("/api/people", json=form)
    assert proposed.status_code == 201, proposed.text
    assert proposed.json()["may_approve"] is False
    identifier = proposed.json()["id"]
    (waiting,) = as_person(console, node, li).get("/api/proposals").json()
    assert waiting["says"] == "赵强 (staff number s7) gets the account zhao as 值班员 operator"
    assert waiting["content"] == {"account": "zhao", "full_name": "赵强", "person": "s7", "roles": ["operator"]}
    assert (waiting["proposer"], waiting["reason"], waiting["may_approve"]) == ("an", "night shift", True)
    assert console.get(f"/api/proposals/{identifier}").json() == waiting
    answer = console.post(f"/api/proposals/{identifier}/approve", json={"digest": "A" * 43})
    assert code_of(answer, 409) == "proposal.changed"
    answer = console.post(f"/api/proposals/{identifier}/approve", json={"digest": waiting["digest"]})
    assert (answer.json()["state"], answer.json()["decider"]) == ("approved", "li")
    assert console.get("/api/proposals").json() == []
    assert [one["id"] for one in console.get("/api/proposals?which=all").json()] == [identifier]
    code = as_person(console, node, an).post(f"/api/proposals/{identifier}/code").json()["code"]
    console.cookies.clear()
    begun = console.post("/api/enrolment", json={"code": code}).json()
    assert begun["svg"].startswith("<svg")
    digits = pyotp.TOTP(parse_qs(urlsplit(begun["uri"]).query)["secret"][0]).now()
    done = console.put("/api/enrolment", json={"code": code, "password": PASSWORD, "shown": digits})
    assert done.json() == {"account": "zhao", "roles": ["operator"]}
    listed = {one["account"]: one for one in as_person(console, node, li).get("/api/people").json()}
    assert (listed["zhao"]["enrolled"], listed["zhao"]["active"]) == (True, True)
    assert not {"password", "totp"} & set(listed["zhao"])


def test_an_approval_takes_a_second_factor_of_the_last_minutes(node: Node, console: TestClient) -> None:
    an, li = person(node, "an", "security"), owner(node, "li", "approver")
    form = {"account": "zhao", "full_name": "Zhao", "person": "7", "roles": ["operator"]}
    proposal = as_person(console, node, an).post("/api/people", json=form).json()
    console.cookies.set(COOKIE, session_of(node, person(node, "li"), "console"), domain="console.example")
    with node.gateway.database.write() as session:
        session.execute(tables.session.update().values(confirmed=0))
    path, body = f"/api/proposals/{proposal['id']}/approve", {"digest": proposal["digest"]}
    assert code_of(console.post(path, json=body), 403) == "person.confirm-again"
    assert console.post("/api/confirm", json={"code": li.code(now_millis())}).status_code == 200
    assert console.post(path, json=body).json()["state"] == "approved"


def test_session_ends_on_disable(node: Node, console: TestClient) -> None:
    an, zhao = person(node, "an", "security"), person(node, "zhao", "operator")
    theirs = session_of(node, zhao, "console")
    as_person(console, node, an)
    assert console.post("/api/people/zhao/disable", json={}).json()["active"] is False
    console.cookies.clear()
    assert code_of(console.get("/api/me", headers={"Cookie": f"{COOKIE}={theirs}"}), 401) == "session.missing"


def test_an_administrator_ends_anybodys_sessions(node: Node, console: TestClient) -> None:
    an, zhao = person(node, "an", "security"), person(node, "zhao", "operator")
    theirs = session_of(node, zhao, "console")
    assert as_person(console, node, an).delete("/api/people/zhao/sessions").json() == {"ended": 1}
    console.cookies.clear()
    assert code_of(console.get("/api/me", headers={"Cookie": f"{COOKIE}={theirs}"}), 401) == "session.missing"


NEW = {"account": "zhao", "full_name": "Zhao", "person": "7", "roles": ["operator"]}


@pytest.mark.parametrize("member", ["state", "approved", "active", "enrolled", "totp", "created", "decider"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/people", NEW),
        ("POST", "/api/people/an/roles", {"roles": ["operator"]}),
        ("POST", "/api/people/an/recovery", {}),
        ("POST", "/api/people/an/return", {}),
        ("POST", "/api/people/an/disable", {}),
        ("POST", "/api/proposals/0/approve", {"digest": "x" * 43}),
        ("POST", "/api/proposals/0/reject", {}),
        ("POST", "/api/sign-in", {"name": "a", "password": "b", "code": "c"}),
        ("POST", "/api/confirm", {"code": "c"}),
        ("PUT", "/api/enrolment", {"code": "c", "password": "b", "shown": "1"}),
    ],
)
def test_mass_assignment_what_is_not_asked_for_is_refused(
    world: tuple[Node, FastAPI, dict[str, str]],
    http: TestClient,
    method: str,
    path: str,
    body: dict[str, Any],
    member: str,
) -> None:
    headers = {"Cookie": f"{COOKIE}={world[2]['security']}"}
    answer = http.request(method, path, json={**body, member: "x"}, headers=headers)
    assert code_of(answer, 400) == "request.malformed"
    assert answer.json()["pointers"] == [f"/body/{member}"]


@pytest.mark.parametrize("value", [1, True, None, ["x"], {"x": 1}])
def test_what_is_of_another_type_is_not_taken_for_text(http: TestClient, value: object) -> None:
    answer = http.post("/api/sign-in", json={"name": value, "password": "b", "code": "c"}, headers=JSON)
    assert code_of(answer, 400) == "request.malformed"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"until": "tomorrow"}, 422, "person.malformed"),
        ({"roles": ["root"]}, 422, "person.malformed"),
        ({"roles": ["audit", "operator"]}, 409, "person.roles-apart"),
        ({"account": "安"}, 422, "person.malformed"),
        ({"reason": "a\u0007b"}, 409, "proposal.reason-invalid"),
        ({"account": "x" * 201}, 400, "request.malformed"),
        ({"roles": ["visitor"], "until": utc_text(0)}, 422, "person.malformed"),
    ],
)
def test_what_cannot_be_is_refused_by_its_code(
    node: Node, console: TestClient, change: dict[str, Any], status: int, code: str
) -> None:
    answer = as_person(console, node, person(node, "an", "security")).post("/api/people", json=NEW | change)
    assert code_of(answer, status) == code


def test_a_person_that_is_not_recent_is_told_so_and_one_of_the_future_too() -> None:
    one, now = Person("x", "X", frozenset(), now_millis()), now_millis()
    assert one.is_recent(now)
    assert not replace(one, confirmed=now - 5 * 60_000).is_recent(now)
    assert not replace(one, confirmed=now + 1).is_recent(now)
