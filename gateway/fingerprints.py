"""A party's fingerprint to look at: a QR code that says whose it is, for a terminal or a page.

It saves people reading eight groups from one screen while they hear them read out, and nothing more: what decides is
that the groups came over another way than the document, from somebody whose voice is known.
"""

from __future__ import annotations

import io

import segno

_SCALE = 5  # pixels of one module


def qr_text(party: str, fingerprint: str) -> str:
    """What the code says: the party and the 32 digits."""
    return f"taipu:{party}:{fingerprint.replace(' ', '')}"


def terminal_qr(party: str, fingerprint: str) -> str:
    """The code as lines of block characters, for a terminal with light letters on dark."""
    drawn = io.StringIO()
    segno.make_qr(qr_text(party, fingerprint)).terminal(drawn, compact=True, border=2)
    return drawn.getvalue()


def svg_qr(party: str, fingerprint: str) -> str:
    """The code as an SVG document of its own."""
    drawn = io.BytesIO()
    segno.make_qr(qr_text(party, fingerprint)).save(drawn, kind="svg", scale=_SCALE, light="#fff", title=fingerprint)
    return drawn.getvalue().decode("utf-8")
