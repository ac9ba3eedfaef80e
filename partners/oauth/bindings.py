"""What a token is bound to, so that a stolen one is worth nothing: a proof key, a TLS certificate, or nothing at all.

`dpop` is RFC 9449, `mtls` is RFC 8705 section 3. `none` is for clients of the home party that an administrator has
marked so, and for handing in or reading records alone. Which of them a client uses is said by its record, never by the
request: a caller that could choose would choose the weakest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from partners.errors import AuthenticationError

_THUMBPRINT = 43  # characters of base64url for SHA-256


@dataclass(frozen=True, slots=True)
class Binding:
    """`kind` as in a client's record; `thumbprint` of the proof key (RFC 7638) or the certificate, "" for `none`."""

    kind: str
    thumbprint: str = ""

    @property
    def scheme(self) -> str:
        """The scheme its tokens are sent with, which is their token type too."""
        return "DPoP" if self.kind == "dpop" else "Bearer"

    def confirmation(self) -> dict[str, object]:
        """The `cnf` claim of such a token (RFC 7800), as members to add to the others."""
        member = {"dpop": "jkt", "mtls": "x5t#S256"}.get(self.kind)
        return {} if member is None else {"cnf": {member: self.thumbprint}}


UNBOUND = Binding("none")


def read_binding(claims: Mapping[str, object]) -> Binding:
    """What a token of ours is bound to, by its `cnf`.

    Raises:
        AuthenticationError: `token.unbound`: it says something that is neither, or both.
    """
    if "cnf" not in claims:
        return UNBOUND
    match claims["cnf"]:
        case {"jkt": str(thumbprint), **others} if not others and len(thumbprint) == _THUMBPRINT:
            return Binding("dpop", thumbprint)
        case {"x5t#S256": str(thumbprint), **others} if not others and len(thumbprint) == _THUMBPRINT:
            return Binding("mtls", thumbprint)
    raise AuthenticationError("the access token is not bound to a key", code="token.unbound")
