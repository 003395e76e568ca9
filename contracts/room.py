"""Whether a demand leaves a service room: the one answer for diagnosis, which asks what is to blame, and for guards, which ask what to do."""

from __future__ import annotations

import math
from typing import Final

ROOM: Final = 0.6
"""Share of its CPU's limit below which a service has room, whatever else it waits for. By hand."""
_UPPER: Final = 1.645
"""The 0.95 quantile of the standard normal distribution."""
TWICE: Final = 2.0
"""Times the usual demand from which something else than its CPU may be too little. By hand."""


def has_room(cpu: float, times: float) -> bool:
    """Whether so many `times` the usual requests leave a service room, if each takes what it took of its CPU (utilization law: Denning and
    Buzen, 1978). `cpu`: the share of its limit that it usually uses; NaN is not known, so there is none."""
    return cpu >= 0 and times < TWICE and cpu * times < ROOM


ALONE: Final = 0.5
"""Share of one worker's time that requests may take without queueing for one another. By hand."""


def usual_seconds(median: float, p95: float) -> float:
    """The mean of latencies of which the median and the 0.95 quantile are known (seconds), as of a log-normal distribution. NaN where either is
    not known."""
    if not (median > 0 and p95 >= median):
        return math.nan
    spread = math.log(p95 / median) / _UPPER
    return median * math.exp(min(spread**2 / 2, math.log(p95 / median)))


def queues(per_second: float, seconds: float) -> bool:
    """Whether so many requests, each of which usually takes so long, can be in one another's way (utilization law: Denning and Buzen, 1978).
    Where they would keep not even a single worker busy for half of the time, they don't queue because they are many: each takes longer by
    itself, and more capacity serves none of them sooner. NaN is not known: they may."""
    return not per_second * seconds < ALONE
