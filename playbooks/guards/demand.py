"""Is a service asked for more than it can do? More requests alone don't say so: they may leave it room, or be the same ones again.

More of a service is for more users. Where its callers ask again for what they did not get, or ask more often for each of their own
requests, it has become more by their doing, and more instances are asked all the more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts import features as f
from contracts.frames import EvidenceFrame
from contracts.frames.decoded import F64
from contracts.room import has_room
from contracts.units import SECOND
from contracts.verdicts import ServiceState

TIMES: Final = 3.0
"""Times the usual calls that an additional request of users may make."""
CHANCE: Final = 2.0
"""Standard deviations by which requests at the entries must be more than before to be those of more users."""
MORE: Final = 1.3
LITTLE_MORE: Final = 1.1
"""Times the usual requests that are more; and that are of a service that runs hot: nobody serves more than it can."""
BURST: Final = 3
"""Windows in a row that a burst of requests has to last to have been one."""
NEAR_NS: Final = 10 * SECOND
"""What came so shortly before the onset may be its beginning."""
LEAST_BEFORE: Final = 5
"""Windows from before the onset from which it is known what is usual."""
UNKNOWN: Final = "what users ask for is not known from before and since"


def bore_before(window: NDArray[np.int64], counts: F64, since: F64, onset_ns: int) -> bool:
    """Whether a service was asked for as much before the onset, for as long. `window`: of its rows, ns, and `counts`: requests in each,
    (windows,); `since`: requests in each window since the onset. A job, or the hour that strikes, comes again and goes: more instances are
    ready when it is gone."""
    early, long = counts[window < onset_ns - NEAR_NS], max(BURST, len(since))
    if len(early) < long:
        return False
    return float(np.convolve(early, np.full(long, 1.0 / long), "valid").max()) >= float(since.mean())


def leaves_room(cpu_before: F64, times: float) -> bool:
    """Whether so many times the requests leave a service room. `cpu_before`: shares of its CPU's limit, (windows,); without any it is not
    known."""
    known = cpu_before[np.isfinite(cpu_before)]
    return len(known) > 0 and has_room(float(known.mean()), times)


def asked_again(frames: Sequence[EvidenceFrame], service: str, onset_ns: int) -> str:
    """Why it is not, or can't be told to be, users who ask a service for more, in words; "" where it may be they, or nobody is known to
    call it.

    Of the requests that came in since the onset at the entries above it, each one beyond the usual would have to make `TIMES` the calls that
    one used to make (and at least so many): then it is services on the way that ask again, or more often.
    """
    callers = _callers(frames)
    entries = _entries(callers, service)
    served = _per_window(frames, onset_ns)
    if service in entries or not entries:
        return ""
    if service not in served or not entries & served.keys():
        return UNKNOWN
    before, since = (sum(served[e][late] for e in entries if e in served) for late in (0, 1))
    own_before, own_since, windows = served[service]
    if before <= 0:
        return ""
    each = max(own_before / before, 1.0)
    more = since - before if since - before > CHANCE * math.sqrt(max(before, 1.0) / windows) else 0.0
    if own_since - own_before <= TIMES * each * more:
        return ""
    asked = f"{own_since / own_before:.2g} times" if own_before > 0 else "what they never did"
    return f"users ask for {since / before:.2g} times the usual, its callers for {asked}"


def _callers(frames: Sequence[EvidenceFrame]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for frame in frames:
        if frame.signal == f.Signal.EDGES:
            for caller, callee in zip(frame.services, frame.peers, strict=True):
                if caller != callee:
                    found.setdefault(callee, set()).add(caller)
    return found


def _entries(callers: Mapping[str, set[str]], service: str) -> set[str]:
    """The services above one that nobody is seen to call."""
    seen, queue = {service}, [service]
    while queue:
        fresh = callers.get(queue.pop(), set()) - seen
        seen |= fresh
        queue += sorted(fresh)
    return {s for s in seen if s not in callers}


def _per_window(frames: Sequence[EvidenceFrame], onset_ns: int) -> Mapping[str, tuple[float, float, int]]:
    """By service: mean counts per window, before and since the onset, of the requests it served; of a mere client, of the calls it made; and
    the windows since."""
    served: dict[str, dict[int, float]] = {}
    made: dict[str, dict[int, float]] = {}
    for frame in frames:
        counts = {f.Signal.SPANS: served, f.Signal.EDGES: made}.get(f.Signal(frame.signal))
        if counts is None:
            continue
        windows: dict[str, float] = {}
        for i, name in enumerate(frame.services):
            if frame.state[i] != ServiceState.STALE:
                windows[name] = windows.get(name, 0.0) + float(frame.counts[i])
        for name, count in windows.items():
            counts.setdefault(name, {})[frame.window_ns] = count
    out = {}
    for name, found in (made | served).items():
        before, since = ([c for w, c in found.items() if (w >= onset_ns) is late] for late in (False, True))
        if len(before) >= LEAST_BEFORE and since:
            out[name] = sum(before) / len(before), sum(since) / len(since), len(since)
    return out
