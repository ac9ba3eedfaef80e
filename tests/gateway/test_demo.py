"""The demonstration's parts that need no processes: stations, homes, workload, comparison, figures."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pyotp
import pytest
from rich.console import Console
from sqlalchemy import delete, update

from gateway.db import Database
from gateway.demo import live, network, people, stations
from gateway.demo.comparison import compare, read_store
from gateway.demo.errors import DemoError
from gateway.demo.feed import submit as hand_in
from gateway.demo.workload import Registration, Submission, Workload, make_workload, revision_of
from gateway.home import open_home
from gateway.ingest.parcel import HJ212, NDJSON
from gateway.ingest.release import release_arrived
from gateway.ingest.submissions import submit
from gateway.people.sessions import person_of
from gateway.people.sign_in import sign_in
from gateway.service import Gateway
from gateway.settings import load_settings
from gateway.store import tables
from partners.directory import parties
from partners.errors import PartnerRefusedError, PartnerUnreachableError
from partners.oauth.store import load_client
from partners.plans import plans_in_force
from schemas.hj212 import Frame, parse_message, split_packets, to_observations
from schemas.plan import check_plan, parse_plan
from schemas.records import Observation, check_record
from schemas.times import now_millis, to_millis
from tests.world import Node, make_node

NOW = to_millis("2026-11-23T10:25:30+08:00")
HOUR = stations.HOUR


@pytest.mark.parametrize("station", stations.STATIONS, ids=lambda station: station.id)
def test_a_stations_packet_reads_back_as_the_records_it_is_said_to_be(station: stations.Station) -> None:
    at = NOW - NOW % 60_000
    device = stations.device_of(station)
    (frame,) = split_packets(stations.packet(station, at))
    assert isinstance(frame, Frame)
    message = parse_message(frame, {device.mn: device})
    assert not message.deviations
    records, findings = to_observations(message, device)
    assert not findings
    assert records == stations.minutely(station, at)


@pytest.mark.parametrize("station", stations.STATIONS, ids=lambda station: station.id)
def test_a_station_gives_records_the_schema_takes_and_says_they_are_simulated(station: stations.Station) -> None:
    site = stations.site_of(station)
    for record in (site, *stations.hourly(station, NOW - NOW % HOUR), *stations.minutely(station, NOW - NOW % HOUR)):
        check_record(record)
    assert "模拟" in site.name.zh
    assert "simulated" in site.name.en
    assert site.owner == stations.SIMULATED


def test_antimony_stays_between_one_and_four_micrograms_and_nobody_else_measures_it() -> None:
    for station in stations.STATIONS:
        measured = stations.ANTIMONY in station.factors
        assert measured == (station.party == "320509")
        values = [float(stations.value_at(station, stations.ANTIMONY, NOW - hour * HOUR)) for hour in range(24 * 60)]
        assert 1.0 < min(values) < 2.0
        assert 3.0 < max(values) < 4.0


def test_the_same_instant_has_the_same_value_and_another_one_another() -> None:
    station = stations.STATIONS[0]
    values = [stations.value_at(station, "w01009", NOW + minute * 60_000) for minute in (0, 0, 1, 2, 3)]
    assert values[0] == values[1]
    assert len(set(values)) > 2


def test_the_hours_of_a_span_are_those_that_begin_and_end_in_it() -> None:
    hour = NOW - NOW % HOUR
    assert list(stations.hours(hour - 2 * HOUR, NOW)) == [hour - 2 * HOUR, hour - HOUR]
    assert list(stations.hours(hour - 2 * HOUR + 1, hour)) == [hour - HOUR]
    assert list(stations.hours(hour + 1, NOW)) == []


class Away:
    """A gateway that cannot be reached so many times, and then answers."""

    def __init__(self, times: int, error: type[Exception] = PartnerUnreachableError) -> None:
        self.times = times
        self.error = error
        self.seen: list[tuple[bytes, str]] = []

    def submit(self, content: bytes, media_type: str) -> dict[str, object]:
        self.seen.append((content, media_type))
        if len(self.seen) <= self.times:
            raise self.error("away")
        return {"accepted": 1}


def test_what_could_not_be_handed_in_is_handed_in_again_until_it_is_taken() -> None:
    gateway = Away(2)
    assert hand_in(gateway, b"x", NDJSON, threading.Event()) == {"accepted": 1}  # type: ignore[arg-type]
    assert gateway.seen == [(b"x", NDJSON)] * 3


def test_a_refusal_is_not_tried_again() -> None:
    gateway = Away(1, PartnerRefusedError)
    with pytest.raises(PartnerRefusedError):
        hand_in(gateway, b"x", NDJSON, threading.Event())  # type: ignore[arg-type]
    assert len(gateway.seen) == 1


def test_nothing_is_handed_in_after_the_stop() -> None:
    gateway, stop = Away(0), threading.Event()
    stop.set()
    assert hand_in(gateway, b"x", NDJSON, stop) == {}  # type: ignore[arg-type]
    assert not gateway.seen


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[network.Member]:
    return network.create_network(tmp_path_factory.mktemp("demo"), now=NOW)


@pytest.fixture
def gateways(members: list[network.Member]) -> Iterator[list[Gateway]]:
    opened = [Gateway(open_home(member.home)) for member in members]
    yield opened
    for gateway in opened:
        gateway.close()


def test_every_gateway_knows_the_other_two_the_plan_its_loggers_and_its_clients(
    members: list[network.Member], gateways: list[Gateway]
) -> None:
    for member, gateway in zip(members, gateways, strict=True):
        with gateway.database.read() as session:
            known = {party.code: party.url for party in parties(session)}
            assert known == {other.party: other.url for other in members if other is not member}
            (plan,) = plans_in_force(session, NOW).plans
            assert {dataset.kind for dataset in plan.provided_by(member.party)} == {
                "site",
                "observation",
                "source",
                "mark",
            }
            assert not plans_in_force(session, NOW - 1_000).plans
            for access in (member.station, *(reader for one in members for reader in one.readers)):
                if access.at == member.party:
                    client = load_client(session, access.client_id)
                    assert client is not None
                    assert client.scopes == set(access.scope.split())


def test_antimony_of_wujiang_is_published_at_once_and_all_may_see_what_came_before(gateways: list[Gateway]) -> None:
    with gateways[0].database.read() as session:
        (plan,) = plans_in_force(session, NOW).plans
    antimony = plan.dataset("wj-antimony")
    assert antimony is not None
    assert antimony.linger.total_seconds() == 0
    assert antimony.select.factors == {"w20004"}
    assert antimony.select.periods is not None
    assert "PT1M" in antimony.select.periods
    assert {dataset.history for dataset in plan.datasets if dataset.kind == "observation"} == {"all"}
    assert not [note for note in check_plan(plan) if note.level == "refusal"]


def test_a_network_that_was_made_is_the_same_when_it_is_opened_again(members: list[network.Member]) -> None:
    root = members[0].home.parent
    assert network.open_network(root) == members
    assert parse_plan((root / network.PLAN_FILE).read_bytes()).parties == tuple(sorted(network.PARTIES))
    with pytest.raises(DemoError) as occupied:
        network.create_network(root, now=NOW)
    assert occupied.value.code == "demo.directory-occupied"


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for attempt in (lambda: network.create_network(tmp_path, now=NOW), lambda: network.open_network(tmp_path)):
        with pytest.raises(DemoError) as occupied:
            attempt()
        assert occupied.value.code == "demo.directory-occupied"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_description_names_for_each_party_what_a_program_needs(members: list[network.Member]) -> None:
    described = json.loads(json.dumps(network.describe(members)))["parties"]
    assert [one["party"] for one in described] == ["320509", "330421", "310118"]
    for one in described:
        assert one.keys() >= {"party", "url", "ca", "home", "database", "log_vkey", "clients"}
        readers = [client for client in one["clients"] if "records:read" in client["scope"]]
        assert readers[0]["at"] == one["party"]
        assert {client["at"] for client in readers} == set(network.PARTIES)
        for client in one["clients"]:
            assert client.keys() == {"at", "url", "ca", "client_id", "key", "scope"}
            assert stat.S_IMODE(Path(client["key"]).stat().st_mode) == 0o600
            assert Path(client["ca"]).is_file()


def test_homes_have_short_waits_and_addresses_of_their_own(members: list[network.Member]) -> None:
    settings = [load_settings(member.home) for member in members]
    assert {one.retry.min for one in settings} == {0.2}
    addresses = [str(address) for one in settings for address in (one.listen.partner, one.listen.console)]
    assert len(set(addresses)) == 6
    for one, member in zip(settings, members, strict=True):
        assert one.url == f"https://{one.listen.partner}" == member.url


def test_a_port_that_is_taken_is_passed_over_and_a_kept_one_is_complained_of(tmp_path: Path) -> None:
    wanted = network.PORTS["320509"][0]
    with socket.socket() as other:
        try:
            other.bind(("127.0.0.1", wanted))
            other.listen()
        except OSError:
            pass  # somebody else on this machine has it, which is as good
        members = network.create_network(tmp_path / "demo", now=NOW)
    assert not members[0].url.endswith(f":{wanted}")
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(members[0].url.rpartition(":")[2])))
        other.listen()
        with pytest.raises(DemoError) as taken:
            network.check_ports(members)
    assert taken.value.code == "demo.port-taken"
    network.check_ports(members)


@pytest.mark.parametrize("party", network.PARTIES)
def test_the_workload_has_as_many_readings_as_asked_for_and_every_hard_case(party: str) -> None:
    work = make_workload(party, 600, NOW)
    first = {revision for revision in work.expected if revision.kind == "observation" and revision.rev == 1}
    assert len(first) >= 600
    assert {revision.rev for revision in work.expected} == {1, 2, 3}
    assert any(revision.kind == "site" and revision.rev == 2 for revision in work.expected)
    assert {step.media_type for step in work.steps if isinstance(step, Submission)} == {NDJSON, HJ212}
    assert len({step.content for step in work.steps if isinstance(step, Submission)}) < len(work.steps) - 1
    for revision, record in work.expected.items():
        check_record(record)
        assert revision_of(party, record) == revision


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = make_node(tmp_path, "320509")
    yield made
    made.stop()


def _perform(node: Node, work: Workload) -> dict[str, int]:
    """Hand in everything at a gateway that does not serve, and release what waited; what the answers counted."""
    counted = {"accepted": 0, "duplicates": 0, "revised": 0, "refused": 0, "held": 0}
    with node.gateway.database.write() as session:
        node.gateway.devices.register(session, map(stations.device_of, stations.stations_of(work.party)), now=NOW)
    for step in work.steps:
        if isinstance(step, Registration):
            with node.gateway.database.write() as session:
                node.gateway.devices.register(session, [step.device], now=NOW)
        else:
            answer = submit(node.gateway, node.station(), step.media_type, step.content, now=NOW).outcome
            counted = {name: counted[name] + answer[name] for name in counted}
    while release_arrived(node.gateway, now=NOW):
        pass
    return counted


def test_a_gateway_that_is_handed_the_workload_holds_exactly_what_is_expected(node: Node) -> None:
    work = make_workload("320509", 300, NOW)
    counted = _perform(node, work)
    assert counted["refused"] == 0
    assert counted["revised"] == 46
    assert counted["held"] > 80
    assert counted["duplicates"] > 100
    with node.gateway.database.read() as session:
        store, doubled = read_store(session)
    found = compare(work.expected, {"320509": store, "330421": store})
    assert (found.missing, found.unexpected, doubled, found.problems) == (0, 0, 0, [])
    assert found.replicated == len(work.expected)


def _lose_one(database: Database) -> None:
    with database.write() as session:
        session.execute(delete(tables.observation).where(tables.observation.c.value == "7.61"))


def _change_one(database: Database) -> None:
    with database.write() as session:
        session.execute(update(tables.observation).where(tables.observation.c.value == "7.61").values(value="7.62"))


def _forget_a_revision(database: Database) -> None:
    with database.write() as session:
        session.execute(delete(tables.observation_history).where(tables.observation_history.c.rev == 2))


def _lose_a_site(database: Database) -> None:
    with database.write() as session:
        session.execute(delete(tables.record).where(tables.record.c.key == "320509-SW-0002"))


@pytest.mark.parametrize("fault", [_lose_one, _change_one, _forget_a_revision, _lose_a_site])
def test_the_comparison_names_what_is_missing_or_differs(node: Node, fault: object) -> None:
    work = make_workload("320509", 300, NOW)
    _perform(node, work)
    fault(node.gateway.database)  # type: ignore[operator]
    with node.gateway.database.read() as session:
        store, _ = read_store(session)
    found = compare(work.expected, {"320509": store})
    assert found.missing > 0
    assert found.problems


def test_the_comparison_names_what_nobody_handed_in(node: Node) -> None:
    work = make_workload("320509", 100, NOW)
    _perform(node, work)
    stranger = next(revision for revision, record in work.expected.items() if isinstance(record, Observation))
    del work.expected[stranger]
    with node.gateway.database.read() as session:
        store, _ = read_store(session)
    found = compare(work.expected, {"320509": store})
    assert (found.missing, found.unexpected) == (0, 1)


def test_a_revision_that_is_current_and_history_at_once_is_doubled(node: Node) -> None:
    _perform(node, make_workload("320509", 100, NOW))
    with node.gateway.database.write() as session:
        row = session.execute(tables.observation.select().where(tables.observation.c.rev == 1).limit(1)).one()
        session.execute(tables.observation_history.insert().values(**row._mapping))
    with node.gateway.database.read() as session:
        assert read_store(session)[1] == 1


def test_the_figures_are_those_of_the_database_and_the_lag_is_of_what_waits(node: Node) -> None:
    _perform(node, make_workload("320509", 100, NOW))
    with node.gateway.database.read() as session:
        figures = live.read_figures(session, "320509", now=NOW + 2_500)
    assert figures.records_in > 100
    assert (figures.received, figures.batches_out, figures.receipts_got, figures.log_entries) == (0, 0, 0, 0)
    assert figures.lag == 0.0  # no plan: nothing is waiting to be shared


def test_a_batch_without_its_receipt_is_what_lags(gateways: list[Gateway]) -> None:
    gateway = gateways[0]
    lines = msgspec.json.encode(stations.site_of(stations.STATIONS[0]))
    node = Node(gateway, "")
    submit(gateway, node.station(), NDJSON, lines, now=NOW)
    assert gateway.publisher.publish_due(now=NOW)
    with gateway.database.read() as session:
        figures = live.read_figures(session, gateway.party, now=NOW + 2_500)
    assert figures.batches_out == 1
    assert figures.lag == 2.5


def test_the_table_says_that_the_data_are_simulated_and_who_is_down() -> None:
    figures = live.Figures(12_960, 170, 28_110, 338, 64, 1_329, 0.3)
    shown = Console(width=80)
    with shown.capture() as text:
        shown.print(live.draw({"320509": figures, "330421": replace(figures, lag=4.0), "310118": None}, "feeding"))
    drawn = text.get()
    for expected in ("simulated", "模拟数据", "Wujiang 吴江区", "12,960", "338 / 64", "0.3 s", "down", "feeding"):
        assert expected in drawn
    assert max(map(len, drawn.splitlines())) <= 80


def test_the_addresses_say_where_to_look_and_whom_to_trust(members: list[network.Member]) -> None:
    text = live.addresses(members)
    assert live.SIMULATED in text
    for member in members:
        for expected in (member.url, member.console, str(member.ca)):
            assert expected in text


def test_the_people_of_the_demonstration_can_sign_in_and_hold_one_role_each(node: Node) -> None:
    now = now_millis()
    made = people.let_in(node.gateway, now=now)
    assert {one.role for one in made} == {"security", "approver", "system", "audit"}
    for one in made:
        code = pyotp.parse_uri(one.otpauth).at(now // 1000)  # type: ignore[union-attr]
        opened = sign_in(node.gateway, one.name, one.password, code, origin="terminal", now=now)
        with node.gateway.database.read() as session:
            signed_in = person_of(session, opened.secret, now=now)
        assert signed_in is not None
        assert signed_in.roles == {one.role}
