"""In which terms a provider's records are read: the tables in force at that moment and, at home, the party's codes.

What people of this gateway approved as the meaning of a code is applied to what is handed in here and to nothing else:
a partner's records have passed its own gateway and speak the shared codes, or wait.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from schemas.factors import Factors
from schemas.mappings import Codes, Mappings, Meaning
from schemas.records import Observation
from schemas.tables import Tables
from schemas.units import Units


class Terms(NamedTuple):
    """The tables in force, and the codes of the party whose records these are; None where nothing is translated."""

    tables: Tables
    codes: Codes | None = None

    @classmethod
    def at_home(cls, tables: Tables, party: str) -> Terms:
        """For what is handed in at the gateway of `party`."""
        return cls(tables, tables[Mappings].codes_of(party))

    def translated(self, record: Observation, *, packet: bool = False) -> tuple[Observation, Meaning | None]:
        """The record with the factor that its code means, and the unit where it has none; and what was applied.

        `packet`: it came as an HJ 212 packet, whose codes may be those of 2005 whatever edition the device follows.
        """
        if self.codes is None:
            return record, None
        meaning = self.codes.find(record.factor, hj212=packet or record.profile.startswith("hj212-"))
        if meaning is None:
            return record, None
        unit = record.unit if record.unit is not None else meaning.unit
        return msgspec.structs.replace(record, factor=meaning.factor, unit=unit), meaning

    def references(self) -> list[str]:
        """The versions that decide what is taken, held or translated, as the log names them."""
        return list(self.tables.references(Factors, Units, Mappings))
