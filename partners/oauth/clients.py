"""An OAuth client of a party, as its record says: a partner's gateway, a station platform, a reader, an auditor.

The methods are the ones Authlib asks of a client. A client holds public keys only; there is no secret to leak.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from authlib.oauth2.rfc6749 import ClientMixin

from partners.errors import ClientInactiveError
from partners.oauth.keys import KeySet, load_key_set
from partners.principal import ClientKind

ClientState = Literal["active", "suspended", "ended"]
TokenBinding = Literal["dpop"]
CLIENT_AUTH_METHOD = "private_key_jwt"
GRANT_TYPE = "client_credentials"


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A client record; `jwks` is a JWK set as JSON text, `party_suspended` whether its party is at this moment."""

    client_id: str
    party: str
    kind: ClientKind
    scopes: frozenset[str]
    jwks: str
    state: ClientState = "active"
    binding: TokenBinding = "dpop"
    party_suspended: bool = False

    @property
    def keys(self) -> KeySet:
        return load_key_set(self.jwks)

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
