"""The keys this gateway signs its tokens with: the one in use and those that are published beside it.

They change while the gateway runs: the next key is published before it is used, and the old one stays until the last
token it signed has ended. So whoever signs or verifies asks for them each time, and nobody keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from joserfc.jwk import ECKey

TOKEN_LIFETIME = 300  # s; the next key is published for longer than this before it is used (FAPI 2.0, 5.4)


class TokenKeys(NamedTuple):
    """`signing` is private, P-256, with a `kid`; `published` are all keys whose tokens are good, `signing` first."""

    signing: ECKey
    published: tuple[ECKey, ...]

    @classmethod
    def of(cls, signing: ECKey, *others: ECKey) -> TokenKeys:
        """`signing` in use, and `others` published beside it.

        Raises:
            RuntimeError: tokens cannot be signed with that key.
        """
        if not signing.is_private or signing.curve_name != "P-256" or not signing.kid:
            raise RuntimeError("tokens are signed with a private P-256 key that has a kid")
        return cls(signing, (signing, *others))


LoadTokenKeys = Callable[[], TokenKeys]
"""The keys as they are at this moment; the same object as long as nothing has changed."""
