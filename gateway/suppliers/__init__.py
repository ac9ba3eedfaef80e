"""The page for data suppliers, in Chinese and English: what to hand in, how, and what a refusal means.

`python -m gateway.suppliers` writes `docs/suppliers.zh.md` and `docs/suppliers.md` anew. What is said in sentences
stands in the two templates; every table comes from the tables that decide, so that the page cannot promise what the
gateway does not do. A test compares.
"""

from __future__ import annotations

from gateway.suppliers.page import FILES, page

__all__ = ["FILES", "page"]
