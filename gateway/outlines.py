"""The districts' outlines that an operator has given, read once at start.

They are somebody else's data and stay where the operator put them: a gateway neither ships nor serves any.
"""

from __future__ import annotations

from typing import cast

from gateway.setting_groups import OutlineFile, SettingsError
from schemas.outlines import OutlineError, Outlines
from schemas.records.parts import Datum


def load_outlines(given: OutlineFile) -> Outlines | None:
    """The outlines that the settings name; None where they name none.

    Raises:
        SettingsError: the file cannot be read or holds no outlines.
    """
    if given.file is None:
        return None
    where = ["/outlines/file"]
    try:
        return Outlines.read(given.file.read_bytes(), cast("Datum", given.datum), tolerance=given.tolerance)
    except OSError as error:
        raise SettingsError(f"the outlines cannot be read: {error.strerror}", pointers=where) from error
    except OutlineError as error:
        raise SettingsError(f"{error.detail} ({', '.join(error.pointers)})", pointers=where) from error
