"""Records of every kind but observation through the door: stored one by one, and queued for whom they concern."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from gateway.db import ReadSession, WriteSession
from gateway.ingest.parcel import Item
from gateway.ingest.tally import Tally
from gateway.store import queue, records
from gateway.store.acts import Act
from gateway.store.selection import Programmes, admits_record, site_of
from schemas.cases import CaseStates
from schemas.errors import RecordError
from schemas.plan import Dataset
from schemas.records import Agreement, Case, Retraction, Site, Statement


def take_statements(
    session: WriteSession, statements: Iterable[tuple[Item, Statement]], act: Act, tally: Tally, *,
    datasets: Sequence[Dataset], states: CaseStates, known: Callable[[set[str]], Programmes],
) -> None:  # fmt: skip
    """Store each, and queue it for the `datasets` that select it. `known` gives the programmes of sites that are known.

    Sites first, whatever order they came in: what else came may name them.
    """
    queued: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for item, record in sorted(statements, key=lambda one: not isinstance(one[1], Site)):
        site = site_of(record)
        programmes = known({site}) if site else {}
        if site and site not in programmes:
            tally.wait_for_site(item, site)
            continue
        try:
            if act.submitted and isinstance(record, Agreement) and not act.governs:
                detail = "what a party does about a plan, its people do at its gateway: taipu plan"
                raise RecordError(detail, code="agreement.not-handed-in", pointers=["/kind"])
            if act.submitted and isinstance(record, Case):
                _check_case(session, record, act.provider, states)
            outcome = records.take_record(session, act, record, item.content)
        except RecordError as error:
            tally.refuse(item, error.code, error.detail, error.pointers)
            continue
        tally.count_statement(item, record, outcome)
        selected = outcome.before if isinstance(record, Retraction) else record
        if selected is not None and outcome.verdict in ("accepted", "revised"):
            kind, key = records.stored_as(record)
            for dataset in datasets:
                if dataset.kind == kind and admits_record(dataset, selected, programmes):
                    queued[dataset.id, kind].append((key, outcome.rev))
    for (dataset_id, kind), keys in queued.items():
        queue.enqueue(session, dataset_id, kind, keys, at=act.at)
        tally.queued = True


def _check_case(session: ReadSession, step: Case, home: str, states: CaseStates) -> None:
    """That the home party may take this step now.

    A partner's steps are not asked: they are its own affair, and the feeds of two partners may overtake each other.
    """
    if step.from_ != home:
        detail = f"steps handed in here are taken by {home}"
        raise RecordError(detail, code="case.from-wrong", pointers=["/from"])
    before = records.steps_of(session, step.case)
    if any(one.step == step.step and one.from_ == home for one in before):
        return  # the same step again: the store tells a duplicate from a change
    states.check_step(step, before)
