"""`taipu batch`: is a batch file what its provider signed? Needs no gateway and no network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.cli.at_home import JsonOption
from gateway.cli.exits import ExitCode
from gateway.cli.terminal import InputError, finish, read_input, read_text, say, say_json, say_table, tell
from gateway.store.feeds import from_frame
from partners.client import split_frames
from partners.document import MAX_DOCUMENT, PartyDocument, open_document
from schemas import jws
from schemas.batch import Batch, open_batch, split_batch
from schemas.errors import BatchError, SharingError

app = typer.Typer(help="Batch files: what crosses a border.", no_args_is_help=True)

_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Keys:
    """Manifest keys by `kid`, and the party document that vouches for them if they come from one."""

    by_kid: dict[str, Ed25519PublicKey]
    document: PartyDocument | None = None

    def check(self, batch: Batch) -> None:
        """That this party may have signed this batch with this key.

        Raises:
            BatchError: `batch.provider-wrong`, or it does not stand by what this key signed under this number:
                `batch.key-retired`, `batch.key-revoked`.
        """
        if self.document is None:
            return
        manifest = batch.manifest
        if manifest.provider != self.document.party:
            detail = f"party {self.document.party} signed in the name of {manifest.provider}"
            raise BatchError(detail, code="batch.provider-wrong")
        kid = jws.kid_of(batch.token)
        vouched = self.document.vouches(kid, dataset=manifest.dataset, seq=manifest.seq, manifest=batch.hash)
        if vouched != "good":
            detail = f"party {manifest.provider} does not stand by what this key signed as number {manifest.seq}"
            raise BatchError(detail, code=f"batch.{vouched}")


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A batch file, or zstd frames; - reads standard input.")],
    keys: Annotated[
        Path, typer.Option(metavar="FILE", help="The provider's party document, or JSON {kid: base64url key}.")
    ],
    *,
    as_json: JsonOption = False,
) -> None:
    """Verify signature, digest, count and order of batch files.

    Exit code 0: they are what the provider signed; 5: they are not; 3: they cannot be read. A party document proves
    itself only to who has compared its fingerprint, which is printed.
    """
    try:
        known = _read_keys(read_text(keys, MAX_DOCUMENT))
        rows = list(_verify(_files(read_input(file)), known))
    except SharingError as error:
        tell(error.diagnostics())
        raise typer.Exit(ExitCode.BAD_INPUT) from error
    failed = [row for row in rows if row["fault"]]
    sentence = _sentence(len(rows), len(failed), known.document)
    if as_json:
        say_json({"sentence": sentence, "verified": not failed, "batches": rows})
    else:
        say(sentence)
        say_table([name.upper() for name in rows[0]], [list(row.values()) for row in rows])
    finish(ExitCode.NOT_VERIFIED if failed else ExitCode.OK)


def _read_keys(text: str) -> Keys:
    if not text.lstrip().startswith("{"):
        document = open_document(text.strip())
        return Keys(document.manifest_keys, document)
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("the keys are not JSON") from error
    if not all(isinstance(key, str) for key in said.values()):
        raise InputError("the keys are not a JSON object of kid and base64url key")
    return Keys({kid: jws.load_public(key) for kid, key in said.items()})


def _files(data: bytes) -> Iterator[bytes]:
    """The batch files in `data`: one as it is, or one for each zstd frame."""
    if data.startswith(_ZSTD):
        yield from map(from_frame, split_frames(data))
    else:
        yield data


def _verify(files: Iterable[bytes], keys: Keys) -> Iterator[dict[str, object]]:
    """A row for each batch; `fault` is empty where it is what its provider signed and follows the one before.

    Raises:
        SharingError: one of the files is no batch file at all.
    """
    before: Batch | None = None
    for number, file in enumerate(files, 1):
        split_batch(file)
        try:
            batch = open_batch(file, keys.by_kid)
            keys.check(batch)
            _check_order(before, batch)
        except BatchError as error:
            before = None
            yield _row(number, None, error.diagnostics())
        else:
            before = batch
            yield _row(number, batch, "")


def _check_order(before: Batch | None, batch: Batch) -> None:
    if before is None or (before.manifest.provider, before.manifest.dataset) != (
        batch.manifest.provider,
        batch.manifest.dataset,
    ):
        return
    if batch.manifest.seq != before.manifest.seq + 1 or batch.manifest.prev != before.hash:
        raise BatchError("it does not follow the batch before it", code="batch.predecessor-wrong")


def _row(number: int, batch: Batch | None, fault: str) -> dict[str, object]:
    manifest = batch.manifest if batch else None
    return {
        "file": number,
        "feed": f"{manifest.provider}/{manifest.dataset}" if manifest else "",
        "seq": manifest.seq if manifest else None,
        "records": manifest.count if manifest else None,
        "plan": manifest.plan if manifest else "",
        "created": manifest.created if manifest else "",
        "manifest": batch.hash if batch else "",
        "fault": fault,
    }


def _sentence(total: int, failed: int, document: PartyDocument | None) -> str:
    who = f"party {document.party} ({document.fingerprint})" if document else "the holder of the given keys"
    if failed:
        return f"{failed} of {total} batch files are not what {who} signed, or not in order."
    return f"{total} batch {'file is' if total == 1 else 'files are'} exactly what {who} signed, and in order."
