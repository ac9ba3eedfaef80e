"""C2SP tlog-checkpoint: a log's signed head. Three lines in a signed note, and no extension lines.

    <origin>
    <number of entries, decimal>
    <root, base64>

Stricter than the specification where it leaves room: no extension lines, since witnesses' newer signatures do not
cover them. A log must never sign two checkpoints of one size with different roots; `audit.sequencer` sees to that,
not this module.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass

from audit.merkle import HASH_SIZE, empty_root
from audit.note import NoteSigner, NoteVerifier, decode_base64, open_note, sign_note
from schemas.errors import SignatureError

MAX_SIZE = 2**63 - 1  # entries; what a database integer holds
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Checkpoint:
    """A log's head: `origin` names the log, `size` counts its entries, `root` is the Merkle root over them.

    `text` is the note text that was signed, which witnesses sign again.
    """

    origin: str
    size: int
    root: bytes
    text: str


def sign_checkpoint(signer: NoteSigner, size: int, root: bytes) -> bytes:
    """The signed note for the head of the log whose origin is the signer's name."""
    encoded = base64.b64encode(root).decode("ascii")
    return sign_note(f"{signer.name}\n{size}\n{encoded}\n", [signer])


def open_checkpoint(note: bytes, verifiers: Iterable[NoteVerifier]) -> Checkpoint:
    """The head in `note`, signed by at least one of `verifiers`.

    The caller still has to compare `origin` with the log it asked for: a key may sign for a log of another name.

    Raises:
        SignatureError: as `audit.note.open_note`; `checkpoint.malformed` when what was signed is no checkpoint.
    """
    return parse_checkpoint(open_note(note, verifiers).text)


def parse_checkpoint(text: str) -> Checkpoint:
    """The head that `text`, the text of a note, states.

    Raises:
        SignatureError: `checkpoint.malformed`.
    """
    lines = text.split("\n")
    if len(lines) != 4 or not lines[0] or lines[3] or not _SIZE.fullmatch(lines[1]):
        raise _malformed("a checkpoint is an origin, a size and a root, a line each")
    try:
        root = decode_base64(lines[2])
    except ValueError as error:
        raise _malformed("the root is not base64 in its one form") from error
    size = int(lines[1])
    if size > MAX_SIZE or len(root) != HASH_SIZE or (size == 0 and root != empty_root()):
        raise _malformed("no log has this size and root")
    return Checkpoint(lines[0], size, root, text)


def _malformed(detail: str) -> SignatureError:
    return SignatureError(detail, code="checkpoint.malformed")
