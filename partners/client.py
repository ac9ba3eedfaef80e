"""Calling a partner's gateway: the one place that speaks HTTP outwards.

Every transport error and every answer becomes one of ours: `PartnerUnreachableError` (nothing was decided, try again)
or `PartnerRefusedError` (it said no, a person has to look). No redirect is followed, no address is called that
`partners.reach` does not allow, the partner's own CA is trusted and no other, and what we read is bounded. What comes
back is *unverified*: batch files, receipts and documents prove themselves, and the caller makes them do so.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

import httpcore
import httpx
import zstandard

from partners.document import MAX_DOCUMENT
from partners.errors import PartnerRefusedError, PartnerUnreachableError
from partners.oauth.client import GatewayAuth
from partners.reach import PUBLIC, GuardedBackend, Reach
from schemas.batch import MAX_FILE
from schemas.times import now_millis

ZSTD = "application/zstd"
MAX_PAGE = 64 * 1024 * 1024  # bytes of one feed page as it travels; a partner sends about 8 MiB
MAX_ANSWER = 4 * 1024 * 1024  # bytes of any other answer
_CONNECT = 10.0  # seconds
_READ = 30.0  # seconds, over and above what we ask the partner to wait
_CONNECTIONS = 100  # of one client at one time
_IDLE = 5.0  # seconds after which a connection that nobody uses is closed
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)  # of a party or a dataset, as plans have them
_ETAG = re.compile(r"[!-~]{1,200}", re.ASCII)
_MAX_HEADER = 18  # bytes of a frame's header, its magic number included
_REPEATED = 1  # the type of a block that is one byte, many times


@dataclass(frozen=True)
class RemoteHead:
    """The newest batch of a feed, as the partner says."""

    provider: str
    dataset: str
    seq: int
    manifest: str


@dataclass(frozen=True)
class Answer:
    """What a partner answered: headers by lower-case name, and the whole body, as it travelled."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            PartnerRefusedError: `partner.answer-malformed`.
        """
        try:
            body = json.loads(self.content)
        except (ValueError, RecursionError) as error:
            raise PartnerRefusedError("the answer is not JSON", code="partner.answer-malformed") from error
        if not isinstance(body, dict):
            raise PartnerRefusedError("the answer is not a JSON object", code="partner.answer-malformed")
        return body


@dataclass(frozen=True)
class OwnCertificate:
    """What we show where a partner asks for a client certificate: PEM files, the key under `passphrase` if any."""

    file: Path
    key: Path
    passphrase: bytes | None = None


class PartnerClient:
    """One partner's gateway. Safe to share between threads; close it when done.

    With `ca_pem` None nobody vouches for who answers: good for a party document alone, which proves itself once its
    fingerprint has been compared. Nothing of ours is ever sent that way. `certificate` is shown to who asks for one.

    `reach` says which addresses may be called: public ones, unless told otherwise. With `patience` no connection lasts
    longer than so many seconds, whatever is said on it. `skew` is by how much the partner's clock was ahead of ours at
    the last answer (ms, to about a second); None where it did not tell its time.
    """

    def __init__(
        self, url: str, ca_pem: str | None, auth: GatewayAuth | None = None,
        certificate: OwnCertificate | None = None, *, reach: Reach = PUBLIC, patience: float | None = None,
    ) -> None:  # fmt: skip
        if ca_pem is None and auth is not None:
            raise RuntimeError("tokens are sent to nobody but whom the partner's authority vouches for")
        self.skew: int | None = None
        context = trust(ca_pem)
        if certificate is not None:
            context.load_cert_chain(certificate.file, certificate.key, certificate.passphrase)
        self._http = httpx.Client(
            base_url=url,
            transport=_Transport(context, GuardedBackend(reach, patience)),
            auth=auth,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},  # what is compressed here says so itself: bodies are read raw
            trust_env=False,  # a proxy or another CA from the environment is not what two administrators agreed on
            timeout=httpx.Timeout(_READ, connect=_CONNECT),
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def party_document(self) -> str:
        """The partner's own document (compact JWS), from `/.well-known/taipu`."""
        return self._get("/.well-known/taipu", auth=None, limit=MAX_DOCUMENT).text

    def feeds(self, *, wait: float = 0, seen: str | None = None) -> tuple[list[RemoteHead], str | None]:
        """The feeds we may read and their heads, and the state to wait on next time.

        With `wait` seconds and the state last `seen`, the partner holds the request until something has moved.
        """
        headers = {"If-None-Match": seen} if seen else {}
        answer = self._get("/v1/feeds", params={"wait": wait}, headers=headers, wait=wait, accept=(200, 304))
        if answer.status == httpx.codes.NOT_MODIFIED:
            return [], seen
        listed = answer.json().get("feeds")
        if not isinstance(listed, list):
            raise PartnerRefusedError("the list of feeds is not one", code="partner.answer-malformed")
        etag = answer.headers.get("etag", "")
        # It goes into a header of ours again, which holds no other characters.
        return [_head(row) for row in listed], etag if _ETAG.fullmatch(etag) else None

    def feed_page(self, provider: str, dataset: str, *, after: int) -> list[bytes]:
        """The next batch files after number `after`, each as its zstd frame, oldest first; empty at the head."""
        path = f"/v1/feeds/{provider}/{dataset}"
        answer = self._get(path, params={"after": after}, headers={"Accept": ZSTD}, limit=MAX_PAGE)
        return list(split_frames(answer.content))

    def push_batch(self, provider: str, dataset: str, seq: int, frame: bytes) -> str:
        """Hand over one batch; the recipient's receipt (compact JWS), which also says so where it refused the batch."""
        answer = self._send(
            "PUT", f"/v1/inbox/{provider}/{dataset}/{seq}", content=frame, headers={"Content-Type": ZSTD},
            accept=(200, 422),
        )  # fmt: skip
        return str(answer.json().get("receipt", ""))

    def send_receipt(self, token: str) -> None:
        """Hand over a receipt for a batch that was pulled."""
        self._send("POST", "/v1/receipts", content=token, headers={"Content-Type": "application/jose"})

    def submit(
        self, content: bytes, media_type: str, *, key: str | None = None, dry_run: bool = False, profile: str = "",
        year: int | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Hand in records at the party's own gateway; its answer, also when nothing could be taken (422).

        `profile` names what reads a sheet, `year` is that of its dates which say none.
        """
        headers = {"Content-Type": media_type} | ({"Idempotency-Key": key} if key else {})
        said = {"dry_run": "true" if dry_run else "", "profile": profile, "year": str(year or "")}
        answer = self._send(
            "POST", "/v1/submissions", content=content, headers=headers,
            params={name: text for name, text in said.items() if text}, accept=(200, 201, 422),
        )  # fmt: skip
        return answer.json()

    def get(
        self, path: str, params: dict[str, Any] | None = None, *, accept: tuple[int, ...] = (200,),
        headers: dict[str, str] | None = None, limit: int = MAX_PAGE,
    ) -> Answer:  # fmt: skip
        """Any other resource of the partner, read whole, up to `limit` bytes."""
        return self._get(path, params=params, accept=accept, headers=headers, limit=limit)

    def _get(self, path: str, *, wait: float = 0, **options: Any) -> Answer:
        return self._send("GET", path, timeout=httpx.Timeout(_READ + wait, connect=_CONNECT), **options)

    def _send(
        self, method: str, path: str, *, accept: tuple[int, ...] = (200, 201), limit: int = MAX_ANSWER, **options: Any
    ) -> Answer:
        try:
            with self._http.stream(method, path, **options) as answer:
                self.skew = clock_skew(answer.headers.get("date", ""), now_millis())
                body = bytearray()
                for chunk in answer.iter_raw():
                    body += chunk
                    if len(body) > limit:
                        raise PartnerRefusedError("the answer is larger than we read", code="partner.answer-too-large")
        except httpx.HTTPError as error:
            raise PartnerUnreachableError(f"{method} {path}: {type(error).__name__}: {error}") from error
        got = Answer(answer.status_code, dict(answer.headers), bytes(body))
        if got.status in accept:
            return got
        raise _refusal(method, path, got)


class _Transport(httpx.HTTPTransport):
    """httpx's own, over connections of ours: it offers no way to say how a connection is made."""

    def __init__(self, context: ssl.SSLContext, backend: GuardedBackend) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore.ConnectionPool(
            context, max_connections=_CONNECTIONS, keepalive_expiry=_IDLE, network_backend=backend
        )


def clock_skew(date: str, now: int) -> int | None:
    """By how much (ms) the clock behind a Date header is ahead of ours, which says `now`; None where it says nothing.

    The header has whole seconds (RFC 9110, section 6.6.1), and so has the answer.
    """
    try:
        return int(parsedate_to_datetime(date).timestamp()) * 1000 - now // 1000 * 1000
    except (ValueError, TypeError, OverflowError):
        return None


def trust(ca_pem: str | None) -> ssl.SSLContext:
    """TLS 1.2 or newer under these authorities and no others; with None whoever answers is believed.

    Raises:
        ssl.SSLError: there is no certificate in `ca_pem`; `partners.document.check_ca` tells before.
    """
    context = ssl.create_default_context(cadata=ca_pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_pem is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def split_frames(data: bytes) -> Iterator[bytes]:
    """The zstd frames (RFC 8878) concatenated in `data`, each as it stands; nothing is unpacked here.

    Raises:
        PartnerRefusedError: `partner.answer-malformed`: something else, or `partner.answer-too-large`: a frame that
            would unpack to more than a batch, or does not say to how much.
    """
    start = 0
    while start < len(data):
        end = _frame_end(data, start)
        yield data[start:end]
        start = end


def _frame_end(data: bytes, start: int) -> int:
    """Where the frame that begins at `start` ends: its blocks say how long they are (RFC 8878, section 3.1.1)."""
    header = data[start : start + _MAX_HEADER]
    try:
        parameters = zstandard.get_frame_parameters(header)
        position = start + zstandard.frame_header_size(header)
    except zstandard.ZstdError as error:
        raise PartnerRefusedError("not a zstd frame", code="partner.answer-malformed") from error
    # Unknown is a number larger than any. A frame's own word is enough: unpacking it stops at that many bytes.
    if parameters.content_size > MAX_FILE:
        raise PartnerRefusedError("a frame unpacks to more than a batch", code="partner.answer-too-large")
    last = False
    while not last:
        block = int.from_bytes(data[position : position + 3], "little")
        last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
        position += 3 + (1 if kind == _REPEATED else size)
        if position > len(data):
            raise PartnerRefusedError("a zstd frame ends too soon", code="partner.answer-malformed")
    position += 4 if parameters.has_checksum else 0
    if position > len(data):
        raise PartnerRefusedError("a zstd frame ends too soon", code="partner.answer-malformed")
    return position


def _head(row: object) -> RemoteHead:
    """One feed of a partner's list; its names become part of addresses and go into the database."""
    members = row if isinstance(row, dict) else {}
    provider, dataset, seq, manifest = (members.get(name) for name in ("provider", "dataset", "seq", "manifest"))
    named = all(isinstance(text, str) and _NAME.fullmatch(text) for text in (provider, dataset))
    if not named or type(seq) is not int or seq < 0 or not isinstance(manifest, str):
        raise PartnerRefusedError("the list of feeds is not one", code="partner.answer-malformed")
    return RemoteHead(str(provider), str(dataset), seq, manifest)


def _refusal(method: str, path: str, answer: Answer) -> PartnerRefusedError | PartnerUnreachableError:
    """A 5xx or 429 may pass; anything else is the partner's considered no, with its reason if it gave one."""
    try:
        problem = answer.json()
    except PartnerRefusedError:
        problem = {}
    code, detail = str(problem.get("code", "")), str(problem.get("detail", ""))[:300]
    text = f"{method} {path}: {answer.status} {code} {detail}".strip()
    extra = {"status": answer.status, "partner_code": code, "problem": problem}
    if answer.status >= 500 or answer.status == httpx.codes.TOO_MANY_REQUESTS:
        return PartnerUnreachableError(text, extra=extra)
    return PartnerRefusedError(text, extra=extra)
