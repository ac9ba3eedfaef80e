"""Trying a partner's gateway step by step: what works, what does not, in a sentence, and what to do about it.

For an administrator who is about to propose a partner, or wonders why one does not answer. Whatever the other side does
is a step that failed, never an exception. It is called as `partners.reach` allows: public addresses and those of
`partners.networks`, no redirects, 64 KiB, and no step takes longer than three seconds.

What this module must never do: believe a document more than its signature, for that its fingerprint is the right one,
only a telephone call tells; or send an assertion of ours to somebody for whom nothing but that document vouches, since
whoever answers in a partner's place could be us at that partner for as long as the assertion is good.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import httpcore
from cryptography import x509

from gateway.service import Gateway
from gateway.sync.apply import TOLERATED_SKEW
from gateway.sync.contacts import contacts
from gateway.sync.links import gateway_auth, own_certificate
from partners.client import Answer, PartnerClient, trust
from partners.directory import Party
from partners.document import MAX_DOCUMENT, PartyDocument, host_of, open_document
from partners.errors import PartnerError, PartnerRefusedError, PartnerUnreachableError
from partners.oauth.metadata import METADATA_PATH
from partners.reach import GuardedBackend
from schemas.errors import SharingError
from schemas.times import DAY, beijing_text, millis_of, to_millis

PATIENCE = 3.0  # seconds for any one connection, from looking its name up to the last byte

VERSIONS = (1,)  # of the protocol, as this program speaks it
LATELY = DAY  # ms within which a partner's gateway has called us, if it calls us at all
_PARTY_PATH = "/.well-known/taipu"
_FEEDS_PATH = "/v1/feeds"
_STEPS = ("address", "connection", "certificate", "clock", "document", "metadata", "our access", "their access")
UNREACHED = ("partner.name-unknown", "partner.unreachable")
"""Codes of steps after which trying again later may help."""

# What OpenSSL's verification says, by number (x509_vfy.h), in our words: a code, and what to do.
_VERIFICATION = {
    9: ("certificate.early", "its certificate is not valid yet: compare the clocks"),
    10: ("certificate.expired", "its certificate has expired: they renew it"),
    18: ("certificate.authority-unknown", "its certificate is vouched for by nobody but itself: give their authority"),
    19: ("certificate.authority-unknown", "its authority is not the one we were given: ask which one it is"),
    20: ("certificate.authority-unknown", "no authority that we were given vouches for it: ask which one does"),
    21: ("certificate.authority-unknown", "its chain is incomplete: they serve the certificates in between as well"),
    62: ("certificate.name-differs", "its certificate is for another name: call it by that, or they get one for this"),
    64: ("certificate.name-differs", "its certificate is for another address: call it by that, or they get another"),
}

_UNVOUCHED = "nobody but itself vouches for it: give its authority, or try again once it is approved"

Result = Literal["ok", "failed", "not tried"]


@dataclass(frozen=True)
class Step:
    """One step of the test. `code` is stable; empty where the step is ok."""

    name: str
    result: Result
    text: str
    code: str = ""


@dataclass(frozen=True)
class Report:
    """All steps, in order; the party document as it was read (it may be unverified), and where and under which
    authorities. `ca_pem` is None where none but the document's were known."""

    url: str
    ca_pem: str | None
    steps: tuple[Step, ...]
    token: str | None = None

    @property
    def ok(self) -> bool:
        return all(step.result == "ok" for step in self.steps)

    @property
    def failure(self) -> Step | None:
        """The first step that failed: what to see to."""
        return next((step for step in self.steps if step.result == "failed"), None)

    def require_token(self) -> str:
        """The party document.

        Raises:
            PartnerUnreachableError, PartnerRefusedError: there is none, for the reason of the step that failed.
        """
        if self.token is None:
            failure = self.failure or Step("document", "failed", "there is no party document", "partner.refused")
            kind = PartnerUnreachableError if failure.code in UNREACHED else PartnerRefusedError
            raise kind(failure.text, code=failure.code)
        return self.token


class _FailedError(PartnerError):
    """A step failed; the sentence and the code are the step's."""


@dataclass
class _Trial:
    """A test under way: what is known so far."""

    gateway: Gateway
    url: str
    ca_pem: str | None
    pinned: Party | None
    now: int
    given: str | None
    token: str | None = None
    document: PartyDocument | None = None
    skew: int | None = None
    done: dict[str, Step] = field(default_factory=dict)

    def attempt(self, name: str, step: Callable[[], str], *needs: str) -> None:
        """Run one step where those it `needs` went well."""
        if missing := [need for need in needs if self.done[need].result != "ok"]:
            self.done[name] = Step(name, "not tried", f"{missing[0]} comes first", "step.not-tried")
            return
        try:
            self.done[name] = Step(name, "ok", step())
        except SharingError as error:
            self.done[name] = Step(name, "failed", error.detail[:500], error.code)
        except (OSError, ValueError) as error:  # what a library says of hostile bytes that we did not foresee
            self.done[name] = Step(name, "failed", f"{type(error).__name__}: {error}"[:500], "partner.failed")

    @property
    def host(self) -> str:
        return host_of(self.url)

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 443

    @property
    def vouched(self) -> bool:
        """Whether our own people, and not only whoever answers, said what to trust there, and tokens are for it."""
        told = self.ca_pem is not None or self.given is not None
        there = self.document is not None and self.document.issuer == self.url
        return self.pinned is not None or (told and there)

    @property
    def authorities(self) -> str | None:
        return self.ca_pem or (self.document.tls.ca if self.document else None)


def try_partner(gateway: Gateway, party: Party, *, now: int) -> Report:
    """Try a registered party, at the address and under the authorities that are pinned. `now` in ms UTC."""
    return _try(_Trial(gateway, party.url, party.ca_pem, party, now, None))


def try_address(gateway: Gateway, url: str, *, ca_pem: str | None = None, now: int) -> Report:
    """Try whoever is at an https address, under the authorities `ca_pem` or else those its document names.

    Raises:
        PartyError: `party.url-invalid`: that is no address of a gateway.
    """
    host_of(url)
    return _try(_Trial(gateway, url, ca_pem, None, now, None))


def try_document(
    gateway: Gateway, token: str, *, url: str | None = None, ca_pem: str | None = None, now: int
) -> Report:
    """Try the party of a document that came by another way, at `url` or else where it says.

    Raises:
        PartyDocumentError: it is none.
        PartyError: `party.url-invalid`.
    """
    document = open_document(token)
    url = url or document.issuer
    host_of(url)
    return _try(_Trial(gateway, url, ca_pem, None, now, token, document=document))


def _try(trial: _Trial) -> Report:
    trial.attempt("address", lambda: _address(trial))
    trial.attempt("connection", lambda: _connection(trial), "address")
    # The document comes before the certificate: it says which authority vouches for that, unless we were told.
    trial.attempt("document", lambda: _document(trial), "connection")
    told = ("connection",) if trial.authorities is not None else ("connection", "document")
    trial.attempt("certificate", lambda: _certificate(trial), *told)
    trial.attempt("clock", lambda: _clock(trial), *(() if trial.skew is not None else ("connection", "document")))
    # A document that is read but not as it should be (expired, say) keeps nobody from going on, here as elsewhere.
    read = () if trial.document is not None else ("document",)
    trial.attempt("metadata", lambda: _metadata(trial), *read, "certificate")
    if trial.vouched or trial.document is None:
        trial.attempt("our access", lambda: _our_access(trial), *read, "certificate")
    else:
        trial.done["our access"] = Step("our access", "not tried", _UNVOUCHED, "access.unvouched")
    trial.attempt("their access", lambda: _their_access(trial), *read)
    return Report(trial.url, trial.ca_pem, tuple(trial.done[name] for name in _STEPS), trial.token or trial.given)


def _address(trial: _Trial) -> str:
    found = trial.gateway.reach.addresses(trial.host, trial.port, timeout=PATIENCE)
    return f"{trial.host} is at {', '.join(found)}"


def _connection(trial: _Trial) -> str:
    """TLS with whoever is there, vouched for or not, in a version that we accept."""
    _, version = _handshake(trial, trust(None), _say_no_tls)
    return f"port {trial.port} answers with {version}"


def _certificate(trial: _Trial) -> str:
    """The chain, the name and the dates, under the authorities we were given or those of the document."""
    try:
        context = trust(trial.authorities)
    except ssl.SSLError as error:
        raise _FailedError("the authorities are not certificates in PEM", code="party.ca-invalid") from error
    der, _ = _handshake(trial, context, _say_unverified)
    ends = millis_of(x509.load_der_x509_certificate(der).not_valid_after_utc)
    return f"its certificate is good until {beijing_text(ends)}, {_which_authority(trial)}"


def _which_authority(trial: _Trial) -> str:
    if trial.ca_pem is None:
        return "under the authority that the document names"
    if trial.document is None:
        return "under the authority that was given"
    same = _certificates(trial.ca_pem) == _certificates(trial.document.tls.ca)
    return "under the authority that was given, " + (
        "which the document names as well" if same else "while the document names another"
    )


def _certificates(pem: str) -> set[bytes]:
    return {one.tbs_certificate_bytes for one in x509.load_pem_x509_certificates(pem.encode("ascii"))}


def _handshake(
    trial: _Trial, context: ssl.SSLContext, explain: Callable[[BaseException], _FailedError]
) -> tuple[bytes, str]:
    """The other side's certificate (DER) and the TLS version, once the handshake under `context` has gone well."""
    try:
        stream = GuardedBackend(trial.gateway.reach, PATIENCE).connect_tcp(trial.host, trial.port, PATIENCE)
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        detail = (
            f"nobody takes a connection at {trial.host}, port {trial.port}: is it serving, does a firewall stop us?"
        )
        raise _FailedError(detail, code="partner.unreachable") from error
    try:
        secured = stream.start_tls(context, trial.host, PATIENCE)
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        raise explain(error) from error
    try:
        spoken = secured.get_extra_info("ssl_object")
        return spoken.getpeercert(True) or b"", str(spoken.version())  # noqa: FBT003 - it knows no keyword
    finally:
        secured.close()


def _say_no_tls(error: BaseException) -> _FailedError:
    if isinstance(error, httpcore.ConnectTimeout):
        return _FailedError(f"no TLS within {PATIENCE:g} s", code="partner.unreachable")
    if "UNSUPPORTED_PROTOCOL" in str(error) or "PROTOCOL_VERSION" in str(error):
        return _FailedError("it does not speak TLS 1.2 or 1.3", code="tls.version")
    return _FailedError(f"it does not speak TLS as we do: {error}", code="tls.failed")


def _say_unverified(error: BaseException) -> _FailedError:
    cause = error.__cause__ or error.__context__
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return _say_no_tls(error)
    code, text = _VERIFICATION.get(
        cause.verify_code, ("certificate.invalid", f"its certificate is not good: {cause.verify_message}")
    )
    return _FailedError(text, code=code)


def _fetch(trial: _Trial, path: str, ca_pem: str | None) -> Answer:
    """A resource that anybody may have, read as far as it may be long."""
    with PartnerClient(trial.url, ca_pem, reach=trial.gateway.reach, patience=PATIENCE) as client:
        try:
            answer = client.get(path, accept=(200, *range(300, 400)), limit=MAX_DOCUMENT)
        finally:
            trial.skew = client.skew  # it told its time, whatever else it said
    if answer.status != 200:
        detail = f"it answers {path} with a redirect, which is never followed: name the address it leads to"
        raise _FailedError(detail, code="partner.redirects")
    return answer


def _document(trial: _Trial) -> str:
    """Signature, identity, versions, serial, expiry, and the address it says it is at."""
    served = _fetch(trial, _PARTY_PATH, None).text.strip()
    pinned = trial.pinned
    document = open_document(served, pinned=pinned.fingerprint if pinned else None)
    if trial.given is not None and open_document(trial.given).fingerprint != document.fingerprint:
        detail = "the address serves a document of another identity than the one that was given: ask by telephone"
        raise _FailedError(detail, code="partner.fingerprint-differs")
    trial.token, trial.document = served, document
    if not set(document.versions) & set(VERSIONS):
        spoken = ", ".join(map(str, document.versions))
        detail = f"it speaks version {spoken} of the protocol, we speak {', '.join(map(str, VERSIONS))}"
        raise _FailedError(detail, code="document.version")
    if pinned is not None and (document.party != pinned.code or document.serial < pinned.document.serial):
        detail = f"it serves document {document.serial} of {document.party}; we hold {pinned.document.serial}"
        raise _FailedError(detail, code="partner.serial-older")
    if document.expired(trial.now):
        detail = f"its document has expired at {beijing_text(to_millis(document.expires))}: they sign a new one"
        raise _FailedError(detail, code="document.expired")
    if document.issuer != trial.url:
        detail = f"it says it is at {document.issuer}, and was called at {trial.url}: tokens are for the former"
        raise _FailedError(detail, code="document.issuer-differs")
    days = (to_millis(document.expires) - trial.now) // DAY
    return f"party {document.party} ({document.names.zh}), document {document.serial}, good for {days} days"


def _clock(trial: _Trial) -> str:
    if trial.skew is None:
        raise _FailedError("it does not tell its time (no Date header)", code="clock.unknown")
    seconds = trial.skew // 1000
    if abs(trial.skew) > TOLERATED_SKEW:
        detail = f"its clock differs from ours by {seconds} s: whoever is wrong synchronises with a time server"
        raise _FailedError(detail, code="clock.skew")
    return f"its clock differs from ours by {abs(seconds)} s"


def _metadata(trial: _Trial) -> str:
    """Its authorization server is the one that the document speaks of (RFC 8414, section 3.3)."""
    document = _known(trial)
    said: dict[str, Any] = _fetch(trial, METADATA_PATH, trial.authorities).json()
    if said.get("issuer") != document.issuer:
        detail = "its authorization server names another issuer than its document: they correct their settings"
        raise _FailedError(detail, code="metadata.issuer-differs")
    if document.endpoints.get("token", said.get("token_endpoint")) != said.get("token_endpoint"):
        detail = "its authorization server names another token endpoint than its document"
        raise _FailedError(detail, code="metadata.endpoint-differs")
    return f"its authorization server is {document.issuer}"


def _our_access(trial: _Trial) -> str:
    """A token there, and one call with it."""
    document = _known(trial)
    auth, own = gateway_auth(trial.gateway, document), own_certificate(trial.gateway)
    reach = trial.gateway.reach
    try:
        with PartnerClient(trial.url, trial.authorities, auth, own, reach=reach, patience=PATIENCE) as client:
            client.get(_FEEDS_PATH, limit=MAX_DOCUMENT)
    except PartnerRefusedError as error:
        if error.code == "partner.token-refused" and error.extra.get("error") == "invalid_client":
            detail = "they have not registered us yet, or hold an older key of ours: they approve us at their gateway"
            raise _FailedError(detail, code="access.not-registered") from error
        reason = error.extra.get("partner_code") or error.extra.get("error") or error.detail
        raise _FailedError(f"they know us, and refuse us: {reason}", code="access.refused") from error
    return "they know us and give us tokens"


def _their_access(trial: _Trial) -> str:
    """Whether their gateway has called here with a token of ours, lately."""
    document = _known(trial)
    with trial.gateway.database.read() as session:
        contact = contacts(session).get(document.party)
    called = contact.called if contact is not None else None
    if called is None:
        detail = "their gateway has never called here: we approve them, then they try"
        raise _FailedError(detail, code="access.never-called")
    if trial.now - called > LATELY:
        detail = f"their gateway called here last at {beijing_text(called)}: is it serving?"
        raise _FailedError(detail, code="access.not-lately")
    return f"their gateway called here at {beijing_text(called)}"


def _known(trial: _Trial) -> PartyDocument:
    if trial.document is None:
        raise RuntimeError("this step comes after the document")
    return trial.document
