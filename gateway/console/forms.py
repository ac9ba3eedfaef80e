"""What a body sent to the console is read as: exactly what was asked for, by name and type, and nothing beside it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Short = Annotated[str, Field(max_length=200)]


class Form(BaseModel):
    """The members of one body; an unknown one is refused, or a role could be slipped in beside a name."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(Form):
    """Nothing but that."""
