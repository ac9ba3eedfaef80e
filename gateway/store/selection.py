"""Which records a dataset selects: the plan's words (`schemas.plan`) applied to records and what their sites are in.

Asked when a record is queued, again when it is published (the plan may have changed in between), and for every reader.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.store.interning import SeriesKey
from partners.plans import governance_feed
from schemas.plan import Dataset
from schemas.records import Agreement, Case, Inspection, Mark, Site, Source, Statement

Programmes = Mapping[str, frozenset[str]]
"""The programmes of each known site of one provider."""
_NONE: frozenset[str] = frozenset()


def admits(dataset: Dataset, key: SeriesKey, programmes: Programmes) -> bool:
    """Whether `dataset` selects the readings of a series whose site has these programmes."""
    return dataset.select.admits_series(
        key.site, programmes.get(key.site, _NONE), key.factor, key.origin, key.stat, key.period
    )


def admits_record(dataset: Dataset, record: Statement, programmes: Programmes) -> bool:
    """Whether `dataset` selects `record`, which is of its kind; of a retraction ask with what it withdraws.

    A step of a case goes to the parties it is for: a dataset with a recipient that it is not for does not have it.
    """
    select = dataset.select
    match record:
        case Site():
            return select.admits_site(record.id, frozenset(record.programmes))
        case Source():
            return select.admits_source(frozenset(record.categories))
        case Mark() | Inspection():
            return select.admits_site(record.site, programmes.get(record.site, _NONE))
        case Case():
            return select.admits_case(record.type) and all(one.party in record.to for one in dataset.recipients)
        case Agreement():
            return dataset.id == governance_feed(record.plan)
    return False


def site_of(record: Statement) -> str:
    """The site whose programmes decide about `record`; empty where none does."""
    return record.site if isinstance(record, Mark | Inspection) else ""
