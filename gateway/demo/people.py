"""The people of the demonstration: who founded each gateway, and who acts there, each with a sign-in that works.

    DIR/people.json    names, passwords and second factors, for whoever plays with it

They come in as people do: two founders by setup codes, everybody else proposed by one and approved by the other. What
they do together by telephone, one process does here for both. No real gateway has such a file: it is for its owner
alone.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import pyotp

from gateway import approvals
from gateway.people.accounts import find_account, newcomer
from gateway.people.changes import draw_enrolment_code, propose_person
from gateway.people.enrolment import Founder, draw_setup_code, enrol, show_factor
from gateway.people.person import Person
from gateway.people.roles import NAMES, Role
from gateway.people.second_factor import STEP
from gateway.service import Gateway
from partners.keys import write_private

PEOPLE_FILE = "people.json"
SECURITY, APPROVER, SYSTEM, AUDIT = "an", "shen", "xi", "ji"  # 安, 审, 系, 计
FOUNDERS: dict[str, Founder] = {SECURITY: "security", APPROVER: "approver"}
OTHERS: dict[str, Role] = {SYSTEM: "system", AUDIT: "audit"}


@dataclass(frozen=True)
class SignIn:
    """What it takes to sign in as one of them; `otpauth` is what an authenticator is given."""

    party: str
    name: str
    role: Role
    password: str
    otpauth: str


def let_in(gateway: Gateway, *, now: int) -> list[SignIn]:
    """Found a gateway and let the others in; their sign-ins, none where it was founded before. `now` in ms UTC.

    Their second factors are shown a minute before `now`, so that a code of now is still good for signing in.
    """
    with gateway.database.read() as session:
        if find_account(session, SECURITY, now=now) is not None:
            return []
    now -= 2 * STEP
    made = [
        _enrol(gateway, draw_setup_code(gateway, role, now=now), name, role, now=now, founds=True)
        for name, role in FOUNDERS.items()
    ]
    security, approver = (acting(gateway, name, now=now) for name in FOUNDERS)
    for name, role in OTHERS.items():
        one = newcomer(name, _full_name(role), f"demo-{name}")
        proposal = propose_person(gateway, one, [role], by=security, now=now)
        approvals.approve(gateway, proposal.id, by=approver, digest=proposal.digest, now=now)
        code = draw_enrolment_code(gateway, proposal.id, by=security, now=now)
        made.append(_enrol(gateway, code, name, role, now=now, founds=False))
    return made


def acting(gateway: Gateway, name: str, *, now: int) -> Person:
    """One of them, as if just signed in with both factors at `now` (ms UTC)."""
    with gateway.database.read() as session:
        account = find_account(session, name, now=now)
    if account is None:
        raise RuntimeError(f"{name} was never let in at {gateway.party}")
    return Person(account.name, account.full_name, account.roles, now)


def write_sign_ins(root: Path, made: list[SignIn]) -> None:
    """Add to what stands in the demonstration's file of sign-ins."""
    path = root / PEOPLE_FILE
    held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    path.unlink(missing_ok=True)
    write_private(path, json.dumps([*held, *map(vars, made)], ensure_ascii=False, indent=2).encode())


def _enrol(gateway: Gateway, code: str, name: str, role: Role, *, now: int, founds: bool) -> SignIn:
    factor = show_factor(gateway, code, account=name, now=now)
    password = secrets.token_urlsafe(12)
    founder = newcomer(name, _full_name(role), f"demo-{name}") if founds else None
    enrol(gateway, code, password, pyotp.TOTP(factor.secret).at(now // 1000), founder=founder, now=now)
    return SignIn(gateway.party, name, role, password, factor.uri)


def _full_name(role: Role) -> str:
    return f"{NAMES[role][0]}（演示）"
