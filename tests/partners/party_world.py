"""A party of our own making for tests: its keys, its certificate authority, and the documents it could sign."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from partners.document import DOCUMENT_TYPE, Jwk, Keys, Log, Names, PartyDocument, Retired, Tls, make_document
from partners.oauth.keys import load_signing_key, public_jwks
from schemas import jws
from schemas.times import to_millis, utc_text

NOW = to_millis("2026-11-23T02:00:00Z")
DAY = 86_400_000
VKEY = "AT9TyJGJGvB6xJQ4o1vTMsGGCT2sDtF7Sq3N+I8hMbkM"


def new_key() -> jws.SigningKey:
    return jws.SigningKey.of(Ed25519PrivateKey.generate())


@cache
def new_ca(name: str) -> str:
    """A certificate authority's certificate in PEM; the same name gives the same one."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string(f"CN={name}")
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
    return dated.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


@dataclass(frozen=True)
class World:
    """One party with its keys; `document` and `token` are what it publishes, with any member changed."""

    code: str = "330421"
    identity: jws.SigningKey = field(default_factory=new_key)
    manifest: jws.SigningKey = field(default_factory=new_key)
    oauth: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def document(self, **changed: object) -> PartyDocument:
        origin = f"gateway.jiashan.example/{self.code}/2026"
        members: dict[str, object] = {
            "party": self.code,
            "names": Names(zh="嘉善县", en="Jiashan County"),
            "versions": (1,),
            "issuer": "https://gateway.jiashan.example:8443",
            "endpoints": {"feeds": "https://gateway.jiashan.example:8443/v1/feeds"},
            "identity": Jwk.of(self.identity.public),
            "keys": Keys(
                manifest=(Jwk.of(self.manifest.public),),
                oauth=public_jwks([load_signing_key(self.oauth)]),
                witness=f"{origin}/witness+0a1b2c3d+{VKEY}",
            ),
            "retired": Retired(),
            "log": Log(origin=origin, vkey=f"{origin}+89abcdef+{VKEY}"),
            "tls": Tls(ca=new_ca("Jiashan")),
            "serial": 1,
            "issued": utc_text(NOW),
            "expires": utc_text(NOW + 365 * DAY),
        }
        return PartyDocument(**{**members, **changed})  # type: ignore[arg-type]

    def token(self, **changed: object) -> str:
        return make_document(self.identity, self.document(**changed))

    def signed(self, payload: object, *, typ: str = DOCUMENT_TYPE) -> str:
        """Whatever `payload` is, signed by this party's identity: what a partner with a fault, or bad will, may send.

        Written here and not with `jws.sign`, which cannot write all that a stranger can (half a character, say).
        """
        header = {"alg": jws.ALGORITHM, "kid": self.identity.kid, "typ": typ}
        parts = [json.dumps(part).encode() for part in (header, msgspec.to_builtins(payload))]
        text = ".".join(jws.b64encode(part) for part in parts)
        return f"{text}.{jws.b64encode(self.identity.private.sign(text.encode()))}"
