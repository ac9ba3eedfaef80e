"""C2SP signed notes with Ed25519 (signature type 0x01): a text, a blank line, and a line for each signature.

A verifier key is `<name>+<key id>+<base64(type ‖ public key)>`; a signature line is `— <name> <base64(key id ‖
signature)>`. Everything here has one spelling only, and a signature by a key we know that does not verify condemns
the whole note. The text of a note must never be used before `open_note` has returned it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schemas.errors import SignatureError

MAX_NOTE = 64 * 1024  # bytes; room for a checkpoint with post-quantum signatures of several witnesses
MAX_SIGNATURES = 100  # lines; the specification asks for at least 16
ED25519 = b"\x01"
_KEY_ID = 4  # bytes
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True)
class NoteVerifier:
    """A public key under a name. Name and key id together name the key; the key id alone is too short to be trusted."""

    name: str
    public: Ed25519PublicKey

    @property
    def key_id(self) -> bytes:
        raw = self.public.public_bytes_raw()
        return sha256(self.name.encode() + b"\n" + ED25519 + raw).digest()[:_KEY_ID]

    @property
    def vkey(self) -> str:
        """The key as it is published and configured."""
        encoded = base64.b64encode(ED25519 + self.public.public_bytes_raw()).decode("ascii")
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def verify(self, text: str, signature: bytes) -> None:
        """Check `signature` over `text`.

        Raises:
            SignatureError: `note.signature-invalid`.
        """
        try:
            self.public.verify(signature, text.encode())
        except InvalidSignature as error:
            message = f"the signature of {self.name} does not verify"
            raise SignatureError(message, code="note.signature-invalid") from error


class NoteSigner:
    """A private key under a name."""

    def __init__(self, name: str, private_key: Ed25519PrivateKey) -> None:
        """Raises SignatureError (`vkey.malformed`) when `name` cannot be a key name."""
        if not _is_name(name):
            message = "a key name has no spaces, plus signs or control characters, and is not empty"
            raise SignatureError(message, code="vkey.malformed")
        self._private = private_key
        self.verifier = NoteVerifier(name, private_key.public_key())

    @property
    def name(self) -> str:
        return self.verifier.name

    @property
    def vkey(self) -> str:
        return self.verifier.vkey

    def sign(self, text: str) -> str:
        """The signature line over `text`. Ed25519 is deterministic: the same text always gets the same line."""
        signature = self.verifier.key_id + self._private.sign(text.encode())
        return f"— {self.name} {base64.b64encode(signature).decode('ascii')}\n"


@dataclass(frozen=True)
class Note:
    """A verified note: its text, final newline included, and those of the given keys that signed it, in their order."""

    text: str
    signed_by: tuple[NoteVerifier, ...]


def parse_vkey(text: str) -> NoteVerifier:
    """The verifier key written as `text`.

    Raises:
        SignatureError: `vkey.malformed`: not in its one spelling, not Ed25519, or its key id is not that of the key.
    """
    parts = text.split("+", 2)
    try:
        name, key_id, encoded = parts
        raw = decode_base64(encoded)
        if raw[:1] != ED25519 or not _is_name(name):
            raise ValueError("not a named Ed25519 key")
        verifier = NoteVerifier(name, Ed25519PublicKey.from_public_bytes(raw[1:]))
        if key_id != verifier.key_id.hex():
            raise ValueError("the key id is not that of the key")
    except ValueError as error:
        message = "not a verifier key for Ed25519 notes, NAME+ID+KEY"
        raise SignatureError(message, code="vkey.malformed") from error
    return verifier


def sign_note(text: str, signers: Iterable[NoteSigner]) -> bytes:
    """The note of `text`, which must end in a newline, signed by each of `signers`."""
    if not text.endswith("\n") or _CONTROL.search(text):
        raise RuntimeError("a note's text ends in a newline and has no other control characters")
    return (text + "\n" + "".join(signer.sign(text) for signer in signers)).encode()


def open_note(note: bytes, verifiers: Iterable[NoteVerifier]) -> Note:
    """Verify `note` against the keys we know; lines by other keys are ignored, as the specification demands.

    Raises:
        SignatureError: `note.malformed`; `note.signature-invalid` when a known key's signature does not verify;
            `note.unsigned` when no known key signed.
    """
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    text, lines = _split(note)
    signed = set()
    for line in lines:
        name, key_id, signature = _parse_signature(line)
        verifier = known.get((name, key_id))
        if verifier is not None:
            verifier.verify(text, signature)
            signed.add((name, key_id))
    if not signed:
        raise SignatureError("no key we know has signed this note", code="note.unsigned")
    return Note(text, tuple(verifier for key, verifier in known.items() if key in signed))


def note_text(note: bytes) -> str:
    """The text of `note`, *unverified*: whoever says something on its strength calls `open_note`.

    Raises:
        SignatureError: `note.malformed`.
    """
    return _split(note)[0]


def claimed_signers(note: bytes) -> set[tuple[str, bytes]]:
    """The names and key ids of the keys that `note` says have signed it, *unverified*.

    Raises:
        SignatureError: `note.malformed`.
    """
    return {_parse_signature(line)[:2] for line in _split(note)[1]}


def decode_base64(text: str) -> bytes:
    """The bytes behind standard base64 with padding (RFC 4648, section 4), in its one spelling.

    Raises:
        ValueError: any other spelling.
    """
    data = base64.b64decode(text, validate=True)  # raises binascii.Error, a ValueError; also for text beyond ASCII
    if base64.b64encode(data).decode("ascii") != text:
        raise binascii.Error("base64 with stray bits")
    return data


def _split(note: bytes) -> tuple[str, list[str]]:
    """The text and the signature lines, parted at the last blank line."""
    if len(note) > MAX_NOTE:
        raise _malformed(f"a note has at most {MAX_NOTE} bytes")
    try:
        decoded = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed("a note is UTF-8") from error
    if _CONTROL.search(decoded):
        raise _malformed("a note has no control characters but newlines")
    text, blank, signatures = decoded.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise _malformed("a note is a text, a blank line and signature lines")
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise _malformed(f"a note has at most {MAX_SIGNATURES} signatures")
    return text + "\n", lines


def _parse_signature(line: str) -> tuple[str, bytes, bytes]:
    """Key name, key id and signature of a signature line."""
    try:
        dash, name, encoded = line.split(" ")
        if dash != "—" or not _is_name(name):
            raise ValueError("a signature line begins with an em dash and a key name")
        data = decode_base64(encoded)
        if len(data) <= _KEY_ID:
            raise ValueError("no signature after the key id")
    except ValueError as error:
        raise _malformed("a signature line is not in its one form") from error
    return name, data[:_KEY_ID], data[_KEY_ID:]


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not _CONTROL.search(name) and not any(map(str.isspace, name))


def _malformed(detail: str) -> SignatureError:
    return SignatureError(detail, code="note.malformed")
