"""Write the pages for data suppliers below `docs/` of the working directory."""

from __future__ import annotations

from pathlib import Path

from gateway.suppliers import FILES, page

for _language, _name in FILES.items():
    Path("docs", _name).write_text(page(_language), encoding="utf-8")
