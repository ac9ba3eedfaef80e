"""Personal tokens: shown once, for reading alone, on the console alone, and gone with account, role, time or a word."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from starlette.testclient import TestClient

from audit.form import PERSONAL_TOKEN, READ, TOKENS_REVOKED
from gateway.app import create_console_app, create_partner_app
from gateway.console.access import COOKIE
from gateway.console.data import read_routes
from gateway.errors import AccessDeniedError, NotFoundError, RequestError
from gateway.people import tables as people_tables
from gateway.people.person import Person, actor_of
from gateway.tokens import MAX_TOKENS, REFUSED_PER_MINUTE, make_token, revoke_token, tokens_of
from partners.tables import MAX_TOKEN_LIFE, personal_token
from schemas.times import DAY, now_millis
from tests.gateway.callers import caller, code_of, listening
from tests.gateway.commands import refused, taipu
from tests.gateway.hands import entries, hand_in
from tests.people import person, session_of
from tests.world import ANTIMONY, SITES, WUJIANG, Node, reading_line

READS = sorted(route.path for route in read_routes())


@pytest.fixture
def analyst(wujiang: Node) -> Person:
    hand_in(wujiang, reading_line())
    return person(wujiang, "qian", "analyst")


@pytest.fixture
def console(wujiang: Node) -> Iterator[TestClient]:
    """The console listener, called in process."""
    app = create_console_app(wujiang.gateway, create_partner_app(wujiang.gateway))
    with TestClient(app, "https://console.example") as http:
        yield http


def token(node: Node, by: Person, **options: Any) -> str:
    return make_token(node.gateway, by=by, now=options.pop("now", now_millis()), **options)[0]


def basic(text: str, user: str = "qian") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{text}".encode()).decode()}


def test_a_token_reads_the_datasets_it_names_and_each_read_is_logged_with_who_read(
    wujiang: Node, analyst: Person, console: TestClient
) -> None:
    text, made = make_token(wujiang.gateway, by=analyst, datasets=[ANTIMONY["id"]], now=now_millis())
    answer = console.get("/v1/observations", headers=basic(text))
    assert answer.status_code == 200, answer.text
    assert [one["factor"] for one in answer.json()["observations"]] == ["w20004"]
    (entry,) = entries(wujiang, READ)
    actor = f"{actor_of(wujiang.gateway.home, 'qian')}/{made.id}"
    assert (entry["actor"], entry["detail"]["count"]) == (actor, 1)
    sites = token(wujiang, analyst, datasets=[SITES["id"]])
    assert console.get("/v1/observations", headers=basic(sites)).json().get("observations", []) == []


@pytest.mark.parametrize("path", READS)
def test_the_console_has_the_partner_listeners_read_routes_and_only_those(
    wujiang: Node, analyst: Person, console: TestClient, path: str
) -> None:
    assert console.get(path, headers=basic(token(wujiang, analyst))).status_code in (200, 403)
    answer = console.get(path)
    assert code_of(answer, 401) == "token.missing"
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_every_route_for_tokens_only_reads() -> None:
    assert READS == ["/v1/cases", "/v1/inspections", "/v1/marks", "/v1/observations", "/v1/sites", "/v1/sources"]
    assert {method for route in read_routes() for method in route.methods} == {"GET"}


def test_the_token_is_kept_as_a_hash_alone_and_never_shown_again(wujiang: Node, analyst: Person) -> None:
    text = token(wujiang, analyst)
    with wujiang.gateway.database.read() as session:
        (row,) = session.execute(select(personal_token)).mappings().all()
    secret = text.removeprefix("taipu_")
    assert secret not in json.dumps(dict(row))
    assert secret not in json.dumps(entries(wujiang))
    (made,) = entries(wujiang, PERSONAL_TOKEN)
    assert made["detail"]["owner"] == actor_of(wujiang.gateway.home, "qian")


def test_partner_token_used_on_console_or_reverse(wujiang: Node, analyst: Person, console: TestClient) -> None:
    text = token(wujiang, analyst)
    with listening(wujiang) as partner:
        for headers in (basic(text), {"Authorization": f"DPoP {text}"}, {"Authorization": f"Bearer {text}"}):
            assert partner.get("/v1/observations", headers=headers).status_code == 401
        reader = caller(partner, wujiang, WUJIANG, "records:read")
        reader.fetch_token()
        for path in READS:
            assert code_of(console.get(path, headers=reader.headers("GET", path)), 401) == "token.invalid"
        assert code_of(console.get("/v1/sites", headers=basic(reader.token)), 401) == "token.invalid"


def no_account(node: Node) -> None:
    with node.gateway.database.write() as session:
        session.execute(update(people_tables.account).values(state="disabled"))


def no_role(node: Node) -> None:
    with node.gateway.database.write() as session:
        session.execute(delete(people_tables.role_grant))


def revoked(node: Node) -> None:
    now = now_millis()
    with node.gateway.database.read() as session:
        (one,) = tokens_of(session, now=now)
    revoke_token(node.gateway, one.id, by=person(node, "qian"), now=now)


def ended(node: Node) -> None:
    with node.gateway.database.write() as session:
        session.execute(update(personal_token).values(ends=now_millis()))


@pytest.mark.parametrize("taken_away", [no_account, no_role, revoked, ended])
def test_a_token_ends_with_account_role_time_or_a_word_on_the_next_request(
    wujiang: Node, analyst: Person, console: TestClient, taken_away: Any
) -> None:
    headers = basic(token(wujiang, analyst))
    assert console.get("/v1/sites", headers=headers).status_code == 200
    taken_away(wujiang)
    assert code_of(console.get("/v1/sites", headers=headers), 401) == "token.invalid"


WRONG = {
    "another account's name": lambda text: basic(text, "li"),
    "no account": lambda text: basic(text, ""),
    "a letter changed": lambda text: basic(text[:-1] + ("A" if text[-1] != "A" else "B")),
    "nothing": lambda _: basic(""),
    "NUL": lambda text: basic(text + "\0"),
    "not base64": lambda _: {"Authorization": "Basic !!"},
    "not text": lambda _: {"Authorization": "Basic //79"},
    "no colon": lambda _: {"Authorization": "Basic " + base64.b64encode(b"qian").decode()},
    "very long": lambda _: {"Authorization": "Basic " + "A" * 4000},
    "another scheme": lambda text: {"Authorization": f"Bearer {text}"},
}


@pytest.mark.parametrize("name", WRONG)
def test_whatever_is_wrong_gets_one_answer(wujiang: Node, analyst: Person, console: TestClient, name: str) -> None:
    answer = console.get("/v1/sites", headers=WRONG[name](token(wujiang, analyst)))
    assert code_of(answer, 401) == "token.invalid"
    assert answer.json()["detail"] == "the token is not known here, or no longer"


def test_who_sends_wrong_tokens_too_often_waits_also_with_a_right_one(
    wujiang: Node, analyst: Person, console: TestClient
) -> None:
    right = basic(token(wujiang, analyst))
    codes = [console.get("/v1/sites", headers=basic("x")).json()["code"] for _ in range(2 * REFUSED_PER_MINUTE)]
    # A minute may have turned meanwhile: then counting begins anew, once.
    assert "sign-in.wait" in codes or codes.count("token.invalid") >= REFUSED_PER_MINUTE
    assert codes[:REFUSED_PER_MINUTE].count("sign-in.wait") == 0
    if codes[-1] == "sign-in.wait":
        assert code_of(console.get("/v1/sites", headers=right), 429) == "sign-in.wait"


@pytest.mark.parametrize("role", ["system", "security", "audit", "approver", "operator"])
def test_who_may_not_read_values_gets_no_token(wujiang: Node, role: Any) -> None:
    with pytest.raises(AccessDeniedError):
        token(wujiang, person(wujiang, "zhou", role))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"days": 91}, "token.days"),
        ({"days": 0}, "token.days"),
        ({"name": "x" * 65}, "token.name"),
        ({"name": "a\nb"}, "token.name"),
        ({"datasets": ["nobodys"]}, "token.datasets"),
        ({"datasets": [ANTIMONY["id"], "nobodys"]}, "token.datasets"),
    ],
)
def test_a_token_that_cannot_be_is_not_made(wujiang: Node, analyst: Person, options: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestError) as caught:
        token(wujiang, analyst, **options)
    assert caught.value.code == code


def test_a_person_has_so_many_tokens_and_no_more(wujiang: Node, analyst: Person) -> None:
    for _ in range(MAX_TOKENS):
        token(wujiang, analyst)
    with pytest.raises(RequestError) as caught:
        token(wujiang, analyst)
    assert caught.value.code == "token.too-many"


def test_the_database_keeps_no_token_longer_than_ninety_days(wujiang: Node, analyst: Person) -> None:
    now = now_millis()
    token(wujiang, analyst, now=now)
    with wujiang.gateway.database.write() as session:
        assert session.scalar(select(personal_token.c.ends)) == now + 90 * DAY
    with pytest.raises(IntegrityError), wujiang.gateway.database.write() as session:
        session.execute(update(personal_token).values(ends=now + MAX_TOKEN_LIFE + 1))


def test_only_its_owner_or_who_may_end_peoples_sessions_ends_a_token(wujiang: Node, analyst: Person) -> None:
    _, made = make_token(wujiang.gateway, by=analyst, now=now_millis())
    with pytest.raises(NotFoundError):
        revoke_token(wujiang.gateway, made.id, by=person(wujiang, "wu", "analyst"), now=now_millis())
    revoke_token(wujiang.gateway, made.id, by=person(wujiang, "sun", "security"), now=now_millis())
    assert len(entries(wujiang, TOKENS_REVOKED)) == 1
    with pytest.raises(NotFoundError):
        revoke_token(wujiang.gateway, made.id, by=analyst, now=now_millis())


def test_tokens_over_http_are_those_of_whoever_is_signed_in(
    wujiang: Node, analyst: Person, console: TestClient
) -> None:
    def cookie(one: Person) -> dict[str, str]:
        return {"Cookie": f"{COOKIE}={session_of(wujiang, one, 'console')}", "Sec-Fetch-Site": "same-origin"}

    mine = cookie(analyst)
    made = console.post("/api/tokens", json={"name": "QGIS", "days": 7}, headers=mine)
    assert made.status_code == 201, made.text
    assert console.get("/v1/sites", headers=basic(made.json()["token"])).status_code == 200
    (listed,) = console.get("/api/tokens", headers=mine).json()
    assert (listed["name"], listed["user"], "token" in listed) == ("QGIS", "qian", False)
    assert console.get("/api/tokens", headers=cookie(person(wujiang, "wu", "analyst"))).json() == []
    for extra in ({"account": "li"}, {"days": 91}, {"scopes": ["audit:read"]}):
        assert console.post("/api/tokens", json=extra, headers=mine).status_code == 400
    assert console.post(f"/api/tokens/{listed['id']}/revoke", json={}, headers=mine).status_code == 200
    assert console.get("/api/tokens", headers=mine).json() == []


def test_clients_over_http_mass_assignment_is_refused(wujiang: Node, console: TestClient) -> None:
    wei = {"Cookie": f"{COOKIE}={session_of(wujiang, person(wujiang, 'wei', 'system'), 'console')}"}
    jwks = json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})
    form = {"client_id": "one", "party": WUJIANG, "kind": "reader", "scopes": ["records:read"], "keys": jwks}
    for extra in ({"state": "active"}, {"unbound_by": "li"}, {"approved": True}, {"kind": "gateway"}):
        assert console.post("/api/clients", json={**form, **extra}, headers=wei).status_code == 400
    proposed = console.post("/api/clients", json=form, headers=wei)
    assert proposed.status_code == 202, proposed.text
    assert console.get("/api/clients", headers=wei).json() == []
    assert len(proposed.json()["digest"]) == 43


def test_taipu_token_makes_lists_and_ends(wujiang: Node, analyst: Person) -> None:
    home, env = wujiang.gateway.settings.home, {"TAIPU_SESSION": session_of(wujiang, analyst)}
    made = taipu("token", "new", "--dataset", SITES["id"], "--days", 3, "--name", "R", "--home", home, env=env)
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("taipu_")
    assert "user qian" in made.stderr
    listed = json.loads(taipu("token", "list", "--json", "--home", home, env=env).stdout)
    assert [(one["name"], one["datasets"]) for one in listed] == [("R", [SITES["id"]])]
    assert taipu("token", "revoke", listed[0]["id"], "--home", home, env=env).exit_code == 0
    refused(taipu("token", "revoke", listed[0]["id"], "--home", home, env=env), "token.unknown")
    refused(taipu("token", "new", "--home", home), "session.missing")
