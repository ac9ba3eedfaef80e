"""The settings of one gateway: `taipu.toml` in its home directory, and `TAIPU_…` variables over it.

A setting `retry.max` is `max` under `[retry]` in the file and `TAIPU_RETRY__MAX` in the environment. Names we do not
know are refused in both, since a mistyped setting that is silently ignored is a setting somebody believes in. Paths
are relative to the home directory, never to wherever the process was started.

Nothing here reads a clock, opens a socket or makes a file. A fault never shows the offending value: it may be a secret.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefinedType
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from gateway.setting_groups import (
    MIB,
    Address,
    KeySettings,
    Listen,
    Loggers,
    OutlineFile,
    Partners,
    Retry,
    SettingsError,
    Tls,
)
from partners.document import check_party, host_of
from schemas.errors import SharingError

FILE_NAME = "taipu.toml"
ENV_PREFIX = "TAIPU_"
_PASSPHRASE = 12  # characters, or bytes in a file; shorter ones are guessed

_ORIGIN = re.compile(r"[!-*,-~]{1,200}", re.ASCII)  # a key name in a signed note: no space, no plus sign

_Fault = tuple[tuple[str, ...], str]  # where, and what is wrong there


class Settings(BaseSettings):
    """Everything an operator may decide about one gateway."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        enable_decoding=False,  # a group is given member by member, not as JSON in one variable
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    home: Path
    """The home directory: where this file is. Named to the program, not in the file."""
    party: str
    """The party whose gateway this is: a district's code, or an id of 2 to 32 small letters, digits and hyphens."""
    url: str
    """The public address of the partner listener, which is also the token issuer: https://host or https://host:port."""
    log_origin: str
    """The name of this gateway's log (C2SP tlog-checkpoint). It must never change while the log lives."""
    database_url: SecretStr = SecretStr("sqlite:///taipu.db")
    """An SQLite file, or postgresql://user:password@host/name."""
    key_passphrase: SecretStr | None = Field(default=None, min_length=_PASSPHRASE)
    """What the private keys are encrypted under; better given as a variable or a file than here."""
    key_passphrase_file: Path | None = None
    """A file whose first line is the passphrase."""
    threads: int = Field(default=40, ge=1, le=1000)
    """Requests worked on at one time by one process."""
    database_pool: int = Field(default=48, ge=1, le=1000)
    """Database connections of one process; not fewer than `threads`, or requests wait for one another."""
    max_body_bytes: int = Field(default=32 * MIB, ge=64 * 1024, le=1024 * MIB)
    """Largest request body, bytes, before and after decompression."""
    max_page: int = Field(default=10_000, ge=1, le=100_000)
    """Most records in one page of an answer."""
    max_feed_page_bytes: int = Field(default=8 * MIB, ge=64 * 1024, le=256 * MIB)
    """Bytes after which a page of a feed ends; it holds at least one batch."""
    max_wait: float = Field(default=60.0, ge=0, le=60)
    """Longest time a request for a feed is held open for a caller, seconds; the protocol allows 60."""
    poll_wait: float = Field(default=30.0, ge=0, le=60)
    """How long we ask a partner to hold our request for its feeds open, seconds."""
    checkpoint: float = Field(default=0.25, ge=0.01, le=60)
    """Longest time an entry waits for its place in the log, seconds."""
    token_rate: float = Field(default=20.0, ge=0.1, le=100_000)
    """Token requests a second of one address and of one client, in one process; ten seconds' worth may come at once."""
    dpop_nonce: bool = False
    """Whether every proof needs a nonce of ours (RFC 9449, section 8); where one is needed anyway, it is asked for."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe message that is written."""
    log_format: Literal["json", "console"] = "console"
    """One JSON object a line for machines, or lines for people."""
    listen: Listen = Listen()
    tls: Tls = Tls()
    retry: Retry = Retry()
    keys: KeySettings = KeySettings()
    partners: Partners = Partners()
    loggers: Loggers = Loggers()
    outlines: OutlineFile = OutlineFile()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings names all four
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """First what the program was told, then the environment, then the file of the home directory."""
        home = init_settings().get("home")
        written = _read_file(home / FILE_NAME) if isinstance(home, Path) else {}
        return init_settings, env_settings, InitSettingsSource(settings_cls, written)

    @field_validator("party")
    @classmethod
    def _party(cls, value: str) -> str:
        return _own_check(check_party, value)

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        return _own_check(host_of, value)

    @field_validator("log_origin")
    @classmethod
    def _log_origin(cls, value: str) -> str:
        if not _ORIGIN.fullmatch(value):
            raise ValueError("must be 1 to 200 printable ASCII characters without spaces and plus signs")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        return SecretStr(_database_address(value.get_secret_value(), info.data["home"]))

    @field_validator("key_passphrase_file")
    @classmethod
    def _passphrase_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("key_passphrase") is not None:
            raise ValueError("must not be given together with key_passphrase")
        return value and info.data["home"] / value

    @field_validator("database_pool")
    @classmethod
    def _not_below_threads(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("threads", 0):
            raise ValueError("must not be less than threads: fewer connections than threads stall the service")
        return value

    @field_validator("tls")
    @classmethod
    def _tls(cls, value: Tls, info: ValidationInfo) -> Tls:
        home: Path = info.data["home"]
        files = {name: home / getattr(value, name) for name in ("certificate", "key", "ca")}
        return value.model_copy(update={**files, "client_ca": value.client_ca and home / value.client_ca})

    @field_validator("outlines")
    @classmethod
    def _outlines(cls, value: OutlineFile, info: ValidationInfo) -> OutlineFile:
        home: Path = info.data["home"]
        return value.model_copy(update={"file": value.file and home / value.file})

    def passphrase(self) -> bytes | None:
        """What the private keys are encrypted under; None where they lie in clear.

        Raises:
            SettingsError: `key_passphrase_file` cannot be read, or its first line is too short.
        """
        if self.key_passphrase_file is None:
            return self.key_passphrase.get_secret_value().encode() if self.key_passphrase else None
        return read_passphrase(self.key_passphrase_file)


class Setting(NamedTuple):
    """One setting as the manual shows it: `name` is dotted, `default` is TOML text, empty where there is none."""

    name: str
    type: str
    default: str
    description: str

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return ENV_PREFIX + self.name.replace(".", "__").upper()


def load_settings(home: Path) -> Settings:
    """The settings of the gateway whose home directory is `home`.

    Raises:
        SettingsError: there is no `taipu.toml` (`settings.missing`), it cannot be read, or settings are unknown,
            missing or impossible (`settings.invalid`, all of them at once).
    """
    home = home.resolve()
    if not (home / FILE_NAME).is_file():
        detail = f"there is no {FILE_NAME} in {home}; taipu init makes a home directory"
        raise SettingsError(detail, code="settings.missing")
    known = {"TAIPU_HOME", "TAIPU_SESSION", *(setting.variable for setting in describe())}
    strange = sorted(name for name in os.environ if name.upper().startswith(ENV_PREFIX) and name.upper() not in known)
    faults: list[_Fault] = [((name,), "there is no such setting") for name in strange]
    try:
        settings = Settings.model_validate({"home": home})
    except ValidationError as error:
        faults += [_fault(one) for one in error.errors(include_url=False, include_input=False)]
    if faults:
        detail = "; ".join(f"{'.'.join(place)}: {fault}" for place, fault in faults)
        raise SettingsError(detail, pointers=["/" + "/".join(place) for place, _ in faults])
    return settings


def read_passphrase(path: Path) -> bytes:
    """What private keys are encrypted under: the first line of the file at `path`.

    Raises:
        SettingsError: it cannot be read, or its first line is too short.
    """
    where = ["/key_passphrase_file"]
    try:
        line = path.read_bytes().partition(b"\n")[0].rstrip(b"\r")
    except OSError as error:
        raise SettingsError(f"the passphrase file cannot be read: {error.strerror}", pointers=where) from error
    if len(line) < _PASSPHRASE:
        raise SettingsError(f"the passphrase file's first line has less than {_PASSPHRASE} bytes", pointers=where)
    return line


def describe() -> list[Setting]:
    """Every setting there is, in the order of the manual and of `taipu.toml`: single ones first, then groups."""
    return [setting for setting in _describe(Settings.model_fields) if setting.name != "home"]


def _read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        written = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    if "home" in written:
        raise SettingsError(f"{path} names a home directory; it is the one the file lies in", pointers=["/home"])
    return written


def _fault(error: ErrorDetails) -> _Fault:
    sentences = {"extra_forbidden": "there is no such setting", "missing": "this setting has to be given"}
    # A ValueError of our own comes wrapped; its sentence was written to be shown.
    own = error.get("ctx", {}).get("error")
    sentence = str(own) if own is not None else sentences.get(error["type"], error["msg"])
    return tuple(str(part) for part in error["loc"]), sentence


def _own_check(check: Callable[[str], object], value: str) -> str:
    try:
        check(value)
    except SharingError as error:
        raise ValueError(error.detail) from error
    return value


def _database_address(text: str, home: Path) -> str:
    """`text` with the one driver we use for each database, and an SQLite file's path made absolute."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # their messages quote the address, and with it the password
        raise ValueError("must be a database address, for example sqlite:///taipu.db") from None
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    if url.drivername != "sqlite" or url.database in (None, "", ":memory:"):
        raise ValueError("must be sqlite:///FILE or postgresql://…; no other database or driver is supported")
    return url.set(database=str(home / str(url.database))).render_as_string(hide_password=False)


def _describe(fields: Mapping[str, FieldInfo], prefix: str = "") -> Iterator[Setting]:
    for name, field in fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _describe(kind.model_fields, f"{prefix}{name}.")
        else:
            yield Setting(prefix + name, _type_text(kind), _default_text(field), field.description or "")


def _type_text(kind: object) -> str:
    if get_origin(kind) is Literal:
        return " | ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return "list"
    first = next((one for one in get_args(kind) if one is not type(None)), kind)
    if get_origin(first) is Annotated:
        first = get_args(first)[0]
    return {
        str: "text", int: "integer", float: "number", bool: "true | false", Path: "path", SecretStr: "secret",
        Address: "host:port",
    }[cast("type", first)]  # fmt: skip


def _default_text(field: FieldInfo) -> str:
    match field.get_default():
        case None | PydanticUndefinedType():
            return ""
        case bool() as flag:
            return json.dumps(flag)
        case tuple() as listed:
            return json.dumps([str(one) for one in listed])
        case int() | float() as number:
            return repr(number)
        case SecretStr() as secret:
            return json.dumps(secret.get_secret_value())
        case other:
            return json.dumps(str(other))
