"""Trying a partner's gateway: each thing that may be wrong is a step that failed, with its code; nothing is raised."""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.connection_test import PATIENCE, Report, try_address, try_document, try_partner
from partners.document import MAX_DOCUMENT, PartyError, Tls
from partners.errors import PartnerRefusedError, PartnerUnreachableError
from partners.reach import Reach
from schemas.times import DAY, now_millis, utc_text
from tests.gateway.hands import party_at
from tests.gateway.tls_server import TlsServer, reply
from tests.partners.party_world import World, new_ca
from tests.world import JIASHAN, WUJIANG, Node, free_port, introduce, make_node, serve, wait_for

STEPS = ["address", "connection", "certificate", "clock", "document", "metadata", "our access", "their access"]
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = make_node(tmp_path_factory.mktemp("home"), WUJIANG)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def party() -> World:
    return World()


@pytest.fixture
def server(tmp_path: Path, party: World) -> Iterator[TlsServer]:
    """A partner that does everything right but giving us tokens: it does not know us."""
    made = TlsServer(tmp_path / "stranger", now=now_millis())
    made.answer = lambda path: PAGES[path](made, party)
    yield made
    made.stop()


def document_of(server: TlsServer, party: World, **changed: Any) -> str:
    now = now_millis()
    endpoints = {"token": f"{server.url}/oauth/token"}
    said = {
        "issuer": server.url, "tls": Tls(ca=server.ca_pem), "endpoints": endpoints, "issued": utc_text(now - DAY),
        "expires": utc_text(now + 100 * DAY),
    }  # fmt: skip
    return party.token(**(said | changed))


def metadata_of(server: TlsServer, **changed: Any) -> str:
    return json.dumps({"issuer": server.url, "token_endpoint": f"{server.url}/oauth/token"} | changed)


PAGES = {
    "/.well-known/taipu": lambda server, party: reply(document_of(server, party)),
    "/.well-known/oauth-authorization-server": lambda server, _party: reply(metadata_of(server)),
    "/oauth/token": lambda _server, _party: reply('{"error":"invalid_client"}', "401 Unauthorized"),
    "/v1/feeds": lambda _server, _party: reply('{"code":"client.suspended"}', "403 Forbidden"),
}


def instead(server: TlsServer, path: str, answer: Any) -> None:
    """Answer this path otherwise from now on; `answer` is bytes, or makes them."""
    before = server.answer
    server.answer = lambda asked: (answer() if callable(answer) else answer) if asked == path else before(asked)


def results(report: Report) -> dict[str, str]:
    """The code of each step; `ok` where it went well."""
    assert [step.name for step in report.steps] == STEPS
    assert all(step.text for step in report.steps)
    return {step.name: step.code or step.result for step in report.steps}


def tried(node: Node, server: TlsServer, **options: Any) -> dict[str, str]:
    return results(try_address(node.gateway, server.url, now=now_millis(), **options))


NEW = dict.fromkeys(STEPS, "ok") | {"our access": "access.not-registered", "their access": "access.never-called"}


def test_a_good_gateway_that_does_not_know_us_lacks_nothing_but_that(node: Node, server: TlsServer) -> None:
    assert tried(node, server, ca_pem=server.ca_pem) == NEW


def test_fake_partner_gateway_gets_no_assertion_of_ours_while_nothing_but_its_document_vouches_for_it(
    node: Node, server: TlsServer, party: World
) -> None:
    assert tried(node, server) == NEW | {"our access": "access.unvouched"}
    another = document_of(server, party, issuer="https://gateway.qingpu.example")
    instead(server, "/.well-known/taipu", reply(another))
    assert tried(node, server, ca_pem=server.ca_pem)["our access"] == "access.unvouched"
    assert "/oauth/token" not in server.paths


def test_two_gateways_that_have_called_each_other_are_ok_in_every_step(tmp_path: Path) -> None:
    ours, theirs = make_node(tmp_path, WUJIANG), make_node(tmp_path, JIASHAN)
    introduce(ours, theirs)
    try:
        serve(theirs)
        report = try_partner(ours.gateway, party_at(ours, theirs), now=now_millis())
        assert results(report) == dict.fromkeys(STEPS, "ok") | {"their access": "access.never-called"}
        serve(ours)

        def all_ok() -> bool:
            return try_partner(ours.gateway, party_at(ours, theirs), now=now_millis()).ok

        wait_for(all_ok)
        later = try_partner(ours.gateway, party_at(ours, theirs), now=now_millis() + 2 * DAY)
        assert results(later)["their access"] == "access.not-lately"
    finally:
        ours.stop()
        theirs.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "192.168.0.1", "[::1]", "[fd00::1]"])
def test_ssrf_via_partner_given_url_an_address_inside_is_not_called(node: Node, host: str) -> None:
    gateway = node.gateway
    allowed, gateway.reach = gateway.reach, Reach()
    try:
        begun = time.monotonic()
        found = results(try_address(gateway, f"https://{host}:8443", now=now_millis()))
    finally:
        gateway.reach = allowed
    assert found == dict.fromkeys(STEPS, "step.not-tried") | {"address": "partner.address-not-allowed"}
    assert time.monotonic() - begun < 1


def test_ssrf_via_partner_given_url_a_name_that_leads_elsewhere_a_moment_later_is_refused_then(
    node: Node, server: TlsServer
) -> None:
    answers = iter(["127.0.0.1", "127.0.0.1", "169.254.169.254"])
    allowed = node.gateway.reach
    node.gateway.reach = Reach([LOOPBACK], resolve=lambda _host, _port: [next(answers, "169.254.169.254")])
    try:
        found = results(try_address(node.gateway, server.url, now=now_millis()))
    finally:
        node.gateway.reach = allowed
    assert found["connection"] == "ok"
    assert found["document"] == "partner.address-not-allowed"
    assert server.paths == []


def test_ssrf_via_partner_given_url_a_token_endpoint_inside_is_not_called_either(
    node: Node, server: TlsServer, party: World
) -> None:
    """Nor any other that is not the issuer's own: what is signed for one issuer is not shown to somebody else."""
    elsewhere = "https://169.254.169.254/latest/meta-data"
    instead(server, "/.well-known/taipu", reply(document_of(server, party, endpoints={"token": elsewhere})))
    metadata = metadata_of(server, token_endpoint=elsewhere)
    instead(server, "/.well-known/oauth-authorization-server", reply(metadata))
    found = try_address(node.gateway, server.url, ca_pem=server.ca_pem, now=now_millis())
    assert results(found)["our access"] == "partner.endpoint-elsewhere"


def test_a_name_that_does_not_exist_is_said_to_be_so(node: Node) -> None:
    allowed, node.gateway.reach = node.gateway.reach, Reach([LOOPBACK], resolve=lambda _host, _port: [])
    try:
        report = try_address(node.gateway, "https://nobody.example", now=now_millis())
    finally:
        node.gateway.reach = allowed
    assert results(report)["address"] == "partner.name-unknown"
    with pytest.raises(PartnerUnreachableError):
        report.require_token()


def test_nobody_there_is_said_to_be_so(node: Node) -> None:
    found = results(try_address(node.gateway, f"https://127.0.0.1:{free_port()}", now=now_millis()))
    assert found == dict.fromkeys(STEPS, "step.not-tried") | {"address": "ok", "connection": "partner.unreachable"}


def test_what_is_no_address_of_a_gateway_is_the_askers_fault(node: Node) -> None:
    with pytest.raises(PartyError):
        try_address(node.gateway, "http://gateway.example", now=now_millis())


def test_what_speaks_no_tls_is_said_to_do_so(node: Node) -> None:
    doors = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b""]
    with socket.create_server(("127.0.0.1", 0)) as door:

        def talk() -> None:
            for said in doors:
                connection, _ = door.accept()
                with connection:
                    connection.sendall(said)

        threading.Thread(target=talk, daemon=True).start()
        url = f"https://127.0.0.1:{door.getsockname()[1]}"
        for _ in doors:
            assert results(try_address(node.gateway, url, now=now_millis()))["connection"] == "tls.failed"


def test_an_old_tls_is_said_to_be_one(node: Node, server: TlsServer) -> None:
    server.context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        server.context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        server.context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert tried(node, server)["connection"] == "tls.version"


def test_fake_partner_gateway_another_authority_vouches_for_it(node: Node, server: TlsServer) -> None:
    found = tried(node, server, ca_pem=new_ca("somebody else"))
    assert found["certificate"] == "certificate.authority-unknown"
    assert found["our access"] == "step.not-tried"
    assert "/oauth/token" not in server.paths


def test_fake_partner_gateway_dns_hijack_its_certificate_is_for_another_name(node: Node, server: TlsServer) -> None:
    port = server.url.rpartition(":")[2]
    allowed = node.gateway.reach
    node.gateway.reach = Reach([LOOPBACK], resolve=lambda _host, _port: ["127.0.0.1"])
    try:
        found = results(try_address(node.gateway, f"https://gateway.example:{port}", now=now_millis()))
    finally:
        node.gateway.reach = allowed
    assert found["certificate"] == "certificate.name-differs"
    assert found["document"] == "document.issuer-differs"
    assert "/oauth/token" not in server.paths


def test_an_expired_certificate_is_said_to_be_so(node: Node, tmp_path: Path, party: World) -> None:
    old = TlsServer(tmp_path / "old", now=now_millis() - 500 * DAY)
    old.answer = lambda path: PAGES[path](old, party)
    try:
        assert tried(node, old)["certificate"] == "certificate.expired"
    finally:
        old.stop()


def test_authorities_that_are_none_are_said_to_be_so(node: Node, server: TlsServer) -> None:
    assert tried(node, server, ca_pem="trust me")["certificate"] == "party.ca-invalid"


def test_the_authority_that_was_given_is_compared_with_the_documents(
    node: Node, server: TlsServer, party: World
) -> None:
    def certificate(**options: Any) -> str:
        report = try_address(node.gateway, server.url, now=now_millis(), **options)
        return next(step.text for step in report.steps if step.name == "certificate")

    assert certificate(ca_pem=server.ca_pem).endswith("which the document names as well")
    instead(server, "/.well-known/taipu", lambda: reply(document_of(server, party, tls=Tls(ca=new_ca("another")))))
    assert certificate(ca_pem=server.ca_pem).endswith("while the document names another")


@pytest.mark.parametrize(("seconds", "code"), [(50, "ok"), (-50, "ok"), (70, "clock.skew"), (-70, "clock.skew")])
def test_clocks_may_differ_by_a_minute(node: Node, server: TlsServer, party: World, seconds: int, code: str) -> None:
    page = lambda: reply(document_of(server, party), date=time.time() + seconds)  # noqa: E731
    instead(server, "/.well-known/taipu", page)
    assert tried(node, server)["clock"] == code


DOCUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "another version of the protocol": ({"versions": (7,)}, "document.version"),
    "expired": ({"expires": utc_text(now_millis() - 1_000), "issued": utc_text(0)}, "document.expired"),
    "another address": ({"issuer": "https://gateway.example"}, "document.issuer-differs"),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_document_that_does_not_fit_is_said_to_be_so(node: Node, server: TlsServer, party: World, case: str) -> None:
    changed, code = DOCUMENTS[case]
    instead(server, "/.well-known/taipu", reply(document_of(server, party, **changed)))
    found = tried(node, server, ca_pem=server.ca_pem)
    assert found["document"] == code
    assert found["metadata"] != "step.not-tried"  # an alarm, not a stop


HOSTILE: dict[str, tuple[Any, str]] = {  # made when asked for: an answer has its date
    "nothing": (b"", "partner.unreachable"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", "partner.unreachable"),
    "half an answer": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", "partner.unreachable"),
    "an empty body": (partial(reply, ""), "partner.document-invalid"),
    "no document": (partial(reply, "{}"), "partner.document-invalid"),
    "a redirect": (partial(reply, "", "302 Found", Location="https://127.0.0.1:1/"), "partner.redirects"),
    "a redirect for ever": (
        partial(reply, "", "308 Permanent Redirect", Location="/.well-known/taipu"), "partner.redirects",
    ),
    "not found": (partial(reply, "", "404 Not Found"), "partner.refused"),
    "a fault": (partial(reply, "", "500 Internal Server Error"), "partner.unreachable"),
    "too much": (partial(reply, b"x" * (MAX_DOCUMENT + 1)), "partner.answer-too-large"),
    "too much without end": (
        lambda: (b"HTTP/1.1 200 OK\r\n\r\n", *(b"x" * 65_536 for _ in range(100))), "partner.answer-too-large",
    ),
    "headers without end": (
        lambda: (b"HTTP/1.1 200 OK\r\n", *(b"X: y\r\n" * 9_999 for _ in range(9))), "partner.unreachable",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_whatever_a_partner_answers_is_a_step_that_failed(node: Node, server: TlsServer, case: str) -> None:
    answer, code = HOSTILE[case]
    instead(server, "/.well-known/taipu", answer)
    report = try_address(node.gateway, server.url, now=now_millis())
    assert results(report)["document"] == code
    with pytest.raises((PartnerRefusedError, PartnerUnreachableError)) as caught:
        report.require_token()
    assert caught.value.code == code


def test_a_partner_that_answers_byte_by_byte_holds_us_for_three_seconds_and_no_longer(
    node: Node, server: TlsServer
) -> None:
    def drip() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            time.sleep(0.1)
            yield b"X: y\r\n"

    instead(server, "/.well-known/taipu", drip)
    begun = time.monotonic()
    assert tried(node, server)["document"] == "partner.unreachable"
    assert time.monotonic() - begun < PATIENCE + 2


def test_fake_partner_gateway_its_authorization_server_is_another(node: Node, server: TlsServer) -> None:
    path = "/.well-known/oauth-authorization-server"
    for body, code in {
        metadata_of(server, issuer="https://evil.example"): "metadata.issuer-differs",
        metadata_of(server, token_endpoint="https://evil.example/token"): "metadata.endpoint-differs",
        "[]": "partner.answer-malformed",
        "{": "partner.answer-malformed",
    }.items():
        instead(server, path, reply(body))
        assert tried(node, server)["metadata"] == code, body


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"error":"invalid_client"}', "401 Unauthorized", "access.not-registered"),
        ('{"error":"invalid_scope"}', "400 Bad Request", "access.refused"),
        ('{"code":"client.suspended"}', "403 Forbidden", "access.refused"),
        ("", "503 Service Unavailable", "partner.unreachable"),
        ('{"access_token":"x","token_type":"MAC"}', "200 OK", "access.refused"),
        ('{"access_token":"x","token_type":"DPoP"}', "200 OK", "access.refused"),  # and then the feeds say no
    ],
)
def test_why_we_get_no_token_is_told_apart(node: Node, server: TlsServer, body: str, status: str, code: str) -> None:
    instead(server, "/oauth/token", reply(body, status))
    assert tried(node, server, ca_pem=server.ca_pem)["our access"] == code


def test_a_document_from_a_file_is_held_against_the_one_that_is_served(
    node: Node, server: TlsServer, party: World
) -> None:
    own = document_of(server, party)
    assert results(try_document(node.gateway, own, now=now_millis())) == NEW
    other = document_of(server, World())
    report = try_document(node.gateway, other, now=now_millis())
    assert results(report)["document"] == "partner.fingerprint-differs"


def test_a_document_from_a_file_can_be_proposed_while_nobody_answers(
    node: Node, server: TlsServer, party: World
) -> None:
    own = document_of(server, party)
    server.stop()
    report = try_document(node.gateway, own, url=f"https://127.0.0.1:{free_port()}", now=now_millis())
    assert results(report)["connection"] == "partner.unreachable"
    assert report.require_token() == own
