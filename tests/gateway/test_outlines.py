"""Outlines from the operator's file: relative to the home directory, and a fault is a fault of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.outlines import load_outlines
from gateway.setting_groups import OutlineFile, SettingsError
from gateway.settings import load_settings
from tests.gateway.test_settings import write
from tests.schemas.test_positions import square


def test_outlines_are_read_from_where_the_settings_say(tmp_path: Path) -> None:
    (tmp_path / "districts.geojson").write_bytes(square())
    more = '[outlines]\nfile = "districts.geojson"\ndatum = "GCJ-02"\n'
    outlines = load_outlines(load_settings(write(tmp_path, more)).outlines)
    assert outlines is not None
    assert outlines.districts == ("310118",)


def test_without_the_setting_there_are_none(tmp_path: Path) -> None:
    assert load_outlines(load_settings(write(tmp_path)).outlines) is None


@pytest.mark.parametrize("content", [None, b"{}", square().replace(b"Polygon", b"Point")])
def test_a_file_without_outlines_is_a_fault_of_the_settings(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "districts.geojson"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_outlines(OutlineFile(file=file, datum="GCJ-02"))
    assert caught.value.pointers == ("/outlines/file",)
