"""A server that answers over TLS whatever the test says, byte for byte: what no honest gateway would send."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path

from gateway.home import Home, create_home, open_home
from tests.world import free_port

Answer = Callable[[str], bytes | Iterable[bytes]]
"""From a path to all that is sent back, in one piece or in several."""


class TlsServer:
    """One process-local server with a certificate authority of its own. `paths` are those it was asked for."""

    def __init__(self, folder: Path, *, now: int, host: str = "127.0.0.1", port: int = 0) -> None:
        port = port or free_port()
        self.url = f"https://{host}:{port}"
        create_home(folder, "330421", self.url, now=now)
        self.home: Home = open_home(folder)
        self.answer: Answer = lambda _path: b""
        self.paths: list[str] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "tls" / "server.pem", folder / "tls" / "server.key")
        self._door = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._take, daemon=True).start()

    @property
    def ca_pem(self) -> str:
        return self.home.settings.tls.ca.read_text()

    def stop(self) -> None:
        self._door.close()

    def _take(self) -> None:
        while True:
            try:
                connection, _ = self._door.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), self.context.wrap_socket(connection, server_side=True) as secured:
            received = b""
            while not _is_whole(received):  # to its end: a body that is left unread would reset the connection
                chunk = secured.recv(65_536)
                if not chunk:
                    return
                received += chunk
            path = received.split(b" ", 2)[1].decode()
            self.paths.append(path)
            answer = self.answer(path)
            for piece in [answer] if isinstance(answer, bytes) else answer:
                secured.sendall(piece)


def _is_whole(received: bytes) -> bool:
    head, ended, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(ended) and len(body) >= (int(length[1]) if length else 0)


def reply(body: bytes | str, status: str = "200 OK", *, date: float | None = None, **headers: str) -> bytes:
    """One whole HTTP answer; `date` in seconds since 1970, now by default."""
    content = body.encode() if isinstance(body, str) else body
    lines = [
        f"HTTP/1.1 {status}", f"Date: {formatdate(date, usegmt=True)}", f"Content-Length: {len(content)}",
        "Connection: close", *(f"{name}: {value}" for name, value in headers.items()),
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + content
