"""The head store: compare-and-set, never backwards, for several threads and processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from audit.errors import HeadConflictError
from audit.heads import HeadStore
from audit.merkle import empty_root, leaf_hash

ORIGIN = "320509.example/log/2027"
ROOT, OTHER_ROOT = leaf_hash(b"one"), leaf_hash(b"two")


@pytest.fixture
def heads(tmp_path: Path) -> Iterator[HeadStore]:
    store = HeadStore(tmp_path / "heads.db")
    yield store
    store.close()


def test_nothing_is_pinned_in_a_new_store(heads: HeadStore) -> None:
    assert heads.log_head(ORIGIN) is None
    assert heads.feed_head("320509", "water") is None
    assert heads.feed_heads("320509") == {}


def test_a_pinned_log_goes_on_and_may_be_pinned_again(heads: HeadStore) -> None:
    for size, root in [(0, empty_root()), (5, ROOT), (5, ROOT), (6, OTHER_ROOT), (600, ROOT)]:
        heads.pin_log(ORIGIN, size, root)
        assert heads.log_head(ORIGIN) == (size, root)
    assert heads.log_head("another") is None


@pytest.mark.parametrize(
    ("size", "root"), [(4, ROOT), (5, OTHER_ROOT), (0, empty_root())], ids=["smaller", "another root", "empty"]
)
def test_a_pinned_log_never_goes_back_or_sideways(heads: HeadStore, size: int, root: bytes) -> None:
    heads.pin_log(ORIGIN, 5, ROOT)
    with pytest.raises(HeadConflictError) as caught:
        heads.pin_log(ORIGIN, size, root)
    assert caught.value.code == "head.conflict"
    assert set(caught.value.extra) == {"pinned", "offered"}
    assert heads.log_head(ORIGIN) == (5, ROOT)
    heads.pin_log(ORIGIN, 6, OTHER_ROOT)


def test_a_pinned_feed_goes_on_by_one_and_may_be_pinned_again(heads: HeadStore) -> None:
    for seq, manifest in [(1, "a"), (1, "a"), (2, "b"), (3, "c")]:
        heads.pin_feed("320509", "water", seq, manifest)
        assert heads.feed_head("320509", "water") == (seq, manifest)
    heads.pin_feed("320509", "air", 7, "x")
    heads.pin_feed("310118", "water", 1, "y")
    assert heads.feed_heads("320509") == {"water": (3, "c"), "air": (7, "x")}


@pytest.mark.parametrize(
    ("seq", "manifest"), [(2, "x"), (1, "a"), (4, "d"), (9, "z")], ids=["another batch", "smaller", "gap", "far gap"]
)
def test_a_pinned_feed_never_goes_back_sideways_or_over_a_gap(heads: HeadStore, seq: int, manifest: str) -> None:
    heads.pin_feed("320509", "water", 2, "b")
    with pytest.raises(HeadConflictError) as caught:
        heads.pin_feed("320509", "water", seq, manifest)
    assert caught.value.code == "head.conflict"
    assert heads.feed_head("320509", "water") == (2, "b")
    heads.pin_feed("320509", "water", 3, "c")


@pytest.mark.parametrize("root", [b"", ROOT[:31], ROOT + b"0"])
def test_only_a_root_of_32_bytes_is_pinned(heads: HeadStore, root: bytes) -> None:
    with pytest.raises(RuntimeError):
        heads.pin_log(ORIGIN, 1, root)


def test_what_is_pinned_is_there_after_a_restart_and_for_others(heads: HeadStore, tmp_path: Path) -> None:
    other = HeadStore(tmp_path / "heads.db")
    before = [heads.version(), other.version()]
    assert before == [heads.version(), other.version()]
    heads.pin_log(ORIGIN, 5, ROOT)
    heads.pin_feed("320509", "water", 1, "a")
    after = [heads.version(), other.version()]
    assert all(then != now for then, now in zip(before, after, strict=True))
    assert (other.log_head(ORIGIN), other.feed_head("320509", "water")) == ((5, ROOT), (1, "a"))
    with pytest.raises(HeadConflictError):
        other.pin_log(ORIGIN, 5, OTHER_ROOT)
    other.close()


def test_of_many_threads_that_pin_different_roots_for_one_size_one_wins(heads: HeadStore) -> None:
    roots = [leaf_hash(bytes([number])) for number in range(16)]

    def pin(root: bytes) -> bool:
        try:
            heads.pin_log(ORIGIN, 1, root)
        except HeadConflictError:
            return False
        return heads.log_head(ORIGIN) == (1, root)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(pin, roots)) == 1


_PROGRAM = """
import sys
from pathlib import Path
from audit.errors import HeadConflictError
from audit.heads import HeadStore
input()
heads, me, won = HeadStore(Path(sys.argv[1])), sys.argv[2], 0
while (seq := (heads.feed_head("320509", "water") or (0,))[0] + 1) <= 100:
    try:
        heads.pin_feed("320509", "water", seq, me)
        won += 1
    except HeadConflictError:
        pass
print(won)
"""


def test_of_several_processes_that_pin_one_feed_each_number_is_won_once(tmp_path: Path) -> None:
    path = tmp_path / "heads.db"  # not there yet: they also race to create it
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(path), str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda process: process.communicate("go\n", timeout=60)[0], running))
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sum(map(int, results)) == 100
