"""Who is calling: what the rest of the gateway knows of a caller once its token has been checked.

A scope is a ceiling; the shared-data plan decides. Nothing here grants anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from partners.errors import ScopeError

ClientKind = Literal["gateway", "station", "reader", "auditor"]

SCOPES = (
    "records:submit",
    "records:read",
    "feeds:read",
    "feeds:push",
    "receipts:write",
    "audit:read",
    "witness",
)


@dataclass(frozen=True, slots=True)
class Principal:
    """A client of `party`, proven by a token bound to the key or certificate with `thumbprint`; "" for no binding.

    `suspended` where its party is: then it may have what the plan lets pass nevertheless, and nothing else. `datasets`
    are the only ones it may read where it was restricted to some; None: it was not.
    """

    party: str
    client_id: str
    kind: ClientKind
    scopes: frozenset[str]
    thumbprint: str
    suspended: bool = False
    datasets: frozenset[str] | None = None

    def require(self, *scopes: str) -> None:
        """Go on only with *all* of `scopes`.

        Raises:
            ScopeError: one of them is missing.
        """
        if not self.scopes.issuperset(scopes):
            raise ScopeError(*scopes)
