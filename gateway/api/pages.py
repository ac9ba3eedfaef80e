"""A page of records as an answer: lines as they are stored, the provider in front, the way to the next page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec
from fastapi import Request, Response

from gateway.api.access import PRIVATE

Form = Literal["json", "ndjson"]


def answer_page(
    request: Request, name: str, lines: Sequence[bytes], following: str | None, form: Form,
    decided_by: Sequence[str] = (),
) -> Response:  # fmt: skip
    """The answer with these `lines` under `name`; `following` is the cursor of the next page.

    `decided_by` are the versions of the tables that decided what is derived in the lines, said in a header.
    """
    headers = {**PRIVATE}
    if decided_by:
        headers["Taipu-Tables"] = ", ".join(decided_by)
    if following:
        link = request.url.include_query_params(cursor=following)
        headers["Link"] = f'<{link.path}?{link.query}>; rel="next"'
    if form == "ndjson":
        body = b"".join(line + b"\n" for line in lines)
        return Response(body, media_type="application/x-ndjson", headers=headers)
    listed = b'{"' + name.encode() + b'":[' + b",".join(lines)
    return Response(
        listed + b'],"next":' + msgspec.json.encode(following) + b"}", media_type="application/json", headers=headers
    )


def provided(
    provider: str, line: bytes, derived: Mapping[str, object] | None = None, hide: Collection[str] = ()
) -> bytes:
    """A record's line with its provider in front, since a key is only a key within its provider, and behind it what is
    derived of it here, as far as `hide` lets it be seen."""
    front = b'{"provider":' + msgspec.json.encode(provider) + b"," + line[1:]
    behind = {name: value for name, value in (derived or {}).items() if name not in hide}
    return front[:-1] + b"," + msgspec.json.encode(behind)[1:] if behind else front
