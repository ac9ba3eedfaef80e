"""This gateway's own party document: what it says of itself to partners, signed by its identity (3-protocol).

Kept as a file beside the settings, since the identity key that signs it may be off line.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from audit.note import NoteSigner
from gateway.home import Home, HomeError
from partners.document import Jwk, Keys, Log, Names, PartyDocument, Retired, Tls, make_document
from partners.keys import KeysError
from partners.oauth.keys import load_signing_key, public_jwks
from partners.oauth.metadata import JWKS_PATH, TOKEN_PATH
from schemas.districts import find_district

LIFE = timedelta(days=400)  # of a party document: a year, and a month to notice that it was not renewed
DOCUMENT_FILE = "party.jws"


def sign_document(home: Home, *, now: int, serial: int = 1) -> str:
    """This gateway's party document, signed anew; kept beside the settings, since the identity key may be off line.

    Raises:
        KeysError: `keys.missing`: the identity key is not here.
    """
    settings, keys = home.settings, home.keys
    if keys.identity is None:
        raise KeysError("the identity key is kept elsewhere; sign the party document there", code="keys.missing")
    district = find_district(settings.party)
    issued = datetime.fromtimestamp(now / 1000, UTC)
    document = PartyDocument(
        party=settings.party,
        names=Names(zh=district.name_zh, en=district.name_en)
        if district
        else Names(zh=settings.party, en=settings.party),
        versions=(1,),
        issuer=settings.url,
        endpoints={
            "token": settings.url + TOKEN_PATH,
            "jwks": settings.url + JWKS_PATH,
            "feeds": settings.url + "/v1/feeds",
            "inbox": settings.url + "/v1/inbox",
            "receipts": settings.url + "/v1/receipts",
            "log": settings.url + "/log",
        },
        identity=Jwk.of(keys.identity.public),
        keys=Keys(
            manifest=(Jwk.of(keys.manifest.public),),
            oauth=public_jwks([load_signing_key(keys.oauth.private)]),
            witness=NoteSigner(settings.log_origin + "/witness", keys.witness.private).vkey,
        ),
        retired=Retired(),
        log=Log(origin=settings.log_origin, vkey=NoteSigner(settings.log_origin, keys.log.private).vkey),
        tls=Tls(ca=settings.tls.ca.read_text(encoding="ascii")),
        serial=serial,
        issued=issued.isoformat(timespec="seconds"),
        expires=(issued + LIFE).isoformat(timespec="seconds"),
    )
    token = make_document(keys.identity, document)
    (settings.home / DOCUMENT_FILE).write_text(token, encoding="ascii")
    return token


def own_document(home: Home) -> str:
    """The party document as it was last signed.

    Raises:
        HomeError: `home.document-missing`.
    """
    try:
        return (home.settings.home / DOCUMENT_FILE).read_text(encoding="ascii").strip()
    except OSError as error:
        raise HomeError(f"{DOCUMENT_FILE} cannot be read: {error.strerror}", code="home.document-missing") from error
