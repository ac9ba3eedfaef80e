"""The batch file: the one artefact that crosses a border.

NDJSON in UTF-8 with `\\n` line ends. Line 1 carries the manifest, a compact JWS; `count` record lines follow. The
bytes are the truth: nobody re-serialises a record in order to verify it. `prev` makes a feed a hash chain.

Kept free of msgspec and of every compression library, since the offline verifier reads batch files with it. What it
must never do: hand out lines of a file whose signature, digest or count does not hold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from schemas import jws
from schemas.errors import BatchError, RecordError, SignatureError
from schemas.times import to_millis

MEDIA_TYPE = "application/vnd.taipu.batch+ndjson"
MANIFEST_TYPE = "taipu-batch+jws"
SCHEMA_VERSION = "1.0"
MAX_RECORDS = 10_000  # lines
MAX_BYTES = 16 * 1024 * 1024  # of record lines, uncompressed
MAX_SEQ = 2**53 - 1  # the largest integer that every reader of JSON understands alike
MAX_FILE = MAX_BYTES + jws.MAX_TOKEN + 16

_MEMBERS: dict[str, type] = {
    "v": int, "provider": str, "dataset": str, "plan": str, "plan_digest": str, "seq": int, "prev": str,
    "schema": str, "count": int, "bytes": int, "sha256": str, "from": str, "to": str, "created": str,
}  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """What the provider signs about a batch (3-protocol, "The batch file").

    `prev` is the hash of the feed's previous manifest, empty for number 1. `bytes` and `sha256` (base64url) cover the
    record lines as they stand, newlines included. `first`, `last` are the earliest and latest record time (members
    `from`, `to`; empty when no record has one). `created` is UTC with milliseconds and never decreases in a feed.
    """

    provider: str
    dataset: str
    plan: str
    plan_digest: str
    seq: int
    prev: str
    schema: str
    count: int
    bytes: int
    sha256: str
    first: str
    last: str
    created: str

    def payload(self) -> dict[str, object]:
        return {
            "v": 1,
            "provider": self.provider,
            "dataset": self.dataset,
            "plan": self.plan,
            "plan_digest": self.plan_digest,
            "seq": self.seq,
            "prev": self.prev,
            "schema": self.schema,
            "count": self.count,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "from": self.first,
            "to": self.last,
            "created": self.created,
        }


@dataclass(frozen=True)
class Batch:
    """A batch file whose signature, digest and count hold. `hash` is its identity: SHA-256 of the compact manifest."""

    manifest: Manifest
    token: str
    hash: str
    body: bytes

    @property
    def lines(self) -> list[bytes]:
        """The record lines, each without its newline, in the order they were signed."""
        return self.body.split(b"\n")[:-1]

    @property
    def file(self) -> bytes:
        return _first_line(self.token) + self.body


def write_batch(
    key: jws.SigningKey,
    lines: Sequence[bytes],
    *,
    provider: str,
    dataset: str,
    plan: str,
    plan_digest: str,
    seq: int,
    prev: str,
    first: str,
    last: str,
    created: str,
) -> Batch:
    """Sign `lines` (JSON objects without newlines) as batch `seq` of a feed.

    Raises:
        RuntimeError: too many lines, or a newline inside a line: a fault of our own code.
    """
    body = b"".join(line + b"\n" for line in lines)
    if len(lines) > MAX_RECORDS or len(body) > MAX_BYTES or body.count(b"\n") != len(lines):
        raise RuntimeError("a batch holds at most 10,000 records and 16 MiB, one record a line")
    manifest = Manifest(
        provider=provider, dataset=dataset, plan=plan, plan_digest=plan_digest, seq=seq, prev=prev,
        schema=SCHEMA_VERSION, count=len(lines), bytes=len(body), sha256=_digest(body),
        first=first, last=last, created=created,
    )  # fmt: skip
    token = jws.sign(key, MANIFEST_TYPE, manifest.payload())
    return Batch(manifest, token, manifest_hash(token), body)


def open_batch(data: bytes, keys: Mapping[str, Ed25519PublicKey]) -> Batch:
    """Verify a batch file against its provider's manifest `keys`, step by step.

    Number, predecessor and whether the provider may say this under the plan are the caller's to check.

    Raises:
        BatchError: not a batch file (`batch.malformed`), or not what was signed (`batch.signature-invalid`,
            `batch.digest-mismatch`, `batch.count-mismatch`, `batch.key-unknown`).
    """
    # 1. The file's shape.
    token, body = split_batch(data)
    # 2. The provider's signature over the manifest.
    try:
        manifest = _manifest(jws.open_jws(token, keys, MANIFEST_TYPE))
    except SignatureError as error:
        code = "batch.key-unknown" if error.code == "signature.key-unknown" else "batch.signature-invalid"
        raise BatchError(error.detail, code=code, pointers=["line 1"]) from error
    # 3. The record lines are the bytes that were signed.
    if len(body) != manifest.bytes or _digest(body) != manifest.sha256:
        raise BatchError("the record lines are not the bytes that were signed", code="batch.digest-mismatch")
    # 4. And as many as were signed. Not implied by 3: a provider can sign a wrong count.
    if body.count(b"\n") != manifest.count or (body and not body.endswith(b"\n")):
        raise BatchError("the manifest counts other lines than there are", code="batch.count-mismatch")
    return Batch(manifest, token, manifest_hash(token), body)


def read_manifest(token: str) -> Manifest:
    """The manifest in `token`, *unverified*.

    Raises:
        BatchError: not a manifest.
    """
    try:
        return _manifest(jws.peek(token)[1])
    except SignatureError as error:
        raise BatchError(error.detail, pointers=["line 1"]) from error


def split_batch(data: bytes) -> tuple[str, bytes]:
    """The compact manifest and the record bytes of a batch file, *unverified*.

    Raises:
        BatchError: larger than a batch may be, or line 1 is not `{"manifest": …}`.
    """
    if len(data) > MAX_FILE:
        raise BatchError(f"a batch file holds at most {MAX_FILE} bytes", code="batch.too-large")
    head, newline, body = data.partition(b"\n")
    try:
        first = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise BatchError("line 1 is not JSON", pointers=["line 1"]) from error
    if not newline or not isinstance(first, dict) or set(first) != {"manifest"} or type(first["manifest"]) is not str:
        raise BatchError('line 1 must be {"manifest": "…"}', pointers=["line 1"])
    if head != _first_line(first["manifest"])[:-1]:
        raise BatchError("line 1 is not in its one form", pointers=["line 1"])
    return first["manifest"], body


def manifest_hash(token: str) -> str:
    """A batch's identity: base64url SHA-256 of the manifest's compact form."""
    return _digest(token.encode("ascii"))


def _manifest(payload: Mapping[str, object]) -> Manifest:
    wrong = [name for name, kind in _MEMBERS.items() if type(payload.get(name)) is not kind]
    # Unknown members are left alone: a later minor version may add some, and the signature covers them.
    if wrong or payload["v"] != 1:
        raise BatchError("not a version 1 manifest", pointers=[f"/{name}" for name in wrong])
    values = {name: payload[name] for name in _MEMBERS if name not in ("v", "from", "to")}
    manifest = Manifest(first=payload["from"], last=payload["to"], **values)  # type: ignore[arg-type]
    in_bounds = 1 <= manifest.seq <= MAX_SEQ and 0 <= manifest.count <= MAX_RECORDS and 0 <= manifest.bytes <= MAX_BYTES
    if not in_bounds:
        raise BatchError("the manifest's numbers are out of bounds", pointers=["/seq", "/count", "/bytes"])
    try:
        to_millis(manifest.created)
    except RecordError as error:
        raise BatchError(error.detail, pointers=["/created"]) from error
    return manifest


def _first_line(token: str) -> bytes:
    return b'{"manifest":"' + token.encode("ascii", "replace") + b'"}\n'


def _digest(data: bytes) -> str:
    return jws.b64encode(hashlib.sha256(data).digest())
