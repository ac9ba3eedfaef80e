"""`taipu keys`: this gateway's own keys, from the next one to the last that history still needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway import key_revocation, key_rotation, party_document, tls_rotation
from gateway.cli.at_home import HomeOption, JsonOption, opened, signed_in
from gateway.cli.terminal import InputError, read_text, say, say_json, say_table, tell
from gateway.expiry import expiries
from gateway.key_rotation import ROTATING, KeyStatus
from gateway.settings import read_passphrase
from gateway.store.own_keys import doubted, exchanges
from partners.document import MAX_DOCUMENT, open_document
from partners.keys import Rotating, load_identity
from schemas.times import beijing_text, now_millis, to_millis

app = typer.Typer(help="This gateway's own keys, and how one follows another.", no_args_is_help=True)

UseArgument = Annotated[str, typer.Argument(metavar="USE", help=f"Which key: {', '.join(ROTATING)}.")]

RotatedArgument = Annotated[
    str, typer.Argument(metavar="USE", help=f"Which key: {', '.join(ROTATING)}, tls or authority.")
]


@app.command("list")
def list_keys(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Show every key, the step that is due for it and what that waits for, and what ends within thirty days."""
    now = now_millis()
    with opened(home) as gateway:
        statuses = key_rotation.key_statuses(gateway, now=now)
        own = open_document(party_document.published_document(gateway))
        stale = party_document.is_stale(gateway, now=now)
        ending = [one for one in expiries(gateway, now=now) if one.level(now)]
        with gateway.database.read() as session:
            held = {party: row.holds for party, row in exchanges(session).items()}
    if as_json:
        say_json(
            {
                "keys": [status.as_json() for status in statuses],
                "document": {"serial": own.serial, "expires": own.expires, "due": stale, "held_by": held},
                "ending": [{"what": one.what, "ends": beijing_text(one.ends)} for one in ending],
            }
        )
        return
    say_table(("USE", "KEY", "STATE", "FROM", "UNTIL", "STEP", "WAITS FOR"), map(_row, statuses))
    say(f"Party document {own.serial} is in force until {own.expires}.")
    if stale:
        say("A new party document is due: taipu keys document")
    for one in ending:
        tell(f"{one.what} ends at {beijing_text(one.ends)}")


@app.command("rotate")
def rotate(use: RotatedArgument, home: HomeOption = Path()) -> None:
    """Take the next step of a key's rotation: make and publish the next key, or, later, take it into use.

    Between the two, every partner takes the party document that names it. `tls` renews the server certificate at
    once; `authority` is what issues it, and takes two steps as keys do. The identity does not rotate: partners register
    a new one by telephone and two persons.
    """
    with opened(home) as gateway:
        person, now = signed_in(gateway, "key.rotate"), now_millis()
        if use == "tls":
            made = tls_rotation.rotate_certificate(gateway, by=person, now=now)
            say(f"the server certificate is renewed until {made.not_valid_after_utc.isoformat()}")
            return
        if use == "authority":
            key = tls_rotation.rotate_authority(gateway, by=person, now=now)
            say(f"authority {key.kid} is the {key.phase(now)} one")
            return
        status = key_rotation.rotate(gateway, _use(use), by=person, now=now)
    begins = f" from {beijing_text(status.key.begins)} on" if status.key.begins else ""
    say(f"{use} key {status.key.kid} is the {status.phase} one{begins}")
    if status.waits_for:
        say(f"To {status.step}: {status.waits_for}")


@app.command("retire")
def retire(use: UseArgument, home: HomeOption = Path()) -> None:
    """Finish a rotation: the old key joins history, and its private half is destroyed."""
    with opened(home) as gateway:
        gone = key_rotation.retire(gateway, _use(use), by=signed_in(gateway, "key.rotate"), now=now_millis())
    for kid in gone:
        say(f"the private half of {use} key {kid} is destroyed")
    if not gone:
        say("no private half of an old key was here")


@app.command("revoke")
def revoke(
    use: UseArgument,
    home: HomeOption = Path(),
    *,
    lost: Annotated[bool, typer.Option("--lost", help="Nobody else has it, and neither have we.")] = False,
    since: Annotated[
        str | None, typer.Option("--compromised-since", metavar="TIME", help="Others may have used it from then on.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Have it sign nothing more, at once, and decide later.")] = False,
    kid: Annotated[str, typer.Option("--kid", metavar="KID", help="Which key, if not the one in use.")] = "",
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever approves it.")] = "",
) -> None:
    """Propose to revoke a key; somebody else approves it. With --stop, one person stops it at once."""
    if [lost, since is not None, stop].count(True) != 1:
        raise InputError("say one of --lost, --compromised-since and --stop", code="input.needed")
    now = now_millis()
    with opened(home) as gateway:
        person = signed_in(gateway, "key.revoke")
        if stop:
            key = key_revocation.stop_key(gateway, _use(use), by=person, now=now)
            say(f"{use} key {key.kid} signs nothing more")
            return
        instant = to_millis(since) if since is not None else None
        proposal = key_revocation.propose_revocation(
            gateway, _use(use), since=instant, kid=kid, by=person, reason=reason, now=now
        )
    say(f"proposal {proposal.id} ({proposal.digest[:8]}): somebody else approves it with taipu proposal approve")


@app.command("document")
def document(
    home: HomeOption = Path(),
    *,
    draft: Annotated[
        Path | None, typer.Option("--draft", metavar="FILE", help="Write down what the identity key has to sign.")
    ] = None,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="FILE", help="Sign a draft with --identity, and print the result.")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="FILE", help="The identity key, where it is kept.")
    ] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What the identity key is encrypted under: the first line.")
    ] = None,
    install: Annotated[
        Path | None, typer.Option("--install", metavar="FILE", help="Publish a document that was signed elsewhere.")
    ] = None,
) -> None:
    """Publish a new party document: at once where the identity key is here, else by carrying a draft to it.

    --sign needs neither a gateway nor a network.
    """
    now = now_millis()
    if sign is not None:
        if identity is None:
            raise InputError("name the identity key with --identity", code="input.needed")
        key = load_identity(identity, passphrase=read_passphrase(passphrase_file) if passphrase_file else None)
        say(party_document.sign_draft(key, read_text(sign, 4 * MAX_DOCUMENT)))
        return
    with opened(home) as gateway:
        if draft is not None:
            made = party_document.draft_document(gateway, now=now)
            draft.write_text(party_document.draft_text(made), encoding="utf-8")
            say(f"document {made.serial} is to be signed: {draft}")
            return
        person = signed_in(gateway, "key.rotate")
        if install is not None:
            token = read_text(install, MAX_DOCUMENT).strip()
            done = party_document.install_document(gateway, token, by=person, now=now)
        else:
            published = party_document.publish_document(gateway, by=person, now=now)
            done = published or open_document(party_document.published_document(gateway))
    say(f"document {done.serial} is in force until {done.expires}")


@app.command("doubted")
def list_doubted(home: HomeOption = Path(), *, as_json: JsonOption = False) -> None:
    """Batches held that a stolen key signed and nothing pins from before: not to be relied on."""
    with opened(home) as gateway, gateway.database.read() as session:
        found = doubted(session)
    if as_json:
        say_json([vars(one) | {"at": beijing_text(one.at)} for one in found])
        return
    rows = [(one.provider, one.dataset, one.seq, one.manifest, one.kid, one.why) for one in found]
    say_table(("PROVIDER", "DATASET", "NUMBER", "MANIFEST", "KEY", "WHY"), rows)


def _row(status: KeyStatus) -> tuple[object, ...]:
    key = status.key
    state = status.phase if key.reason in ("", "rotated") else f"{status.phase}, {key.reason}"
    if not status.present and status.phase != "retired":
        state += ", not here"
    return key.use, key.kid, state, _instant(key.begins), _instant(key.ends), status.step, status.waits_for


def _instant(millis: int | None) -> str | None:
    return beijing_text(millis) if millis else None


def _use(text: str) -> Rotating:
    if text == "identity":
        detail = "the identity does not rotate: make a new one, and have partners register it by telephone"
        raise InputError(detail, code="keys.use-unknown")
    if text not in ROTATING:
        raise InputError(f"a key is for one of {', '.join(ROTATING)}", code="keys.use-unknown")
    return text
