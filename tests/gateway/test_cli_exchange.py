"""`taipu send`, `batch verify`, `audit verify`, `sync status`, `feed list`, `held list`, `doctor`: gateways that run.

Two gateways know each other and exchange; the tests only look, or hand in what is theirs alone.
"""

from __future__ import annotations

import json
import os
import shutil

import pytest

from audit.receipts import open_receipt
from gateway.cli.exits import ExitCode
from gateway.evidence_export import write_evidence
from gateway.store import feeds
from schemas import jws
from schemas.batch import write_batch
from schemas.sheets import shipped_profile
from tests.gateway.commands import quiet, refused, taipu, taipu_json
from tests.world import (
    ANTIMONY,
    JIASHAN,
    QINGPU,
    SITES,
    WUJIANG,
    bring_plan,
    free_port,
    introduce,
    make_node,
    plan_document,
    reading_line,
    running,
    site_line,
    wait_for,
)

FEED = (WUJIANG, "wj-antimony")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in [name for name in os.environ if name.upper().startswith("TAIPU_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exchange")


@pytest.fixture(scope="module")
def nodes(folder):
    """Wujiang and Jiashan, which have exchanged a site and two batches of readings."""
    wujiang, jiashan = make_node(folder, WUJIANG), make_node(folder, JIASHAN)
    introduce(wujiang, jiashan)
    bring_plan(plan_document(SITES, ANTIMONY), wujiang, jiashan)
    client = _client(wujiang, folder, "station", "records:submit")
    with quiet(), running(wujiang, jiashan):
        for lines, arrived in (([site_line(), reading_line(0)], 1), ([reading_line(1), reading_line(2)], 3)):
            (folder / "first.ndjson").write_bytes(b"\n".join(lines))
            assert taipu("send", folder / "first.ndjson", "--client", client).exit_code == 0
            wait_for(lambda arrived=arrived: _records(jiashan) == arrived)
        yield wujiang, jiashan


@pytest.fixture(scope="module")
def wujiang(nodes):
    return nodes[0]


@pytest.fixture(scope="module")
def jiashan(nodes):
    return nodes[1]


@pytest.fixture(scope="module")
def station(wujiang, folder):
    return folder / "station.json"


@pytest.fixture(scope="module")
def auditor(wujiang, folder):
    return _client(wujiang, folder, "auditor", "audit:read feeds:read")


@pytest.fixture(scope="module")
def batch_files(jiashan):
    """The readings' batch files as zstd frames, as Jiashan holds them."""
    with jiashan.gateway.database.read() as session:
        return [batch.frame for batch in feeds.batches(session, *FEED, first=1, last=2)]


def home_of(node):
    return node.gateway.settings.home


def _client(node, folder, kind, scope):
    words = ["--id", kind, "--party", node.party, "--kind", kind, "--scope", scope]
    done = taipu("client", "add", *words, "--key-out", folder / f"{kind}.pem", "--home", home_of(node))
    assert done.exit_code == 0, done.output
    path = folder / f"{kind}.json"
    path.write_text(done.stdout)
    return path


def _records(node):
    with node.gateway.database.read() as session:
        return sum(batch.count for batch in feeds.batches(session, *FEED, first=1, last=99))


def test_send_prints_counts_and_what_was_not_simply_taken_and_keeps_the_receipt(wujiang, station, tmp_path):
    file = tmp_path / "mixed.ndjson"
    file.write_bytes(b"\n".join([reading_line(10), b"{}", reading_line(11, unit="furlong")]))
    done = taipu("send", file, "--client", station, "--receipt", tmp_path / "receipt.jws")
    assert done.exit_code == ExitCode.SOME_REFUSED
    counts, second, third = done.stdout.splitlines()
    assert counts == "1 accepted, 0 duplicates, 0 revised, 1 refused, 1 held"
    assert second.startswith("line 2: refused: record.kind-unknown: ")
    assert third.startswith("line 3: held: record.unit-unknown: ")
    key = wujiang.gateway.keys.manifest
    receipt = open_receipt((tmp_path / "receipt.jws").read_text().strip(), {key.kid: key.public})
    assert (receipt.to_party, receipt.applied, receipt.held) == ("station", 1, 1)


def test_send_of_the_same_again_is_harmless_and_a_dry_run_keeps_nothing(station, tmp_path):
    file = tmp_path / "one.jsonl"
    file.write_bytes(reading_line(20))
    rehearsed = taipu_json("send", file, "--client", station, "--dry-run")
    assert (rehearsed["dry_run"], rehearsed["accepted"]) == (True, 1)
    first, again = (taipu_json("send", file, "--client", station) for _ in range(2))
    assert (first["accepted"], first["problems"]) == (1, [])
    assert again == first


def test_send_reads_a_json_array_and_packets_by_their_names_or_as_told(station, tmp_path):
    (tmp_path / "array.json").write_bytes(b"[" + reading_line(30) + b"]")
    assert taipu_json("send", tmp_path / "array.json", "--client", station)["accepted"] == 1
    (tmp_path / "packets.txt").write_text("nothing of the kind")
    done = taipu("send", tmp_path / "packets.txt", "--client", station)
    assert done.exit_code == ExitCode.FAILED
    assert "packet 1: refused: packet.no-header" in done.stdout
    told = taipu("send", "-", "--type", "ndjson", "--client", station, given=reading_line(31))
    assert told.stdout.startswith("1 accepted")
    assert taipu("send", "-", "--client", station, given=b"").exit_code == ExitCode.USAGE


def test_send_hands_in_a_sheet_with_the_profile_that_reads_it(station, tmp_path):
    header = ",".join(shipped_profile("air-hourly").columns()[0])
    (tmp_path / "hours.csv").write_text(f"{header}\nAQ-1,2026-03-01T0900,10,20,3,4,50,0.5\n")
    assert taipu_json("send", tmp_path / "hours.csv", "--client", station, "--profile", "air-hourly")["held"] == 6
    refused(taipu("send", tmp_path / "hours.csv", "--client", station), "submission.profile-missing")


def test_send_of_nothing_that_can_be_taken_fails(station, tmp_path):
    (tmp_path / "bad.ndjson").write_bytes(b"{}\n[]")
    assert taipu("send", tmp_path / "bad.ndjson", "--client", station).exit_code == ExitCode.FAILED
    (tmp_path / "bad.json").write_bytes(b"{}")
    refused(taipu("send", tmp_path / "bad.json", "--client", station), "submission.not-json")


def test_send_says_why_it_could_not(station, auditor, tmp_path):
    file = tmp_path / "one.ndjson"
    file.write_bytes(reading_line(40))
    said = json.loads(station.read_text())
    stranger, keyless, unwritten = (tmp_path / f"{name}.json" for name in ("stranger", "keyless", "unwritten"))
    stranger.write_text(json.dumps(said | {"client_id": "stranger"}))
    keyless.write_text(json.dumps(said | {"key": "nowhere.pem"}))
    unwritten.write_text("{")
    nobody = ["--url", f"https://127.0.0.1:{free_port()}"]
    for words, code, exit_code in [
        (["--client", stranger], "partner.token-refused", ExitCode.NOT_AUTHORISED),
        (["--client", auditor], "partner.refused", ExitCode.NOT_AUTHORISED),
        (["--client", station, *nobody], "partner.unreachable", ExitCode.UNREACHABLE),
        (["--client", station, "--url", "http://x"], "party.url-invalid", ExitCode.FAILED),
        (["--client", keyless], "keys.missing", ExitCode.FAILED),
        (["--client", unwritten], "client.file-invalid", ExitCode.FAILED),
        (["--client", tmp_path / "absent.json"], "client.file-invalid", ExitCode.FAILED),
    ]:
        refused(taipu("send", file, *words), code, exit_code)
    refused(taipu("send", tmp_path / "absent.ndjson", "--client", station), "input.unreadable")


def test_batch_verify_names_the_party_and_a_row_for_each_file(wujiang, batch_files, tmp_path):
    keys = home_of(wujiang) / "party.jws"
    (tmp_path / "page.zst").write_bytes(b"".join(batch_files))
    found = taipu_json("batch", "verify", tmp_path / "page.zst", "--keys", keys)
    assert found["verified"]
    assert found["sentence"].startswith(f"2 batch files are exactly what party {WUJIANG} (")
    assert [(row["seq"], row["fault"]) for row in found["batches"]] == [(1, ""), (2, "")]
    plain = feeds.from_frame(batch_files[0])
    done = taipu("batch", "verify", "-", "--keys", keys, given=plain)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split()[:3] == ["FILE", "FEED", "SEQ"]
    manifest = wujiang.gateway.keys.manifest
    (tmp_path / "keys.json").write_text(json.dumps({manifest.kid: jws.public_text(manifest.public)}))
    assert taipu("batch", "verify", "-", "--keys", tmp_path / "keys.json", given=plain).exit_code == 0


def test_batch_verify_tells_what_was_not_signed_from_what_cannot_be_read(wujiang, jiashan, batch_files, tmp_path):
    keys, others = home_of(wujiang) / "party.jws", home_of(jiashan) / "party.jws"
    plain = feeds.from_frame(batch_files[0])
    (tmp_path / "not-keys.json").write_text('{"kid": 1}')
    not_signed, bad_input = ExitCode.NOT_VERIFIED, ExitCode.BAD_INPUT
    for data, with_keys, exit_code, code in [
        (plain.replace(b"0.0021", b"0.0022", 1), keys, not_signed, "batch.digest-mismatch"),
        (plain, others, not_signed, "batch.key-unknown"),
        (batch_files[1] + batch_files[0], keys, not_signed, "batch.predecessor-wrong"),
        (batch_files[0] * 2, keys, not_signed, "batch.predecessor-wrong"),
        (b"{}", keys, bad_input, "batch.malformed"),
        (b"", keys, bad_input, "batch.malformed"),
        (batch_files[0][:-5], keys, bad_input, "partner.answer-malformed"),
        (plain, tmp_path / "absent", bad_input, "input.unreadable"),
        (plain, tmp_path / "not-keys.json", bad_input, "input.unreadable"),
    ]:
        done = taipu("batch", "verify", "-", "--keys", with_keys, given=data)
        assert done.exit_code == exit_code, done.output
        assert code in done.output


def test_batch_verify_does_not_let_one_party_sign_for_another(wujiang, jiashan, tmp_path):
    """A document vouches for its own party alone, even where its key did sign."""
    batch = write_batch(
        jiashan.gateway.keys.manifest, [b"{}"], provider=WUJIANG, dataset="wj-antimony", plan="p@1", plan_digest="d",
        seq=1, prev="", first="", last="", created="2026-11-23T02:00:00.000Z",
    )  # fmt: skip
    done = taipu("batch", "verify", "-", "--keys", home_of(jiashan) / "party.jws", given=batch.file)
    assert done.exit_code == ExitCode.NOT_VERIFIED
    assert "batch.provider-wrong" in done.stdout


def test_audit_verify_of_a_home_proves_its_log_its_batches_and_its_receipts(wujiang, jiashan):
    for node in (wujiang, jiashan):
        report = taipu_json("audit", "verify", home_of(node))
        assert {row["outcome"] for row in report["rows"]} == {"proved"}
        counted = {row["check"]: row["count"] for row in report["rows"]}
        assert counted[6] >= 3, "a site's batch and two of readings"
        assert counted[9] >= 3
    assert taipu("audit", "verify", home_of(wujiang)).stdout.startswith(f"Log 127.0.0.1/{WUJIANG}/")


def test_audit_verify_of_evidence_tells_tampering_from_what_is_missing(jiashan, tmp_path):
    write_evidence(jiashan.gateway, tmp_path / "evidence")
    vkey = jiashan.gateway.log_signer.vkey
    verify = ("audit", "verify", tmp_path / "evidence", "--vkey", vkey)
    assert taipu(*verify).exit_code == 0
    batch = tmp_path / "evidence" / "batches" / WUJIANG / "wj-antimony" / "1.ndjson"
    kept = batch.read_bytes()
    batch.write_bytes(kept.replace(b"0.0021", b"0.0099"))
    assert taipu(*verify).exit_code == 1
    batch.write_bytes(kept)
    shutil.rmtree(tmp_path / "evidence" / "log" / "tile")
    assert taipu(*verify).exit_code == 2


def test_audit_verify_downloads_from_an_address_and_remembers_the_visit(wujiang, auditor, tmp_path):
    verify = ("audit", "verify", wujiang.url, "--client", auditor, "--state", tmp_path / "visits.json")
    done = taipu(*verify)
    assert done.exit_code == 0, done.output
    assert f"This is the log of party {WUJIANG}" in done.stderr
    report = json.loads(taipu(*verify, "--json").stdout)
    assert "since your last visit" in report["sentence"]
    assert {row["check"]: row["count"] for row in report["rows"]}[6] >= 3


def test_audit_verify_says_why_it_could_not(wujiang, station, auditor, tmp_path):
    nobody = f"https://127.0.0.1:{free_port()}"
    for words, code, exit_code in [
        ([wujiang.url], "input.needed", ExitCode.BAD_INPUT),
        ([wujiang.url, "--client", station], "partner.refused", ExitCode.NOT_AUTHORISED),
        ([nobody, "--client", auditor], "partner.unreachable", ExitCode.UNREACHABLE),
        ([tmp_path / "absent"], "input.unreadable", ExitCode.BAD_INPUT),
    ]:
        refused(taipu("audit", "verify", *words), code, exit_code)
    assert taipu("audit", "verify", tmp_path).exit_code == ExitCode.BAD_INPUT


def test_sync_status_tells_how_each_partner_stands(wujiang, jiashan):
    wait_for(lambda: _status(wujiang)["partners"][0]["deliveries"]["pending"] == 0)
    theirs = _status(wujiang)["partners"][0]
    assert (theirs["party"], theirs["state"], theirs["error"]) == (JIASHAN, "active", "")
    assert theirs["deliveries"]["delivered"] >= 3
    assert _status(wujiang)["unregistered"].keys() == {QINGPU}, "a recipient that nobody has registered"
    ours = _status(jiashan)["partners"][0]
    assert {feed["dataset"] for feed in ours["feeds"]} == {"wj-sites", "wj-antimony"}
    assert ours["last_contact"].endswith("+08:00")
    lines = taipu("sync", "status", "--home", home_of(jiashan)).stdout.splitlines()
    assert any(line.startswith(f"{WUJIANG}  active") for line in lines)
    assert any(line.startswith(f"{WUJIANG}/wj-sites: taken up to 1") for line in lines)


def _status(node):
    return taipu_json("sync", "status", "--home", home_of(node))


def test_feed_list_shows_the_newest_batch_of_each_feed(jiashan):
    listed = {one["dataset"]: one for one in taipu_json("feed", "list", "--home", home_of(jiashan))}
    assert listed["wj-antimony"]["seq"] >= 2
    with jiashan.gateway.database.read() as session:
        assert listed["wj-sites"]["manifest"] == feeds.head(session, WUJIANG, "wj-sites").manifest
    assert "wj-antimony" in taipu("feed", "list", "--home", home_of(jiashan)).stdout


def test_held_list_shows_what_waits_for_what(wujiang, station, tmp_path):
    (tmp_path / "held.ndjson").write_bytes(reading_line(50, site="320509-SW-0099"))
    assert taipu("send", tmp_path / "held.ndjson", "--client", station).exit_code == 0
    listed = taipu_json("held", "list", "--home", home_of(wujiang))
    assert ("site", "320509-SW-0099", 1) in [(one["waits_for"], one["name"], one["count"]) for one in listed]
    assert "320509-SW-0099" in taipu("held", "list", "--home", home_of(wujiang)).stdout


def test_doctor_is_green_beside_a_running_gateway(wujiang):
    found = taipu_json("doctor", "--home", home_of(wujiang))
    assert found["well"], found
    names = [check["name"] for check in found["checks"]]
    assert names == [
        "settings", "disk", "certificate", "keys", "document", "database", "clock", "published keys", "head store",
        "sign", "write", "log", "publish", f"partner {JIASHAN}",
    ]  # fmt: skip
    done = taipu("doctor", "--home", home_of(wujiang))
    assert (done.exit_code, done.stderr) == (0, "")
    assert {line[0] for line in done.stdout.splitlines()} == {"✓"}
