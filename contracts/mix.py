"""A service's latency by route: whether it is slower, or only asked for something slower.

Latency of all requests together rises when a crawler asks for the slowest page, though each page takes as long as ever. From the
sums that ingest makes per window (`contracts.features.ASIDE`) follows what requests of known routes do against their own past,
which no mix changes.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

from contracts.frames.decoded import F64

LEAST_BEFORE: Final = 40.0
"""Requests of known routes, before, from which it can be told how they usually go."""
LEAST_SINCE: Final = 5.0
SLOWER: Final = 0.25
"""Standard deviations of a route's logarithms by which the mean request may be slower and yet as before, besides chance."""
SURE_Z: Final = 2.5
RISEN: Final = 0.15
"""Logarithm by which the usual time of what is asked for must have risen for slower routes to explain anything."""
NEW_SHARE: Final = 0.03
"""Share of requests of routes nobody knows from which those may explain something."""
REPLACED: Final = 0.8
"""Share of the usual requests of known routes below which new routes may be instead of them, and not besides."""


class Blame(enum.Enum):
    """What a service's latency since the onset is to be put down to."""

    UNKNOWN = enum.auto()
    SERVICE = enum.auto()
    """Its known routes are slower than they were, or nothing else explains it."""
    MIX = enum.auto()
    """Its known routes are as they were, and asked for in another mix, or besides new ones."""
    NEW = enum.auto()
    """Its known routes are as they were as far as they are asked for; new ones that nobody can judge take their place."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Whom to blame for a latency that is higher than before."""

    latency: Blame = Blame.UNKNOWN
    risen: float = 1.0
    """So many times as long as before takes what it is asked for, by the usual times of its routes; at least 1."""
    otherwise: bool = False
    """Whether it is asked for something else than before: for routes that usually take longer or shorter, or for new ones."""

    @property
    def excuses(self) -> bool:
        """Whether the service answers as before, route by route, and is asked for something slower."""
        return self.latency is Blame.MIX

    @property
    def routes_as_before(self) -> bool:
        """Whether nothing that it was asked for before is slower now."""
        return self.latency in (Blame.MIX, Blame.NEW)


def mix_of(before: F64, since: F64) -> Mix:
    """From windows, requests, known requests, their level and pace: the sums of all windows before the onset, and since."""
    windows, asked, known, level, pace = before.tolist()
    windows_since, asked_since, known_since, level_since, pace_since = since.tolist()
    if known < LEAST_BEFORE or not windows or asked_since < LEAST_SINCE or not windows_since:
        return Mix()
    unknown, unknown_since = 1 - known / max(asked, 1.0), 1 - known_since / asked_since
    new = unknown_since - unknown >= NEW_SHARE
    if known_since < LEAST_SINCE:
        return Mix(Blame.NEW if new else Blame.UNKNOWN, otherwise=new)
    slower = pace_since / known_since - pace / known
    rise = level_since / known_since - level / known
    risen = math.exp(rise) if rise >= RISEN else 1.0
    otherwise = new or abs(rise) >= RISEN
    if slower > SLOWER + SURE_Z / math.sqrt(known_since):
        return Mix(Blame.SERVICE, risen, otherwise)
    if new and known_since / windows_since < REPLACED * known / windows:
        return Mix(Blame.NEW, risen, otherwise)
    return Mix(Blame.MIX if new or rise >= RISEN else Blame.SERVICE, risen, otherwise)
