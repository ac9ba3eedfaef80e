"""What the tools that attack JWTs try, against a protected resource: of all of them the untouched token alone is taken.

Whoever attacks holds the proof key, so that nothing but the token stands in the way: each text comes with a fresh proof
that is good for it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws

from partners.errors import AuthenticationError
from partners.oauth.dpop import token_hash
from partners.oauth.keys import load_public_key
from schemas.jws import b64encode
from tests.partners.oauth_world import ISSUER, NOW, RESOURCE, World, key_of, sign, without

OURS = key_of("ES256", "qingpu oauth")
THIEF = key_of("ES256", "a thief")
SECOND = NOW // 1000
UNTOUCHED = "untouched"

HEADER: dict[str, Any] = {"alg": "ES256", "typ": "at+jwt", "kid": OURS.kid}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER, "aud": ISSUER, "sub": "wujiang", "client_id": "wujiang", "scope": "feeds:read", "iat": SECOND,
    "exp": SECOND + 300, "jti": "the-token", "cnf": {"jkt": key_of("ES256", "wujiang proofs").thumbprint()},
}  # fmt: skip
GOOD = sign(HEADER, CLAIMS, OURS)
HEAD, BODY, SIGNATURE = GOOD.split(".")
Attacks = Iterator[tuple[str, str]]


def part(value: object) -> str:
    return b64encode(json.dumps(value).encode())


def without_signatures() -> Attacks:
    """`none` in every mixture of case, with the old signature and without one; and other names for nothing."""
    spellings = ["".join(mixture) for mixture in product(*zip("none", "NONE", strict=True))]
    for spelling in (*spellings, "", " ", "null", "None ", "nonE\0"):
        forged = part({**HEADER, "alg": spelling})
        for name, end in (("no signature", ""), ("the old signature", SIGNATURE)):
            yield f"alg {spelling!r}, {name}", f"{forged}.{BODY}.{end}"
    for value in (None, True, 0, [], ["ES256"], {"ES256": 1}):
        yield f"alg {value!r}", f"{part({**HEADER, 'alg': value})}.{BODY}.{SIGNATURE}"
    yield "alg absent", f"{part(without(HEADER, 'alg'))}.{BODY}.{SIGNATURE}"


def with_our_public_key_as_a_secret() -> Attacks:
    """HMAC under whatever spelling of our public key a library might take for a secret."""
    secrets: dict[str, bytes] = {
        "PEM": OURS.as_pem(private=False),
        "PEM without the last line end": OURS.as_pem(private=False).rstrip(),
        "DER": OURS.as_der(private=False),
        "JWK": json.dumps(OURS.as_dict(private=False)).encode(),
        "x": base64.urlsafe_b64decode(OURS.as_dict(private=False)["x"] + "="),
        "the kid": str(OURS.kid).encode(),
        "nothing": b"",
        "a word": b"secret",
    }
    for algorithm, (name, secret) in product(("HS256", "HS384", "HS512", "hs256", "ES256"), secrets.items()):
        yield f"{algorithm} with {name}", sign({**HEADER, "alg": algorithm}, CLAIMS, secret)


def with_another_algorithm() -> Attacks:
    for algorithm in ("RS256", "PS256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "es256", "ES256 ", "A128KW"):
        yield f"alg {algorithm}", sign({**HEADER, "alg": algorithm}, CLAIMS, OURS, "ES256")
    for kind in ("PS256", "Ed25519"):
        yield f"a thief's {kind} key under our kid", sign({**HEADER, "alg": kind}, CLAIMS, key_of(kind, "a thief"))


def with_a_key_brought_along() -> Attacks:
    """The header offers a key of the thief's, in each place a library might look for one."""
    jwk = THIEF.as_dict(private=False)
    offers: dict[str, dict[str, object]] = {
        "jwk": {"jwk": jwk},
        "jwk with our kid": {"jwk": {**jwk, "kid": OURS.kid}},
        "jwk alone": {"jwk": jwk, "kid": None},
        "jku": {"jku": "https://thief.example/jwks"},
        "jku at our address": {"jku": ISSUER + "/oauth/jwks#@thief.example"},
        "jku as a file": {"jku": "file:///dev/null"},
        "x5u": {"x5u": "https://thief.example/chain.pem"},
        "x5c": {"x5c": [base64.b64encode(THIEF.as_der(private=False)).decode()]},
        "x5t#S256": {"x5t#S256": b64encode(bytes(32))},
        "its own kid": {"kid": THIEF.kid},
        "no kid": {"kid": None},
    }
    for name, members in offers.items():
        header = {key: value for key, value in {**HEADER, **members}.items() if value is not None}
        yield f"a thief's key in {name}", sign(header, CLAIMS, THIEF)


def with_a_kid_that_reaches_somewhere() -> Attacks:
    kids: list[object] = [
        "../../../../dev/null", "/dev/null", "/proc/self/environ", "C:\\windows\\win.ini", "file:///etc/passwd",
        "' OR '1'='1", "x' UNION SELECT 'secret", "x'; DROP TABLE client; --", "| sleep 5", "$(id)", "{{7*7}}",
        "kid\0", "", " ", "*", "__class__", str(OURS.kid).lower(), f"{OURS.kid} ", "k" * 4000, 0, True, None, [],
        [OURS.kid], {"kid": OURS.kid},
    ]  # fmt: skip
    for kid in kids:
        yield f"kid {str(kid)[:40]!r} ({type(kid).__name__})", sign({**HEADER, "kid": kid}, CLAIMS, OURS)
    yield "kid absent", sign(without(HEADER, "kid"), CLAIMS, OURS)


def with_another_header() -> Attacks:
    """Signed by us, and yet no access token: as if another kind of text of ours had been stolen."""
    for typ in (
        "JWT",
        "jwt",
        "dpop+jwt",
        "token-introspection+jwt",
        "at+jwt ",
        "application/jwt",
        "",
        None,
        ["at+jwt"],
    ):
        yield f"typ {typ!r}", sign({**HEADER, "typ": typ}, CLAIMS, OURS)
    yield "typ absent", sign(without(HEADER, "typ"), CLAIMS, OURS)
    for crit in (["exp"], ["b64"], ["unheard-of"], [], "exp", {}, None, [1]):
        yield f"crit {crit!r}", sign({**HEADER, "crit": crit, "unheard-of": 1}, CLAIMS, OURS)
    yield "b64 switched off", sign({**HEADER, "b64": False, "crit": ["b64"]}, CLAIMS, OURS)
    yield "a large header", sign({**HEADER, "padding": "x" * 9000}, CLAIMS, OURS)
    twice = b64encode(b'{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"%s"}' % str(OURS.kid).encode())
    yield "alg twice", f"{twice}.{BODY}.{SIGNATURE}"
    yield "zip", sign({**HEADER, "zip": "DEF", "crit": ["zip"]}, CLAIMS, OURS)


def with_another_signature() -> Attacks:
    raw = base64.urlsafe_b64decode(SIGNATURE + "==")
    another = sign(HEADER, {**CLAIMS, "jti": "b"}, OURS).split(".")[2]
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = raw[:32], raw[32:]
    signatures = {
        "empty": b"", "one byte": raw[:1], "half": r, "truncated": raw[:-1], "longer": raw + b"\0", "zeros": bytes(64),
        "ones": b"\xff" * 64, "s of zero": r + bytes(32), "r of zero": bytes(32) + s,
        "the order as r and s": order.to_bytes(32) * 2, "r and s changed over": s + r,
        "r and s beyond the order": (int.from_bytes(r) + order).to_bytes(33)[-32:] + s,
        "that of another token": base64.urlsafe_b64decode(another + "=="),
    }  # fmt: skip
    for name, signature in signatures.items():
        yield f"signature: {name}", f"{HEAD}.{BODY}.{b64encode(signature)}"
    for position in range(0, 64, 7):
        changed = bytes(byte ^ (index == position) for index, byte in enumerate(raw))
        yield f"signature: a bit of byte {position}", f"{HEAD}.{BODY}.{b64encode(changed)}"


def in_another_spelling() -> Attacks:
    parts = (HEAD, BODY, SIGNATURE)
    for order in list(permutations(parts))[1:]:
        yield f"parts in order {[parts.index(one) for one in order]}", ".".join(order)
    as_json = json.dumps({"protected": HEAD, "payload": BODY, "signature": SIGNATURE})
    spellings = {
        "two parts": f"{HEAD}.{BODY}", "one part": HEAD, "four parts": f"{GOOD}.{SIGNATURE}", "five parts": f"{GOOD}..",
        "a final dot": GOOD + ".", "a dot before": "." + GOOD, "no parts": "..", "padded": GOOD + "==",
        "base64 not for addresses": GOOD.replace("-", "+").replace("_", "/") + "/", "in quotes": f'"{GOOD}"',
        "a space within": f"{HEAD}. {BODY}.{SIGNATURE}", "a line end within": f"{HEAD}.\n{BODY}.{SIGNATURE}",
        "a null character": GOOD + "\0", "as JSON": as_json,
        "twice": f"{GOOD},{GOOD}", "in capitals": GOOD.upper(), "percent": GOOD.replace(".", "%2E"), "nothing": "",
    }  # fmt: skip
    for name, text in spellings.items():
        yield f"spelling: {name}", text


CHANGES: dict[str, list[object]] = {
    "iss": [ISSUER + "/", ISSUER.upper(), "https://thief.example", [ISSUER], None],
    "aud": ["https://thief.example", [ISSUER], [ISSUER, "https://thief.example"], "", None],
    "exp": [SECOND, SECOND - 1, SECOND - 86_400, 0, -1, None, True, "never", str(SECOND + 300), [SECOND + 300], 1e300],
    "iat": [SECOND + 61, SECOND + 86_400, None, True, str(SECOND), 1e300],
    "nbf": [SECOND + 61, True, "now", 1e300],
    "client_id": ["nobody", "jiashan\0", "", None, ["wujiang"], 0, {"$ne": ""}],
    "scope": [None, ["feeds:read"], 5],
    "jti": [None, "", 5, "j" * 257, "a\0b"],
    "cnf": [None, {}, {"jkt": THIEF.thumbprint()}, {"x5t#S256": "x" * 43}, {"jkt": None}, {"jwk": {}}, "jkt", []],
}


def with_claims_we_signed_and_should_not_have() -> Attacks:
    """Each claim that is checked, one by one, under a good signature: the signature is not the only check."""
    for name, values in CHANGES.items():
        for value in values:
            yield f"signed: {name} {value!r}", sign(HEADER, {**CLAIMS, name: value}, OURS)
        if name != "nbf":
            yield f"signed: {name} absent", sign(HEADER, without(CLAIMS, name), OURS)


def with_claims_edited_under_the_old_signature() -> Attacks:
    edits: dict[str, object] = {
        "iss": ISSUER + "/", "aud": [ISSUER], "sub": "jiashan", "client_id": "jiashan",
        "scope": "feeds:read audit:read", "iat": SECOND - 1, "exp": SECOND + 86_400, "jti": "another",
        "cnf": {"jkt": THIEF.thumbprint()}, "admin": True,
    }  # fmt: skip
    for name, value in edits.items():
        yield f"edited: {name}", f"{HEAD}.{part({**CLAIMS, name: value})}.{SIGNATURE}"
    for name in CLAIMS:
        yield f"taken out: {name}", f"{HEAD}.{part(without(CLAIMS, name))}.{SIGNATURE}"
    for name, body in (("null", None), ("a list", [CLAIMS]), ("text", "claims"), ("a number", 5)):
        yield f"claims that are {name}", f"{HEAD}.{part(body)}.{SIGNATURE}"


FAMILIES: tuple[Callable[[], Attacks], ...] = (
    without_signatures, with_our_public_key_as_a_secret, with_another_algorithm, with_a_key_brought_along,
    with_a_kid_that_reaches_somewhere, with_another_header, with_another_signature, in_another_spelling,
    with_claims_we_signed_and_should_not_have, with_claims_edited_under_the_old_signature,
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("attacks"))
    yield world
    world.close()


def taken(world: World, text: str) -> bool:
    proof = world.proof("GET", RESOURCE, ath=token_hash(text))
    try:
        world.call(text, headers=[("authorization", f"DPoP {text}"), ("dpop", proof)])
    except AuthenticationError:
        return False
    return True


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_jwt_tricks_of_all_texts_the_untouched_token_alone_is_taken(
    world: World, family: Callable[[], Attacks]
) -> None:
    tried = [(UNTOUCHED, GOOD), *family(), (UNTOUCHED, GOOD)]
    assert len(dict(tried)) == len(tried) - 1, "every attack has a name of its own"
    assert [name for name, text in tried if taken(world, text)] == [UNTOUCHED, UNTOUCHED]


def test_there_are_as_many_attacks_as_the_tables_hold(world: World) -> None:
    """So that a family that came to yield nothing would be missed."""
    attacks = [attack for family in FAMILIES for attack in family()]
    assert len({name for name, _ in attacks}) == len(attacks) > 250
    assert GOOD not in {text for _, text in attacks}


def test_the_same_texts_are_taken_for_nothing_at_the_other_doors(world: World) -> None:
    """As a client assertion, and as a proof: not even the untouched token, which is neither."""
    for family in FAMILIES:
        for name, text in [(UNTOUCHED, GOOD), *family()]:
            if text:
                assert world.ask(text).error == "invalid_client", name
                assert world.ask(proof=text).error == "invalid_dpop_proof", name


def test_wycheproof_the_vectors_of_ed25519_are_judged_as_their_authors_say(shared: Path) -> None:
    """Each key as we take it from a client, each signature by the algorithm our verification names.

    The vectors sign whatever bytes, not tokens, so it is asked below the compact form. No exceptions.
    """
    document = json.loads((shared / "vectors" / "wycheproof" / "ed25519_test.json").read_text())
    algorithm = jws.JWSRegistry.algorithms["Ed25519"]
    judged = 0
    for group in document["testGroups"]:
        key = load_public_key(group["publicKeyJwk"])
        assert key.algorithm == "Ed25519"
        for vector in group["tests"]:
            message, signature = (bytes.fromhex(vector[name]) for name in ("msg", "sig"))
            good = algorithm.verify(message, signature, key.material)
            assert good is (vector["result"] == "valid"), (vector["tcId"], vector["comment"])
            judged += 1
    assert judged == document["numberOfTests"]
