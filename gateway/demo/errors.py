"""What can go wrong with a demonstration."""

from __future__ import annotations

from schemas.errors import SharingError


class DemoError(SharingError):
    """The demonstration cannot start or go on.

    `demo.gateway-failed`: a gateway's process ended or did not answer. `demo.directory-occupied`: there is something
    else in the directory. `demo.port-taken`: another program listens where a kept gateway did. `demo.database-failed`:
    the PostgreSQL server did not do what was asked.
    """

    code = "demo.gateway-failed"
