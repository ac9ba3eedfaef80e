"""What every answer of the console carries, whatever route gave it and however it went, and how much it listens to.

Nothing it says may be kept by a browser or a proxy, shown in a frame, or taken for something else than it is; a browser
that was here once comes back over HTTPS only.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.console.pages import HEADERS
from gateway.errors import problem, status_of
from schemas.errors import LimitError

MAX_BODY = 1024 * 1024  # bytes; what people send by hand is far smaller
ALWAYS = {**HEADERS, "Strict-Transport-Security": "max-age=31536000"}


class ConsoleHeaders:
    """ASGI middleware: the headers above on every answer, and no body beyond the limit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ALWAYS.items():
                    headers.setdefault(name, value)
            await send(message)

        if _length(scope) > MAX_BODY:
            await _too_large()(scope, receive, answer)
        else:
            await self._app(scope, _bounded(receive), answer)


def _bounded(receive: Receive) -> Receive:
    """A body that says nothing of its length is counted as it comes."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY:
            raise LimitError(f"a body holds at most {MAX_BODY} bytes", code="request.too-large")
        return message

    return counted


def _length(scope: Scope) -> int:
    declared = Headers(scope=scope).get("content-length", "0")
    return int(declared) if declared.isdigit() and len(declared) < 20 else MAX_BODY + 1


def _too_large() -> JSONResponse:
    error = LimitError(f"a body holds at most {MAX_BODY} bytes", code="request.too-large")
    return JSONResponse(problem(error), status_of(error), media_type="application/problem+json")
