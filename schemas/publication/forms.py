"""The forms that the strict reader demands of texts and numbers, as JSON Schema.

Patterns keep to what ECMA-262 and Python's `re` read alike, are anchored, and have neither lookaround nor `\\d`, whose
digits differ. They say again what `schemas.records.parts` checks; that both say the same is tested with generated
records in both directions.
"""

from __future__ import annotations

from typing import Any

from schemas.identifiers import CREDIT_CODE, OUTLET_CODE, UNIT_ID
from schemas.periods import PERIODS
from schemas.records.agreement import MAX_DOCUMENT, MAX_TOKEN, MAX_TOKENS, MAX_VERSION
from schemas.records.case import MAX_STEP
from schemas.records.keys import KEYS
from schemas.records.parts import MAX_PROSE, MAX_REV, MAX_TEXT
from schemas.units import MAX_TEXT as MAX_UNIT

Schema = dict[str, Any]

_IDENTIFIER = "[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"
_DECIMAL = r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?"
_DATE = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME = (
    r"(?:1[89]|2[0-9])[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}"
    r"(?:\.[0-9]{1,3})?(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
)
_INDUSTRY = "[A-T]?[0-9]{2,4}"
_HASH = "[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
_DIGEST = f"sha256:{_HASH}"
_CONTROL = r"\u0000-\u001f\u007f"
_CONTROL_IN_PROSE = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f"

TEXTS: dict[str, Schema] = {
    "identifier": {"pattern": _IDENTIFIER},
    "decimal": {"pattern": _DECIMAL},
    "date": {"pattern": _DATE},
    "time": {"pattern": _TIME},
    "unit-id": {"pattern": UNIT_ID},
    "credit-code": {"pattern": CREDIT_CODE},
    "outlet-code": {"pattern": OUTLET_CODE},
    "industry": {"pattern": _INDUSTRY},
    "digest": {"pattern": _DIGEST},
    "hash": {"pattern": _HASH},
    "token": {"pattern": "[A-Za-z0-9_.-]+", "maxLength": MAX_TOKEN},
    "document": {"pattern": f"[^{_CONTROL_IN_PROSE}]*", "maxLength": MAX_DOCUMENT},
    "unit": {"pattern": f"[^{_CONTROL}]*", "maxLength": MAX_UNIT},
    "text": {"pattern": f"[^{_CONTROL}]*", "maxLength": MAX_TEXT},
    "name": {"pattern": rf"[^{_CONTROL}]*[^{_CONTROL}\s][^{_CONTROL}]*", "maxLength": MAX_TEXT},
    "prose": {"pattern": f"[^{_CONTROL_IN_PROSE}]*", "maxLength": MAX_PROSE},
    "period": {"enum": list(PERIODS)},
    "kind": {"enum": list(KEYS)},
}
"""Forms of a text; patterns here without their anchors."""
NUMBERS: dict[str, Schema] = {
    "rev": {"minimum": 0, "maximum": MAX_REV},
    "step": {"minimum": 1, "maximum": MAX_STEP},
    "size": {"minimum": 0},
    "version": {"minimum": 1, "maximum": MAX_VERSION},
}
LISTS: dict[str, tuple[str, Schema]] = {
    "identifiers": ("identifier", {"uniqueItems": True}),
    "some-identifiers": ("identifier", {"uniqueItems": True, "minItems": 1}),
    "outlet-codes": ("outlet-code", {"uniqueItems": True}),
    "texts": ("text", {}),
    "tokens": ("token", {"maxItems": MAX_TOKENS}),
}
"""Forms of a list: the form of each text in it, and what holds of the list."""
FORMS = frozenset({*TEXTS, *NUMBERS, *LISTS, "key"})


def text_schema(form: str, *, optional: bool) -> Schema:
    """The schema of a text of this form; an optional one may also be empty, which is how a line leaves it out."""
    schema = {"type": "string", **TEXTS[form]}
    if "pattern" in schema:
        pattern = schema["pattern"]
        schema["pattern"] = (
            f"^(?:{pattern})?$" if optional and form not in ("text", "prose", "document") else f"^{pattern}$"
        )
    if form in ("date", "time") and not optional:
        schema["format"] = "date" if form == "date" else "date-time"
    return schema


def number_schema(form: str) -> Schema:
    """The schema of a whole number of this form."""
    return {"type": "integer", **NUMBERS[form]}


def list_schema(form: str) -> Schema:
    """The schema of a list of texts of this form."""
    item, more = LISTS[form]
    return {"type": "array", "items": text_schema(item, optional=False), **more}


def key_schema(kind: str) -> Schema:
    """The schema of the key of a record of this kind, as references and retractions write it."""
    members = KEYS[kind]
    special = {
        "step": {"type": "integer", "minimum": 1},
        "version": {"type": "integer", "minimum": 1},
        "at": text_schema("time", optional=False),
        "from": text_schema("time", optional=False),
        "author": text_schema("text", optional=False),
        "sample": text_schema("text", optional=False),
    }
    properties = {name: special.get(name) or text_schema("identifier", optional=False) for name in members}
    return {"type": "object", "properties": properties, "required": list(members), "additionalProperties": False}
