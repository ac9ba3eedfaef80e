"""The certificate a caller showed: one function, whatever server or proxy we run under (RFC 8705, RFC 9440).

What is returned was verified against the authorities of the listener, or by the proxy in front of it; whose it is, and
whether a token is bound to it, is asked elsewhere.

A `Client-Cert` header is believed from the addresses of the setting `tls.proxy` alone, since anybody can send one, and
never instead of a certificate of the connection itself.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from fastapi import Request

from gateway.errors import RequestError
from gateway.setting_groups import Networks

MAX_CERTIFICATE = 12 * 1024  # bytes of a header; certificates of clients have one or two thousand
_HEADER = b"client-cert"


def peer_certificate(scope: Mapping[str, Any]) -> bytes | None:
    """The caller's certificate (DER) of an ASGI `scope`, None where it showed none."""
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", ())
    return next(iter(chain), None)


async def note_certificate(request: Request) -> None:
    """Put the certificate that a trusted proxy names where `peer_certificate` finds it. Every route depends on this.

    Raises:
        RequestError: `request.client-certificate`: a trusted proxy sends what is no certificate.
    """
    scope, app = request.scope, request.app
    if peer_certificate(scope) is None and _is_proxy(scope, app.state.gateway.settings.tls.proxy):
        named = [value for name, value in scope["headers"] if name == _HEADER]
        if named:
            scope.setdefault("extensions", {})["tls"] = {"client_cert_chain": [_read(named)]}
    authorities = app.state.client_authorities
    if authorities is not None:
        authorities.notice(peer_certificate(scope))


def _is_proxy(scope: Mapping[str, Any], proxies: Networks) -> bool:
    if not proxies or not scope.get("client"):
        return False
    try:
        address = ipaddress.ip_address(scope["client"][0])
    except ValueError:
        return False
    return any(address in network for network in proxies)


def _read(values: list[bytes]) -> bytes:
    """The certificate of the one header there is: a byte sequence (RFC 8941), which is base64 between colons.

    What some proxies send where there is no certificate (a placeholder's name, an empty value) is none of that, nor is
    PEM in whatever spelling.
    """
    value = values[0]
    try:
        if len(values) > 1 or len(value) > MAX_CERTIFICATE or value[:1] != b":" or value[-1:] != b":":
            raise ValueError("not one byte sequence")
        der = base64.b64decode(value[1:-1], validate=True)
        x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion) as error:
        detail = "the proxy's Client-Cert header is not :base64 of a DER certificate:"
        raise RequestError(detail, code="request.client-certificate") from error
    return der
