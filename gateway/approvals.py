"""Every kind of act that takes two persons, and deciding about one: the one way for the console and the command line.

A new kind of act is a `Kind` in the module that carries it out, and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway import proposals, registry
from gateway.key_revocation import REVOCATION
from gateway.log_shards import LOG_SUCCESSOR
from gateway.people.changes import PEOPLE_KINDS
from gateway.people.person import Person
from gateway.proposals import Kind, Proposal
from gateway.service import Gateway

_ALL: tuple[Kind, ...] = (*registry.KINDS, *PEOPLE_KINDS, REVOCATION, LOG_SUCCESSOR)
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})


def approve(gateway: Gateway, identifier: str, *, by: Person, digest: str, now: int) -> Proposal:
    """Carry out a proposal. Raises as `proposals.approve` does."""
    return proposals.approve(gateway, KINDS, identifier, by=by, digest=digest, now=now)


def reject(gateway: Gateway, identifier: str, *, by: Person, now: int) -> Proposal:
    """Decide that a proposal is never carried out. Raises as `proposals.reject` does."""
    return proposals.reject(gateway, KINDS, identifier, by=by, now=now)
