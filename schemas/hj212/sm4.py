"""Encrypted data areas: SM4 of HJ 212-2025, 6.4.2 and Appendix A.2.

What stands between `CP=&&` and the closing `&&` is enciphered in whole blocks of 16 bytes, ECB, no padding; a shorter
tail stays as it is. Header, marks and check sum are in clear, and the check sum is that of the *plain* segment, so it
can be judged only by who has the key. The standard prints ciphertext as `{0xE4,0x3E,…}`; its length fields count
bytes, so on the wire it is binary. Some software sends the printed form all the same, and that is read too.

ECB hides neither equal blocks nor who sends what when, and a check sum of 16 bits (8 of them in effect) is no seal: it
keeps a passer-by from reading values, and proves nothing about who sent them. Wrong keys pass the check sum once in
256 times; so an opened area must also read as the beginning of one, or nothing is taken from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from schemas.devices import Device

BLOCK = 16  # bytes
_OPENING, _CLOSING = b"CP=&&", b"&&"
_MN = re.compile(rb"(?:^|[;,]) *MN *= *([!-~]{1,64}?) *;", re.IGNORECASE)
_READABLE = re.compile(rb" *[0-9A-Za-z_.-]+ *=[^\x00-\x1f\x7f]*")
_CLEAR = re.compile(rb"[\x20-\x7e]")
_CLEAR_AT_MOST = BLOCK - 4  # of the first block; one of ciphertext has more once in 2,000 times
_PRINTED = re.compile(rb"\{(0x[0-9A-Fa-f]{2}(?:,0x[0-9A-Fa-f]{2})*)\}")
_PRINTED_BYTE = 5  # characters: `0xE4,`


def is_secret(cn: str) -> bool:
    """A field unit that encrypts does so for this command: values, a new key, and information about itself."""
    return (len(cn) == 4 and cn.startswith("2")) or cn in ("1014", "3020")


def seal(segment: bytes, key: str) -> bytes:
    """`segment`, a whole data segment, with its data area enciphered. `key` is 32 hexadecimal digits."""
    return _with_area(segment, key, seals=True)


def unseal(segment: bytes, key: str) -> bytes:
    """The inverse of `seal`; what a wrong key gives is noise."""
    return _with_area(segment, key, seals=False)


def is_readable(segment: bytes) -> bool:
    """The data area is text as it stands, or too short to have been enciphered. Noise is not, but once in millions."""
    start = _start(segment)
    return len(segment) - start - len(_CLOSING) < BLOCK or _READABLE.fullmatch(segment, start) is not None


def looks_sealed(segment: bytes) -> bool:
    """The data area begins like ciphertext and unlike any text with a damaged byte in it."""
    start = _start(segment)
    block = segment[start : start + BLOCK]
    return len(segment) - start - len(_CLOSING) >= BLOCK and len(_CLEAR.findall(block)) <= _CLEAR_AT_MOST


def sender(segment: bytes, devices: Mapping[str, Device]) -> tuple[str, str]:
    """The MN in the clear header of a segment, and the key registered for it; empty texts for what there is not."""
    found = _MN.search(segment[: _start(segment)])
    mn = found[1].decode("ascii") if found else ""
    device = devices.get(mn)
    return mn, device.key if device else ""


def printed_size(segment: bytes) -> int:
    """How long a segment is in its printed form, when `segment` is its beginning, as long as the binary one; else 0."""
    start = segment.find(_OPENING + b"{0x")
    if start < 0 or segment.endswith(_CLOSING):
        return 0
    start += len(_OPENING)
    area = len(segment) - start - len(_CLOSING)
    tail = area % BLOCK
    return start + _PRINTED_BYTE * (area - tail) + len("{}") - len(",") + tail + len(_CLOSING)


def from_print(segment: bytes) -> bytes:
    """The binary form of a segment whose ciphertext is printed as `{0xE4,…}`; any other segment as it is."""
    start = segment.find(_OPENING + b"{0x")
    if start < 0:
        return segment
    start += len(_OPENING)
    return segment[:start] + _PRINTED.sub(_binary, segment[start:], count=1)


def _binary(printed: re.Match[bytes]) -> bytes:
    return bytes.fromhex(printed[1].replace(b"0x", b"").replace(b",", b"").decode("ascii"))


def _start(segment: bytes) -> int:
    """Where the data area begins; the segment's end when it has none."""
    at = segment.find(_OPENING)
    return len(segment) if at < 0 else at + len(_OPENING)


def _with_area(segment: bytes, key: str, *, seals: bool) -> bytes:
    start = _start(segment)
    blocks = max(len(segment) - len(_CLOSING) - start, 0) // BLOCK
    end = start + blocks * BLOCK
    if end == start:
        return segment
    cipher = _cipher(key)
    context = cipher.encryptor() if seals else cipher.decryptor()
    return segment[:start] + context.update(segment[start:end]) + context.finalize() + segment[end:]


@lru_cache(maxsize=1_024)  # devices send again and again
def _cipher(key: str) -> Cipher[modes.ECB]:
    return Cipher(algorithms.SM4(bytes.fromhex(key)), modes.ECB())  # noqa: S305 - the standard's mode, see above
