"""What is shared is what was handed in: through both databases and back into a line, and on into a partner's store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.db import Database
from gateway.ingest.door import Door
from gateway.ingest.parcel import unpack_lines
from gateway.ingest.terms import Terms
from gateway.store import observations, records
from gateway.store.acts import begin_act
from gateway.store.interning import Interning
from gateway.store.lines import record_of
from gateway.store.observations import Key
from gateway.store.sites import Sites
from partners.plans import Plans
from schemas.records import decode_line, encode_record
from schemas.tables import shipped_tables
from schemas.times import now_millis
from tests.conftest import BACKENDS, new_postgres
from tests.world import WUJIANG, reading_line, site_line

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
DECIMAL = st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?", fullmatch=True)
INSTANT = st.builds(
    "20{:02}-{:02}-{:02}T{:02}:{:02}:{:02}{}+08:00".format,
    st.integers(0, 99), st.integers(1, 12), st.integers(1, 28), st.integers(0, 23), st.integers(0, 59),
    st.integers(0, 59), st.sampled_from(["", ".001", ".250", ".999"]),
)  # fmt: skip
READING = st.fixed_dictionaries(
    {"value": st.none() | DECIMAL, "at": INSTANT},
    optional={
        "sample": TEXT, "flag": TEXT, "method": TEXT, "instrument": TEXT, "reason": TEXT, "confirms": TEXT,
        "detection": DECIMAL, "determination": DECIMAL, "sent": INSTANT, "received": INSTANT, "resent": st.booleans(),
        "review": st.sampled_from(["raw", "level1", "final"]), "origin": st.sampled_from(["auto", "lab"]),
        "period": st.sampled_from(["PT0S", "PT1H", "P1M"]), "stat": st.sampled_from(["inst", "zs-avg"]),
        "profile": TEXT, "rev": st.integers(1, 2**31 - 1), "remark": TEXT, "sampled": INSTANT,
        "nondetects": st.sampled_from(["half", "zero", "limit", "excluded"]),
    },
)  # fmt: skip
IDENTIFIER = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,12}", fullmatch=True)
IDENTIFIERS = st.lists(IDENTIFIER, max_size=2, unique=True)
NAME = TEXT.filter(lambda text: bool(text.strip()))
DAY = st.dates().map(str)
SITE = st.fixed_dictionaries(
    {"name": st.fixed_dictionaries({"zh": NAME}, optional={"en": TEXT})},
    optional={
        "water": TEXT, "owner": TEXT, "target": TEXT, "upstream": IDENTIFIERS, "areas": IDENTIFIERS, "opened": DAY,
        "aliases": st.lists(st.fixed_dictionaries({"name": NAME}, optional={"since": DAY}), max_size=2),
        "position": st.fixed_dictionaries({"x": DECIMAL, "y": DECIMAL, "datum": st.sampled_from(["WGS84", "BD-09"])}),
        "rev": st.integers(1, 2**31 - 1),
    },
)  # fmt: skip


class Store:
    """A database with the door into it, and no memory of earlier records: what is read comes from the database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._taken = 0

    def take(self, *lines: bytes) -> None:
        """Store lines of a provider that assigned their revisions."""
        self._taken += 1
        door = Door("330421", Interning(self.database), Sites(), lambda _now: shipped_tables())
        parcel = unpack_lines(lines, Terms(shipped_tables()))
        assert not parcel.problems, parcel.problems
        prepared = door.prepare(self.provider, parcel, now=now_millis())
        with self.database.write() as session:
            act = begin_act(session, "batch", self.provider, str(self._taken), at=1, submitted=False)
            tally = door.take(session, prepared, act, Plans(()))
        assert tally.accepted == len(lines), tally

    @property
    def provider(self) -> str:
        """Another one each time, so that no two examples meet."""
        return f"{WUJIANG}-{self._taken}"

    def reading(self) -> bytes:
        """The line of the one reading that was taken last."""
        memory = Interning(self.database)
        with self.database.read() as session:
            query = observations.tables.observation.select().where(
                observations.tables.observation.c.act_id == self._last_act(session)
            )
            row = session.execute(query).one()
        with self.database.write() as session:
            (found,) = observations.fetch(session, [Key(row.bucket, row.series_id, row.at, row.sample, row.rev)])
            series, states = memory.series(session, [found.series_id]), memory.states(session, [found.state_id])
        return encode_record(record_of(found, series[found.series_id], states[found.state_id]))

    def site(self, rev: int) -> bytes:
        with self.database.read() as session:
            (stored,) = records.fetch(session, self.provider, "site", [("320509-SW-0003", rev)])
        return stored.line

    @staticmethod
    def _last_act(session: Any) -> int:
        acts = observations.tables.act
        number: int = session.execute(acts.select().order_by(acts.c.id.desc()).limit(1)).one().id
        return number


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if request.param == "sqlite":
        file: Path = tmp_path_factory.mktemp("store") / "taipu.db"
        file.write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
        url = f"sqlite:///{file}"
    else:
        url = new_postgres(request.getfixturevalue("postgres"))
    database = Database(url)
    yield Store(database)
    database.close()


same = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@same
@given(READING)
def test_every_member_of_a_reading_comes_back_from_the_database_as_it_was(
    store: Store, members: dict[str, Any]
) -> None:
    line = encode_record(decode_line(reading_line(**({"rev": 1} | members))))
    store.take(site_line(rev=1), line)
    assert json.loads(store.reading()) == json.loads(line)
    assert store.reading() == line


@same
@given(SITE)
def test_every_member_of_a_site_comes_back_from_the_database_as_it_was(store: Store, members: dict[str, Any]) -> None:
    line = encode_record(decode_line(site_line(**({"rev": 1} | members))))
    store.take(line)
    assert store.site(json.loads(line)["rev"]) == line
