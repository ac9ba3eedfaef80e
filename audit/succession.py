"""What joins the shards of a log, and the keys of a shard, to each other (checks 11 and 12).

A successor's first entry quotes the last head of the shard before it, and nothing comes after the entry that froze a
shard. A key that takes over was named in the log before. Pure; no finding means that the check holds.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from audit.checkpoint import Checkpoint
from audit.form import CONTINUED, FREEZE, KEY_CHANGED
from audit.keys import LogKey
from audit.merkle import HASH_SIZE
from audit.replay import Replay
from audit.report import Finding, Outcome
from schemas import jws


@dataclass(frozen=True)
class Link:
    """A shard as far as it is proved: its head and its entries, None where they are not, and the keys known for it."""

    shard: int
    origin: str
    keys: Sequence[LogKey]
    head: Checkpoint | None = None
    log: Replay | None = None


def check_succession(links: Sequence[Link]) -> Iterator[Finding]:
    """Check 11. `links` are all shards there should be, oldest first."""
    for place, link in enumerate(links):
        if link.log is None or link.head is None or not link.log.entries_proved:
            if len(links) > 1:
                yield _unproved(f"shard {link.shard} itself is not proved")
            continue
        yield from _check_edges(link, link.head, link.log)
        first = next((entry for index, entry in link.log.marks if index == 0 and entry["t"] == CONTINUED), None)
        if first is not None and place == 0:
            yield _unproved("the log continues another one, which is not here")
        elif first is None and place > 0:
            yield _unproved(f"shard {link.shard} does not begin by quoting the one before")
        elif first is not None:
            yield from _check_quotation(link, links[place - 1], first.get("detail", {}))


def check_keys(links: Sequence[Link]) -> Iterator[Finding]:
    """Check 12. Of the keys of a shard, all but the one it began with are named in it."""
    for link in links:
        if len(link.keys) < 2 or link.log is None or not link.log.entries_proved:
            continue
        details = [entry.get("detail", {}) for _, entry in link.log.marks if entry["t"] == KEY_CHANGED]
        named = [str(detail.get(by)) for detail in details if detail.get("use") == "log" for by in ("vkey", "kid")]
        silent = [key for key in link.keys if not {key.verifier.vkey, jws.thumbprint(key.verifier.public)} & {*named}]
        if len(silent) > 1:
            names = " and ".join(key.verifier.key_id.hex() for key in silent)
            yield _unproved(f"the log does not say that one of the keys {names} took over from another")


def _check_edges(link: Link, head: Checkpoint, log: Replay) -> Iterator[Finding]:
    """What froze a shard is its last entry, what continues a log the first."""
    for index, entry in log.marks:
        if entry["t"] == FREEZE and index != head.size - 1:
            yield _tampered(f"entry {index + 1:,} of shard {link.shard} comes after the one that froze it")
        if entry["t"] == CONTINUED and index != 0:
            yield _tampered(f"entry {index:,} of shard {link.shard} begins a shard in its middle")


def _check_quotation(link: Link, before: Link, said: dict[str, Any]) -> Iterator[Finding]:
    name = f"shard {link.shard}"
    size, root = said.get("size"), _root(said.get("root"))
    if type(size) is not int or root is None or (said.get("shard"), said.get("origin")) != (link.shard, before.origin):
        yield _unproved(f"{name} does not begin by quoting shard {before.shard}")
    elif before.head is None:
        yield _unproved(f"{name} quotes a head of shard {before.shard}, which is not proved")
    elif before.head.size > size:
        later = f"a head of {before.head.size:,} has been signed since"
        yield _tampered(f"{name} quotes shard {before.shard} as ended at {size:,} entries, and {later}")
    elif before.head.size < size:
        yield _unproved(f"{name} quotes a later head of shard {before.shard} than is here, one of {size:,} entries")
    elif before.head.root != root:
        yield _tampered(f"{name} quotes another head of shard {before.shard} than was signed")


def _root(text: object) -> bytes | None:
    try:
        root = base64.urlsafe_b64decode(f"{text}=") if isinstance(text, str) else b""
    except ValueError:
        return None
    return root if len(root) == HASH_SIZE else None


def _tampered(text: str) -> Finding:
    return Finding(Outcome.TAMPERED, text)


def _unproved(text: str) -> Finding:
    return Finding(Outcome.UNPROVED, text)
