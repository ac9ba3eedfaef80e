"""`taipu init`, `serve`, `db upgrade`, `config show`, and what holds for every command."""

from __future__ import annotations

import json
import os
import signal
import socket

import pytest

from gateway import registry
from gateway.cli.exits import ExitCode
from gateway.cli.terminal import printable
from gateway.connection_test import Report
from gateway.db import Database
from gateway.home import open_home
from gateway.migrations import require_current
from gateway.party_document import own_document
from gateway.service import Gateway
from gateway.settings import FILE_NAME
from partners.client import PartnerClient
from partners.document import open_document
from partners.reach import ANYWHERE
from schemas.times import now_millis
from tests.gateway.commands import ended, process, refused, taipu, taipu_json
from tests.partners.party_world import World
from tests.people import session_of, two_people
from tests.world import JIASHAN, QINGPU, Node, free_port

URL = "https://gateway.qingpu.example:8443"
GROUPS = ("plan", "partner", "client", "device", "sync", "feed", "held", "batch", "audit", "hj212", "db", "config")
COMMANDS = (
    "demo", "init", "serve", "send", "doctor", "plan check", "plan apply", "plan list", "partner show",
    *(f"partner {verb}" for verb in ("list", "test", "propose", "approve", "suspend", "resume", "end")),
    "client add", "client list", "device add", "device list", "sync status", "feed list", "held list",
    "batch verify", "audit verify", "hj212 decode", "db upgrade", "config show",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in [name for name in os.environ if name.upper().startswith("TAIPU_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cli") / "home"
    assert taipu("init", directory, "--party", QINGPU, "--url", URL).exit_code == 0
    return directory


def test_init_makes_a_whole_gateway_and_says_its_fingerprint(tmp_path):
    database = f"sqlite:///{tmp_path}/elsewhere.db"
    done = taipu(
        "init", tmp_path / "home", "--party", QINGPU, "--url", URL, "--listen", "0.0.0.0:9443", "--console",
        "[::1]:9444", "--database", database,
    )  # fmt: skip
    assert (done.exit_code, done.stderr) == (0, "")
    opened = open_home(tmp_path / "home")
    assert str(opened.settings.listen.partner) == "0.0.0.0:9443"
    assert str(opened.settings.listen.console) == "[::1]:9444"
    assert opened.settings.database_url.get_secret_value() == database
    document = open_document(own_document(opened))
    assert document.party == QINGPU
    assert document.fingerprint in done.stdout
    kept = Database(database)
    require_current(kept)
    kept.close()


def test_init_encrypts_the_keys_under_a_passphrase_file_and_the_gateway_opens_with_it(tmp_path):
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    done = taipu("init", tmp_path / "home", "--party", QINGPU, "--url", URL, "--passphrase-file", passphrase)
    assert done.exit_code == 0, done.output
    assert b"ENCRYPTED" in (tmp_path / "home" / "keys" / "identity.pem").read_bytes()
    assert open_home(tmp_path / "home").keys.identity is not None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["--party", QINGPU, "--url", "http://plain.example"], "party.url-invalid", id="not https"),
        pytest.param(["--party", "Qingpu!", "--url", URL], "party.code-invalid", id="no party"),
        pytest.param(["--party", QINGPU, "--url", URL, "--listen", "8443"], "settings.invalid", id="no address"),
        pytest.param(
            ["--party", QINGPU, "--url", URL, "--database", "mysql://x"], "settings.invalid", id="no database"
        ),
        pytest.param(
            ["--party", QINGPU, "--url", URL, "--passphrase-file", "/nowhere"], "settings.invalid", id="no passphrase"
        ),
    ],
)
def test_init_refuses_what_cannot_be_and_leaves_nothing_behind(tmp_path, arguments, code):
    refused(taipu("init", tmp_path / "home", *arguments), code)
    assert list(tmp_path.iterdir()) == []


def test_init_does_not_touch_a_directory_that_holds_something(tmp_path):
    (tmp_path / "mine").write_text("kept")
    refused(taipu("init", tmp_path, "--party", QINGPU, "--url", URL), "home.occupied")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_db_upgrade_may_be_repeated_and_an_old_database_is_named(home, tmp_path):
    assert taipu("db", "upgrade", home).exit_code == 0
    old = tmp_path / "home"
    assert taipu("init", old, "--party", QINGPU, "--url", URL).exit_code == 0
    (old / "taipu.db").unlink()
    refused(taipu("feed", "list", "--home", old), "database.not-migrated")
    assert taipu("db", "upgrade", old).exit_code == 0
    assert taipu("feed", "list", "--home", old).exit_code == 0


def test_a_database_that_does_not_answer_is_unreachable_and_its_password_is_not_told(tmp_path):
    port = free_port()
    url = f"postgresql://taipu:hunter2@127.0.0.1:{port}/taipu"
    done = taipu("init", tmp_path / "home", "--party", QINGPU, "--url", URL, "--database", url)
    assert done.exit_code == ExitCode.UNREACHABLE
    assert done.stderr.startswith("database.unreachable: ")
    assert "hunter2" not in done.output
    shown = taipu_json("config", "show", "--home", tmp_path / "home")
    assert shown["database_url"] == {"value": f"postgresql+psycopg://taipu:***@127.0.0.1:{port}/taipu", "from": "file"}


def test_config_show_tells_where_each_value_comes_from_and_no_secret(home, monkeypatch):
    monkeypatch.setenv("TAIPU_RETRY__MIN", "2.5")
    monkeypatch.setenv("TAIPU_KEY_PASSPHRASE", "correct horse battery staple")
    shown = taipu_json("config", "show", "--home", home)
    assert shown["party"] == {"value": QINGPU, "from": "file"}
    assert shown["retry.min"] == {"value": "2.5", "from": "environment"}
    assert shown["threads"] == {"value": "40", "from": "default"}
    assert shown["key_passphrase"] == {"value": "(not shown)", "from": "environment"}
    lines = taipu("config", "show", "--home", home).stdout.splitlines()
    assert lines[0].split() == ["SETTING", "VALUE", "FROM"]
    assert ["party", QINGPU, "file"] in [line.split() for line in lines]


def test_the_home_can_be_named_by_a_variable(home):
    assert taipu("partner", "show", env={"TAIPU_HOME": str(home)}).exit_code == 0


@pytest.mark.parametrize(
    "command",
    ["partner show", "partner list", "client list", "device list", "plan list", "sync status", "feed list", "held list",
     "config show"],
)  # fmt: skip
def test_a_directory_that_is_no_home_is_named(command, tmp_path):
    refused(taipu(*command.split(), "--home", tmp_path), "settings.missing")


@pytest.mark.parametrize("command", ["serve", "db upgrade"])
def test_commands_that_take_the_home_as_an_argument_name_it_too(command, tmp_path):
    refused(taipu(*command.split(), tmp_path), "settings.missing")


def test_a_fault_of_the_settings_shows_where_and_not_what(home):
    done = taipu("feed", "list", "--home", home, env={"TAIPU_THREADS": "hunter2"})
    refused(done, "settings.invalid")
    assert "/threads" in done.stderr
    assert "hunter2" not in done.output


def test_serve_speaks_tls_under_its_own_authority_and_stops_when_told_to(tmp_path):
    port, console = free_port(), free_port()
    home = tmp_path / "home"
    taipu(
        "init", home, "--party", QINGPU, "--url", f"https://127.0.0.1:{port}", "--listen", f"127.0.0.1:{port}",
        "--console", f"127.0.0.1:{console}",
    )  # fmt: skip
    settings = home / FILE_NAME
    settings.write_text(settings.read_text().replace('# log_format = "console"', 'log_format = "json"'))
    with process("serve", home) as started:
        assert started.stderr is not None
        ready = json.loads(started.stderr.readline())
        assert (ready["event"], ready["party"]) == ("gateway.ready", QINGPU)
        with PartnerClient(
            f"https://127.0.0.1:{port}", (home / "tls" / "ca.pem").read_text(), reach=ANYWHERE
        ) as client:
            assert open_document(client.party_document()).party == QINGPU
        refused(taipu("serve", home), "listen.unavailable")
        started.send_signal(signal.SIGINT)
        code, stdout, stderr = ended(started)
    assert (code, stdout) == (0, "")
    assert "Traceback" not in stderr


def test_serve_refuses_a_port_that_is_taken_before_anything_else_happens(home, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("TAIPU_LISTEN__PARTNER", f"127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("TAIPU_LISTEN__CONSOLE", "127.0.0.1:0")
        refused(taipu("serve", home), "listen.unavailable")


def test_ctrl_c_ends_a_command_with_130_and_no_traceback(home, monkeypatch):
    node = Node(Gateway(open_home(home)), "")
    proposer, approver = two_people(node)
    report = Report("https://gateway.jiashan.example", None, (), World().token())
    registry.propose_partner(node.gateway, report, by=proposer, now=now_millis())
    monkeypatch.setenv("TAIPU_SESSION", session_of(node, approver))
    node.gateway.close()
    with process("partner", "approve", JIASHAN, "--home", home) as started:
        assert started.stderr is not None
        assert started.stderr.readline().startswith(f"partner {JIASHAN}, proposed by")  # it goes on to ask
        started.send_signal(signal.SIGINT)
        code, stdout, stderr = ended(started)
    assert (code, stdout) == (ExitCode.INTERRUPTED, "")
    assert "Traceback" not in stderr


@pytest.mark.parametrize("command", ["", *GROUPS, *COMMANDS])
def test_every_help_text_is_the_same_on_every_terminal_and_fits_100_columns(command):
    narrow = taipu(*command.split(), "--help", env={"COLUMNS": "40", "TERMINAL_WIDTH": "40"})
    wide = taipu(*command.split(), "--help", env={"COLUMNS": "240", "TERM": "xterm-256color", "FORCE_COLOR": "1"})
    assert narrow.exit_code == 0
    assert narrow.stdout == wide.stdout
    assert max(map(len, narrow.stdout.splitlines())) <= 100
    assert narrow.stdout.startswith(f"Usage: taipu {command}".rstrip())
    assert "..." not in narrow.stdout.split("Commands:")[-1].split("Exit codes:")[0], "a short help is cut off"


def test_the_help_lists_every_exit_code():
    text = taipu("--help").stdout
    assert all(f"    {code:<4} " in text for code in sorted(set(ExitCode)))


def test_the_version_is_told():
    assert taipu("--version").stdout.strip() == "0.1.0"


@pytest.mark.parametrize("arguments", [["nonsense"], ["plan", "nonsense"], ["send"], ["init", "x"], ["plan", "check"]])
def test_a_command_that_is_not_one_ends_with_2(arguments):
    done = taipu(*arguments)
    assert (done.exit_code, done.stdout) == (ExitCode.USAGE, "")


def test_what_comes_from_elsewhere_cannot_steer_the_terminal():
    assert printable("吴江\x1b[2J\x9b1m\r\nok") == "吴江�[2J�1m�\nok"
