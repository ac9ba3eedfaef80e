"""The offline verifier: what an evidence directory proves, and what it does not.

Needs the standard library, `cryptography`, this package's pure modules and those parts of `schemas` that verify a batch
file: no database, no network, no gateway. Hostile evidence ends in a report, never in an exception, and nothing is
written but the auditor's own state file. `CHECKS` lists what is checked, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from audit.checkpoint import Checkpoint, open_checkpoint
from audit.errors import EvidenceError
from audit.evidence import Evidence, open_evidence
from audit.exchanges import check_logged, check_order, check_promises, read_batches, read_receipts
from audit.note import NoteVerifier, parse_vkey
from audit.replay import Asked, Replay, replay
from audit.report import Finding, Outcome, Report, Row, gravest, unreadable
from audit.tiles import ENTRIES
from audit.visits import Visit, read_visit, write_visit
from schemas import jws
from schemas.errors import SharingError, SignatureError

# By number: what is checked, and what the check does not show even when it holds.
CHECKS: dict[int, tuple[str, str]] = {
    1: (
        "the checkpoint is signed by the log's key",
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
}


def verify_directory(path: Path, *, vkey: str | None = None, state: Path | None = None) -> Report:
    """Verify the evidence directory `path` (`audit.evidence` tells its layout).

    `vkey` is the log's verifier key as the auditor knows it from elsewhere; without it the one in the evidence is used,
    and all that is shown is that the evidence agrees with itself. `state` is the auditor's file of last visits: created
    when it is not there, moved forward when everything is proved, otherwise left alone.
    """
    try:
        evidence = open_evidence(path)
        log_key = evidence.log_key if vkey is None else _given_key(vkey, evidence)
        visit = read_visit(state, log_key.name) if state is not None else None
        head, about_head = _check_head(evidence, log_key)
        source = "found in the evidence" if vkey is None else "given by you"
        rows = (
            _row(1, 1, f"log key {log_key.key_id.hex()}, {source}", about_head),
            *_check_rest(evidence, head, visit),
        )
        report = Report(_sentence(log_key.name, head, visit, rows, source), rows)
        if state is not None and head is not None and report.exit_code == Outcome.PROVED:
            write_visit(state, head)
    except SharingError as error:
        return unreadable(error.detail)
    return report


def _given_key(vkey: str, evidence: Evidence) -> NoteVerifier:
    try:
        given = parse_vkey(vkey)
    except SignatureError as error:
        raise EvidenceError(f"the key you gave is {error.detail}") from error
    if given.name != evidence.log_key.name:
        raise EvidenceError(f"the key you gave is for log {given.name}, and this is log {evidence.log_key.name}")
    return given


def _check_head(evidence: Evidence, log_key: NoteVerifier) -> tuple[Checkpoint | None, list[Finding]]:
    """Check 1."""
    note = evidence.read_checkpoint()
    if note is None:
        return None, [Finding(Outcome.UNPROVED, "the checkpoint is missing")]
    try:
        head = open_checkpoint(note, [log_key])
    except SignatureError as error:
        outcomes = {"note.signature-invalid": Outcome.TAMPERED, "note.unsigned": Outcome.UNPROVED}
        return None, [Finding(outcomes.get(error.code, Outcome.UNREADABLE), f"the checkpoint: {error.detail}")]
    if head.origin != log_key.name:
        return None, [Finding(Outcome.UNREADABLE, f"the checkpoint is one of another log, {head.origin}")]
    return head, []


def _check_rest(evidence: Evidence, head: Checkpoint | None, visit: Visit | None) -> Iterator[Row]:
    """Checks 2 to 10: the batch files and receipts first, since they say what to look for in the log."""
    batches, about_batches = read_batches(evidence)
    receipts, about_receipts = read_receipts(evidence)
    promised = [receipt for receipt in receipts if receipt.from_party == evidence.party]
    if head is None:
        log, doubt = Replay(), [Finding(Outcome.UNPROVED, "there is no signed head to check against")]
    else:
        asked = Asked(
            batches=frozenset((batch.file.dataset.encode(), b"%d" % batch.file.seq) for batch in batches),
            leaves=frozenset(jws.b64decode(receipt.entry) for receipt in promised),
        )
        log = replay(evidence, head, asked=asked, mark=visit.size if visit else 0)
        doubt = [] if log.entries_proved else [Finding(Outcome.UNPROVED, "the log itself is not proved")]
        yield from _log_rows(evidence, head, visit, log)

    logged = doubt or check_logged(batches, log)
    kept = doubt or check_promises(promised, evidence.log_key.name, log)
    theirs = "manifest keys found in the evidence"
    yield _row(6, len(evidence.batches), theirs, about_batches)
    yield _row(7, len(batches), theirs, check_order(batches))
    yield _row(8, len(batches), "log key", logged if batches else ())
    yield _row(9, len(evidence.receipts), theirs, about_receipts)
    yield _row(10, len(promised), "log key", kept if promised else ())


def _log_rows(evidence: Evidence, head: Checkpoint, visit: Visit | None, log: Replay) -> Iterator[Row]:
    """Checks 2 to 5."""
    tiles = sum(tile.level != ENTRIES and tile.belongs_to(head.size) for tile in evidence.tiles)
    others = ", ".join(sorted(party.decode("ascii") for party in log.parties - {evidence.party.encode()}))
    form = [*log.form]
    if others:
        form.append(Finding(Outcome.UNREADABLE, f"there are entries of {others}, and party.json says {evidence.party}"))
    yield _row(2, head.size, "log key", log.entries)
    yield _row(3, tiles, "log key", log.tiles)
    yield _row(4, head.size, "none", form)
    if visit is not None:
        yield _row(5, visit.size, "your own file", _check_visit(head, visit, log))


def _row(number: int, count: int, key: str, findings: Iterable[Finding]) -> Row:
    what, not_shown = CHECKS[number]
    return Row(number, what, count, key, tuple(findings), not_shown)


def _check_visit(head: Checkpoint, visit: Visit, log: Replay) -> Iterator[Finding]:
    """Check 5, by recomputing the root at the size of the last visit."""
    if head.size < visit.size:
        older = f"this is older than your last visit, when the log had {visit.size:,} entries"
        yield Finding(Outcome.UNPROVED, older)
    elif head.size == visit.size and head.root != visit.root:
        yield Finding(Outcome.TAMPERED, f"two roots have been signed for {visit.size:,} entries")
    elif log.tree is None:
        yield Finding(Outcome.UNPROVED, "the tree at your last visit cannot be recomputed")
    elif log.tree.root_at_mark() != visit.root:
        yield Finding(Outcome.TAMPERED, f"the first {visit.size:,} entries are not those of your last visit")


def _sentence(origin: str, head: Checkpoint | None, visit: Visit | None, rows: Sequence[Row], source: str) -> str:
    """The report's first line."""
    outcome = gravest(row.outcome for row in rows)
    if outcome == Outcome.PROVED and head is not None:
        new = f" ({head.size - visit.size:,} of them since your last visit)" if visit else ""
        held = {row.number: row.count for row in rows}
        return (
            f"Log {origin}: {head.size:,} entries{new} are unaltered, complete and in order under the key {source}; "
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
