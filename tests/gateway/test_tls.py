"""TLS of the listeners: what they speak, whose certificates they take, and that the application sees them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.client import HTTPSConnection, RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import uvloop
from cryptography import x509
from starlette.testclient import TestClient
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

import gateway.server
from gateway.app import create_console_app, create_partner_app
from gateway.home import renew_certificate
from gateway.server import make_server, serve
from gateway.setting_groups import Address
from gateway.sync.links import own_certificate
from gateway.tls import REREAD
from partners.client import PartnerClient
from partners.oauth.clients import Client
from partners.oauth.registered import read_client_keys
from partners.oauth.store import add_client, add_keys, end_key
from partners.reach import ANYWHERE
from partners.tables import party as party_table
from schemas.errors import SharingError
from schemas.times import now_millis
from tests.gateway.callers import code_of
from tests.gateway.certificates import Authority, Certified, connection, listening_over_tls, say_what_is_seen
from tests.partners.oauth_world import jwks_of, key_of
from tests.world import JIASHAN, WUJIANG, Node, free_port, introduce, make_node, wait_for

OPTIONAL = {'client_certificates = "none"': 'client_certificates = "optional"'}
NOBODY = {"thumbprint": None, "accepted": False}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whom the settings trust with client certificates."""
    made = Authority(tmp_path / "authority", "Clients of Wujiang")
    (tmp_path / "clients.pem").write_text(made.pem)
    return made


@pytest.fixture
def node(tmp_path: Path, database_url: str, authority: Authority) -> Iterator[Node]:
    file = tmp_path / "clients.pem"
    node = make_node(tmp_path, WUJIANG, database_url, {**OPTIONAL, "client_ca =": f'client_ca = "{file}"'})
    yield node
    node.stop()


def register(node: Node, client_id: str, *certified: Certified, party: str = WUJIANG, **changes: Any) -> None:
    """A client bound to these certificates."""
    thumbprints = frozenset(one.thumbprint for one in certified)
    new = Client(
        client_id, party, "reader", frozenset({"records:read"}), jwks_of(key_of("ES256", client_id)), binding="mtls",
        certificates=thumbprints, **changes,
    )  # fmt: skip
    with node.gateway.database.write() as session:
        add_client(session, new, now_millis())


def seen(opened: HTTPSConnection, client_id: str = "nobody", **headers: str) -> Any:
    opened.request("GET", f"/seen/{client_id}", headers=headers)
    answer = opened.getresponse()
    body = json.loads(answer.read())
    assert answer.status == 200, body
    return body


def test_the_application_sees_the_certificate_of_each_request_and_whose_it_is(node: Node, authority: Authority) -> None:
    mine, other = authority.issue("mine"), authority.issue("other")
    register(node, "mine", mine)
    with listening_over_tls(node) as address:
        for certified, expected in [
            (mine, {"thumbprint": mine.thumbprint, "accepted": True}),
            (other, {"thumbprint": other.thumbprint, "accepted": False}),
            (None, NOBODY),
        ]:
            opened = connection(node, address, certified)
            assert [seen(opened, "mine") for _ in range(3)] == [expected] * 3
            opened.close()


def refuses(node: Node, address: Any, certified: Certified) -> bool:
    """Whether the handshake fails. Under TLS 1.3 the caller hears of it when it reads."""
    opened = connection(node, address, certified)
    try:
        seen(opened)
    except (ssl.SSLError, ConnectionError, RemoteDisconnected):
        return True
    finally:
        opened.close()
    return False


def test_a_rogue_authority_fails_in_the_handshake(node: Node, tmp_path: Path) -> None:
    rogue = Authority(tmp_path / "rogue", "Clients of Wujiang").issue("mine")
    with listening_over_tls(node) as address:
        assert refuses(node, address, rogue)


@pytest.mark.parametrize(("begins", "ends"), [(-9, -1), (1, 2)], ids=["over", "not begun"])
def test_a_certificate_outside_its_time_fails_in_the_handshake(
    node: Node, authority: Authority, begins: int, ends: int
) -> None:
    with listening_over_tls(node) as address:
        assert refuses(node, address, authority.issue("mine", begins=begins, ends=ends))


def test_revoked_certificate_refused_at_once_and_rotation_drops_nothing(node: Node, authority: Authority) -> None:
    old, new = authority.issue("mine"), authority.issue("mine")
    register(node, "mine", old)
    with listening_over_tls(node) as address:
        with_old, with_new = connection(node, address, old), connection(node, address, new)
        assert seen(with_old, "mine")["accepted"]
        assert not seen(with_new, "mine")["accepted"]
        with node.gateway.database.write() as session:
            keys = [key for key in read_client_keys(new.pem, begins=now_millis()) if key.is_certificate]
            add_keys(session, "mine", keys, now_millis())
        assert seen(with_old, "mine")["accepted"], "both are taken while one follows the other"
        assert seen(with_new, "mine")["accepted"]
        with node.gateway.database.write() as session:
            end_key(session, "mine", old.thumbprint, now_millis())
        assert not seen(with_old, "mine")["accepted"], "on the next request of the open connection"
        assert seen(with_new, "mine")["accepted"]
        with_old.close()
        with_new.close()


@pytest.fixture
def jiashan(tmp_path: Path, node: Node) -> Iterator[Node]:
    other = make_node(tmp_path, JIASHAN)
    introduce(node, other)
    yield other
    other.stop()


def certificate_of(node: Node) -> Certified:
    """A partner's own certificate, which its gateway shows when it calls."""
    settings = node.gateway.settings
    file = settings.home / "both.pem"
    file.write_bytes(settings.tls.certificate.read_bytes() + settings.tls.key.read_bytes())
    return Certified(x509.load_pem_x509_certificate(settings.tls.certificate.read_bytes()), file)


def test_a_partners_certificate_is_taken_by_its_authority_and_subject(
    node: Node, jiashan: Node, authority: Authority
) -> None:
    theirs = certificate_of(jiashan)
    register(node, "theirs", party=JIASHAN, subject=theirs.subject)
    with listening_over_tls(node) as address:
        opened = connection(node, address, theirs)
        assert seen(opened, "theirs") == {"thumbprint": theirs.thumbprint, "accepted": True}
        opened.close()
        namesake = connection(node, address, authority.issue(f"Taipu {JIASHAN}"))
        assert not seen(namesake, "theirs")["accepted"], "another authority may issue whatever name it likes"
        namesake.close()


def test_a_partners_authority_counts_from_when_the_registry_has_it_until_the_party_ends(
    node: Node, jiashan: Node
) -> None:
    theirs = certificate_of(jiashan)
    with node.gateway.database.write() as session:
        row = session.execute(party_table.select()).mappings().one()
        session.execute(party_table.delete())
    with listening_over_tls(node) as address:
        assert refuses(node, address, theirs)
        with node.gateway.database.write() as session:
            session.execute(party_table.insert().values(**row))
        wait_for(lambda: not refuses(node, address, theirs), seconds=REREAD * 10)
        with node.gateway.database.write() as session:
            session.execute(party_table.delete())
        wait_for(lambda: refuses(node, address, theirs), seconds=REREAD * 10)


def test_our_own_certificate_is_served_anew_once_it_was_replaced(node: Node) -> None:
    def served(address: Address) -> bytes | None:
        opened = connection(node, address)
        opened.connect()
        certificate = opened.sock.getpeercert(binary_form=True)
        opened.close()
        return certificate  # type: ignore[no-any-return]

    with listening_over_tls(node) as address:
        before = served(address)
        renew_certificate(node.gateway.home, now=now_millis())
        wait_for(lambda: served(address) != before, seconds=REREAD * 10)


def test_the_console_asks_nobody_for_a_certificate(node: Node, authority: Authority) -> None:
    console = create_console_app(node.gateway, create_partner_app(node.gateway))
    with listening_over_tls(node, console) as address:
        opened = connection(node, address, authority.issue("mine"))
        assert seen(opened) == NOBODY
        opened.close()


def test_our_own_gateway_shows_its_certificate_when_it_calls(node: Node, jiashan: Node) -> None:
    with (
        listening_over_tls(node) as address,
        PartnerClient(
            f"https://{address}", node.ca_pem, None, own_certificate(jiashan.gateway), reach=ANYWHERE
        ) as client,
    ):
        said = client.get("/seen/nobody").json()
    assert said["thumbprint"] == certificate_of(jiashan).thumbprint


def test_serve_refuses_to_start_where_client_certificates_are_configured_and_do_not_arrive(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.server, "CertifiedProtocol", HttpToolsProtocol)
    with pytest.raises(SharingError) as caught:
        serve(node.gateway.home, on_ready=lambda: signal.raise_signal(signal.SIGTERM))
    assert caught.value.code == "tls.client-certificates-ineffective"


def test_serve_starts_where_they_do(node: Node) -> None:
    ready: list[bool] = []

    def stop() -> None:
        ready.append(True)
        signal.raise_signal(signal.SIGTERM)

    serve(node.gateway.home, on_ready=stop)
    assert ready


def test_a_file_of_client_authorities_that_is_none_stops_the_start(node: Node, tmp_path: Path) -> None:
    (tmp_path / "clients.pem").write_text("nothing")
    with pytest.raises(SharingError) as caught:
        make_server(create_partner_app(node.gateway), Address("127.0.0.1", 0), node.gateway.settings)
    assert caught.value.code == "tls.client-ca-unusable"


def test_an_odd_authority_of_one_partner_does_not_shut_out_the_others(
    node: Node, jiashan: Node, authority: Authority
) -> None:
    with node.gateway.database.write() as session:
        session.execute(party_table.update().values(ca_pem="-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"))
    mine = authority.issue("mine")
    register(node, "mine", mine)
    with listening_over_tls(node) as address:
        opened = connection(node, address, mine)
        assert seen(opened, "mine")["accepted"]
        opened.close()


PROXY = {"proxy = []": 'proxy = ["192.0.2.0/28", "2001:db8::/64"]'}


@pytest.fixture
def behind(tmp_path: Path, database_url: str) -> Iterator[Node]:
    """A gateway behind a reverse proxy."""
    node = make_node(tmp_path, WUJIANG, database_url, PROXY)
    yield node
    node.stop()


def through(node: Node, address: str, *values: str, name: str = "Client-Cert") -> Any:
    """The answer to a request from `address` with such a header for each of the values."""
    app = create_partner_app(node.gateway)
    say_what_is_seen(app, node)
    with TestClient(app, node.url, client=(address, 40_000)) as http:
        return http.get("/seen/mine", headers=[(name, value) for value in values])


def header_of(certified: Certified) -> str:
    return f":{base64.b64encode(certified.der).decode()}:"


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_a_header_of_the_proxy_stands_for_the_callers_certificate(
    behind: Node, authority: Authority, address: str
) -> None:
    mine = authority.issue("mine")
    register(behind, "mine", mine)
    said = through(behind, address, header_of(mine), name="client-cert").json()
    assert said == {"thumbprint": mine.thumbprint, "accepted": True}
    assert through(behind, address).json() == NOBODY


@pytest.mark.parametrize("address", ["192.0.2.16", "2001:db8:1::7", "127.0.0.1", "::ffff:192.0.2.7", "testclient"])
def test_forged_client_cert_header_is_ignored(behind: Node, authority: Authority, address: str) -> None:
    mine = authority.issue("mine")
    register(behind, "mine", mine)
    assert through(behind, address, header_of(mine)).json() == NOBODY
    assert through(behind, address, "nonsense").json() == NOBODY


def test_forged_client_cert_header_is_ignored_where_no_proxy_is_pinned(node: Node, authority: Authority) -> None:
    mine = authority.issue("mine")
    with listening_over_tls(node) as address:
        opened = connection(node, address)
        forged = {"Client-Cert": header_of(mine), "X-Forwarded-For": "192.0.2.7"}
        assert seen(opened, "mine", **forged) == NOBODY
        opened.close()


def test_a_header_never_stands_for_another_certificate_than_that_of_the_connection(
    tmp_path: Path, authority: Authority
) -> None:
    file = tmp_path / "clients.pem"
    chosen = {**OPTIONAL, "client_ca =": f'client_ca = "{file}"', "proxy = []": 'proxy = ["127.0.0.1"]'}
    node = make_node(tmp_path, WUJIANG, chosen=chosen)
    mine, other = authority.issue("mine"), authority.issue("other")
    with listening_over_tls(node) as address:
        opened = connection(node, address, mine)
        assert seen(opened, **{"Client-Cert": header_of(other)})["thumbprint"] == mine.thumbprint
        opened.close()
        opened = connection(node, address)
        assert seen(opened, **{"Client-Cert": header_of(other)})["thumbprint"] == other.thumbprint
        opened.close()
    node.stop()


HEADERS = {
    "what Caddy sends without a certificate": lambda _: [":{http.request.tls.client.certificate_der_base64}:"],
    "an empty value": lambda _: [""],
    "an empty byte sequence": lambda _: ["::"],
    "one colon": lambda _: [":"],
    "base64 without colons": lambda one: [header_of(one).strip(":")],
    "base64 of something else": lambda _: [":bm9uc2Vuc2U=:"],
    "base64url": lambda one: [f":{base64.urlsafe_b64encode(one.der + bytes([251])).decode()}:"],
    "something behind the certificate": lambda one: [header_of(one) + ";a=1"],
    "PEM as nginx escapes it": lambda one: [quote(one.pem)],
    "PEM on one line": lambda one: [one.pem.replace(chr(10), " ")],
    "two of them": lambda one: [header_of(one), header_of(one)],
    "too long": lambda one: [f":{base64.b64encode(one.der * 20).decode()}:"],
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_of_the_proxy_that_is_no_certificate_is_refused(behind: Node, authority: Authority, name: str) -> None:
    values = HEADERS[name](authority.issue("mine"))
    assert code_of(through(behind, "192.0.2.7", *values), 400) == "request.client-certificate"


@pytest.mark.parametrize("asking", [{}, OPTIONAL], ids=["nobody is asked", "clients are asked"])
def test_the_listener_keeps_to_the_mozilla_intermediate_profile(tmp_path: Path, asking: dict[str, str]) -> None:
    sslyze = os.environ.get("SSLYZE") or shutil.which("sslyze")
    if sslyze is None:
        pytest.skip("there is no sslyze on the path, and SSLYZE does not name one")
    node = make_node(tmp_path, WUJIANG, chosen=asking)
    with listening_over_tls(node) as address:
        ca = node.gateway.settings.tls.ca
        command = [sslyze, "--mozilla_config=intermediate", "--certinfo_ca_file", str(ca), str(address)]
        said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout
    node.stop()
    assert f"{address}: OK - Compliant." in said, said[said.find("COMPLIANCE") :]


def test_a_peer_that_never_answers_our_goodbye_is_cut_off_before_the_loop_ends(node: Node) -> None:
    server = make_server(create_partner_app(node.gateway), Address("127.0.0.1", free_port()), node.gateway.settings)
    thread = threading.Thread(target=lambda: uvloop.run(server.serve()), daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    context = ssl.create_default_context(cadata=node.ca_pem)
    plain = socket.create_connection(("127.0.0.1", server.config.port))
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as idle:
        idle.sendall(b"GET /.well-known/taipu HTTP/1.1\r\nHost: taipu\r\n\r\n")
        assert idle.recv(64).startswith(b"HTTP/1.1 200")
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
        assert server.server_state.connections == set()
