"""What each role may do, and which roles nobody may hold together (separation of duties, GB/T 22239).

The three administrators are apart: the system's registers and operates, the security's lets people in and guards keys,
the audit's reads what both did and changes nothing. Whatever takes two persons is proposed under one permission and
approved under another; that nobody approves what they proposed, the proposal sees to, whatever roles a person holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

Role = Literal["system", "security", "audit", "approver", "operator", "analyst", "visitor"]

Permission = Literal[
    "registry.read",  # who the partners, clients, plans and people are, and their states
    "partner.propose",
    "partner.approve",
    "partner.suspend",
    "client.propose",
    "client.approve",
    "client.revoke",
    "plan.propose",  # draft a version, and confirm one's own entries as the head of the unit in charge
    "plan.sign",  # sign for the party, as its data authority
    "table.propose",
    "table.approve",
    "person.propose",
    "person.approve",
    "person.suspend",  # disable an account, end anybody's sessions
    "key.rotate",
    "key.revoke",
    "key.approve",
    "exchange.read",  # feeds, deliveries, what is held: counts and states, never values
    "exchange.act",  # retry, release, resend
    "record.read",  # values
    "log.read",
    "log.export",
]

ROLES: tuple[Role, ...] = get_args(Role)
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

NAMES: Mapping[Role, tuple[str, str]] = MappingProxyType(
    {
        "system": ("系统管理员", "system administrator"),
        "security": ("安全管理员", "security administrator"),
        "audit": ("审计管理员", "audit administrator"),
        "approver": ("审批员", "approver"),
        "operator": ("值班员", "operator"),
        "analyst": ("分析员", "analyst"),
        "visitor": ("来访审计员", "visiting auditor"),  # for a time that ends by itself
    }
)

MAY: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        "system": frozenset(
            {
                *("registry.read", "partner.propose", "partner.suspend", "client.propose", "client.revoke"),
                *("plan.propose", "table.propose", "exchange.read", "exchange.act"),
            }
        ),
        "security": frozenset(
            {
                *("registry.read", "partner.suspend", "client.revoke", "person.propose", "person.suspend"),
                *("key.rotate", "key.revoke"),
            }
        ),
        "audit": frozenset({"registry.read", "exchange.read", "log.read", "log.export"}),
        "approver": frozenset(
            {
                *("registry.read", "partner.propose", "partner.approve", "partner.suspend", "client.approve"),
                *("client.revoke", "plan.propose", "plan.sign", "table.approve", "person.approve", "key.approve"),
                "exchange.read",
            }
        ),
        "operator": frozenset({"registry.read", "partner.suspend", "client.revoke", "exchange.read", "exchange.act"}),
        "analyst": frozenset({"registry.read", "record.read", "table.propose"}),
        "visitor": frozenset({"registry.read", "log.read", "log.export"}),
    }
)

_APART: tuple[tuple[Role, Role], ...] = (
    ("system", "security"),
    *(("audit", other) for other in ("system", "security", "approver", "operator")),
    *(("visitor", other) for other in ROLES if other != "visitor"),
)

CONFLICTS: frozenset[frozenset[Role]] = frozenset(frozenset(pair) for pair in _APART)
"""Pairs of roles that one person never holds at one time; the database refuses them, too."""


def permissions_of(roles: frozenset[Role]) -> frozenset[Permission]:
    """All that somebody with these roles may do."""
    return frozenset().union(*(MAY[role] for role in roles))
