"""The offline verifier: what an evidence directory proves, and what it does not.

Needs the standard library, `cryptography`, this package's pure modules and those parts of `schemas` that verify a batch
file: no database, no network, no gateway. Hostile evidence ends in a report, never in an exception, and nothing is
written but the auditor's own state file. `CHECKS` lists what is checked, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from audit.checkpoint import Checkpoint, open_checkpoint
from audit.errors import EvidenceError
from audit.evidence import Evidence, ShardFiles, open_evidence
from audit.exchanges import check_logged, check_order, check_promises, read_batches, read_receipts
from audit.keys import LogKey, LogKeys, origin_of
from audit.note import NoteVerifier, parse_vkey
from audit.replay import Asked, Replay, replay
from audit.report import Finding, Outcome, Report, Row, gravest, unreadable
from audit.succession import Link, check_keys, check_succession
from audit.tiles import ENTRIES
from audit.visits import Visit, read_visit, write_visits
from schemas import jws
from schemas.errors import SharingError, SignatureError

# By number: what is checked, and what the check does not show even when it holds.
CHECKS: dict[int, tuple[str, str]] = {
    1: (
        "the checkpoint is signed by the log's key, for a size that key may sign",
        "when it was signed, or that nobody was shown another one: that takes witnesses",
    ),
    2: (
        "the entries, hashed again, make the signed root",
        "that everything that happened was logged",
    ),
    3: (
        "the hash tiles are those recomputed from the entries",
        "anything about tiles of other tree sizes, which are not looked at",
    ),
    4: (
        "the entries have the form of entries of this party",
        "that what they say is true",
    ),
    5: (
        "the log begins with the one of your last visit",
        "anything when this is your first visit",
    ),
    6: (
        "the batch files are whole and signed by their providers",
        "that what the records say is true",
    ),
    7: (
        "the batches of a feed follow on each other",
        "what came before the first batch of a feed that is here",
    ),
    8: (
        "the batches are in the log, and no others under their numbers",
        "exchanges of which no batch file is here",
    ),
    9: (
        "the receipts are signed by those who gave them",
        "that a receipt was given for every batch",
    ),
    10: (
        "the entries promised in receipts of this party are in the log",
        "whether other parties kept their promises: their logs are not here",
    ),
    11: (
        "each shard of the log begins by quoting the last head of the one before, and none goes on after its end",
        "whether a shard had to be ended: its entry gives the reason, which is for people to judge",
    ),
    12: (
        "a key that took over from another was named in the log",
        "who holds a key: that is for the party document, and your own telephone",
    ),
}


@dataclass(frozen=True)
class _Shard:
    """A shard of the log as it is verified: its files, the keys that may sign for it, the auditor's last visit.

    Without a signed `head` nothing was replayed.
    """

    files: ShardFiles
    keys: LogKeys
    given: bool  # whether the auditor knows a key of it from elsewhere
    visit: Visit | None
    head: Checkpoint | None
    about_head: tuple[Finding, ...]
    log: Replay = field(default_factory=Replay)

    @property
    def link(self) -> Link:
        return Link(self.files.shard, self.files.origin, self.keys.keys, self.head, self.log if self.head else None)


def verify_directory(path: Path, *, vkey: str | Sequence[str] | None = None, state: Path | None = None) -> Report:
    """Verify the evidence directory `path` (`audit.evidence` tells its layout).

    `vkey` is the log's verifier key as the auditor knows it from elsewhere, or several where its shards have different
    ones. For a shard without one those in the evidence are used, and all that is shown is that the evidence agrees with
    itself. `state` is the auditor's file of last visits: created when it is not there, moved forward when everything is
    proved, otherwise left alone.
    """
    try:
        evidence = open_evidence(path)
        given = _given_keys([vkey] if isinstance(vkey, str) else vkey or (), evidence)
        report, heads = _verify(evidence, given, state)
        if state is not None and report.exit_code == Outcome.PROVED:
            write_visits(state, heads)
    except SharingError as error:
        return unreadable(error.detail)
    return report


def _verify(evidence: Evidence, given: Sequence[NoteVerifier], state: Path | None) -> tuple[Report, list[Checkpoint]]:
    """The report, and the signed heads it is about. What to look for in the log, batch files and receipts say."""
    batches, about_batches = read_batches(evidence)
    receipts, about_receipts = read_receipts(evidence)
    promised = [receipt for receipt in receipts if receipt.from_party == evidence.party]
    asked = Asked(
        batches=frozenset((batch.file.dataset.encode(), b"%d" % batch.file.seq) for batch in batches),
        leaves=frozenset(jws.b64decode(receipt.entry) for receipt in promised),
    )
    shards = [_read_shard(files, evidence, given, state, asked) for files in evidence.shards]
    whole, doubt = _whole(shards)
    origins = {shard.files.origin for shard in shards}
    logged = doubt or check_logged(batches, whole)
    kept = doubt or check_promises(promised, origins, whole)
    theirs = "manifest keys found in the evidence"
    rows = (
        *_log_rows(evidence, shards, state),
        _row(6, len(evidence.batches), theirs, about_batches),
        _row(7, len(batches), theirs, check_order(batches)),
        _row(8, len(batches), "log key", logged if batches else ()),
        _row(9, len(evidence.receipts), theirs, about_receipts),
        _row(10, len(promised), "log key", kept if promised else ()),
        *_shard_rows(shards),
    )
    return Report(_sentence(evidence.origin, shards, rows), rows), [shard.head for shard in shards if shard.head]


def _given_keys(vkeys: Iterable[str], evidence: Evidence) -> list[NoteVerifier]:
    try:
        given = [parse_vkey(vkey) for vkey in vkeys]
    except SignatureError as error:
        raise EvidenceError(f"the key you gave is {error.detail}") from error
    for verifier in given:
        if verifier.name not in {files.origin for files in evidence.shards}:
            raise EvidenceError(f"the key you gave is for log {verifier.name}, and this is log {evidence.origin}")
    return given


def _read_shard(
    files: ShardFiles, evidence: Evidence, given: Sequence[NoteVerifier], state: Path | None, asked: Asked
) -> _Shard:
    """One shard: its head, and what replaying it under that head finds."""
    known = evidence.log_keys.of(files.origin)
    mine = [verifier for verifier in given if verifier.name == files.origin]
    if mine:  # how far one of them vouches, the evidence may narrow and never widen
        known = [next((key for key in known if key.verifier.vkey == one.vkey), LogKey(one)) for one in mine]
    keys = LogKeys(tuple(known))
    visit = read_visit(state, files.origin) if state is not None else None
    head, findings = _check_head(files, keys)
    shard = _Shard(files, keys, bool(mine), visit, head, tuple(findings))
    if head is None:
        return shard
    return replace(shard, log=replay(files, head, asked=asked, mark=visit.size if visit else 0))


def _check_head(files: ShardFiles, keys: LogKeys) -> tuple[Checkpoint | None, list[Finding]]:
    """Check 1."""
    note = files.read_checkpoint()
    if note is None:
        return None, [Finding(Outcome.UNPROVED, "the checkpoint is missing")]
    try:
        head = open_checkpoint(note, keys)
    except SignatureError as error:
        outcome = _UNTRUSTED.get(error.code, Outcome.UNREADABLE)
        return None, [Finding(outcome, f"the checkpoint: {error.detail}")]
    if head.origin != files.origin:
        return None, [Finding(Outcome.UNREADABLE, f"the checkpoint is one of another log, {head.origin}")]
    return head, []


# What a head that cannot be relied on says. One signed only by a key that has ended may be a thief's: it is ignored,
# whatever it says, and so proves nothing against the log either.
_UNTRUSTED = {
    "note.signature-invalid": Outcome.TAMPERED,
    "note.unsigned": Outcome.UNPROVED,
    "checkpoint.key-ended": Outcome.UNPROVED,
}


def _whole(shards: Sequence[_Shard]) -> tuple[Replay, list[Finding]]:
    """What all shards hold together of what was asked for, and what keeps one from relying on it."""
    logs = [shard.log for shard in shards]
    whole = Replay(
        about=[entry for log in logs for entry in log.about],
        present=set().union(*(log.present for log in logs)),
        last_at=logs[-1].last_at,
    )
    if any(shard.head is None for shard in shards):
        return whole, [Finding(Outcome.UNPROVED, "there is no signed head to check against")]
    if not all(log.entries_proved for log in logs):
        return whole, [Finding(Outcome.UNPROVED, "the log itself is not proved")]
    return whole, []


def _log_rows(evidence: Evidence, shards: Sequence[_Shard], state: Path | None) -> Iterator[Row]:
    """Checks 1 to 5, each over all shards."""
    yield _row(1, len(shards), _keys_text(shards), _named(shards, [shard.about_head for shard in shards]))
    if all(shard.head is None for shard in shards):
        return
    entries = sum(shard.head.size for shard in shards if shard.head)
    tiles = sum(
        tile.level != ENTRIES and tile.belongs_to(shard.head.size)
        for shard in shards
        for tile in shard.files.tiles
        if shard.head
    )
    yield _row(2, entries, "log key", _named(shards, [shard.log.entries for shard in shards]))
    yield _row(3, tiles, "log key", _named(shards, [shard.log.tiles for shard in shards]))
    form = _named(shards, [shard.log.form for shard in shards])
    yield _row(4, entries, "none", [*form, *_check_party(evidence, shards)])
    visits = [shard.visit.size for shard in shards if shard.visit is not None]
    later = _check_later_visit(evidence, state)
    if visits or later:
        seen = _named(shards, [[*_check_visit(shard)] for shard in shards])
        yield _row(5, sum(visits), "your own file", [*seen, *later])


def _shard_rows(shards: Sequence[_Shard]) -> Iterator[Row]:
    """Checks 11 and 12, where there is something to check."""
    links = [shard.link for shard in shards]
    about = list(check_succession(links))
    if len(links) > 1 or about:
        yield _row(11, len(links), "log key", about)
    if any(len(link.keys) > 1 for link in links):
        yield _row(12, sum(len(link.keys) for link in links), "log key", check_keys(links))


def _row(number: int, count: int, key: str, findings: Iterable[Finding]) -> Row:
    what, not_shown = CHECKS[number]
    return Row(number, what, count, key, tuple(findings), not_shown)


def _named(shards: Sequence[_Shard], findings: Sequence[Iterable[Finding]]) -> list[Finding]:
    """What was found in each shard, with the shard's number where there are several."""
    if len(shards) == 1:
        return list(findings[0])
    return [
        Finding(finding.outcome, f"shard {shard.files.shard}: {finding.text}")
        for shard, found in zip(shards, findings, strict=True)
        for finding in found
    ]


def _check_party(evidence: Evidence, shards: Sequence[_Shard]) -> Iterator[Finding]:
    """That all entries are of the party whose log this is said to be; a part of check 4."""
    parties = set().union(*(shard.log.parties for shard in shards))
    others = ", ".join(sorted(party.decode("ascii") for party in parties - {evidence.party.encode()}))
    if others:
        yield Finding(Outcome.UNREADABLE, f"there are entries of {others}, and party.json says {evidence.party}")


def _check_visit(shard: _Shard) -> Iterator[Finding]:
    """Check 5, by recomputing the root at the size of the last visit."""
    head, visit, log = shard.head, shard.visit, shard.log
    if head is None or visit is None:
        return
    if head.size < visit.size:
        older = f"this is older than your last visit, when the log had {visit.size:,} entries"
        yield Finding(Outcome.UNPROVED, older)
    elif head.size == visit.size and head.root != visit.root:
        yield Finding(Outcome.TAMPERED, f"two roots have been signed for {visit.size:,} entries")
    elif log.tree is None:
        yield Finding(Outcome.UNPROVED, "the tree at your last visit cannot be recomputed")
    elif log.tree.root_at_mark() != visit.root:
        yield Finding(Outcome.TAMPERED, f"the first {visit.size:,} entries are not those of your last visit")


def _check_later_visit(evidence: Evidence, state: Path | None) -> list[Finding]:
    """That the auditor has not seen a later shard already; a part of check 5."""
    later = origin_of(evidence.origin, len(evidence.shards) + 1)
    if state is None or read_visit(state, later) is None:
        return []
    return [Finding(Outcome.UNPROVED, f"this is older than your last visit, when the log had gone on in {later}")]


def _keys_text(shards: Sequence[_Shard]) -> str:
    """The keys by their ids, and where they are from."""
    parts = []
    for given, source in ((True, _GIVEN), (False, _FOUND)):
        ids = [key.verifier.key_id.hex() for shard in shards if shard.given == given for key in shard.keys.keys]
        if ids:
            parts.append(f"log key {', '.join(ids)}, {source}")
    return "; ".join(parts)


_GIVEN, _FOUND = "given by you", "found in the evidence"


def _sentence(origin: str, shards: Sequence[_Shard], rows: Sequence[Row]) -> str:
    """The report's first line."""
    outcome = gravest(row.outcome for row in rows)
    if outcome == Outcome.PROVED:
        held = {row.number: row.count for row in rows}
        new = f" ({held[2] - held[5]:,} of them since your last visit)" if 5 in held else ""
        parts = f" in {len(shards)} shards" if len(shards) > 1 else ""
        sources = dict.fromkeys(_GIVEN if shard.given else _FOUND for shard in shards)
        return (
            f"Log {origin}: {held[2]:,} entries{new}{parts} are unaltered, complete and in order under the key"
            f"{'s' if len(sources) > 1 else ''} {' and '.join(sources)}; "
            f"{held[6]:,} batch files and {held[9]:,} receipts verify."
        )
    findings = [finding.text for row in rows for finding in row.findings if finding.outcome == outcome]
    more = f", and {len(findings) - 1:,} more" if len(findings) > 1 else ""
    verdict = {
        Outcome.TAMPERED: "tampering is proved",
        Outcome.UNPROVED: "nothing contradicts what was signed, but not everything can be proved",
        Outcome.UNREADABLE: "a part cannot be read as evidence",
    }[outcome]
    return f"Log {origin}: {verdict}: {findings[0]}{more}."
