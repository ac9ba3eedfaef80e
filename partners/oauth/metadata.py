"""What our authorization server says of itself (RFC 8414), and where its endpoints are.

The issuer is an origin without a path, so that there is one document at one address and one string to compare.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from authlib.common.security import is_secure_transport

from partners.errors import PROOF_ALGORITHMS
from partners.oauth.clients import CLIENT_AUTH_METHOD, GRANT_TYPE
from partners.principal import SCOPES

METADATA_PATH = "/.well-known/oauth-authorization-server"
TOKEN_PATH = "/oauth/token"  # noqa: S105  # an address
INTROSPECTION_PATH = "/oauth/introspect"
REVOCATION_PATH = "/oauth/revoke"
JWKS_PATH = "/oauth/jwks"


def check_issuer(issuer: str) -> str:
    """`issuer` itself, where it can be one: https (or http to this very host), an origin and nothing after it.

    Raises:
        RuntimeError: the configuration is wrong.
    """
    parts = urlsplit(issuer)
    if issuer != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc or not is_secure_transport(issuer):
        raise RuntimeError("an issuer is https:// and a host, without a path, a query or a final slash")
    return issuer


def authorization_server_metadata(issuer: str, *, mtls_origin: str | None = None) -> dict[str, object]:
    """The document at METADATA_PATH.

    It has no `response_types_supported`: there is no authorization endpoint, and section 3.2 leaves out empty lists.
    `mtls_origin` is where callers are asked for certificates, if that is another origin than the issuer's (RFC 8705,
    section 5).
    """
    endpoints = {
        "token_endpoint": TOKEN_PATH,
        "introspection_endpoint": INTROSPECTION_PATH,
        "revocation_endpoint": REVOCATION_PATH,
    }
    document: dict[str, object] = {"issuer": check_issuer(issuer), "jwks_uri": issuer + JWKS_PATH}
    for name, path in endpoints.items():
        document |= {
            name: issuer + path,
            f"{name}_auth_methods_supported": [CLIENT_AUTH_METHOD],
            f"{name}_auth_signing_alg_values_supported": list(PROOF_ALGORITHMS),
        }
    document |= {
        "scopes_supported": list(SCOPES),
        "grant_types_supported": [GRANT_TYPE],
        "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS),
        "introspection_signing_alg_values_supported": ["ES256"],
        "tls_client_certificate_bound_access_tokens": True,
    }
    if mtls_origin is not None and mtls_origin != issuer:
        document["mtls_endpoint_aliases"] = {name: mtls_origin + path for name, path in endpoints.items()}
    return document
