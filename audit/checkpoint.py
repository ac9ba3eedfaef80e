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

from audit.keys import LogKey, LogKeys
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


def sign_checkpoint(signer: NoteSigner, size: int, root: bytes, *, also: Iterable[NoteSigner] = ()) -> bytes:
    """The signed note for the head of the log whose origin is the signer's name.

    `also` are further keys of the log: while its key changes, the old one and the new one both sign.
    """
    encoded = base64.b64encode(root).decode("ascii")
    return sign_note(f"{signer.name}\n{size}\n{encoded}\n", [signer, *also])


def open_checkpoint(note: bytes, keys: LogKeys | Iterable[NoteVerifier]) -> Checkpoint:
    """The head in `note`, signed by at least one of `keys`, for a size that key may sign.

    The caller still has to compare `origin` with the log it asked for: a key may sign for a log of another name.

    Raises:
        SignatureError: as `audit.note.open_note`; `checkpoint.malformed` when what was signed is no checkpoint;
            `checkpoint.key-ended` when only keys signed it that vouch for other sizes.
    """
    known = keys if isinstance(keys, LogKeys) else LogKeys(tuple(map(LogKey, keys)))
    opened = open_note(note, [key.verifier for key in known.keys])
    head = parse_checkpoint(opened.text)
    if not known.allow(opened.signed_by, head.size):
        detail = f"no key that vouches for a size of {head.size} has signed this head of {head.origin}"
        raise SignatureError(detail, code="checkpoint.key-ended")
    return head


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
