"""`taipu serve`: both listeners over TLS in one process, and the background duties beside them.

Where the settings name an address for data loggers, their listener is in it too; `taipu hj212 listen` is that alone.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import structlog
import uvicorn
import uvloop
from anyio import to_thread
from fastapi import FastAPI

from gateway.app import create_console_app, create_partner_app
from gateway.home import Home
from gateway.loggers.listener import Listener
from gateway.migrations import require_current, upgrade
from gateway.served_certificate import ServedCertificate
from gateway.service import Gateway
from gateway.setting_groups import Address
from gateway.settings import Settings
from gateway.tls import CertifiedProtocol, ClientAuthorities, tls_context
from gateway.workers import Duties
from schemas.errors import SharingError

log = structlog.get_logger()

_SHUTDOWN = 2  # seconds for requests under way
_CUT_OFF = 0.1  # seconds in which the loop tells each connection that it was cut off
_OTHER_FILES = 512  # besides connections of data loggers
_BACKLOG = 2048  # connections that wait to be accepted


def serve(home: Home, *, on_ready: Callable[[], None] | None = None) -> None:
    """Serve until the process is told to stop. `on_ready` is called once both listeners accept connections."""
    with ExitStack() as ending:
        gateway = Gateway(home)
        ending.callback(gateway.close)
        upgrade(gateway.database)
        # Before the duties start: where another process has the listeners already, this one touches nothing.
        listen = gateway.settings.listen
        sockets = [ending.enter_context(_listen(address)) for address in (listen.partner, listen.console)]
        loggers = gateway.settings.loggers.listen
        for_loggers = ending.enter_context(_listen(loggers)) if loggers is not None else None
        duties = Duties(gateway)
        ending.callback(duties.stop)
        duties.start()
        spare_collecting()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(gateway, sockets, for_loggers, on_ready))


def serve_loggers(home: Home, address: Address, *, on_ready: Callable[[], None] | None = None) -> None:
    """Listen for data loggers at `address` until the process is told to stop, and do nothing else.

    Publishing, sequencing and what else a gateway does is left to its `serve`, which finds in the database what came.

    Raises:
        SharingError: `database.not-migrated`, `listen.unavailable`, or what the log and the head store contradict each
            other in: then nothing may be taken in.
    """
    with ExitStack() as ending:
        gateway = Gateway(home)
        ending.callback(gateway.close)
        require_current(gateway.database)
        gateway.sequencer.recover()
        gateway.publisher.check_pinned()
        opened = ending.enter_context(_listen(address))
        spare_collecting()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve_loggers(gateway, opened, on_ready))


def spare_collecting() -> None:
    """Let the garbage collector look less often, and past all that was made at the start.

    A submission makes thousands of short-lived tuples and no cycles; with Python's own thresholds the collector went
    over the whole process again and again, which took a sixth of the time of an ingest (measured on both databases).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # objects made; rounds of the younger generation


async def _serve_loggers(gateway: Gateway, opened: socket.socket, on_ready: Callable[[], None] | None) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    listener = make_listener(gateway, opened)
    await listener.start()
    if on_ready is not None:
        on_ready()
    await told.wait()
    await listener.stop()


async def _serve(
    gateway: Gateway, sockets: Sequence[socket.socket], for_loggers: socket.socket | None,
    on_ready: Callable[[], None] | None,
) -> None:  # fmt: skip
    settings = gateway.settings
    listener = make_listener(gateway, for_loggers) if for_loggers is not None else None
    if listener is not None:
        await listener.start()
    partner = create_partner_app(gateway)
    servers = [
        make_server(partner, settings.listen.partner, settings, gateway.certificates),
        make_server(create_console_app(gateway, partner), settings.listen.console, settings, gateway.certificates),
    ]

    def stop() -> None:
        gateway.heads_watch.stop()
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    running = [
        asyncio.create_task(server.serve(sockets=[opened])) for server, opened in zip(servers, sockets, strict=True)
    ]
    with suppress(asyncio.CancelledError):
        # uvicorn has no event to wait for
        while not all(server.started for server in servers) and not any(task.done() for task in running):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        try:
            await _prove(partner, servers[0])
        except SharingError:
            stop()
            await asyncio.gather(*running)
            raise
        if on_ready is not None and all(server.started for server in servers):
            on_ready()
        log.info("gateway.ready", party=gateway.party, url=settings.url, console=str(settings.listen.console))
        await asyncio.gather(*running)
    if listener is not None:
        await listener.stop()


def make_listener(gateway: Gateway, opened: socket.socket) -> Listener:
    """The listener for data loggers on a socket that listens already, as the settings want it."""
    settings = gateway.settings
    _allow_files(settings.loggers.max_connections + _OTHER_FILES)
    return Listener(gateway, opened, tls=tls_context(settings) if settings.loggers.tls else None)


def _allow_files(wanted: int) -> None:
    """Have the system let this process open so many files, since every connection is one; say so where it does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
        if allowed < wanted:
            log.warning("loggers.few-files", allowed=allowed, wanted=wanted)


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = (error.strerror or "").partition(" (")[0]  # the standard library adds the address once more
        detail = f"{address} cannot be listened on: {reason}"
        raise SharingError(detail, code="listen.unavailable") from error


class _Server(uvicorn.Server):
    """Leaves signals to us: two servers share the process. Leaves no connection to the end of the loop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Both are stopped together, by `_serve`."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then cut off whoever has not answered our goodbye, or the loop could not be closed under it."""
        await super().shutdown(sockets)
        left = list(self.server_state.connections)
        for connection in left:
            connection.transport.abort()
        if left:
            await asyncio.sleep(_CUT_OFF)


async def _prove(partner: FastAPI, server: uvicorn.Server) -> None:
    """Go on only where client certificates that are configured reach the application."""
    authorities: ClientAuthorities | None = partner.state.client_authorities
    if authorities is not None and server.started:
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        await to_thread.run_sync(authorities.prove, Address(host, port))


def make_server(
    app: FastAPI, address: Address, settings: Settings, certificate: ServedCertificate | None = None
) -> uvicorn.Server:
    """A server of `app` on one listener, with the settings' certificate; the caller runs it.

    Callers of an `app` that takes client certificates are asked for one, where the settings say so. `certificate` takes
    it up anew when its file was replaced; without, that of the start stays.
    """
    authorities = None
    if hasattr(app.state, "client_authorities") and settings.tls.client_certificates == "optional":
        authorities = ClientAuthorities(settings, app.state.gateway.database)
        app.state.client_authorities = authorities

    def context(config: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:  # noqa: ARG001
        if authorities is not None:
            return authorities.context()
        return tls_context(settings) if certificate is None else certificate.context()

    config = uvicorn.Config(
        app,
        host=address.host,
        port=address.port,
        http=CertifiedProtocol,
        ssl_context_factory=context,
        proxy_headers=False,  # who connected is who connected: an address of a header's choosing would pass as a proxy
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        lifespan="on",
        timeout_keep_alive=75,  # longer than a waiting request, so that pollers keep one connection
        timeout_graceful_shutdown=_SHUTDOWN,
    )
    return _Server(config)
