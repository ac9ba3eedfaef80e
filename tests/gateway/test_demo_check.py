"""The check end to end, small: three real processes, one of them killed; and what it would say of faults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from gateway.demo import processes
from gateway.demo.command import run
from gateway.demo.errors import DemoError
from gateway.demo.network import create_network, open_network
from gateway.demo.proofs import verify_all
from gateway.home import open_home
from gateway.service import Gateway
from gateway.settings import FILE_NAME
from gateway.store import tables
from partners.tables import receipt
from schemas.times import now_millis

OBSERVATIONS = 600


@dataclass(frozen=True)
class Checked:
    """A check that was run: its exit code, the last line it printed, and the directory it left."""

    code: int
    last_line: str
    root: Path


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    root = tmp_path_factory.mktemp("check") / "demo"
    with pytest.MonkeyPatch.context() as environment, redirect_stdout(StringIO()) as printed:
        environment.setenv("TAIPU_PARTY", "999999")  # meant for another gateway: it must not reach these
        code = run(check=True, keep=root, observations=OBSERVATIONS)
        assert os.environ["TAIPU_PARTY"] == "999999"
    return Checked(code, printed.getvalue().splitlines()[-1], root)


@pytest.fixture
def gateways(checked: Checked) -> Iterator[dict[str, Gateway]]:
    opened = {member.party: Gateway(open_home(member.home)) for member in open_network(checked.root)}
    yield opened
    for gateway in opened.values():
        gateway.close()


def test_with_a_gateway_killed_in_the_middle_nothing_is_missing_or_doubled_and_all_is_proved(checked: Checked) -> None:
    assert checked.code == 0
    result = json.loads(checked.last_line)
    assert list(result) == [
        "gateways", "submitted", "replicated", "missing", "duplicates", "batches", "receipts", "log_entries",
        "logs_verified", "seconds",
    ]  # fmt: skip
    assert result["gateways"] == 3
    assert result["submitted"] >= 3 * OBSERVATIONS
    assert result["replicated"] == 2 * result["submitted"]
    assert (result["missing"], result["duplicates"], result["logs_verified"]) == (0, 0, True)
    assert result["batches"] >= 10
    assert result["receipts"] > 2 * result["batches"]  # two recipients each, and the submitters'
    assert result["log_entries"] > result["receipts"]
    assert result["seconds"] < 60


def test_a_check_begins_with_an_empty_directory(checked: Checked) -> None:
    with pytest.raises(DemoError) as occupied:
        run(check=True, keep=checked.root, observations=OBSERVATIONS)
    assert occupied.value.code == "demo.directory-occupied"


def _damage_a_batch(gateway: Gateway) -> None:
    with gateway.database.write() as session:
        frame = session.execute(select(tables.batch.c.frame).limit(1)).scalar_one()
        session.execute(update(tables.batch).values(frame=frame))  # one batch's bytes in the place of every other


def _lose_the_newest_batch(gateway: Gateway) -> None:
    with gateway.database.write() as session:
        session.execute(delete(tables.batch).where(tables.batch.c.dataset == "wj-antimony", tables.batch.c.seq > 1))


def _lose_a_receipt(gateway: Gateway) -> None:
    with gateway.database.write() as session:
        one = session.execute(select(receipt.c.hash).where(receipt.c.direction == "in").limit(1)).scalar_one()
        session.execute(delete(receipt).where(receipt.c.hash == one))


def _change_an_entry(gateway: Gateway) -> None:
    with gateway.database.write() as session:
        session.exec_driver_sql("DROP TRIGGER log_leaf_no_update")  # as somebody could who owns the database
        changed = "CAST(replace(entry, '\"held\":0', '\"held\":7') AS BLOB)"
        session.exec_driver_sql(f"UPDATE log_leaf SET entry = {changed}")


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (_damage_a_batch, "does not follow on the one before"),
        (_lose_the_newest_batch, "does not end at its head"),
        (_lose_a_receipt, "held at one end only"),
        (_change_an_entry, "promised an entry"),
    ],
)
def test_what_is_not_proved_is_named(
    fault: Callable[[Gateway], None], named: str, checked: Checked, gateways: dict[str, Gateway], tmp_path: Path
) -> None:
    before = _copy(checked.root / "320509" / "taipu.db")
    try:
        fault(gateways["320509"])
        problems = verify_all(gateways, tmp_path).problems
    finally:
        for gateway in gateways.values():
            gateway.close()
        _restore(checked.root / "320509" / "taipu.db", before)
    assert any(named in problem for problem in problems), problems


def test_what_was_restored_is_proved_again(gateways: dict[str, Gateway], tmp_path: Path) -> None:
    assert verify_all(gateways, tmp_path).problems == []


def test_a_gateway_that_does_not_start_says_why(tmp_path: Path) -> None:
    members = create_network(tmp_path / "demo", now=now_millis(), ports={})
    (members[0].home / FILE_NAME).write_text("party = 7\n")
    with pytest.raises(DemoError) as failed, processes.running(members[:1]):
        pass
    assert failed.value.code == "demo.gateway-failed"
    assert "settings.invalid" in failed.value.detail or "SettingsError" in failed.value.detail


_PARENT = """
import sys, time
from pathlib import Path
from gateway.demo import network, processes
nodes = [processes.start(member) for member in network.open_network(Path(sys.argv[1]))]
print(*(node.process.pid for node in nodes), flush=True)
time.sleep(60)
"""


def test_no_gateway_outlives_a_demonstration_that_is_killed(tmp_path: Path) -> None:
    create_network(tmp_path / "demo", now=now_millis(), ports={})
    command = [sys.executable, "-c", _PARENT, str(tmp_path / "demo")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert all(_is_running(pid) for pid in pids)
        parent.kill()
    deadline = time.monotonic() + 20
    while any(_is_running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_demonstration_describes_itself_goes_on_where_it_was_and_ends_when_told(tmp_path: Path) -> None:
    create_network(tmp_path / "demo", now=now_millis(), ports={})
    described = []
    for _ in range(2):
        command = [sys.executable, "-c", _DEMONSTRATION, str(tmp_path / "demo")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as demonstration:
            assert demonstration.stdout is not None
            deadline = time.monotonic() + 60
            while not (tmp_path / "demo" / "demo.json").exists():
                assert demonstration.poll() is None, demonstration.stdout.read()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(1)
            demonstration.send_signal(signal.SIGINT)
            shown, _ = demonstration.communicate(timeout=30)
        assert demonstration.returncode == 0
        assert "simulated" in shown.decode()
        described.append((tmp_path / "demo" / "demo.json").read_bytes())
        (tmp_path / "demo" / "demo.json").unlink()
    assert described[0] == described[1]
    pids = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, check=False)
    assert not pids.stdout


_DEMONSTRATION = """
import sys
from pathlib import Path
from gateway.demo.command import run
sys.exit(run(check=False, keep=Path(sys.argv[1])))
"""


def _is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def _copy(path: Path) -> dict[Path, bytes]:
    return {one: one.read_bytes() for one in path.parent.glob(path.name + "*")}


def _restore(path: Path, before: dict[Path, bytes]) -> None:
    for one in path.parent.glob(path.name + "*"):
        one.unlink()
    for one, data in before.items():
        one.write_bytes(data)
