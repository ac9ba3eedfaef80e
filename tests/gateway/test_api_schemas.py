"""The shared schema over HTTP: for everybody, in one piece, and in a few bytes where nothing changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gateway.store.versions import NOTICE
from schemas.publication import json_schema, kinds, table_schema
from schemas.tables import shipped
from schemas.times import now_millis
from tests.gateway.callers import code_of, listening
from tests.people import two_people
from tests.world import WUJIANG, make_node

TABLES = ("factors", "units", "flags")
PATHS = [
    "/v1/schemas",
    *(f"/v1/schemas/{kind}{tail}" for kind in kinds() for tail in ("", "/table")),
    *(f"/v1/{name}" for name in TABLES),
]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    node = make_node(tmp_path_factory.mktemp("schemas"), WUJIANG)
    with listening(node) as client:
        yield client
    node.stop()


def test_the_list_leads_to_every_schema(http: TestClient) -> None:
    listed = http.get("/v1/schemas").json()
    assert listed["version"] == "1.0"
    assert [one["kind"] for one in listed["schemas"]] == list(kinds())
    for one in listed["schemas"]:
        assert (one["version"], bool(one["title"]), bool(one["x-title-zh"])) == ("1.0", True, True)
        assert http.get(one["schema"]).json() == json_schema(one["kind"])
        assert http.get(one["table"]).json() == table_schema(one["kind"])
        assert http.get(one["schema"]).headers["content-type"] == "application/schema+json"


@pytest.mark.parametrize("name", TABLES)
def test_a_table_comes_with_its_version_and_all_its_rows(http: TestClient, name: str) -> None:
    answer = http.get(f"/v1/{name}").json()
    table = shipped(name)
    assert (answer["table"], answer["digest"]) == (table.reference, table.digest)
    assert answer["rows"] == [dict(row) for row in table.rows]


@pytest.mark.parametrize("path", PATHS)
def test_who_has_it_already_is_told_so_in_a_few_bytes(http: TestClient, path: str) -> None:
    first = http.get(path)
    assert first.status_code == 200
    assert first.headers["cache-control"].startswith("public")
    tag = first.headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        again = http.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert http.get(path, headers={"If-None-Match": '"other"'}).content == first.content


@pytest.mark.parametrize("path", ["/v1/schemas/weather", "/v1/schemas/weather/table", "/v1/schemas/Name", "/v1/tables"])
def test_what_is_not_there_is_a_problem(http: TestClient, path: str) -> None:
    assert code_of(http.get(path), 404) == "resource.not-found"


def test_chinese_goes_out_as_it_is_written(http: TestClient) -> None:
    content = http.get("/v1/schemas/site").content
    assert "站点编号".encode() in content
    assert json.loads(content)["properties"]["id"]["x-title-zh"] == "站点编号"


def test_a_table_is_the_version_that_decides_at_this_gateway(tmp_path: Path) -> None:
    node = make_node(tmp_path, WUJIANG)
    rows = (*shipped("units").rows, shipped("units").rows[0] | {"code": "pg/L", "factor": "0.000000001", "aliases": ""})
    now = now_millis() - NOTICE
    wei, li = (replace(one, confirmed=now) for one in two_people(node))
    version = node.gateway.governance.propose("units", rows, by=wei, effective=now, now=now)
    with listening(node) as http:
        before = http.get("/v1/units")
        node.gateway.governance.approve("units", version.version, by=li, digest=version.digest, now=now)
        after = http.get("/v1/units", headers={"If-None-Match": before.headers["etag"]})
        assert before.json()["table"] == shipped("units").reference
        assert (after.status_code, after.json()["table"]) == (200, version.reference)
        assert after.json()["rows"][-1]["code"] == "pg/L"
    node.stop()
