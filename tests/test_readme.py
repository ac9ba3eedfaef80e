"""The README says what the program does: its help blocks are the program's own, its languages agree on commands.

`python -m tests.test_readme` writes the blocks anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
CHINESE = ROOT / "README.zh.md"
_BLOCK = re.compile(r"```\n\$ (taipu [^\n]*--help)\n(.*?)```", re.DOTALL)
_FENCE = re.compile(r"```\n(?!\$)(.*?)```", re.DOTALL)


def help_of(command: str) -> str:
    """What `command` prints, 100 columns wide and without colours."""
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    words = [sys.executable, "-m", "gateway.cli", *command.split()[1:]]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip() + "\n"


def test_there_are_help_blocks_to_compare() -> None:
    assert len(_BLOCK.findall(README.read_text())) >= 3


@pytest.mark.parametrize(("command", "shown"), _BLOCK.findall(README.read_text()), ids=lambda part: part[:30])
def test_help_block_is_what_the_program_prints(command: str, shown: str) -> None:
    assert shown == help_of(command)


def test_both_languages_give_the_same_commands() -> None:
    def commands(path: Path) -> list[str]:
        lines = [line for block in _FENCE.findall(path.read_text()) for line in block.splitlines()]
        return [line.partition("#")[0].strip() for line in lines if line.startswith(("make ", "taipu "))]

    assert commands(README) == commands(CHINESE)


def write_blocks() -> None:
    """Put the program's present help into the README."""
    text = README.read_text()
    README.write_text(_BLOCK.sub(lambda found: f"```\n$ {found[1]}\n{help_of(found[1])}```", text))


if __name__ == "__main__":
    write_blocks()
