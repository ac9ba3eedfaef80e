"""`taipu sync status`, `feed list` and `held list`: how the exchange stands, read from the home's database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from gateway.cli.at_home import HomeOption, JsonOption, opened
from gateway.cli.terminal import say, say_json, say_table, tell
from gateway.ingest.release import held_counts
from gateway.store.feeds import FeedHead, all_heads
from gateway.sync.status import PartnerStatus, SyncStatus, read_status
from schemas.times import beijing_text

sync_app = typer.Typer(help="The exchange with partners.", no_args_is_help=True)
feed_app = typer.Typer(help="Feeds: each dataset's batches in order.", no_args_is_help=True)
held_app = typer.Typer(help="Records that wait for something this gateway does not know yet.", no_args_is_help=True)


@sync_app.command("status")
def show_status(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Show how the exchange with each partner stands.

    Its last contact, its feeds, deliveries and receipts under way, what is held, and how much evidence of what was
    wrong. Read from the database: the service need not run.
    """
    with opened(home) as gateway, gateway.database.read() as session:
        status = read_status(session, gateway.party)
    if as_json:
        say_json(_as_json(status))
        return
    say(f"Log: {status.log_signed} entries signed, {status.log_size - status.log_signed + status.log_waiting} to sign.")
    for dataset, since in sorted(status.waiting.items()):
        say(f"Records of {dataset} wait to be published since {beijing_text(since)}.")
    say_table(
        ("PARTY", "STATE", "LAST CONTACT", "DELIVERIES", "RECEIPTS TO SEND", "HELD", "EVIDENCE", "ERROR"),
        [_partner_row(partner) for partner in status.partners],
    )
    for party, count in sorted(status.unregistered.items()):
        say(f"{count} batches wait for {party}, which is not registered here.")
    for partner in status.partners:
        for head in partner.feeds:
            stopped = f", stopped: {head.stopped}" if head.stopped else ""
            say(f"{head.provider}/{head.dataset}: taken up to {head.seq}{stopped}")
    for head in status.own:
        say(f"{head.provider}/{head.dataset}: published up to {head.seq}")


@feed_app.command("list")
def list_feeds(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """The newest batch of every feed held here, ours and our partners'."""
    with opened(home) as gateway, gateway.database.read() as session:
        heads = sorted(all_heads(session), key=lambda head: (head.provider, head.dataset))
    if as_json:
        say_json([_feed(head) for head in heads])
        return
    rows = [(one.provider, one.dataset, one.seq, beijing_text(one.created), one.manifest, one.stopped) for one in heads]
    say_table(("PROVIDER", "DATASET", "NUMBER", "CREATED", "MANIFEST", "STOPPED"), rows)


@held_app.command("list")
def list_held(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """What waits, for what, how many of it, and since when."""
    with opened(home) as gateway, gateway.database.read() as session:
        rows = [(*row[:4], beijing_text(row[4])) for row in held_counts(session)]
    if as_json:
        names = ("provider", "waits_for", "name", "count", "since")
        say_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        say_table(("PROVIDER", "WAITS FOR", "NAME", "COUNT", "SINCE"), rows)
        if any(row[0] == gateway.party and row[1] == "factor" for row in rows):
            tell("Codes of ours wait for somebody to say what they mean: add rows to `taipu table show mappings`,")
            tell("`taipu table propose mappings FILE`, and have somebody else approve them.")


def _partner_row(status: PartnerStatus) -> tuple[object, ...]:
    contact = status.contact
    return (
        status.party.code,
        status.party.state,
        _instant(contact.succeeded) or "never",
        _counted(status.deliveries),
        status.receipts,
        status.held,
        _counted(status.evidence),
        contact.error,
    )


def _as_json(status: SyncStatus) -> dict[str, Any]:
    return {
        "log": {"entries": status.log_size, "signed": status.log_signed, "waiting": status.log_waiting},
        "waiting": {dataset: beijing_text(since) for dataset, since in status.waiting.items()},
        "feeds": [_feed(head) for head in status.own],
        "unregistered": status.unregistered,
        "partners": [
            {
                "party": one.party.code,
                "state": one.party.state,
                "url": one.party.url,
                "last_contact": _instant(one.contact.succeeded),
                "last_failure": _instant(one.contact.failed),
                "error": one.contact.error,
                "feeds": [_feed(head) for head in one.feeds],
                "deliveries": one.deliveries,
                "receipts_to_send": one.receipts,
                "held": one.held,
                "evidence": one.evidence,
            }
            for one in status.partners
        ],
    }


def _feed(head: FeedHead) -> dict[str, Any]:
    return asdict(head) | {"created": beijing_text(head.created)}


def _instant(millis: int | None) -> str | None:
    return None if millis is None else beijing_text(millis)


def _counted(counts: Mapping[str, int]) -> str:
    """The counts that are not zero, in words."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)
