"""Personal tokens over HTTP: whoever is signed in makes, lists and ends their own."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from gateway.api.access import Home
from gateway.console.access import SignedIn, may
from gateway.console.forms import Form, Nothing
from gateway.people.person import Person
from gateway.tokens import MAX_DAYS, MAX_NAME, PersonalToken, make_token, revoke_token, tokens_of
from schemas.times import now_millis, utc_text

router = APIRouter(prefix="/api/tokens")

Reader = Annotated[Person, Depends(may("record.read"))]


class NewToken(Form):
    """What a token is for."""

    name: str = Field(default="", max_length=MAX_NAME)
    datasets: list[str] = Field(default=[], max_length=256)
    days: int = Field(default=MAX_DAYS, ge=1, le=MAX_DAYS)


@router.get("", summary="The tokens of whoever is signed in")
def list_tokens(person: SignedIn, gateway: Home) -> list[dict[str, Any]]:
    """Those that have not ended, without what is secret of them."""
    now = now_millis()
    with gateway.database.read() as session:
        return [described(one) for one in tokens_of(session, now=now, account=person.account)]


@router.post("", status_code=201, summary="A new token")
def post_token(form: NewToken, person: Reader, gateway: Home) -> dict[str, Any]:
    """The token is in this answer and never again."""
    text, made = make_token(
        gateway, by=person, name=form.name, datasets=form.datasets, days=form.days, now=now_millis()
    )
    return {**described(made), "token": text}


@router.post("/{identifier}/revoke", summary="End a token")
def end_token(identifier: str, _form: Nothing, person: SignedIn, gateway: Home) -> dict[str, Any]:
    """One's own, at once; anybody's by whoever may end people's sessions."""
    revoke_token(gateway, identifier, by=person, now=now_millis())
    return {"id": identifier, "ended": True}


def described(token: PersonalToken) -> dict[str, Any]:
    """A token as it is shown."""
    return {
        "id": token.id, "name": token.name, "user": token.account, "datasets": sorted(token.datasets),
        "created": utc_text(token.created), "ends": utc_text(token.ends),
    }  # fmt: skip
