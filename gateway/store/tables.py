"""Tables of the record store. Times are integer milliseconds UTC.

Observations are narrow: an integer series (provider, site, factor, origin, stat, period) and an integer state (unit,
qualifier, flag, profile, review, method …), both interned, so a row holds little more than time and value. The day
`bucket` comes first in the key: new readings touch the newest pages only, and the table can be partitioned by it.
No foreign key leaves a record table: they would bind tables that may live on different machines.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

BIG = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER

# Where records came from: a submission at home, or a partner's batch. `at` is when it was recorded here.
act = Table(
    "act",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),  # submission | batch | release
    Column("provider", Text, nullable=False),
    Column("ref", Text, nullable=False),  # submission id, or manifest hash
)

# Bytes as somebody handed them in, and what became of them.
submission = Table(
    "submission",
    metadata,
    Column("id", Text, primary_key=True),
    Column("client", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("at", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),  # one zstd frame
    Column("report", LargeBinary, nullable=False),  # NDJSON, one zstd frame
    Column("outcome", Text, nullable=False),  # the answer, as it was given
    Column("final", Integer, nullable=False),  # 1: nothing was refused, so the same bytes get the same answer
    Column("profile", Text),  # of a sheet: the profile and version that read it, and a year that was given
    UniqueConstraint("client", "idempotency_key"),
    Index(None, "client", "sha256"),
)

# Every kind but observation: the current line, and the ones before it.
record = Table(
    "record",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("rev", Integer, nullable=False),
    Column("line", LargeBinary, nullable=False),
    Column("act_id", BigInteger, nullable=False),
)

record_history = Table(
    "record_history",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("rev", Integer, primary_key=True),
    Column("line", LargeBinary, nullable=False),
    Column("act_id", BigInteger, nullable=False),
)

series = Table(
    "series",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("provider", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("factor", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("stat", Text, nullable=False),
    Column("period", Text, nullable=False),
    UniqueConstraint("provider", "site", "factor", "origin", "stat", "period"),
)

state = Table(
    "state",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("body", Text, nullable=False, unique=True),  # the content members besides value, as JSON
)


def _observation_columns(*, history: bool) -> list[Column[object]]:
    columns: list[Column[object]] = [
        Column("bucket", Integer, primary_key=True, autoincrement=False),  # at // one day
        Column("series_id", BigInteger, primary_key=True, autoincrement=False),
        Column("at", BigInteger, primary_key=True, autoincrement=False),
        Column("sample", Text, primary_key=True),
        Column("rev", Integer, primary_key=history, autoincrement=False, nullable=False),
        Column("value", Text),  # decimal, as given; NULL: not measured
        Column("state_id", BigInteger, nullable=False),
        Column("link", Text),  # the value a repeat sample confirms
        Column("sent", BigInteger),
        Column("received", BigInteger),
        Column("extra", Text),  # what is rare: reason, resent
        Column("act_id", BigInteger, nullable=False),
    ]
    return columns


observation = Table("observation", metadata, *_observation_columns(history=False), sqlite_with_rowid=False)
observation_history = Table(
    "observation_history", metadata, *_observation_columns(history=True), sqlite_with_rowid=False
)

# What cannot be understood yet: kept as it came, tried again when what it waits for arrives.
held = Table(
    "held",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("act_id", BigInteger, nullable=False),
    Column("provider", Text, nullable=False),
    Column("place", Text, nullable=False),  # line or packet within the act
    Column("media_type", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("waits_for", Text, nullable=False),  # site | factor | unit | device
    Column("name", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Index(None, "waits_for", "name"),
)

# Accepted records that a dataset may want. Taken and deleted by the publisher, never paged by a cursor.
queue = Table(
    "queue",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("dataset", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("keys", LargeBinary, nullable=False),  # msgpack: the records' keys and revisions
    Column("at", BigInteger, nullable=False),
    Index(None, "dataset", "id"),
)

# What each of our datasets in force selected when it was looked at last: what it selects beyond that is its backlog.
begun = Table(
    "begun",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("selected", Text, nullable=False),  # kind, selection and reach, see `gateway.backlog`
)

# Readings that were here before a dataset began are queued for it day by day, from `bucket` on.
backlog = Table(
    "backlog",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("selected_before", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("bucket", Integer, nullable=False),
)

# What the quality rules said of a value: by us, or by its provider in the line it sent. Never part of the value, and
# only ever added. The code is enough for a line; the sentence and the table's version are for its provider.
finding = Table(
    "finding",
    metadata,
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("sample", Text, primary_key=True),
    Column("rev", Integer, primary_key=True, autoincrement=False),
    Column("rule", Text, primary_key=True),
    Column("source", Text, primary_key=True),  # the party that found it
    Column("reference", Text, nullable=False),  # quality-rules@1; empty: it came with the line
    Column("detail", Text, nullable=False),
    Column("found", BigInteger, nullable=False),  # when
    sqlite_with_rowid=False,
)

# Values of ours that the rules over series have yet to look at: written with them, deleted with what is found.
to_judge = Table(
    "to_judge",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("keys", LargeBinary, nullable=False),  # msgpack: keys and revisions
    Column("at", BigInteger, nullable=False),
)

# The newest batch of every feed, ours and our partners'. For a partner's feed this is the cursor: it moves in the
# transaction that stores the batch's records, so it is never ahead of its data.
feed = Table(
    "feed",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("dataset", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("manifest", Text, nullable=False),  # hash
    Column("created", BigInteger, nullable=False),
    Column("stopped", Text, nullable=False),  # why nothing more of it is taken until people decide; empty: it flows
)

batch = Table(
    "batch",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("dataset", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("manifest", Text, nullable=False, unique=True),  # hash
    Column("token", Text, nullable=False),  # the compact manifest
    Column("frame", LargeBinary, nullable=False),  # the batch file as one zstd frame
    Column("count", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),  # created, or taken
)

# Batches that were not what their provider signed, or not in order: a bounded memory of what was wrong.
evidence = Table(
    "evidence",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("provider", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("seq", BigInteger),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),  # the first bytes of what came
    Index(None, "provider", "dataset"),
)

# Data loggers: MN to site, factors, units.
device = Table(
    "device",
    metadata,
    Column("mn", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),  # JSON of schemas.devices.Device
    Column("added", BigInteger, nullable=False),
)

# Data loggers that send without being registered, and what they sent, within bounds. Not records yet: nobody has said
# of which site and in which unit.
stranger = Table(
    "stranger",
    metadata,
    Column("mn", Text, primary_key=True),
    Column("address", Text, nullable=False),  # the newest it came from
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("packets", BigInteger, nullable=False),  # that came, kept or not
    Column("kept", BigInteger, nullable=False),  # bytes of what is in `stranger_packet`
)

stranger_packet = Table(
    "stranger_packet",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("mn", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("at", BigInteger, nullable=False),  # when it came
    Column("digest", LargeBinary, nullable=False),  # SHA-256: who gets no answer sends the same again
    Column("content", LargeBinary, nullable=False),  # as it came
    UniqueConstraint("mn", "digest"),
    Index(None, "mn", "id"),
)

# What we ask data loggers for: the values of a span of time that did not arrive.
history_request = Table(
    "history_request",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("mn", Text, nullable=False),
    Column("command", Text, nullable=False),  # CN: 2051 minutes, 2061 hours, 2031 days
    Column("begin_at", BigInteger, nullable=False),
    Column("end_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # waiting | sent | answered | done | refused | timed-out
    Column("qn", Text, nullable=False),  # of the request as it was last sent; empty before
    Column("tries", Integer, nullable=False),  # how often it was begun
    Column("packets", BigInteger, nullable=False),  # of its span and sort that came since it was begun
    Column("detail", Text, nullable=False),  # what the logger said last
    Column("asked", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Index(None, "state", "mn"),
)

# Figures of every listener for data loggers, written down by it every few seconds: it may be another process.
logger_figure = Table(
    "logger_figure",
    metadata,
    Column("listener", Text, primary_key=True),  # the address it listens on
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)

# How sheets are read: what a person wrote about the columns of one sort of sheet. A version is never changed.
profile = Table(
    "profile",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),  # the document, as it was given
    Column("added", BigInteger, nullable=False),
)

# Versions of governed tables that people of this gateway proposed. What was decided about stays as it was decided
# (`decided_for_good`), and nobody approves what he proposed himself: neither here nor in the code above.
table_version = Table(
    "table_version",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),  # proposed | approved | rejected
    Column("effective", BigInteger, nullable=False),  # as proposed; an approval that comes later takes effect with it
    Column("body", LargeBinary, nullable=False),  # the rows as JSON, one zstd frame
    Column("digest", Text, nullable=False),  # of everything that is approved, see `gateway.store.versions`
    Column("note", Text, nullable=False),
    Column("proposer", Text, nullable=False),
    Column("proposed_at", BigInteger, nullable=False),
    Column("decider", Text),  # who approved, or rejected
    Column("decided_at", BigInteger),
    CheckConstraint("state IN ('proposed', 'approved', 'rejected')", name="state"),
    CheckConstraint("(state = 'proposed') = (decider IS NULL AND decided_at IS NULL)", name="decided"),
    CheckConstraint("state <> 'approved' OR lower(decider) <> lower(proposer)", name="two_persons"),
)

# Whatever takes two persons: what one proposed, and what another decided about exactly that. Decided for good, too.
proposal = Table(
    "proposal",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),  # what it is about: a party, a client, a plan version, an account
    Column("content", LargeBinary, nullable=False),  # RFC 8785: all that is approved, and what is shown for it
    Column("digest", Text, nullable=False),  # see `gateway.proposals`
    Column("reason", Text, nullable=False),
    Column("proposer", Text, nullable=False),  # an account's name
    Column("proposed_at", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # proposed | approved | rejected
    Column("decider", Text),
    Column("decided_at", BigInteger),
    CheckConstraint("state IN ('proposed', 'approved', 'rejected')", name="state"),
    CheckConstraint("(state = 'proposed') = (decider IS NULL AND decided_at IS NULL)", name="decided"),
    CheckConstraint("state <> 'approved' OR lower(decider) <> lower(proposer)", name="two_persons"),
    Index(None, "state", "kind", "subject"),
)

# The gateway's own keys that rotate, once a use has had more than one: public halves, and from when to when each signs.
# The private halves are files, found by kid. Without rows for a use, the one key in its first file is in use.
own_key = Table(
    "own_key",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("use", Text, nullable=False),
    Column("public", Text, nullable=False),  # base64url of 32 bytes; oauth: a JWK as JSON; tls: certificates in PEM
    Column("made", BigInteger, nullable=False),
    Column("published", BigInteger),  # since when a party document names it, and the serial of the first that did
    Column("serial", BigInteger),
    Column("begins", BigInteger),  # signs from this instant on; NULL: it is the next
    Column("ends", BigInteger),  # signs no more from this instant on
    Column("reason", Text, nullable=False),  # why it ended: rotated | lost | compromised | stopped
    Column("since", BigInteger),  # from when on others may have used it
    Column("last", Text),  # JSON: by dataset the last number and manifest it stands for; NULL: not settled yet
    Column("settled", BigInteger),  # when nothing was left to be done about its end
    CheckConstraint("use IN ('manifest', 'log', 'witness', 'oauth', 'tls')", name="use"),
    CheckConstraint("reason IN ('', 'rotated', 'lost', 'compromised', 'stopped')", name="reason"),
    Index(None, "use", "begins"),
)

# The party documents this gateway has published since its first one, which is a file.
own_document = Table(
    "own_document",
    metadata,
    Column("serial", BigInteger, primary_key=True, autoincrement=False),
    Column("token", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

# Party documents on their way between us and each partner: which of ours it holds, when we last asked for its own, and
# what was wrong with the answer, if something was.
document_exchange = Table(
    "document_exchange",
    metadata,
    Column("party", Text, primary_key=True),
    Column("holds", BigInteger),  # the serial of ours that it said it holds
    Column("told", BigInteger),  # when it said so first
    Column("asked", BigInteger),
    Column("alarm", Text, nullable=False),  # a code, or nothing
    Column("alarmed", BigInteger),
)

# Batches that a key signed which others may have used, and that nothing pins from before: not to be relied on.
doubted_batch = Table(
    "doubted_batch",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("dataset", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("manifest", Text, primary_key=True),
    Column("kid", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)


def decided_for_good(dialect: str, table: str = "table_version") -> list[str]:
    """The statements that make a database refuse to change or delete a decided row of `table`, for either engine."""
    if dialect == "sqlite":
        refuse = f"WHEN OLD.state <> 'proposed' BEGIN SELECT RAISE(ABORT, 'a decided {table} stays'); END"
        return [
            f"CREATE TRIGGER {table}_stays BEFORE UPDATE ON {table} {refuse}",
            f"CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} {refuse}",
        ]
    function = (
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'a decided {table} stays'; END $$"
    )
    trigger = (
        f"CREATE TRIGGER {table}_stays BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW WHEN (OLD.state <> 'proposed') EXECUTE FUNCTION {table}_refuse()"
    )
    return [function, trigger]
