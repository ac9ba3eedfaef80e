"""Governed tables: which version decides, and how a version is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.tables import Table, TableError, in_force, shipped, table_names


def version(number: int, effective: int, *rows: dict[str, str]) -> Table:
    return Table("limits", number, effective, "li", "wang", rows)


@pytest.mark.parametrize("name", table_names())
def test_every_table_in_the_register_is_shipped_with_rows(name: str) -> None:
    table = shipped(name)
    assert table.rows
    assert table.version >= 1
    assert table.reference == f"{name}@{table.version}"


def test_an_unknown_table_is_refused_by_name() -> None:
    with pytest.raises(TableError) as caught:
        shipped("wishes")
    assert caught.value.code == "table.unknown"


def test_the_last_to_take_effect_decides_and_of_two_at_once_the_higher_number() -> None:
    first, second, third = version(1, 0), version(2, 100), version(3, 100)
    assert in_force([first, second], 99) is first
    assert in_force([third, second, first], 100) is third
    assert in_force([second], 99) is None


def test_going_back_is_a_later_version_with_the_earlier_content() -> None:
    first, second = version(1, 0, {"a": "1"}), version(2, 100, {"a": "2"})
    back = replace(first, version=3, effective=200)
    found = in_force([first, second, back], 250)
    assert found is back
    assert found.digest == first.digest != second.digest
