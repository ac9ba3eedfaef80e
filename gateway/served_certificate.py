"""The certificate that listeners serve: taken up again when its file was replaced, without a restart."""

from __future__ import annotations

import ssl
import threading

import structlog

from gateway.settings import Settings

log = structlog.get_logger()

_State = tuple[int, int]  # when certificate and key were last written, ns


class ServedCertificate:
    """Knows the contexts of all listeners of a process, and loads the certificate into them anew."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()  # guards what follows
        self._contexts: list[ssl.SSLContext] = []
        self._loaded: _State | None = None

    def follow(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """Keep `context`, which has the certificate of this moment, up to date; returned as it is."""
        with self._lock:
            self._contexts.append(context)
            if self._loaded is None:
                self._loaded = self._state()
        return context

    def look(self) -> bool:
        """Load the certificate where it has been replaced since; whether it has. One that does not fit its key is left
        alone: whoever replaces both files is between the two, or has made a mistake."""
        with self._lock:
            found = self._state()
            if not self._contexts or found in (None, self._loaded):
                return False
            tls = self._settings.tls
            try:
                for context in self._contexts:
                    context.load_cert_chain(tls.certificate, tls.key, self._settings.passphrase())
            except (OSError, ssl.SSLError) as error:
                log.warning("certificate.not-loaded", file=str(tls.certificate), error=type(error).__name__)
                return False
            self._loaded = found
        log.info("certificate.loaded", file=str(tls.certificate))
        return True

    def _state(self) -> _State | None:
        try:
            return self._settings.tls.certificate.stat().st_mtime_ns, self._settings.tls.key.stat().st_mtime_ns
        except OSError:
            return None
