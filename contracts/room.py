"""Whether a demand leaves a service room: the one answer for diagnosis, which asks what is to blame, and for guards, which ask what to do."""

from __future__ import annotations

from typing import Final

ROOM: Final = 0.6
"""Share of its CPU's limit below which a service has room, whatever else it waits for. By hand."""
TWICE: Final = 2.0
"""Times the usual demand from which something else than its CPU may be too little. By hand."""


def has_room(cpu: float, times: float) -> bool:
    """Whether so many `times` the usual requests leave a service room, if each takes what it took of its CPU (utilization law: Denning and
    Buzen, 1978). `cpu`: the share of its limit that it usually uses; NaN is not known, so there is none."""
    return cpu >= 0 and times < TWICE and cpu * times < ROOM
