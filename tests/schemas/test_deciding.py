"""Every governed table has its class; a version that is malformed or contradicts another table decides nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.deciding import DECIDING, check_version
from schemas.errors import LimitError, RecordError, UnresolvedError
from schemas.factors import Factors
from schemas.flags import Flags
from schemas.records import check_record, decode_line
from schemas.tables import MAX_DOCUMENT, TableError, Tables, parse_rows, shipped, shipped_tables, table_names
from schemas.units import Units

SHIPPED = shipped_tables()
LINE = b'{"kind":"observation","site":"S1","factor":"w99777","at":"2026-11-20T10:00:00Z","value":"1","unit":"mg/L"}'


def changed(name: str, number: int, **cells: str) -> Tables:
    """What `check_version` makes of the shipped table with row `number` (the header being 1) changed."""
    table = shipped(name)
    rows = [dict(row) for row in table.rows]
    rows[number - 2] |= cells
    return check_version(replace(table, version=1001, rows=tuple(rows)), SHIPPED)


def refused(name: str, number: int, **cells: str) -> TableError:
    with pytest.raises(TableError) as caught:
        changed(name, number, **cells)
    return caught.value


@pytest.mark.parametrize("name", table_names())
def test_every_table_that_ships_has_a_class_that_takes_it_and_names_it(name: str) -> None:
    (kind,) = [kind for kind in DECIDING if kind.table == name]
    assert SHIPPED[kind].reference == shipped(name).reference
    assert check_version(shipped(name), SHIPPED)[kind].reference == shipped(name).reference


def test_what_is_made_of_a_version_is_made_once_and_named_with_the_others() -> None:
    assert SHIPPED[Factors] is SHIPPED[Factors]
    assert SHIPPED.references(Units, Factors) == ("factors@1", "units@1")
    later = changed("units", 2, note="no change of meaning")
    assert later.references(Units, Factors) == ("factors@1", "units@1001")
    assert SHIPPED.references(Units) == ("units@1",), "the tables that were in force stay what they were"


@pytest.mark.parametrize(
    ("name", "cells", "says"),
    [
        ("factors", {"code": "w01001"}, "stands twice"),
        ("factors", {"code": "pH 值"}, "not a code"),
        ("factors", {"medium": "soil"}, "medium"),
        ("factors", {"confidence": "sure"}, "confidence"),
        ("factors", {"decimals": "-1"}, "decimals"),
        ("factors", {"source": ""}, "source"),
        ("factors", {"unit": "mg per L"}, "not a UCUM code"),
        ("units", {"factor": "0"}, "positive decimal"),
        ("units", {"factor": "1e3"}, "positive decimal"),
        ("units", {"aliases": "ug/L"}, "two units"),
        ("units", {"code": "mg/L2"}, "mg/L"),
        ("flags", {"valid": "perhaps"}, "yes or no"),
        ("flags", {"qualifier": "~"}, "qualifier"),
        ("flags", {"from": "2017-13-01"}, "not a day"),
        ("flags", {"from": "2020-01-01", "to": "2020-01-01"}, "before"),
        ("flags", {"flag": "P"}, "two meanings"),
        ("mappings", {"factor": "w99999"}, "not a factor"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_version_that_cannot_decide_is_refused_with_the_row(name: str, cells: dict[str, str], says: str) -> None:
    error = refused(name, 2, **cells)
    assert says in error.detail
    assert all(pointer.startswith("row ") for pointer in error.pointers)
    assert error.pointers


def test_a_version_has_the_columns_of_the_one_that_ships() -> None:
    table = shipped("flags")
    rows = tuple({name: cell for name, cell in row.items() if name != "valid"} for row in table.rows)
    with pytest.raises(TableError, match="has the columns"):
        check_version(replace(table, rows=rows), SHIPPED)


def test_records_are_judged_by_the_tables_they_are_given() -> None:
    with pytest.raises(UnresolvedError):
        check_record(decode_line(LINE))
    extra = {**shipped("factors").rows[0], "code": "w99777", "name_zh": "示例", "name_en": "Example"}
    wider = SHIPPED.replaced(replace(shipped("factors"), version=1001, rows=(*shipped("factors").rows, extra)))
    check_record(decode_line(LINE), wider)
    with pytest.raises(UnresolvedError):
        check_record(decode_line(LINE), SHIPPED)


def test_a_flag_has_the_validity_of_the_version_in_force() -> None:
    rows = [dict(row) for row in shipped("flags").rows]
    index = next(i for i, row in enumerate(rows) if (row["profile"], row["flag"]) == ("hj212-2017", "S"))
    stricter = changed("flags", index + 2, valid="yes")
    assert not SHIPPED[Flags].is_valid("hj212-2017", "S", 2**41)
    assert stricter[Flags].is_valid("hj212-2017", "S", 2**41)
    assert stricter[Flags].reference == "flags@1001"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "table.malformed"),
        (b"a,b\n", "table.malformed"),
        (b"a,a\n1,2\n", "table.malformed"),
        (b"a,\n1,2\n", "table.malformed"),
        (b"a,b\n1\n", "table.malformed"),
        (b"a,b\n1,2,3\n", "table.malformed"),
        (b'a,b\n"1,2\n', "table.malformed"),
        (b"a\xff,b\n1,2\n", "table.malformed"),
        (b"a\n" + b"1\n" * 50_001, "table.too-large"),
        (b"a" * (MAX_DOCUMENT + 1), "table.too-large"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_no_table_is_refused_as_such(data: bytes, code: str) -> None:
    with pytest.raises((TableError, LimitError)) as caught:
        parse_rows(data)
    assert caught.value.code == code


def test_a_table_is_read_as_it_was_written_with_marks_of_order_and_quotes() -> None:
    rows = parse_rows('\ufeffa,b\r\n1,"x, ""y"""\r\n\r\n2,\r\n'.encode())
    assert rows == ({"a": "1", "b": 'x, "y"'}, {"a": "2", "b": ""})


@given(st.binary(max_size=300) | st.text(alphabet='ab,"\n\r\x00锑', max_size=60).map(str.encode))
def test_whatever_comes_as_a_table_is_taken_or_refused_by_an_error_of_ours(data: bytes) -> None:
    try:
        rows = parse_rows(data)
    except (TableError, LimitError, RecordError):
        return
    assert rows
    assert len({tuple(row) for row in rows}) == 1
