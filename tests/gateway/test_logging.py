"""Logs of the service: one form for all, and never what must not be written."""

from __future__ import annotations

import json
import logging

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from gateway.db import Database
from gateway.home import create_home
from gateway.logging import WITHHELD, configure_logging
from schemas.times import now_millis
from tests.gateway.commands import own_logging


@pytest.fixture
def settings(tmp_path):
    return create_home(tmp_path / "home", "310118", "https://gateway.example", now=now_millis()).settings


@pytest.fixture
def written(capsys):
    """What has gone to standard error, once, when called; logging is put back as it was."""
    with own_logging():
        yield lambda: capsys.readouterr().err


def configured(settings, **changed):
    configure_logging(settings.model_copy(update=changed))
    return structlog.get_logger()


def fail(secret):
    raise ValueError("it failed")


def test_json_is_one_object_a_line_with_level_and_time(settings, written):
    log = configured(settings, log_format="json")
    log.info("gateway.ready", party="310118", name="青浦")
    line = json.loads(written())
    assert (line["event"], line["level"], line["name"]) == ("gateway.ready", "info", "青浦")
    assert line["timestamp"].endswith("Z")


def test_what_is_less_severe_than_the_settings_say_is_not_written(settings, written):
    log = configured(settings, log_level="warning")
    log.info("too.much")
    log.warning("enough")
    (line,) = written().splitlines()
    assert "enough" in line


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_token_key_or_body_is_written_even_when_somebody_logs_one(settings, written, form):
    log = configured(settings, log_format=form)
    log.info("request", **dict.fromkeys(WITHHELD, "hunter2"))
    said = written()
    assert "hunter2" not in said
    assert said.count("withheld") == len(WITHHELD)


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(settings, written, form):
    log = configured(settings, log_format=form)
    try:
        fail("hunter2")
    except ValueError:
        log.exception("duty.failed")
    said = written()
    assert "it failed" in said
    assert "hunter2" not in said.replace('fail("hunter2")', "")  # the line of code itself is shown


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_libraries_say_comes_in_the_same_form_from_warnings_on(settings, written, form):
    configured(settings, log_format=form)
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").error("it broke: %s", "here")
    (line,) = written().splitlines()
    assert "it broke: here" in line
    assert "error" in line


def test_the_error_of_a_failed_statement_does_not_carry_its_values(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/one.db")
    with pytest.raises(OperationalError) as caught, database.write() as session:
        session.execute(text("INSERT INTO nowhere VALUES (:value)"), {"value": "hunter2"})
    database.close()
    assert "hunter2" not in str(caught.value)
