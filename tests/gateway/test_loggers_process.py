"""The listener as operators meet it: a process of its own, a part of `taipu serve`, in metrics and for the doctor."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from gateway.doctor import examine
from gateway.metrics import collect
from gateway.settings import FILE_NAME
from schemas.times import now_millis
from tests.gateway.commands import ended, process, refused, taipu
from tests.gateway.hands import hand_in, stored
from tests.gateway.loggers import MN, Logger, listening, packet, register, says
from tests.world import (
    ANTIMONY,
    SITES,
    WUJIANG,
    Node,
    bring_plan,
    free_port,
    make_node,
    plan_document,
    site_line,
    wait_for,
)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Wujiang's gateway on SQLite with a registered logger; it serves where the test says so."""
    made = make_node(tmp_path, WUJIANG)
    bring_plan(plan_document(SITES, ANTIMONY), made)
    hand_in(made, site_line())
    register(made)
    yield made
    made.stop()


def home_of(node: Node) -> Path:
    return node.gateway.settings.home


def answered(port: int) -> bool:
    """Whether a packet that is sent there is answered; False where nobody listens yet."""
    try:
        logger = Logger(port)
    except ConnectionRefusedError:
        return False
    with logger:
        logger.send(packet())
        return says(logger.heard()[0]) == ("9014", "")


def test_listen_takes_packets_in_until_it_is_told_to_stop(node: Node) -> None:
    port = free_port()
    with process("hj212", "listen", "--home", home_of(node), "--listen", f"127.0.0.1:{port}") as started:
        wait_for(lambda: answered(port))
        started.send_signal(signal.SIGTERM)
        code, out, err = ended(started)
    assert (code, out) == (0, "")
    assert "loggers.ready" in err
    assert "loggers.stopped" in err
    assert len(stored(node)) == 1


def test_serve_listens_for_loggers_where_the_settings_say_so_and_publishes_what_they_send(node: Node) -> None:
    port = free_port()
    path = home_of(node) / FILE_NAME
    text = path.read_text()
    assert "[loggers]\n" in text
    path.write_text(text.replace("[loggers]\n", f'[loggers]\nlisten = "127.0.0.1:{port}"\n'))
    with process("serve", home_of(node)) as started:
        wait_for(lambda: answered(port))

        def published() -> bool:
            with node.gateway.database.read() as session:
                count = session.exec_driver_sql("SELECT count(*) FROM batch WHERE dataset = 'wj-antimony'").scalar()
            return bool(count)

        wait_for(published)
        wait_for(lambda: examined(node)["data loggers"][0])
        started.send_signal(signal.SIGINT)
        code, _, err = ended(started)
    assert (code, "loggers.stopped" in err) == (0, True)


def examined(node: Node) -> dict[str, tuple[bool, str]]:
    return {check.name: (check.ok, check.text) for check in examine(home_of(node), now=now_millis())}


def test_the_doctor_asks_for_the_listener_only_where_there_should_be_one(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "data loggers" not in examined(node)
    monkeypatch.setenv("TAIPU_LOGGERS__LISTEN", "127.0.0.1:9003")
    assert examined(node)["data loggers"] == (False, "loggers.not-listening: nobody listens at 127.0.0.1:9003")
    with listening(node) as running, Logger(running.port) as logger:
        logger.send(packet(), packet(mn="0" * 24))
        logger.heard(2)
    assert examined(node)["data loggers"] == (
        True,
        "0 connections at 127.0.0.1:9003; 1 devices are not registered",
    )


def test_metrics_have_the_figures_of_every_listener(node: Node) -> None:
    with listening(node) as running, Logger(running.port) as logger:
        logger.send(packet(), packet(1)[:-6] + b"0000\r\n", packet(mn="0" * 24))
        logger.heard(2)
        name = running.listener.address
    text = generate_latest(collect(node.gateway)).decode()
    for line in (
        f'taipu_loggers_connections{{listener="{name}"}} 0.0',
        f'taipu_loggers_waiting_packets{{listener="{name}"}} 0.0',
        f'taipu_loggers_counted{{listener="{name}",what="packets"}} 2.0',
        f'taipu_loggers_refused{{listener="{name}",reason="stranger"}} 1.0',
        f'taipu_loggers_refused{{listener="{name}",reason="packet.crc-wrong"}} 1.0',
        "taipu_loggers_strangers 1.0",
    ):
        assert line in text


def test_listen_needs_an_address_that_is_free(node: Node) -> None:
    home = home_of(node)
    refused(taipu("hj212", "listen", "--home", home), "input.needed", 2)
    refused(taipu("hj212", "listen", "--home", home, "--listen", "here"), "settings.invalid")
    with listening(node) as running:
        done = taipu("hj212", "listen", "--home", home, "--listen", f"127.0.0.1:{running.port}")
    assert done.exit_code == 1
    assert "listen.unavailable" in done.stderr


def test_a_password_reaches_neither_the_log_nor_a_report(node: Node) -> None:
    register(node, more="password: s3cret")
    port = free_port()
    with process("hj212", "listen", "--home", home_of(node), "--listen", f"127.0.0.1:{port}") as started:
        wait_for(lambda: _refused_for_password(port))
        started.send_signal(signal.SIGTERM)
        _, out, err = ended(started)
    assert "loggers.refused" in err
    assert "s3cret" not in out + err
    assert "s3cret" not in json.dumps(taipu("device", "list", "--home", home_of(node), "--json").stdout)


def _refused_for_password(port: int) -> bool:
    try:
        logger = Logger(port)
    except ConnectionRefusedError:
        return False
    with logger:
        logger.send(packet(mn=MN))
        return says(logger.heard()[0]) == ("9011", "3")
