"""The systems there are, by name; `hotel/7` is the variation of the hotel that is drawn from seed 7."""

from __future__ import annotations

from typing import Final

from contracts.errors import UnknownName
from homeostat.drills.hotel import HOTEL
from homeostat.drills.system_plan import SystemDesign
from homeostat.drills.variation import variation

SYSTEMS: Final = {"hotel": HOTEL}


def system_named(name: str) -> SystemDesign:
    """A system or a variation of one. Raises UnknownName, with those there are."""
    base, _, seed = name.partition("/")
    if base not in SYSTEMS or (seed and not seed.isdigit()):
        raise UnknownName("system", name, SYSTEMS)
    return variation(SYSTEMS[base], int(seed)) if seed else SYSTEMS[base]
