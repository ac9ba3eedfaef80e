"""Settings: from the file and the environment, strict, and every fault at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.setting_groups import Address, SettingsError
from gateway.settings import describe, load_settings

REQUIRED = """
party = "320509"
url = "https://gateway.wujiang.example:8443"
log_origin = "gateway.wujiang.example/320509/2026"
"""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("TAIPU_")]:
        monkeypatch.delenv(name)


def write(home: Path, more: str = "", *, required: str = REQUIRED) -> Path:
    (home / "taipu.toml").write_text(required + more, encoding="utf-8")
    return home


def test_the_three_settings_that_must_be_given_are_enough(tmp_path):
    settings = load_settings(write(tmp_path))
    assert settings.party == "320509"
    assert settings.home == tmp_path
    assert settings.listen.partner == Address("127.0.0.1", 8443)
    assert settings.listen.console == Address("127.0.0.1", 8444)
    assert settings.max_body_bytes == 32 * 1024 * 1024
    assert settings.database_pool >= settings.threads
    assert settings.passphrase() is None


def test_a_variable_goes_before_the_file_member_by_member(tmp_path, monkeypatch):
    monkeypatch.setenv("TAIPU_LISTEN__PARTNER", "[::1]:9443")
    monkeypatch.setenv("TAIPU_MAX_PAGE", "500")
    home = write(tmp_path, 'max_page = 200\n[listen]\npartner = "0.0.0.0:1"\nconsole = "localhost:9444"\n')
    settings = load_settings(home)
    assert settings.listen.partner == Address("::1", 9443)
    assert settings.listen.console == Address("localhost", 9444)
    assert settings.max_page == 500


def test_networks_are_a_list_in_the_file_and_stand_between_commas_in_a_variable(tmp_path, monkeypatch):
    home = write(tmp_path, '[loggers]\nnetworks = ["10.0.0.0/8", "fd00::/8"]\n')
    from_file = load_settings(home).loggers.networks
    assert [str(network) for network in from_file] == ["10.0.0.0/8", "fd00::/8"]
    monkeypatch.setenv("TAIPU_LOGGERS__NETWORKS", "10.0.0.0/8, fd00::/8")
    assert load_settings(write(tmp_path)).loggers.networks == from_file


def test_the_home_directory_is_the_one_named_to_the_program_whatever_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("TAIPU_HOME", "/somewhere/else")
    assert load_settings(write(tmp_path)).home == tmp_path


def test_paths_are_relative_to_the_home_directory_not_to_where_the_process_started(tmp_path):
    settings = load_settings(write(tmp_path, '[tls]\nkey = "/etc/taipu/server.key"\n'))
    assert settings.tls.certificate == tmp_path / "tls/server.pem"
    assert settings.tls.ca == tmp_path / "tls/ca.pem"
    assert settings.tls.key == Path("/etc/taipu/server.key")
    assert settings.database_url.get_secret_value() == f"sqlite:///{tmp_path}/taipu.db"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_addresses_get_the_one_driver_we_use_and_keep_their_password(tmp_path, scheme):
    settings = load_settings(write(tmp_path, f'database_url = "{scheme}://taipu:pa%40ss@db/taipu"\n'))
    assert settings.database_url.get_secret_value() == "postgresql+psycopg://taipu:pa%40ss@db/taipu"


def test_secrets_do_not_show_in_the_representation(tmp_path):
    more = 'database_url = "postgresql://taipu:hidden-word@db/taipu"\nkey_passphrase = "another hidden-word"\n'
    settings = load_settings(write(tmp_path, more))
    assert "hidden-word" not in repr(settings) + str(settings)
    assert settings.passphrase() == b"another hidden-word"


def test_all_faults_are_reported_at_once_each_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TAIPU_RETRY__MIN", "soon")
    monkeypatch.setenv("TAIPU_MAX_PGAE", "7")
    home = write(tmp_path, 'colour = "red"\nthreads = 0\n[listen]\npartner = "8443"\n[tls]\nchain = "x"\n', required="")
    with pytest.raises(SettingsError) as caught:
        load_settings(home)
    assert caught.value.code == "settings.invalid"
    assert set(caught.value.pointers) == {
        "/party", "/url", "/log_origin", "/colour", "/threads", "/listen/partner", "/tls/chain", "/retry/min",
        "/TAIPU_MAX_PGAE",
    }  # fmt: skip
    assert "pydantic" not in caught.value.diagnostics()


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        pytest.param("unknown = 1\n", "/unknown", id="an unknown setting"),
        pytest.param("[listen]\npartner = 'here:70000'\n", "/listen/partner", id="a port beyond 65535"),
        pytest.param("threads = 50\n", "/database_pool", id="fewer connections than threads"),
        pytest.param("[retry]\nmin = 60\nmax = 5\n", "/retry/max", id="a longest wait below the shortest"),
        pytest.param("[loggers]\nnetworks = ['10.1.0.0/16', 'here']\n", "/loggers/networks/1", id="no network"),
        pytest.param("[loggers]\ngather = 9\n", "/loggers/gather", id="a pause longer than a logger waits"),
        pytest.param("checkpoint = nan\n", "/checkpoint", id="not a number"),
        pytest.param("poll_wait = inf\n", "/poll_wait", id="for ever"),
        pytest.param("max_wait = 61\n", "/max_wait", id="more than the protocol allows"),
        pytest.param("log_format = 'xml'\n", "/log_format", id="a format there is not"),
        pytest.param("database_url = 'mysql://db/x'\n", "/database_url", id="another database"),
        pytest.param("database_url = 'postgresql+psycopg2://db/x'\n", "/database_url", id="another driver"),
        pytest.param("database_url = 'sqlite://'\n", "/database_url", id="a database in memory"),
        pytest.param("database_url = 'postgresql://u:p@db:secret/x'\n", "/database_url", id="no address at all"),
        pytest.param("key_passphrase = 'short'\n", "/key_passphrase", id="a short passphrase"),
        pytest.param(
            "key_passphrase = 'long enough now'\nkey_passphrase_file = 'p'\n", "/key_passphrase_file", id="two"
        ),
        pytest.param("home = '/elsewhere'\n", "/home", id="another home directory"),
        pytest.param("[outlines]\nfile = 'x.geojson'\n", "/outlines/datum", id="outlines that may be shifted"),
        pytest.param("[outlines]\ndatum = 'Beijing54'\n", "/outlines/datum", id="a reference system there is not"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_without_showing_its_value(tmp_path, more, pointer):
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, more))
    assert caught.value.code == "settings.invalid"
    assert caught.value.pointers == (pointer,)
    assert "secret" not in caught.value.detail
    assert caught.value.__context__ is None  # no library's traceback beneath ours


@pytest.mark.parametrize(
    ("party", "url"),
    [
        pytest.param("Wujiang", "https://ok.example", id="capital letters"),
        pytest.param("a", "https://ok.example", id="one character"),
        pytest.param("320509\\n", "https://ok.example", id="a line end"),
        pytest.param("320509", "http://gateway.example", id="not https"),
        pytest.param("320509", "https://gateway.example/", id="a slash at the end"),
        pytest.param("320509", "https://gateway.example/taipu", id="a path"),
        pytest.param("320509", "https://gateway.example?x=1", id="a query"),
        pytest.param("320509", "https://admin@gateway.example", id="a user"),
        pytest.param("320509", "https://gateway.example:0", id="port nought"),
        pytest.param("320509", "https://gateway.example:70000", id="a port beyond 65535"),
        pytest.param("320509", "https://1.2.3.999", id="not quite an IP address"),
        pytest.param("320509", "https://[::g]", id="not quite an IPv6 address"),
        pytest.param("320509", "https://", id="no host"),
        pytest.param("320509", "https://ok.example\\n", id="an address with a line end"),
    ],
)
def test_a_party_or_an_address_in_another_form_is_refused(tmp_path, party, url):
    required = f'party = "{party}"\nurl = "{url}"\nlog_origin = "log"\n'
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, required=required))
    assert caught.value.code == "settings.invalid"
    assert caught.value.pointers == (("/url",) if party == "320509" else ("/party",))


@pytest.mark.parametrize("origin", ["", "two words", "plus+sign", "嘉善", "line\\nend", "x" * 201])
def test_a_log_origin_that_cannot_be_a_key_name_of_a_signed_note_is_refused(tmp_path, origin):
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, required=REQUIRED.replace("gateway.wujiang.example/320509/2026", origin)))
    assert caught.value.pointers == ("/log_origin",)


@pytest.mark.parametrize("party", ["310118", "999999", "taihu-basin", "zone"])
def test_districts_and_other_parties_may_run_a_gateway(tmp_path, party):
    assert load_settings(write(tmp_path, required=REQUIRED.replace("320509", party))).party == party


def test_a_directory_without_settings_is_not_a_home_directory(tmp_path):
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path)
    assert caught.value.code == "settings.missing"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'party = "320509', id="an open string"),
        pytest.param(b'party = "\xff\xfe"', id="not UTF-8"),
        pytest.param(b"a = 1\na = 2\n", id="a setting twice"),
        pytest.param(b"a = " + b"[" * 5000, id="nested without end"),
    ],
)
def test_a_file_that_is_not_toml_is_one_clear_fault(tmp_path, content):
    (tmp_path / "taipu.toml").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path)
    assert caught.value.code == "settings.invalid"


def test_the_passphrase_may_be_the_first_line_of_a_file(tmp_path):
    (tmp_path / "passphrase").write_bytes(b"correct horse battery\r\nand a remark\n")
    assert (
        load_settings(write(tmp_path, 'key_passphrase_file = "passphrase"\n')).passphrase() == b"correct horse battery"
    )


@pytest.mark.parametrize("content", [None, b"short\n"])
def test_a_passphrase_file_that_cannot_serve_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "passphrase").write_bytes(content)
    settings = load_settings(write(tmp_path, 'key_passphrase_file = "passphrase"\n'))
    with pytest.raises(SettingsError) as caught:
        settings.passphrase()
    assert caught.value.code == "settings.invalid"


def test_settings_do_not_change_once_loaded(tmp_path):
    settings = load_settings(write(tmp_path))
    with pytest.raises(ValueError, match="frozen"):
        settings.max_page = 5
    with pytest.raises(ValueError, match="frozen"):
        settings.retry.min = 5


def test_every_setting_is_described_and_its_default_is_toml_that_loads_to_itself(tmp_path):
    settings = load_settings(write(tmp_path))
    for setting in describe():
        assert setting.description.endswith("."), setting.name
        assert setting.type, setting.name
        if setting.default:
            group, _, name = setting.name.rpartition(".")
            text = f"[{group}]\n" if group else ""
            assert load_settings(write(tmp_path, f"{text}{name} = {setting.default}\n")) == settings, setting.name
    assert [one.variable for one in describe() if one.name == "retry.max"] == ["TAIPU_RETRY__MAX"]
