"""The peer: the gateway a competent team writes in a hurry, with FastAPI, pydantic and the SQLAlchemy ORM.

It is written to be good at what it does, not to lose: plain `def` endpoints, one session and one commit a request,
bulk statements where it upserts, an index-friendly natural key, floats (which cost it less than decimals). What it
leaves out is what such a gateway leaves out: the bytes as they came, a report line by line, history, a queue of what to
publish, a signed receipt, a log; a value that comes again is overwritten. Its tokens are bearer tokens, checked at each
request.

Two ways to store, since both are what people write: one upsert for all rows (`bulk`), or `session.merge` row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import DateTime, Engine, Float, String, create_engine, event, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

AUDIENCE = "naive"
KEY = OctKey.import_key(b"a shared secret of the benchmark, 32 bytes at least")
_bearer = HTTPBearer()
_claims = jwt.JWTClaimsRegistry(aud={"essential": True, "value": AUDIENCE}, exp={"essential": True})


class Base(DeclarativeBase):
    pass


class Observation(Base):
    __tablename__ = "observations"

    site: Mapped[str] = mapped_column(String(128), primary_key=True)
    factor: Mapped[str] = mapped_column(String(32), primary_key=True)
    stat: Mapped[str] = mapped_column(String(16), primary_key=True)
    period: Mapped[str] = mapped_column(String(16), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    value: Mapped[float | None] = mapped_column(Float)
    unit: Mapped[str] = mapped_column(String(32))
    flag: Mapped[str] = mapped_column(String(16))
    profile: Mapped[str] = mapped_column(String(32))
    updated: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class ObservationIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["observation"]
    site: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")
    factor: str = Field(max_length=32)
    stat: Literal["inst", "avg", "min", "max", "total"]
    period: str = Field(pattern=r"^P")
    at: AwareDatetime
    value: float | None
    unit: str = Field(max_length=32)
    flag: str = Field(default="", max_length=16)
    profile: str = Field(default="", max_length=32)


class Stored(BaseModel):
    stored: int


def make_token(now: int) -> str:
    """A bearer token for an hour; `now` in seconds."""
    claims = {"sub": "bench-station", "aud": AUDIENCE, "scope": "records:submit", "iat": now, "exp": now + 3600}
    return jwt.encode({"alg": "HS256"}, claims, KEY)


def submitter(credentials: Annotated[HTTPAuthorizationCredentials, Depends(_bearer)]) -> str:
    """The client a bearer token was given to."""
    try:
        token = jwt.decode(credentials.credentials, KEY, algorithms=["HS256"])
        _claims.validate(token.claims)
    except (JoseError, ValueError) as error:
        raise HTTPException(401, "invalid token") from error
    if "records:submit" not in token.claims.get("scope", "").split():
        raise HTTPException(403, "not allowed")
    return str(token.claims["sub"])


def get_session(request: Request) -> Iterator[Session]:
    with Session(request.app.state.engine) as session:
        yield session


Submitter = Annotated[str, Depends(submitter)]
Db = Annotated[Session, Depends(get_session)]
router = APIRouter()


@router.post("/observations")
def post_observations(body: list[ObservationIn], _who: Submitter, session: Db) -> Stored:
    """Store all rows with one upsert."""
    session.execute(_upsert(session), [one.model_dump(exclude={"kind"}) for one in body])
    session.commit()
    return Stored(stored=len(body))


@router.post("/merge")
def merge_observations(body: list[ObservationIn], _who: Submitter, session: Db) -> Stored:
    """Store them one by one: read, then insert or update."""
    now = datetime.now(UTC)
    for one in body:
        session.merge(Observation(**one.model_dump(exclude={"kind"}), updated=now))
    session.commit()
    return Stored(stored=len(body))


def create_app(database_url: str) -> FastAPI:
    """The application on the database at `database_url`, whose tables are made."""
    app = FastAPI(title="Observations")
    app.state.engine = _engine(database_url)
    Base.metadata.create_all(app.state.engine)
    app.include_router(router)
    return app


def _upsert(session: Session) -> Any:
    """The statement that stores many rows, the newer value winning."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(Observation)
    changed = {name: statement.excluded[name] for name in ("value", "unit", "flag", "profile")}
    key = [column.name for column in Observation.__table__.primary_key]
    return statement.on_conflict_do_update(index_elements=key, set_={**changed, "updated": func.now()})


def _engine(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: object) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
                connection.execute(f"PRAGMA {pragma}")

    return engine
