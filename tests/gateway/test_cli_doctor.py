"""`taipu doctor` where something is wrong: each illness is named, and no other check is taken along without need."""

from __future__ import annotations

import os
import shutil

import pytest

from gateway import party_document
from gateway.doctor import examine
from gateway.home import open_home
from partners.directory import change_state
from schemas.times import DAY, now_millis
from tests.gateway.commands import taipu, taipu_json
from tests.gateway.hands import hand_in
from tests.world import JIASHAN, SITES, WUJIANG, bring_plan, introduce, make_node, plan_document, site_line


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in [name for name in os.environ if name.upper().startswith("TAIPU_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def node(tmp_path):
    made = make_node(tmp_path, WUJIANG)
    yield made
    made.stop()


@pytest.fixture
def home(node):
    return node.gateway.settings.home


def ill(home):
    """The checks that doctor marks red, with what they say."""
    found = taipu_json("doctor", "--home", home, code=1)
    assert not found["well"]
    return {check["name"]: check["text"] for check in found["checks"] if not check["ok"]}


def ill_at(home, now):
    return {check.name: check.text for check in examine(home, now=now) if not check.ok}


def test_a_well_gateway_without_partners_is_green(home):
    done = taipu("doctor", "--home", home)
    assert done.exit_code == 0, done.output


def test_a_directory_that_is_no_home_is_one_red_line(tmp_path):
    assert ill(tmp_path).keys() == {"settings"}
    assert taipu("doctor", "--home", tmp_path).stdout.startswith("✗ settings  settings.missing")


def test_keys_that_others_may_read_are_named(home):
    (home / "keys" / "log.pem").chmod(0o644)
    assert ill(home)["keys"].startswith("keys.permissions")


def test_a_certificate_is_judged_by_its_key_its_name_and_its_dates(home, tmp_path):
    other = make_node(tmp_path / "other", JIASHAN)
    other.stop()
    kept = (home / "tls" / "server.pem").read_bytes()
    shutil.copy(other.gateway.settings.tls.certificate, home / "tls" / "server.pem")
    assert ill(home).keys() == {"certificate"}
    (home / "tls" / "server.pem").write_bytes(kept)
    settings = home / "taipu.toml"
    settings.write_text(settings.read_text().replace("https://127.0.0.1", "https://gateway.example"))
    assert ill(home)["certificate"].startswith("certificate.name")
    settings.write_text(settings.read_text().replace("https://gateway.example", "https://127.0.0.1"))
    now = now_millis()
    assert ill_at(home, now + 360 * DAY)["certificate"].startswith("certificate.expiring")
    assert ill_at(home, now + 367 * DAY)["certificate"].startswith("certificate.expired")
    assert ill_at(home, now - DAY)["certificate"].startswith("certificate.early")


def test_a_party_document_that_is_stale_or_ends_or_is_not_there_is_named(home, tmp_path):
    now = now_millis()
    assert ill_at(home, now + 399 * DAY)["document"].startswith("document.expiring")
    (home / party_document.DOCUMENT_FILE).unlink()
    assert ill(home)["document"].startswith("home.document-missing")
    other = make_node(tmp_path / "other", WUJIANG)
    other.stop()
    shutil.copy(other.gateway.settings.home / party_document.DOCUMENT_FILE, home / party_document.DOCUMENT_FILE)
    assert ill(home)["published keys"].startswith("document.stale")
    party_document.sign_document(open_home(home), now=now)
    assert taipu("doctor", "--home", home).exit_code == 0


def test_a_database_without_its_schema_is_named_and_nothing_is_tried_on_it(node, home):
    node.gateway.close()
    (home / "taipu.db").unlink()
    assert ill(home).keys() == {"database"}
    assert "log" not in [check["name"] for check in taipu_json("doctor", "--home", home, code=1)["checks"]]


def test_a_clock_behind_what_was_published_is_named(node, home):
    bring_plan(plan_document(SITES), node)
    hand_in(node, site_line())
    later = now_millis() + 10 * 60_000
    assert node.gateway.publisher.publish_due(now=later)
    assert ill(home)["clock"].startswith("clock.behind")


def test_a_database_that_was_set_back_is_named_and_may_not_publish(node, home, tmp_path):
    bring_plan(plan_document(SITES), node)
    node.gateway.sequencer.step()
    with node.gateway.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(home / "taipu.db", tmp_path / "backup.db")
    hand_in(node, site_line())
    assert node.gateway.publisher.publish_due(now=now_millis())
    node.gateway.close()
    for name in ("taipu.db", "taipu.db-wal", "taipu.db-shm"):
        (home / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", home / "taipu.db")
    found = ill(home)
    assert found.keys() == {"head store", "publish"}
    assert found["head store"].startswith("gateway.rolled-back")


def test_a_partner_that_does_not_answer_is_named(node, home, tmp_path):
    silent = make_node(tmp_path / "other", JIASHAN)
    introduce(node, silent)
    silent.stop()
    found = ill(home)
    assert found.keys() == {f"partner {JIASHAN}"}
    assert found[f"partner {JIASHAN}"].startswith("partner.unreachable")


def test_a_suspended_partner_is_not_asked(node, home, tmp_path):
    silent = make_node(tmp_path / "other", JIASHAN)
    introduce(node, silent)
    silent.stop()
    with node.gateway.database.write() as session:
        change_state(session, JIASHAN, "suspended")
    assert taipu("doctor", "--home", home).exit_code == 0
