"""Fuzz the HJ 212 codec.

    python -m tests.fuzz.hj212 --cases 1000000 [--seed 7] [--engine own]

With atheris installed, coverage guides the bytes (CPython 3.11 on x86-64 Linux; it is no dependency of the project).
Without it, or with `--engine own`, streams are built and bent from one seed, and the same seed gives the same cases.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

_CASES = "tests.fuzz.hj212_cases"  # imported late, so that atheris sees the codec's modules come in


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the HJ 212 codec.")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("atheris", "own"), help="default: atheris where it is installed")
    chosen = parser.parse_args()
    atheris = None if chosen.engine == "own" else _atheris()
    if atheris is not None:
        run_atheris(atheris, chosen.cases, chosen.seed)
    elif chosen.engine == "atheris":
        sys.exit("atheris is not installed")
    else:
        run_own(importlib.import_module(_CASES), chosen.cases, chosen.seed)


def run_own(cases: ModuleType, count: int, seed: int) -> None:
    """Exactly `count` streams; the first one that fails is printed, and its error raised."""
    bender, started = cases.Bender(seed), time.monotonic()
    for number in range(count):
        data, cuts = bender.stream()
        try:
            cases.check(data, cuts)
        except BaseException:
            print(f"case {number} of seed {seed}: {data!r} cut at {cuts}", file=sys.stderr)
            raise
    print(f"own engine: {count} cases of seed {seed} in {time.monotonic() - started:.0f} s, nothing found")


def run_atheris(atheris: Any, count: int, seed: int) -> None:
    """`count` runs of libFuzzer, which ends the process itself and says what it did."""
    with atheris.instrument_imports(include=["schemas.hj212", "schemas.devices"]):
        cases = importlib.import_module(_CASES)
    bender = cases.Bender(seed)
    folder = Path(tempfile.mkdtemp(prefix="hj212-fuzz-"))  # stays: it has what was found worth keeping
    words, corpus = folder / "words", folder / "corpus"
    words.write_text("".join(f'"{word}"\n' for word in bender.words()))
    corpus.mkdir()
    for number in range(50):
        for mode, data in enumerate(bender.inputs()):
            (corpus / f"{number}-{mode}").write_bytes(data)
    settings = [f"-runs={count}", f"-seed={seed}", "-max_len=3000", "-len_control=0", "-reload=0", "-verbosity=1"]
    atheris.Setup(
        [sys.argv[0], *settings, f"-dict={words}", f"-artifact_prefix={folder}/", str(corpus)], cases.one_input
    )
    atheris.Fuzz()


def _atheris() -> Any:
    try:
        return importlib.import_module("atheris")
    except ImportError:
        return None


if __name__ == "__main__":
    main()
