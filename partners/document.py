"""The party document: what a party says of itself, signed by its own identity key (3-protocol, "Who am I").

A compact JWS, so that two administrators who compare one fingerprint by telephone have agreed on every key in it.
Members we do not know are left alone: a later minor version may add some, and the signature covers them.

What this module must never do: trust a document more than its signature and the pinned fingerprint allow, or follow an
address in it. Whether a document may *replace* the one we hold is `partners.directory`'s to decide.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta

from partners.errors import PartnerError
from partners.oauth.keys import load_key_set
from schemas import jws
from schemas.errors import RecordError, SharingError, SignatureError
from schemas.times import DAY, to_millis

DOCUMENT_TYPE = "taipu-party+jws"
MAX_DOCUMENT = jws.MAX_TOKEN  # characters: 64 KiB; `schemas.jws` opens nothing longer
_MAX_DEPTH = 16  # of objects and lists in each other; ours has six
_GROUPS = 8  # of four hexadecimal digits: as much as people will read out

_PARTY = re.compile(r"[a-z0-9-]{2,32}", re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_URL = re.compile(rf"https://({_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::([1-9]\d{{0,4}}))?(/[!-~]*)?", re.ASCII)

_Kind = TypeVar("_Kind", bound=msgspec.Struct)

Hash = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")]
"""base64url SHA-256: of a manifest, or of a key (RFC 7638)."""
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d\Z")]
Origin = Annotated[str, Meta(pattern=r"^[!-*,-~]{1,200}\Z")]
Vkey = Annotated[str, Meta(pattern=r"^[!-*,-~]{1,200}\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{1,200}\Z")]
"""A C2SP signed-note verifier key: name, key id and key."""
Word = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=64)]

Vouching = Literal["good", "key-unknown", "key-retired", "key-revoked"]
"""Whether a party stands by what a key of its own signed; all but `good` end a code of ours (`batch.key-retired`)."""


class PartyDocumentError(PartnerError):
    """A party document cannot be taken.

    `partner.document-invalid`: not a party document, or not what its identity signed. `partner.fingerprint-differs`:
    another identity than the pinned one; a person has to ask by telephone. `partner.serial-older`: we hold a newer one.
    """

    code = "partner.document-invalid"


class PartyError(SharingError):
    """A party cannot be known by this.

    `party.code-invalid`, `party.url-invalid`, `party.ca-invalid`, `party.exists`, `party.own`, `party.unknown` or
    `party.state-wrong`.
    """

    code = "party.code-invalid"


class Jwk(msgspec.Struct, frozen=True, kw_only=True):
    """An Ed25519 public key (RFC 8037); `kid` is its thumbprint."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: Hash
    kid: Hash

    @classmethod
    def of(cls, key: Ed25519PublicKey) -> Jwk:
        return cls(kty="OKP", crv="Ed25519", x=jws.public_text(key), kid=jws.thumbprint(key))

    @property
    def public(self) -> Ed25519PublicKey:
        return jws.load_public(self.x)


class LastBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The number and manifest hash of the last batch of a feed that a key signed."""

    seq: Annotated[int, Meta(ge=1)]
    manifest: Hash


class RetiredKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A manifest key that signs no more, since the instant `until`, or the end of the day `ended` where that is empty.

    `last` has its last batch by dataset: what it seems to have signed beyond that came from a thief. A key that others
    may have used is `compromised` from an instant on: then `last` has the last batch that a receipt pins from before.
    Members that say nothing are left out.
    """

    key: Jwk
    ended: Day
    last: Annotated[dict[Word, LastBatch], Meta(max_length=256)]
    until: str = ""
    compromised: str = ""


class RetiredVkey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The verifier key of a log or witness key that signs no more, since the end of the day `ended`.

    `size` is that of the largest head a log key stands for; None where it does not say, or stands for none.
    """

    vkey: Vkey
    ended: Day
    size: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of the past, with which history still verifies."""

    manifest: Annotated[tuple[RetiredKey, ...], Meta(max_length=64)] = ()
    log: Annotated[tuple[RetiredVkey, ...], Meta(max_length=64)] = ()
    witness: Annotated[tuple[RetiredVkey, ...], Meta(max_length=64)] = ()


class Keys(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Keys in use: while one changes, the next stands beside the present one. `oauth` is a JWK set (RFC 7517).

    `witnesses` has further verifier keys of the witness, while they change.
    """

    manifest: Annotated[tuple[Jwk, ...], Meta(min_length=1, max_length=8)]
    oauth: dict[str, object]
    witness: Vkey
    witnesses: Annotated[tuple[Vkey, ...], Meta(max_length=8)] = ()


class Log(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The exchange log's `origin` and what verifies its checkpoints (C2SP tlog-checkpoint).

    `vkeys` has further verifier keys, while they change: checkpoints then carry two signatures.
    """

    origin: Origin
    vkey: Vkey
    vkeys: Annotated[tuple[Vkey, ...], Meta(max_length=8)] = ()


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What people call the party."""

    zh: Name
    en: Name


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate authorities, in PEM, through which the party's listener is reached."""

    ca: Annotated[str, Meta(min_length=1, max_length=32 * 1024)]


class PartyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a party says of itself.

    `versions` are the protocol versions it speaks. `endpoints` has https addresses by name. `serial` only grows.
    `issued` and `expires` are RFC 3339 text.
    """

    party: str
    names: Names
    versions: Annotated[tuple[int, ...], Meta(min_length=1, max_length=8)]
    issuer: str
    endpoints: Annotated[dict[Word, str], Meta(max_length=64)]
    identity: Jwk
    keys: Keys
    retired: Retired
    log: Log
    tls: Tls
    serial: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    issued: str
    expires: str

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.identity.public)

    @property
    def manifest_keys(self) -> dict[str, Ed25519PublicKey]:
        """Present and retired manifest keys by `kid`; how far a retired one vouches, `vouches` says."""
        retired = (old.key for old in self.retired.manifest)
        return {jwk.kid: jwk.public for jwk in (*self.keys.manifest, *retired)}

    @property
    def log_vkeys(self) -> tuple[str, ...]:
        """All that verify its log's checkpoints now."""
        return (self.log.vkey, *self.log.vkeys)

    def vouches(self, kid: str, *, dataset: str, seq: int, manifest: str) -> Vouching:
        """Whether the party still stands by what its key `kid` signed as batch `seq` of a feed.

        A retired key vouches up to its last number of each feed, and for that number with that manifest alone: so the
        chain of predecessors before it is fixed, too. The signature itself is the caller's to have checked.
        """
        if any(jwk.kid == kid for jwk in self.keys.manifest):
            return "good"
        old = self.retired_key(kid)
        if old is None:
            return "key-unknown"
        last = old.last.get(dataset)
        if last is not None and (seq < last.seq or (seq, manifest) == (last.seq, last.manifest)):
            return "good"
        return "key-revoked" if old.compromised else "key-retired"

    def vouches_receipt(self, kid: str, *, at: int) -> Vouching:
        """Whether the party still stands by a receipt that its key `kid` signed, given at `at` (ms UTC) as it says.

        A thief says what he likes, so of a compromised key no receipt is taken any more: those held already are.
        """
        if any(jwk.kid == kid for jwk in self.keys.manifest):
            return "good"
        old = self.retired_key(kid)
        if old is None:
            return "key-unknown"
        if old.compromised:
            return "key-revoked"
        end = to_millis(old.until) if old.until else to_millis(f"{old.ended}T00:00:00Z") + DAY
        return "good" if at < end else "key-retired"

    def retired_key(self, kid: str) -> RetiredKey | None:
        """The retired manifest key `kid`, if it is one."""
        return next((old for old in self.retired.manifest if old.key.kid == kid), None)

    def expired(self, now: int) -> bool:
        """Whether an alarm is due at `now` (ms UTC); an expired document goes on being used."""
        return now >= to_millis(self.expires)


def make_document(identity: jws.SigningKey, document: PartyDocument) -> str:
    """`document` as the compact JWS that partners take.

    Raises:
        PartyDocumentError: they would not take it, so it is not published either.
    """
    token = jws.sign(identity, DOCUMENT_TYPE, msgspec.to_builtins(document))
    open_document(token, pinned=fingerprint(identity.public))
    return token


def open_document(token: str, *, pinned: str | None = None) -> PartyDocument:
    """The party document in `token`, signed by the identity it names: the `pinned` one, where a fingerprint is given.

    Without `pinned` this proves only that somebody holds the identity key; compare `fingerprint` by telephone. An
    expired document is taken: ask `expired`.

    Raises:
        PartyDocumentError: `partner.document-invalid` or `partner.fingerprint-differs`.
    """
    # 1. The signature, under the identity key the document itself names.
    try:
        claimed = _convert(jws.peek(token)[1].get("identity"), Jwk)
        payload = jws.open_jws(token, {jws.thumbprint(claimed.public): claimed.public}, DOCUMENT_TYPE)
    except SignatureError as error:
        raise PartyDocumentError(error.detail) from error
    # 2. That identity is the one we know. Nothing a stranger says is looked at any further.
    if pinned is not None and fingerprint(claimed.public) != _plain(pinned):
        detail = "the document is signed by another identity than the one that was compared; ask by telephone"
        raise PartyDocumentError(detail, code="partner.fingerprint-differs")
    # 3. What it says can be used. The depth first: what opens here must also open where the stack is fuller.
    if _is_deeper(payload, _MAX_DEPTH):
        raise PartyDocumentError(f"objects and lists are nested more than {_MAX_DEPTH} deep")
    document = _convert(payload, PartyDocument)
    faults = list(_faults(document))
    if faults:
        raise PartyDocumentError("; ".join(what for _, what in faults), pointers=[where for where, _ in faults])
    return document


def claimed_party(token: str) -> str:
    """The party `token` says it is of, *unverified*: only good for finding out which pin to hold it against.

    Raises:
        PartyDocumentError: it names none.
    """
    try:
        return check_party(str(jws.peek(token)[1].get("party")))
    except SharingError as error:
        raise PartyDocumentError(error.detail) from error


def fingerprint(identity: Ed25519PublicKey) -> str:
    """What two administrators read to each other: eight groups of four hexadecimal digits.

    These are the first 128 bits of the SHA-256 of the raw public key. To pass for somebody else's one would have to
    find a second key with the same 128 bits, which is beyond reach; all 256 would not be read out to the end.
    """
    digits = hashlib.sha256(identity.public_bytes_raw()).hexdigest()
    return " ".join(digits[4 * group : 4 * group + 4] for group in range(_GROUPS))


def is_party(code: str) -> bool:
    """Whether `code` could name a party."""
    return _PARTY.fullmatch(code) is not None


def check_party(code: str) -> str:
    """`code`, if it can name a party: a district's code, or another id of small letters, digits and hyphens.

    Any district may join, so a code that `schemas.districts` does not list is as good as one it does.

    Raises:
        PartyError: `party.code-invalid`.
    """
    if not is_party(code):
        raise PartyError("a party's code has 2 to 32 small letters, digits and hyphens", code="party.code-invalid")
    return code


def host_of(url: str, *, path: bool = False) -> str:
    """The host in an https address of a gateway: a name in small letters, or an IP address without brackets.

    The address has no user, query or fragment, and a path only where `path` allows one.

    Raises:
        PartyError: `party.url-invalid`.
    """
    match = _URL.fullmatch(url)
    if match is None or len(url) > 500 or int(match[2] or 443) > 65_535 or re.search(r"[?#]", url):
        raise PartyError("must be https://host or https://host:port, in small letters", code="party.url-invalid")
    if match[3] and not path:
        raise PartyError("must be an address without a path or a slash at its end", code="party.url-invalid")
    host = match[1].strip("[]")
    kind = ipaddress.IPv6Address if match[1] != host else ipaddress.IPv4Address
    if match[1] != host or host.rpartition(".")[2].isdigit():
        try:
            kind(host)
        except ValueError as error:
            raise PartyError("the host is not an IP address", code="party.url-invalid") from error
    return host


def check_ca(pem: str) -> str:
    """`pem`, if it holds certificates and nothing else of weight.

    Raises:
        PartyError: `party.ca-invalid`.
    """
    try:
        x509.load_pem_x509_certificates(pem.encode("ascii"))
    except ValueError as error:  # text beyond ASCII raises one, too
        raise PartyError("not certificates in PEM", code="party.ca-invalid") from error
    return pem


def _plain(pinned: str) -> str:
    digits = re.sub(r"[\s:-]", "", pinned).lower()  # as people copy it
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def _convert(value: object, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        sentence, _, place = str(error).partition(" - at `$")
        pointer = re.sub(r"[.\[]", "/", place.rstrip("`]").replace("]", ""))
        raise PartyDocumentError(sentence[:200], pointers=[pointer[:200]] if pointer else []) from error


def _is_deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (levels == 0 or any(_is_deeper(one, levels - 1) for one in inner))


def _faults(document: PartyDocument) -> Iterator[tuple[str, str]]:
    """What the types do not say, each with its place."""
    yield from _address_faults(document)
    yield from _key_faults(document)
    if not all(name.isprintable() and name.strip() for name in (document.names.zh, document.names.en)):
        yield "/names", "a name is not printable text"
    try:
        check_ca(document.tls.ca)
    except PartyError as error:
        yield "/tls/ca", error.detail
    try:
        if to_millis(document.issued) >= to_millis(document.expires):
            yield "/expires", "it expires before it was issued"
    except RecordError as error:
        yield "/issued", error.detail


def _address_faults(document: PartyDocument) -> Iterator[tuple[str, str]]:
    try:
        check_party(document.party)
    except PartyError as error:
        yield "/party", error.detail
    for pointer, url, path in [
        ("/issuer", document.issuer, False),
        *((f"/endpoints/{name}", url, True) for name, url in document.endpoints.items()),
    ]:
        try:
            host_of(url, path=path)
        except PartyError as error:
            yield pointer, error.detail


def _key_faults(document: PartyDocument) -> Iterator[tuple[str, str]]:
    retired = document.retired
    signing = [document.identity, *document.keys.manifest, *(old.key for old in retired.manifest)]
    try:
        if any(jwk.kid != jws.thumbprint(jwk.public) for jwk in signing):
            yield "/keys", "a kid is not its key's thumbprint"
        if any(key.algorithm != "ES256" for key in load_key_set(json.dumps(document.keys.oauth)).values()):
            yield "/keys/oauth", "a gateway's oauth keys are P-256 keys"
    except SignatureError as error:
        yield "/keys", error.detail
    if len({jwk.x for jwk in signing}) != len(signing):
        yield "/keys", "one key stands there for two uses"
    if not all(vkey.startswith(f"{document.log.origin}+") for vkey in document.log_vkeys):
        yield "/log/vkey", "the log's verifier key does not bear its origin's name"
    for ended in [old.ended for old in (*retired.log, *retired.witness)] + [old.ended for old in retired.manifest]:
        try:
            date.fromisoformat(ended)
        except ValueError:
            yield "/retired", "no such day"
    try:
        for instant in [text for old in retired.manifest for text in (old.until, old.compromised) if text]:
            to_millis(instant)
    except RecordError as error:
        yield "/retired", error.detail
