"""`inspection`: an on-site inspection, joint or mutually recognised (执法跨界现场检查互认).

Key within its provider: `id`. Who has signed and who has recognised it are part of its content, so each signature is a
revision that all parties see.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.errors import RecordError
from schemas.records.parts import (
    Attachment,
    check_attachments,
    check_identifier,
    check_identifiers,
    check_prose,
    check_span,
    check_texts,
    check_time,
)


class Inspector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One who took part, by role; `name` only where the plan lets it leave."""

    party: str
    role: str
    name: str = ""


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A party's act on the inspection's record: who, when, and for a recognition whether it was accepted and why."""

    party: str
    by: str
    at: str
    verdict: Literal["accepted", "refused"] = "accepted"
    text: str = ""


class Inspection(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="inspection",
    tag_field="kind",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """An inspection of a `site`, of a `source`, or of both, by `parties` from `from` to `to` (empty: going on).

    `signed` are the parties whose inspectors have signed the record; `recognised` those who have judged it as a
    neighbour's evidence.
    """

    id: str
    parties: tuple[str, ...]
    from_: str = msgspec.field(name="from")
    to: str = ""
    site: str = ""
    source: str = ""
    inspectors: tuple[Inspector, ...] = ()
    findings: str = ""
    basis: tuple[str, ...] = ()
    evidence: tuple[Attachment, ...] = ()
    signed: tuple[Signature, ...] = ()
    recognised: tuple[Signature, ...] = ()
    rev: int = 0
    reason: str = ""

    @property
    def complete(self) -> bool:
        """Whether every party has signed: before that it is nobody's evidence."""
        return {one.party for one in self.signed} >= set(self.parties)


def check(inspection: Inspection) -> None:
    """That an inspection makes sense. Raises RecordError."""
    check_identifier(inspection.id, "/id")
    if not inspection.parties:
        raise RecordError("an inspection has a party at least", pointers=["/parties"])
    if not (inspection.site or inspection.source):
        raise RecordError("an inspection is of a site or of a source", pointers=["/site"])
    check_identifiers(parties=inspection.parties)
    for name, text in (("site", inspection.site), ("source", inspection.source)):
        if text:
            check_identifier(text, f"/{name}")
    check_time(inspection.from_, "/from")
    if inspection.to:
        check_time(inspection.to, "/to")
        check_span(inspection.from_, inspection.to, "/to")
    check_prose(findings=inspection.findings)
    check_texts(**{f"basis/{index}": text for index, text in enumerate(inspection.basis)})
    for index, one in enumerate(inspection.inspectors):
        check_identifier(one.party, f"/inspectors/{index}/party")
        check_texts(**{f"inspectors/{index}/role": one.role, f"inspectors/{index}/name": one.name})
    check_attachments(evidence=inspection.evidence)
    for name, acts in (("signed", inspection.signed), ("recognised", inspection.recognised)):
        _check_acts(name, acts)


def _check_acts(name: str, acts: tuple[Signature, ...]) -> None:
    for index, act in enumerate(acts):
        pointer = f"/{name}/{index}"
        check_identifier(act.party, f"{pointer}/party")
        check_time(act.at, f"{pointer}/at")
        check_texts(**{f"{name}/{index}/by": act.by})
        check_prose(**{f"{name}/{index}/text": act.text})
        if not act.by.strip():  # evidence is accepted by somebody, never by an office alone
            raise RecordError("who signed or judged is named", pointers=[f"{pointer}/by"])
        if act.verdict == "refused" and (name == "signed" or not act.text.strip()):
            raise RecordError("a refusal to recognise says why", pointers=[f"{pointer}/text"])
