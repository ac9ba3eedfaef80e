"""Logs of a running gateway: an event name and fields, one line each, to standard error.

JSON for machines or lines for people, as the settings say. Libraries' own messages come in the same form, from warnings
on. What must never be written: tokens, proofs, keys and bodies. Callers do not log them; should one do so by mistake,
the value is replaced here. Tracebacks show no local variables, for there the same things lie.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import Processor

from gateway.settings import Settings

WITHHELD = frozenset((
    "authorization", "dpop", "token", "access_token", "assertion", "client_assertion", "proof", "cookie", "password",
    "passphrase", "secret", "key", "private_key", "body", "content", "document",
))  # fmt: skip
"""Names of fields whose values are never written."""


def configure_logging(settings: Settings) -> None:
    """Send everything this process logs to standard error, in the form and from the level of the settings."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        withhold,
    ]
    structlog.configure(
        processors=[*shared, *_rendering(settings)],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    own = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    processors = [own, *_rendering(settings)]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=processors))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)


def withhold(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of fields that are never written."""
    for name in WITHHELD.intersection(event):
        event[name] = "withheld"
    return event


def _rendering(settings: Settings) -> list[Processor]:
    """From an event's fields to a line."""
    if settings.log_format == "console":
        colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        return [structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)]
    traces = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, use_rich=False)
    return [structlog.processors.ExceptionRenderer(traces), structlog.processors.JSONRenderer(ensure_ascii=False)]
