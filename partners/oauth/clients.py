"""An OAuth client of a party, as its record says: a partner's gateway, a station platform, a reader, an auditor.

The methods are the ones Authlib asks of a client. A client holds public keys only; there is no secret to leak.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from authlib.oauth2.rfc6749 import ClientMixin

from partners.errors import ClientInactiveError
from partners.oauth.certificates import certificate_thumbprint, is_in_time, is_issued_by, subject_of
from partners.oauth.keys import KeySet, load_key_set
from partners.principal import ClientKind

ClientState = Literal["active", "suspended", "ended"]
TokenBinding = Literal["dpop", "mtls", "none"]
CLIENT_AUTH_METHOD = "private_key_jwt"
GRANT_TYPE = "client_credentials"


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A client record as it stands at one moment.

    `jwks` are its keys of that moment, a JWK set as JSON text; `party_suspended` whether its party is suspended. Where
    `binding` is mtls its certificates are those with a SHA-256 thumbprint in `certificates`, and those with the
    `subject` (RFC 4514) that its party's `authority` (PEM) issued. `unbound_by` is the administrator who let its
    tokens be bound to nothing.
    """

    client_id: str
    party: str
    kind: ClientKind
    scopes: frozenset[str]
    jwks: str
    state: ClientState = "active"
    binding: TokenBinding = "dpop"
    party_suspended: bool = False
    certificates: frozenset[str] = frozenset()
    subject: str | None = None
    authority: str = ""
    unbound_by: str | None = None

    @property
    def keys(self) -> KeySet:
        return load_key_set(self.jwks) if self.jwks else MappingProxyType({})

    def accepts_certificate(self, certificate: bytes | None, now: int) -> bool:
        """Whether the client may show this certificate (DER) at `now` (ms UTC); a handshake has verified it already.

        Asked at each request, so that one that is taken away is refused on the next request of an open connection.
        """
        if certificate is None:
            return False
        if certificate_thumbprint(certificate) in self.certificates:
            return is_in_time(certificate, now)
        named = self.subject is not None and subject_of(certificate) == self.subject
        return named and is_in_time(certificate, now) and is_issued_by(certificate, self.authority)

    def require_active(self) -> None:
        """Go on only with a client that may call.

        Raises:
            ClientInactiveError: it is suspended or ended.
        """
        if self.state != "active":
            raise ClientInactiveError(
                f"this client is {self.state}",
                code=f"client.{self.state}",
                client_id=self.client_id,
                party=self.party,
            )

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """`scope` as it was asked for, or None where it is empty or goes beyond this client: it is never narrowed."""
        asked = list(dict.fromkeys((scope or "").split()))
        return " ".join(asked) if asked and self.scopes.issuperset(asked) else None

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == GRANT_TYPE

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == CLIENT_AUTH_METHOD


LoadClient = Callable[[str], Client | None]
"""From a client_id to its record as it stands at this moment; None where there is none."""
