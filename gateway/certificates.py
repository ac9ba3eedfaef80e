"""The certificate a caller showed in its TLS handshake: one function, whatever server we run under (RFC 8705).

What is returned was verified against the authorities of the listener; whose it is, and whether a token is bound to it,
is asked elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def peer_certificate(scope: Mapping[str, Any]) -> bytes | None:
    """The caller's certificate (DER) of an ASGI `scope`, None where it showed none."""
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", ())
    return next(iter(chain), None)
