"""A fourth district joins three that run, under a plan with one of them, and sees what that gives it and nothing else.

Real processes over TLS, as `taipu demo --with-nanxun` makes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.demo import network
from gateway.demo.joining import join_nanxun
from gateway.demo.processes import running, start, wait_ready
from gateway.demo.stations import MINUTE, hourly, packet, site_of, stations_of
from gateway.ingest.parcel import HJ212, NDJSON
from partners.client import PartnerClient
from partners.errors import PartnerRefusedError
from schemas.records import encode_record
from schemas.times import now_millis
from tests.world import wait_for

Members = dict[str, network.Member]
BILATERAL = {"wj-shengze-for-nanxun", "wj-shengze-site", "nx-water-quality", "nx-sites"}
SHENGZE = "320509-SW-0003"


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    """Three gateways with a day of data at Wujiang's and Jiashan's, then Nanxun's beside them."""
    root = tmp_path_factory.mktemp("joining")
    now = now_millis()
    members = network.create_network(root, now=now, ports={})
    with running(members) as nodes:
        for member in members[:2]:
            hand_in(member, now)
        newcomer = network.make_nanxun(root, now=now_millis())
        nodes.append(start(newcomer))
        wait_ready(nodes[-1:])
        join_nanxun(root, now=now_millis())
        hand_in(newcomer, now)
        yield {member.party: member for member in network.open_network(root)}


def hand_in(member: network.Member, now: int) -> None:
    stations = stations_of(member.party)
    hour = now - now % (60 * MINUTE) - 120 * MINUTE
    records = [*map(site_of, stations), *(record for station in stations for record in hourly(station, hour))]
    with network.connect(member.station) as client:
        client.submit(b"".join(encode_record(record) + b"\n" for record in records), NDJSON)
        for station in stations:
            client.submit(packet(station, hour + 70 * MINUTE), HJ212)


def reader(members: Members, party: str, at: str) -> PartnerClient:
    access = next(one for one in members[party].readers if one.at == at)
    return network.connect(access)


def readings(members: Members, by: str, at: str, **filters: Any) -> list[dict[str, Any]]:
    with reader(members, by, at) as client:
        found: list[dict[str, Any]] = client.get("/v1/observations", filters).json()["observations"]
        return found


def test_nanxun_receives_the_station_of_its_dataset_with_its_history_and_wujiang_what_nanxun_gives(
    joined: Members,
) -> None:
    wait_for(lambda: len(readings(joined, "330503", "330503", party="320509")) >= 12)
    assert {one["site"] for one in readings(joined, "330503", "330503", party="320509")} == {SHENGZE}
    wait_for(lambda: len(readings(joined, "320509", "320509", party="330503")) >= 24)


def test_at_wujiang_nanxun_sees_its_bilateral_datasets_and_nothing_of_the_other_plan(joined: Members) -> None:
    with reader(joined, "330503", "320509") as client:
        feeds = {head.dataset for head in client.feeds()[0]}
        # A provider may always read its own feeds back.
        assert {name for name in feeds if not name.startswith("governance-")} == BILATERAL
        for path in ("/v1/feeds/320509/wj-antimony", "/v1/feeds/320509/wj-water-quality", "/v1/feeds/330421/js-sites"):
            with pytest.raises(PartnerRefusedError) as refused:
                client.get(path)
            assert refused.value.extra["status"] == 403
        plans = client.get("/v1/plan").json()["plans"]
        assert [plan["plan"] for plan in plans] == ["wujiang-nanxun-demo@1"]
    seen = readings(joined, "330503", "320509")
    assert {one["site"] for one in seen if one["provider"] == "320509"} == {SHENGZE}
    assert "w20004" not in {one["factor"] for one in seen}
    assert {one["provider"] for one in seen} <= {"320509", "330503"}


def test_the_other_two_know_nothing_of_nanxun(joined: Members) -> None:
    for party in ("330421", "310118"):
        with reader(joined, party, "320509") as client:
            feeds = {(head.provider, head.dataset) for head in client.feeds()[0]}
            assert not {dataset for _, dataset in feeds} & (BILATERAL | {"governance-wujiang-nanxun-demo"})
            plans = client.get("/v1/plan").json()["plans"]
            assert {plan["plan"].partition("@")[0] for plan in plans} == {"tri-district-demo"}
        assert not readings(joined, party, party, party="330503")


def test_jiashan_gives_nanxun_no_token(joined: Members) -> None:
    there, own = joined["330421"], joined["330503"].readers[0]
    stranger = network.Access("330421", there.url, there.ca, own.client_id, own.key, "records:read")
    with network.connect(stranger) as client, pytest.raises(PartnerRefusedError) as refused:
        client.get("/v1/observations")
    assert refused.value.code == "partner.token-refused"
