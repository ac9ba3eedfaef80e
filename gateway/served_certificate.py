"""The certificate that listeners serve: taken up again when its file was replaced, without a restart."""

from __future__ import annotations

import ssl
import threading

import structlog

from gateway.settings import Settings
from gateway.tls import choosing, tls_context

log = structlog.get_logger()

_State = tuple[int, int]  # when certificate and key were last written, ns


class ServedCertificate:
    """What all listeners of a process serve: each handshake has the certificate that was loaded last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()  # held while a context is made
        self._loaded: _State | None = None
        self._current: ssl.SSLContext | None = None  # replaced by `look`, and never changed; None: nobody listens

    def context(self) -> ssl.SSLContext:
        """What a listener is given."""
        with self._lock:
            if self._current is None:
                self._loaded = self._state()
                self._current = tls_context(self._settings)
        return choosing(tls_context(self._settings), self._newest)

    def look(self) -> bool:
        """Load the certificate where it has been replaced since; whether it has. One that does not fit its key is left
        alone: whoever replaces both files is between the two, or has made a mistake."""
        tls = self._settings.tls
        with self._lock:
            found = self._state()
            if self._current is None or found in (None, self._loaded):
                return False
            try:
                self._current = tls_context(self._settings)
            except (OSError, ssl.SSLError) as error:
                log.warning("certificate.not-loaded", file=str(tls.certificate), error=type(error).__name__)
                return False
            self._loaded = found
        log.info("certificate.loaded", file=str(tls.certificate))
        return True

    def _newest(self) -> ssl.SSLContext:
        assert self._current is not None  # there is one from the first listener on
        return self._current

    def _state(self) -> _State | None:
        try:
            return self._settings.tls.certificate.stat().st_mtime_ns, self._settings.tls.key.stat().st_mtime_ns
        except OSError:
            return None
