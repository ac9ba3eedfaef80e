"""What tests of a gateway do again and again, without HTTP: hand in, publish, carry a batch over, look inside."""

from __future__ import annotations

import json
from typing import Any

import zstandard
from sqlalchemy import func, select

from audit import log as exchange_log
from audit.form import parse_entry
from audit.tables import log_leaf, log_outbox
from gateway.ingest.parcel import NDJSON
from gateway.ingest.submissions import Submitted, find_submission, submit
from gateway.store import tables
from gateway.sync.apply import Applied, apply_batch
from partners.directory import Party, find_party
from schemas.batch import Batch
from schemas.times import now_millis
from tests.world import Node, site_line

SITE_OF_WUJIANG = site_line()


def hand_in(node: Node, *lines: bytes, media: str = NDJSON, **options: Any) -> dict[str, Any]:
    """Hand in lines at the node's own gateway; the answer."""
    return submitted(node, b"\n".join(lines), media=media, **options).outcome


def submitted(node: Node, content: bytes, *, media: str = NDJSON, at: int | None = None, **options: Any) -> Submitted:
    return submit(node.gateway, node.station(), media, content, now=at or now_millis(), **options)


def counts(outcome: dict[str, Any]) -> dict[str, int]:
    """Of an answer, the counts that are not zero."""
    names = ("accepted", "duplicates", "revised", "refused", "held")
    return {name: outcome[name] for name in names if outcome[name]}


def report(node: Node, outcome: dict[str, Any]) -> list[dict[str, Any]]:
    """The line report of a submission."""
    with node.gateway.database.read() as session:
        row = find_submission(session, outcome["id"])
    lines = zstandard.ZstdDecompressor().decompress(row.report).splitlines()
    return [json.loads(line) for line in lines]


def publish(node: Node, *, at: int | None = None) -> list[Batch]:
    """Publish whatever is due."""
    return node.gateway.publisher.publish_due(now=at or now_millis())


def records_in(batches: list[Batch]) -> list[dict[str, Any]]:
    return [json.loads(line) for batch in batches for line in batch.lines]


def party_at(node: Node, other: Node) -> Party:
    """`other` as `node` knows it."""
    with node.gateway.database.read() as session:
        party = find_party(session, other.party)
    assert party is not None
    return party


def carry(batch: Batch | bytes, provider: Node, recipient: Node, *, dataset: str = "", **options: Any) -> Applied:
    """Hand a batch file of `provider` to `recipient`."""
    file = batch if isinstance(batch, bytes) else batch.file
    name = dataset or (batch.manifest.dataset if isinstance(batch, Batch) else "wj-antimony")
    now = options.pop("now", now_millis())
    return apply_batch(recipient.gateway, party_at(recipient, provider), name, file, now=now, **options)


def stored(node: Node) -> list[tuple[int, int, str | None]]:
    """(instant, revision, value) of every current observation, in order."""
    table = tables.observation
    query = select(table.c.at, table.c.rev, table.c.value).order_by(table.c.bucket, table.c.series_id, table.c.at)
    with node.gateway.database.read() as session:
        return [tuple(row) for row in session.execute(query)]  # type: ignore[misc]


def rows_of(node: Node) -> dict[str, int]:
    """How many rows there are of everything that a record, a batch or a submission leaves behind."""
    names = ("submission", "act", "record", "observation", "observation_history", "held", "queue", "batch", "evidence")
    with node.gateway.database.read() as session:
        found = {
            name: session.execute(select(func.count()).select_from(tables.metadata.tables[name])).scalar_one()
            for name in names
        }
    return {**found, "log": len(entries(node))}


def entries(node: Node, t: str = "") -> list[dict[str, Any]]:
    """The log's entries (of type `t`), sequenced or not, oldest first."""
    with node.gateway.database.read() as session:
        queries = (
            select(log_leaf.c.entry).order_by(log_leaf.c.shard, log_leaf.c.idx),
            select(log_outbox.c.entry).order_by(log_outbox.c.id),
        )
        found = [parse_entry(entry) for query in queries for entry in session.scalars(query)]
    return [entry for entry in found if not t or entry["t"] == t]


def is_logged(node: Node, leaf_hash: bytes) -> bool:
    """Whether the log, sequenced up to now, has the entry with this hash."""
    node.gateway.sequencer.step()
    with node.gateway.database.read() as session:
        return exchange_log.find_place(session, leaf_hash) is not None
