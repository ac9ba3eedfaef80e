"""Servers in processes of their own, all behind the same uvicorn and the same TLS: ours, the peer's, a file server.

`python -m bench.processes KIND HOME [ARGUMENT]` serves until its standard input closes: so no server outlives the
benchmark, however that ends. KIND is

    gateway   a gateway as `taipu serve` runs it, background duties included
    open      the same without authentication: every caller is an auditor of the home party
    files     the folder ARGUMENT, by Starlette's FileResponse
    naive     `bench.naive` on the database ARGUMENT
    loggers   a gateway's listener for data loggers at the address ARGUMENT, as `taipu hj212 listen` runs it
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse

from gateway.api.access import principal_of
from gateway.app import create_partner_app
from gateway.home import open_home
from gateway.server import make_server, serve, serve_loggers, spare_collecting
from gateway.service import Gateway
from gateway.setting_groups import read_address
from gateway.settings import Settings
from gateway.workers import Duties
from partners.principal import SCOPES, Principal

READY = "ready"
_STOP_WITHIN = 20  # seconds


@contextmanager
def running(kind: str, home: Path, argument: str = "") -> Iterator[int]:
    """A server of this kind, at the address in the settings of `home`; its process id. Stopped at the block's end."""
    command = [sys.executable, "-m", "bench.processes", kind, str(home), *([argument] if argument else [])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if all(line.strip() != READY for line in process.stdout):
            raise RuntimeError(f"the {kind} server did not start")
        yield process.pid
    finally:
        process.stdin.close()
        process.terminate()
        try:
            process.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def files_app(folder: Path) -> FastAPI:
    """A server of files as they lie there, for everybody."""
    app = FastAPI(openapi_url=None)

    @app.get("/{name}")
    def read_file(name: str) -> Response:
        return FileResponse(folder / name, media_type="application/octet-stream")

    return app


def open_app(gateway: Gateway) -> FastAPI:
    """The gateway's application, with nobody asked for a token."""
    app = create_partner_app(gateway)
    anybody = Principal(gateway.party, "bench-reader", "auditor", frozenset(SCOPES), "")

    def anyone(request: Request) -> Principal:
        request.state.principal = anybody
        return anybody

    app.dependency_overrides[principal_of] = anyone
    return app


def _serve_app(app: FastAPI, settings: Settings) -> None:
    server = make_server(app, settings.listen.partner, settings)

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event to wait for
            await asyncio.sleep(0.01)
        _say_ready()
        await serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def _say_ready() -> None:
    print(READY, flush=True)


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(0)


def main(kind: str, home: str, argument: str = "") -> None:
    """Serve; see above."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    opened = open_home(Path(home))
    match kind:
        case "gateway":
            serve(opened, on_ready=_say_ready)
        case "open":
            gateway = Gateway(opened)
            Duties(gateway).start()
            spare_collecting()
            _serve_app(open_app(gateway), opened.settings)
        case "files":
            _serve_app(files_app(Path(argument)), opened.settings)
        case "loggers":
            serve_loggers(opened, read_address(argument), on_ready=_say_ready)
        case "naive":
            from bench.naive import create_app

            _serve_app(create_app(argument), opened.settings)
        case _:
            raise SystemExit(f"there is no server of kind {kind}")


if __name__ == "__main__":
    main(*sys.argv[1:])
