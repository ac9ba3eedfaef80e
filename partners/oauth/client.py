"""Tokens and proofs for our own calls to a partner: `GatewayAuth`, to be given to an `httpx.Client`.

It asks the partner's token endpoint with a fresh assertion each time (RFC 7523, audience the issuer alone), keeps the
token until shortly before it ends, and signs a fresh DPoP proof for each request (RFC 9449). A partner that binds our
tokens to our client certificate instead (RFC 8705) answers with a bearer token, which then goes without a proof. It
trusts nothing the partner answers beyond its form, and reads no more of it than it needs; bodies of the calls
themselves stay unread, so that they can be streamed.

httpx reports connection faults of a token request as its own exceptions, like those of the call they belong to:
whoever uses the `httpx.Client` maps both.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass

import httpx
from joserfc.jwk import ECKey

from partners.errors import PartnerError, PartnerRefusedError, PartnerUnreachableError
from partners.oauth.clients import GRANT_TYPE
from partners.oauth.dpop import make_proof
from partners.oauth.jwt import sign_jwt
from schemas.times import now_millis

MAX_ANSWER = 16 * 1024  # bytes read of a token answer or of a refusal
ASSERTION_LIFETIME = 120  # s; more than clocks may differ
EARLY_RENEWAL = 30_000  # ms before a token ends, so that it does not end on the way
TOKEN_TIMEOUT = httpx.Timeout(10.0)  # s; a request made inside a flow does not inherit the client's

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEFAULT_LIFETIME = 60  # s, where the answer does not say
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]{1,8192}=*")
_NONCE = re.compile(r"[!#-\[\]-~]{1,1024}")
_ERROR = re.compile(r"[a-z_]{1,64}")

Flow = Generator[httpx.Request, httpx.Response, None]


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    good_until: int  # milliseconds UTC
    proven: bool  # it is bound to our proof key; otherwise to our certificate


class GatewayAuth(httpx.Auth):
    """Authenticates this gateway to one partner. One for each partner and set of scopes; safe to share between threads.

    `key` is our oauth key, whose public half the partner has registered for `client_id`. Proofs use a key made here
    and known to nobody: it ends with this object, and so do the tokens bound to it. `certified` says that calls show a
    client certificate: without one, a token that is not bound to the proof key is not taken. `clock` gives milliseconds
    UTC.
    """

    def __init__(
        self,
        *,
        issuer: str,
        token_endpoint: str,
        client_id: str,
        key: ECKey,
        scopes: Collection[str],
        certified: bool = False,
        clock: Callable[[], int] = now_millis,
    ) -> None:
        self._issuer = issuer
        self._token_endpoint = token_endpoint
        self._client_id = client_id
        self._key = key
        self._scope = " ".join(scopes)
        self._certified = certified
        self._clock = clock
        self._proof_key = ECKey.generate_key("P-256")
        self._renewing = threading.Lock()  # held by the one thread that asks for a token
        self._token: _Token | None = None
        self._token_nonce: str | None = None  # what the token endpoint wants in the next proof
        self._call_nonce: str | None = None  # what the protected resources want in it

    def use_key(self, key: ECKey) -> None:
        """Sign assertions with another oauth key of ours from now on; tokens that we have stay good."""
        self._key = key

    def sync_auth_flow(self, request: httpx.Request) -> Flow:
        """Send `request` with a token and a proof: again with a nonce if asked for one, again with a new token if the
        partner takes the old one no more; each once.

        Raises:
            PartnerRefusedError: the partner gives us no token.
            PartnerUnreachableError: it cannot do so now.
        """
        token = self._good_token() or (yield from self._renew(None))
        may_renew = may_repeat = isinstance(request.stream, httpx.ByteStream)  # a body that can be sent twice
        while True:
            self._sign(request, token)
            response = yield request
            nonce = _nonce(response)
            self._call_nonce = nonce or self._call_nonce
            if response.status_code != 401:
                return
            if may_repeat and nonce and "use_dpop_nonce" in response.headers.get("www-authenticate", ""):
                may_repeat = False
                _bound(response)
            elif may_renew:
                may_renew = False
                _bound(response)
                token = yield from self._renew(token)
            else:
                return

    def _sign(self, request: httpx.Request, token: _Token) -> None:
        if not token.proven:
            request.headers["Authorization"] = f"Bearer {token.text}"
            request.headers.pop("DPoP", None)  # of an attempt with another token
            return
        request.headers["Authorization"] = f"DPoP {token.text}"
        request.headers["DPoP"] = make_proof(
            self._proof_key,
            request.method,
            str(request.url),
            self._clock(),
            token=token.text,
            nonce=self._call_nonce,
        )

    def _good_token(self) -> _Token | None:
        token = self._token
        return token if token is not None and self._clock() < token.good_until else None

    def _renew(self, stale: _Token | None) -> Generator[httpx.Request, httpx.Response, _Token]:
        """A token other than `stale`: one thread asks for it, the others wait and take what it got."""
        with self._renewing:
            token = self._good_token()
            if token is not None and token is not stale:
                return token
            answer = yield from self._ask()
            if answer.status_code == 400 and _error(answer) == "use_dpop_nonce":
                answer = yield from self._ask()
            self._token = _read_token(answer, self._clock(), certified=self._certified)
            return self._token

    def _ask(self) -> Generator[httpx.Request, httpx.Response, httpx.Response]:
        """One request to the token endpoint, with an assertion and a proof of its own; its answer, read."""
        now = self._clock()
        form = {
            "grant_type": GRANT_TYPE,
            "scope": self._scope,
            "client_id": self._client_id,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": self._assertion(now),
        }
        proof = make_proof(self._proof_key, "POST", self._token_endpoint, now, nonce=self._token_nonce)
        headers = {"DPoP": proof, "Accept": "application/json", "Accept-Encoding": "identity"}
        answer = yield httpx.Request(
            "POST", self._token_endpoint, data=form, headers=headers, extensions={"timeout": TOKEN_TIMEOUT.as_dict()}
        )
        self._token_nonce = _nonce(answer) or self._token_nonce
        _bound(answer)
        answer.read()
        return answer

    def _assertion(self, now: int) -> str:
        issued, key = now // 1000, self._key
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._issuer,
            "jti": secrets.token_urlsafe(24),
            "iat": issued,
            "exp": issued + ASSERTION_LIFETIME,
        }
        return sign_jwt(key, {"typ": "JWT", "kid": key.kid}, claims)


class _BoundedStream(httpx.SyncByteStream):
    """A body that ends with an error where it grows longer than we are willing to read."""

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        left = MAX_ANSWER
        for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise PartnerRefusedError("the partner's answer is longer than any it should give")
            yield chunk

    def close(self) -> None:
        self._stream.close()


def _bound(response: httpx.Response) -> None:
    if isinstance(response.stream, httpx.SyncByteStream):
        response.stream = _BoundedStream(response.stream)


def _nonce(response: httpx.Response) -> str | None:
    nonce = response.headers.get("dpop-nonce", "")
    return nonce if _NONCE.fullmatch(nonce) else None


def _error(answer: httpx.Response) -> str:
    """The OAuth error code of a refusal (RFC 6749, section 5.2), or nothing."""
    code = _members(answer).get("error")
    return code if isinstance(code, str) and _ERROR.fullmatch(code) else ""


def _members(answer: httpx.Response) -> dict[str, object]:
    try:
        value = json.loads(answer.content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_token(answer: httpx.Response, now: int, *, certified: bool) -> _Token:
    if answer.status_code != 200:
        raise _refusal(answer)
    members = _members(answer)
    text, kind, seconds = (members.get(name) for name in ("access_token", "token_type", "expires_in"))
    kinds = ("dpop", "bearer") if certified else ("dpop",)
    if not isinstance(text, str) or not _TOKEN68.fullmatch(text) or str(kind).lower() not in kinds:
        raise PartnerRefusedError("the partner's token endpoint gave no DPoP token", code="partner.token-malformed")
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 < seconds <= 86_400:
        seconds = _DEFAULT_LIFETIME
    proven = str(kind).lower() == "dpop"
    return _Token(text, now + seconds * 1000 - min(EARLY_RENEWAL, seconds * 500), proven)


def _refusal(answer: httpx.Response) -> PartnerError:
    status = answer.status_code
    extra: dict[str, object] = {"status": status, "error": _error(answer)}
    if status == 429 or status >= 500:
        return PartnerUnreachableError(f"the partner's token endpoint answered {status}", extra=extra)
    return PartnerRefusedError(
        f"the partner's token endpoint refused us with {status}", code="partner.token-refused", extra=extra
    )
