"""The one form of a log entry, and how to read it.

An entry is a JSON object in RFC 8785 form, at most 65,535 bytes, with the members of `_ENTRY` and no others. It is
stored, hashed and served as the bytes it was written in: nobody writes it again in order to verify it against the
tree.

Written on the standard library alone, since the offline verifier reads entries with it. `audit.entry` makes them.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, cast

from audit.errors import EntryError
from audit.tiles import MAX_ENTRY
from schemas.errors import RecordError
from schemas.times import to_millis

SUBMISSION = "taipu/submission/1"
BATCH_PUBLISHED = "taipu/batch-published/1"
BATCH_DELIVERED = "taipu/batch-delivered/1"
BATCH_RECEIVED = "taipu/batch-received/1"
BATCH_REFUSED = "taipu/batch-refused/1"
RECEIPT_IN = "taipu/receipt-in/1"
RECEIPT_OUT = "taipu/receipt-out/1"
READ = "taipu/read/1"
REFUSAL = "taipu/refusal/1"
TOKENS = "taipu/token/1"  # how many a client was given in an hour
PLAN_IN_FORCE = "taipu/plan-in-force/1"
PARTNER_REGISTERED = "taipu/partner-registered/1"
CLIENT_REGISTERED = "taipu/client-registered/1"
DEVICES_REGISTERED = "taipu/devices-registered/1"
TABLE_PROPOSED = "taipu/table-proposed/1"
TABLE_APPROVED = "taipu/table-approved/1"
TABLE_REJECTED = "taipu/table-rejected/1"
PROPOSED = "taipu/proposed/1"  # something that takes two persons
APPROVED = "taipu/approved/1"
REJECTED = "taipu/rejected/1"
PARTNER_CHANGED = "taipu/partner-changed/1"  # suspended, taken up again, ended
PARTNER_DOCUMENT = "taipu/partner-document/1"  # a partner's newer party document was taken
CLIENT_CHANGED = "taipu/client-changed/1"
TOKENS_REVOKED = "taipu/tokens-revoked/1"
PERSON_CHANGED = "taipu/person-changed/1"  # an account or its roles
SIGN_IN = "taipu/sign-in/1"
KEY_CHANGED = "taipu/key-changed/1"  # the next one published, in use, retired, revoked
PLAN_PROPOSED = "taipu/plan-proposed/1"
PLAN_SIGNED = "taipu/plan-signed/1"
PLAN_LAPSED = "taipu/plan-lapsed/1"
PLAN_WITHDRAWN = "taipu/plan-withdrawn/1"
DISPOSAL = "taipu/disposal/1"
FREEZE = "taipu/freeze/1"  # the last entry of a log's shard
FREEZE_AT = "taipu/freeze-at/1"  # a shard was ended at an earlier head; logged in its successor
CONTINUED = "taipu/continued/1"  # the first entry of the shard that goes on, quoting the head before it
FINDING = "taipu/finding/1"
RELEASE = "taipu/release/1"
STRANGERS_EXPIRED = "taipu/strangers-expired/1"  # packets of devices that nobody registered

MAX_INTEGER = 2**53 - 1  # a larger JSON number means different things to different readers (RFC 8785, section 3.2.2.3)

_PLAIN = r'[^"\\\x00-\x1f]*+'
_STRING = rf'"{_PLAIN}(?:\\(?:["\\bfnrt]|u00[01][0-9a-f]){_PLAIN})*+"'
HASH = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"  # 32 bytes, base64url
INSTANT = r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z"  # UTC, milliseconds

_ENTRY = re.compile(
    rf"""\{{
    (?:"actor":{_STRING},)?+                     # a client, or the pseudonym of a user
    "at":"(?P<at>{INSTANT})",
    (?:"basis":{_STRING},)?+                     # the rule or plan version that allowed or demanded it
    (?:"dataset":"(?P<dataset>[^"\\\x00-\x1f]++)",)?+
    (?:"detail":\{{.*\}},)?                      # by type
    (?:"manifest":"(?P<manifest>{HASH})",)?+     # a batch's identity
    "party":"(?P<party>[0-9]{{6}})",             # whose log this is, by GB/T 2260
    (?:"peer":{_STRING},)?+                      # the other party
    (?:"receipt":"{HASH}",)?+
    "salt":"[A-Za-z0-9_-]{{21}}[AQgw]",          # 128 random bits: or a guess could be tried against the leaf hash
    (?:"seq":(?P<seq>[1-9][0-9]{{0,15}}),)?+     # a batch's number in its feed
    "t":"(?P<t>taipu/[a-z-]++/[1-9][0-9]*+)"
    (?:,"verdict":{_STRING})?+
    \}}""".encode(),
    re.VERBOSE,
)  # every member, in the order RFC 8785 puts them


def match_entry(data: bytes) -> re.Match[bytes] | None:
    """`data` matched as an entry, with the groups `at`, `dataset`, `manifest`, `party`, `seq` and `t`; None if it
    is none.

    Tells an entry from other bytes at a tenth of the cost of reading it, but does not look into `detail`, and its
    groups are only good for finding entries: whoever relies on what one says reads it with `parse_entry`.
    """
    match = _ENTRY.fullmatch(data)
    if match is None or data.isascii():
        return match
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return match


def parse_entry(data: bytes) -> dict[str, Any]:
    """The members of an entry.

    Raises:
        EntryError: not an entry in its one form, `entry.too-large` when it is longer than an entry can be.
    """
    if len(data) > MAX_ENTRY:
        raise EntryError(f"an entry has at most {MAX_ENTRY} bytes", code="entry.too-large")
    try:
        if match_entry(data) is None:
            raise ValueError("members missing, unknown, twice or out of order")
        text = data.decode("utf-8")
        entry = cast("dict[str, Any]", _DECODER.decode(text))
        to_millis(entry["at"])
        # An object in its one form survives being written again. This catches what the pattern leaves to `detail`:
        # a member twice, in another order, or in another spelling.
        if _ENCODER.encode(entry) != text:
            raise ValueError("not in RFC 8785 form")
    except (ValueError, RecursionError, RecordError) as error:
        raise EntryError(f"not a log entry: {error}") from error
    return entry


def _integer(text: str) -> int:
    value = int(text) if len(text) < 20 else MAX_INTEGER + 1
    if abs(value) > MAX_INTEGER:
        raise ValueError("an integer beyond 2**53 - 1")
    return value


def _no_fraction(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not an integer; measured values are written as strings")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_no_fraction, parse_constant=_no_fraction)
# For objects of strings, integers, true, false and null this is RFC 8785, except that it orders names by code point and
# not by UTF-16 unit: names with letters beyond U+FFFF would be refused, and we have none.
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False)
