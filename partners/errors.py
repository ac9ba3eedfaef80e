"""What goes wrong between parties: calls to us that we refuse, and calls of ours that fail.

    SharingError
    ├── AuthenticationError         who calls is not established: answer 401 with `challenge`
    │   └── NonceNeededError            its proof needs our nonce: 401, with the nonce in `DPoP-Nonce`
    ├── ScopeError                  the caller is known, its token lacks a scope: answer 403 with `challenge`
    ├── ClientInactiveError         the caller is known, and suspended or ended: 403, a new token would not help
    ├── RegistrationError           a client record cannot be taken as it is
    └── PartnerError                a partner did not give us what we asked for
        ├── PartnerUnreachableError     nothing was decided: try again later
        └── PartnerRefusedError         it said no, or answered nonsense: a person has to look

Details are fixed ASCII sentences without quotes: they travel in HTTP headers and OAuth error descriptions (RFC 6749,
section 5.2), where text taken from the request would be somebody else's to choose.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.errors import SharingError

PROOF_ALGORITHMS = ("ES256", "PS256", "Ed25519")
"""What a DPoP proof or a client assertion may be signed with; a challenge names them (RFC 9449, section 7.1)."""


def dpop_challenge(**parameters: str) -> str:
    """A WWW-Authenticate value of the DPoP scheme with `parameters`, in the order given."""
    return _challenge("DPoP", {"algs": " ".join(PROOF_ALGORITHMS), **parameters})


def _challenge(scheme: str, parameters: Mapping[str, str]) -> str:
    return f"{scheme} " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())


class AuthenticationError(SharingError):
    """Who calls is not established.

    `error` is the OAuth error code (RFC 6750, RFC 9449), or None where no credentials came at all. `scheme` is the one
    the caller's tokens are sent with, as far as that is known.
    """

    code = "token.invalid"

    def __init__(
        self, detail: str, *, code: str | None = None, error: str | None = "invalid_token", scheme: str = "DPoP"
    ) -> None:
        super().__init__(detail, code=code)
        self.error = error
        parameters = {"error": error, "error_description": detail} if error else {}
        self.challenge = dpop_challenge(**parameters) if scheme == "DPoP" else _challenge(scheme, parameters)


class NonceNeededError(AuthenticationError):
    """The proof carries no `nonce` of ours that is still good: the caller makes another with this one."""

    code = "token.nonce-needed"

    def __init__(self, nonce: str) -> None:
        super().__init__("the DPoP proof needs the nonce given here", error="use_dpop_nonce")
        self.nonce = nonce


class ScopeError(SharingError):
    """The caller is known, and its token does not carry all of `scopes`."""

    code = "token.scope-insufficient"

    def __init__(self, *scopes: str) -> None:
        wanted = " ".join(scopes)
        super().__init__(f"this needs a token with the scope {wanted}", extra={"scope": wanted})
        self.challenge = dpop_challenge(error="insufficient_scope", scope=wanted)


class ClientInactiveError(SharingError):
    """The caller is known, and no longer may call: `client.suspended` or `client.ended`."""

    code = "client.suspended"

    def __init__(self, detail: str, *, code: str, client_id: str, party: str) -> None:
        super().__init__(detail, code=code)
        self.client_id = client_id
        self.party = party


class RegistrationError(SharingError):
    """A client record cannot be taken as it is."""

    code = "client.malformed"


class PartnerError(SharingError):
    """A partner did not give us what we asked for."""

    code = "partner.failed"


class PartnerUnreachableError(PartnerError):
    """Nothing was decided: the partner could not be asked, or could not answer. Try again later."""

    code = "partner.unreachable"


class PartnerRefusedError(PartnerError):
    """The partner said no, or answered what no gateway should answer. Trying again will not help."""

    code = "partner.refused"
