"""Every error of ours has a status and a form of its own (RFC 9457); nothing else is said, whatever goes wrong."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import ModuleType, SimpleNamespace

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

import audit
import gateway
import partners
import schemas
from gateway.app import create_partner_app
from gateway.errors import STATUS, AccessDeniedError, problem, status_of
from gateway.setting_groups import Tls
from partners.errors import ScopeError
from schemas.errors import LimitError, RecordError, SharingError
from tests.gateway.callers import caller, code_of, listening
from tests.world import JIASHAN, WUJIANG, Node, make_node

COMMANDS_ONLY = {
    "DemoError",  # the demonstration
    "DeviceError",  # a file that an operator registers
    "EvidenceError",  # a directory that an auditor checks
    "HomeError",  # making or opening a home directory
    "IllnessError",  # `taipu doctor`
    "InputError",  # what was typed
    "OutlineError",  # a file that an operator names in the settings
    "SettingsError",  # starting
}
"""Raised to somebody at a terminal, before or beside serving: no request is ever answered with one."""


def every_module(package: ModuleType) -> Iterator[str]:
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            yield found.name


def every_error() -> list[type[SharingError]]:
    """All subclasses of SharingError in our packages."""
    for package in (schemas, partners, audit, gateway):
        for name in every_module(package):
            importlib.import_module(name)
    found: list[type[SharingError]] = []
    waiting = [SharingError]
    while waiting:
        kinds = [kind for kind in waiting.pop().__subclasses__() if kind.__module__.split(".")[0] != "tests"]
        found += kinds
        waiting += kinds
    return sorted(set(found), key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_by_its_own_row_or_its_parents(kind: type[SharingError]) -> None:
    rows = [STATUS[parent] for parent in kind.__mro__ if parent in STATUS and parent is not SharingError]
    if kind.__name__ in COMMANDS_ONLY:
        assert not rows
    else:
        assert rows
        assert 400 <= rows[0] < 600
        assert rows[0] != 500


def test_every_error_has_a_stable_code_of_its_own() -> None:
    codes = [vars(kind)["code"] for kind in every_error() if "code" in vars(kind)]
    assert len(codes) == len(set(codes))
    assert all(code.count(".") == 1 and code == code.lower() for code in codes)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SharingError("x", code="party.unknown"), 404),
        (SharingError("x", code="party.exists"), 409),
        (RecordError("x", code="submission.media-type"), 415),
        (LimitError("x"), 413),
        (LimitError("x", code="limit.replay-memory-full"), 429),
        (AccessDeniedError("x"), 403),
    ],
)
def test_some_codes_have_a_status_of_their_own(error: SharingError, status: int) -> None:
    assert status_of(error) == status


def test_a_problem_says_all_that_an_error_knows() -> None:
    error = RecordError("the unit is unknown", code="record.unit-unknown", pointers=["/unit"], extra={"missing": "foo"})
    assert problem(error) == {
        "type": "about:blank", "title": "record.unit-unknown", "status": 422, "code": "record.unit-unknown",
        "detail": "the unit is unknown", "pointers": ["/unit"], "missing": "foo",
    }  # fmt: skip


def test_what_an_error_adds_never_hides_what_every_problem_has() -> None:
    body = problem(AccessDeniedError("no", extra={"status": 200, "code": "fine", "type": "x", "held": 3}))
    assert (body["status"], body["code"], body["type"], body["held"]) == (403, "access.denied", "about:blank", 3)


def test_an_error_with_a_challenge_carries_it() -> None:
    with failing(ScopeError("audit:read")) as http:
        answer = http.get("/fails")
    assert code_of(answer, 403) == "token.scope-insufficient"
    assert 'scope="audit:read"' in answer.headers["www-authenticate"]
    assert answer.headers["cache-control"] == "no-store"


def test_who_asks_too_much_is_told_when_to_ask_again() -> None:
    with failing(LimitError("full", code="limit.replay-memory-full")) as http:
        answer = http.get("/fails")
    assert code_of(answer, 429) == "limit.replay-memory-full"
    assert int(answer.headers["retry-after"]) > 0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Node]]:
    """A gateway that answers malformed requests, and others for what is not there."""
    node = make_node(tmp_path_factory.mktemp("home"), WUJIANG)
    with listening(node) as http:
        yield http, node
    node.stop()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "resource.not-found"),
        ("GET", "/v1/nothing", 404, "resource.not-found"),
        ("GET", "/v1/feeds/", 404, "resource.not-found"),
        ("GET", "/openapi.json", 404, "resource.not-found"),
        ("GET", "/docs", 404, "resource.not-found"),
        ("GET", "/metrics", 404, "resource.not-found"),
        ("GET", "/healthz", 404, "resource.not-found"),
        ("DELETE", "/v1/feeds", 405, "request.method-not-allowed"),
        ("POST", "/v1/observations", 405, "request.method-not-allowed"),
        ("PUT", "/.well-known/taipu", 405, "request.method-not-allowed"),
    ],
)
def test_what_is_not_there_is_a_problem_too(
    home: tuple[TestClient, Node], method: str, path: str, status: int, code: str
) -> None:
    assert code_of(home[0].request(method, path), status) == code


@pytest.mark.parametrize(
    ("method", "path", "pointer"),
    [
        ("GET", "/v1/feeds?wait=soon", "/query/wait"),
        ("GET", "/v1/feeds?wait=-1", "/query/wait"),
        ("GET", "/v1/feeds?wait=nan", "/query/wait"),
        ("GET", "/v1/feeds?wait=61", "/query/wait"),
        ("GET", "/v1/feeds/320509/wj-antimony?after=-1", "/query/after"),
        ("GET", "/v1/feeds/320509/wj-antimony?after=x", "/query/after"),
        ("GET", "/v1/feeds/320509/wj-antimony/one", "/path/seq"),
        ("PUT", "/v1/inbox/330421/js-sites/1.5", "/path/seq"),
        ("GET", "/v1/observations?limit=0", "/query/limit"),
        ("GET", "/v1/observations?format=xml", "/query/format"),
    ],
)
def test_a_malformed_request_is_a_problem_that_points_at_the_place(
    home: tuple[TestClient, Node], method: str, path: str, pointer: str
) -> None:
    answer = caller(*home, JIASHAN, "feeds:read", "feeds:push", "records:read").call(method, path)
    assert code_of(answer, 400) == "request.malformed"
    assert answer.json()["pointers"] == [pointer]


def test_an_unexpected_error_is_told_without_its_text() -> None:
    with failing(RuntimeError("secret: postgresql://taipu:hunter2@10.0.0.1")) as http, capture_logs() as log:
        answer = http.get("/fails")
    assert [(line["event"], line["path"]) for line in log] == [("request.failed", "/fails")]
    assert code_of(answer, 500) == "gateway.fault"
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text


@contextmanager
def failing(error: Exception) -> Iterator[TestClient]:
    """A caller of the partner application with one route more, which raises `error`."""
    no_gateway = SimpleNamespace(settings=SimpleNamespace(tls=Tls()))  # what every request asks is no more than that
    app = create_partner_app(no_gateway)  # type: ignore[arg-type]

    @app.get("/fails")
    def fail() -> None:
        raise error

    # Closed, not entered: entering would start the application, and there is no gateway to start.
    with closing(TestClient(app, raise_server_exceptions=False)) as http:
        yield http
