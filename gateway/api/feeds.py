"""`/v1/feeds`: what a caller may read, and the batches themselves, as stored frames.

A page is concatenated zstd frames, untouched since they were signed; somebody who does not take zstd gets the same
decompressed. Only what is pinned in the head store is served.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse

from gateway.api.access import PRIVATE, Caller, Home, Purpose, allow, still_calls
from gateway.api.disclosure import log_disclosure
from gateway.errors import CursorError, NotFoundError
from gateway.service import Gateway
from gateway.store import feeds
from gateway.store.feeds import FeedHead, StoredBatch
from partners.client import ZSTD
from partners.grants import ListFeeds, ReadFeed, may_read_feed
from partners.plans import plans_in_force
from partners.principal import Principal
from schemas.batch import MEDIA_TYPE
from schemas.times import now_millis

router = APIRouter()
MAX_WAIT = 60  # seconds


@router.get("/v1/feeds", summary="The feeds this caller may read, with their heads")
async def list_feeds(
    request: Request, gateway: Home, caller: Caller, wait: Annotated[float, Query(ge=0, le=MAX_WAIT)] = 0
) -> Response:
    """Answers at once, or with `wait` and `If-None-Match` when something differs from that state.

    While it waits it holds neither a thread nor a database connection, and asks afterwards whether the caller still may
    call, and for the grant again.
    """
    seen = request.headers.get("if-none-match")
    deadline = time.monotonic() + min(wait, gateway.settings.max_wait)
    while True:
        count = gateway.heads_watch.count
        heads, etag = await run_in_threadpool(_readable, gateway, caller)
        left = deadline - time.monotonic()
        # What moved may be nothing this caller reads, or our log: then it goes on waiting.
        if seen != etag or left <= 0 or not await gateway.heads_watch.wait(count, left):
            break
        caller = await run_in_threadpool(still_calls, gateway, caller)
    headers = {"ETag": etag, **PRIVATE}
    if seen == etag:
        return Response(status_code=304, headers=headers)
    return JSONResponse({"feeds": heads}, headers=headers)


@router.get("/v1/feeds/{provider}/{dataset}", summary="The next batches after a number")
def read_feed(
    request: Request, gateway: Home, caller: Caller, purpose: Purpose, provider: str, dataset: str,
    after: Annotated[int, Query(ge=0)] = 0,
) -> Response:  # fmt: skip
    """Batches after + 1, after + 2, … up to about 8 MiB, oldest first; an empty body at the head.

    Who joined later gets what was made since. A cursor beyond the head is an error with the head in it, never an empty
    success: the caller holds what we do not.
    """
    now = now_millis()
    with gateway.database.read() as session:
        grant = allow(session, gateway, caller, ReadFeed(provider, dataset), now=now, purpose=purpose)
        head = served_head(gateway, feeds.head(session, provider, dataset))
        if after > head.seq:
            raise CursorError(
                f"the newest batch is number {head.seq}", code="feed.cursor-beyond-head",
                extra={"head": head.seq, "manifest": head.manifest},
            )  # fmt: skip
        found = feeds.batches(session, provider, dataset, first=after + 1, last=head.seq, since=grant.start)
        page = list(_page(found, gateway))
    last = page[-1].seq if page else head.seq
    if page:
        log_disclosure(gateway, caller, request, {"from": page[0].seq, "to": last, "purpose": grant.purpose}, now=now)
    headers = {"Taipu-Head": str(head.seq), **PRIVATE}
    if last < head.seq:
        headers["Link"] = f'</v1/feeds/{provider}/{dataset}?after={last}>; rel="next"'
    return _answer(request, page, headers)


@router.get("/v1/feeds/{provider}/{dataset}/{seq}", summary="One batch file")
def read_batch(
    request: Request, gateway: Home, caller: Caller, purpose: Purpose, provider: str, dataset: str, seq: int
) -> Response:
    """That one batch file. It never changes, so whoever may read it may keep it for ever."""
    now = now_millis()
    with gateway.database.read() as session:
        grant = allow(session, gateway, caller, ReadFeed(provider, dataset), now=now, purpose=purpose)
        head = served_head(gateway, feeds.head(session, provider, dataset))
        batch = feeds.find_batch(session, provider, dataset, seq, since=grant.start) if 0 < seq <= head.seq else None
    if batch is None:
        raise NotFoundError("there is no batch with this number", code="batch.not-found")
    etag = f'"{batch.manifest}"'
    headers = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    log_disclosure(gateway, caller, request, {"seq": seq, "purpose": grant.purpose}, now=now)
    return _answer(request, [batch], headers)


def served_head(gateway: Gateway, head: FeedHead) -> FeedHead:
    """How far a feed may be served: for our own, as far as the head store has pinned it."""
    if head.provider != gateway.party or head.seq == 0:
        return head
    pinned = gateway.heads.feed_head(head.provider, head.dataset)
    seq, manifest = pinned or (0, "")
    return head if seq >= head.seq else FeedHead(head.provider, head.dataset, seq, manifest)


def _readable(gateway: Gateway, caller: Principal) -> tuple[list[dict[str, Any]], str]:
    """The feeds `caller` may read now, and an ETag of their state."""
    now = now_millis()
    with gateway.database.read() as session:
        allow(session, gateway, caller, ListFeeds(), now=now)
        plans = plans_in_force(session, now)
        own = {dataset.id for dataset in plans.provided_by(gateway.party)}
        heads = {(head.provider, head.dataset): head for head in feeds.all_heads(session)}
    for name in own - {dataset for provider, dataset in heads if provider == gateway.party}:
        heads[gateway.party, name] = FeedHead(gateway.party, name)
    rows = []
    # Datasets of sites first: a recipient follows the list, and readings that come before their site have to wait.
    sites = {
        (dataset.provider, dataset.id) for plan in plans.plans for dataset in plan.datasets if dataset.kind == "site"
    }
    for (provider, dataset), head in sorted(heads.items(), key=lambda item: (item[0] not in sites, item[0])):
        if may_read_feed(caller, plans, gateway.party, provider, dataset, now=now):
            served = served_head(gateway, head)
            rows.append({"provider": provider, "dataset": dataset, "seq": served.seq, "manifest": served.manifest})
    digest = hashlib.sha256(repr([tuple(row.values()) for row in rows]).encode()).hexdigest()
    return rows, f'"{digest[:32]}"'


def _page(batches: Iterator[StoredBatch], gateway: Gateway) -> Iterator[StoredBatch]:
    size = 0
    for batch in batches:
        yield batch
        size += len(batch.frame)
        if size >= gateway.settings.max_feed_page_bytes:
            return


def _answer(request: Request, page: list[StoredBatch], headers: dict[str, str]) -> Response:
    headers["Vary"] = "Accept"
    if ZSTD in request.headers.get("accept", ""):
        return Response(b"".join(batch.frame for batch in page), media_type=ZSTD, headers=headers)
    # Unpacked one by one on the way out: a page that is small as frames may be large as text.
    plain = (feeds.from_frame(batch.frame) for batch in page)
    return StreamingResponse(plain, media_type=MEDIA_TYPE, headers=headers)
