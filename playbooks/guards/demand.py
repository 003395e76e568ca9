"""Is a service asked for more than it can do? More requests alone don't say so: they may leave it room, or be the same ones again.

More of a service is for more users. Where its callers ask again for what they did not get, or ask more often for each of their own
requests, it has become more by their doing, and more instances are asked all the more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts import features as f
from contracts.frames import EvidenceFrame
from contracts.verdicts import ServiceState

ROOM: Final = 0.6
"""Share of its CPU's limit below which a service has room, whatever else it waits for."""
TWICE: Final = 2.0
"""Times the usual demand from which something else than its CPU may be too little."""
AGAIN: Final = 1.5
"""Times the calls that its callers would make for the requests that they serve, from which they ask again."""
MORE: Final = 1.3
LITTLE_MORE: Final = 1.1
"""Times the usual requests that are more; and that are of a service that runs hot: nobody serves more than it can."""
LEAST_CALLS: Final = 20.0
"""Calls since the onset from which it is told."""

F64 = NDArray[np.float64]


def leaves_room(cpu_before: F64, times: float) -> bool:
    """Whether so many times the requests leave a service room, if each takes what it took of its CPU (utilization law: Denning and Buzen,
    1978). `cpu_before`: shares of its limit, (windows,); without any it is not known."""
    known = cpu_before[np.isfinite(cpu_before)]
    return len(known) > 0 and times < TWICE and float(known.mean()) * times < ROOM


def asked_again(frames: Sequence[EvidenceFrame], service: str, onset_ns: int) -> str:
    """How its callers repeat themselves, in words; "" where they do not, or it is not known."""
    calls = _per_window(frames, f.Signal.EDGES, onset_ns, service)
    served = _per_window(frames, f.Signal.SPANS, onset_ns)
    expected = made = usual = 0.0
    for caller, (before, since, windows) in calls.items():
        own_before, own_since, _ = served.get(caller, (0.0, 0.0, 0))
        if before <= 0 or own_before <= 0:
            continue
        usual += before * windows
        expected += before * own_since / own_before * windows
        made += since * windows
    if made < LEAST_CALLS or made < AGAIN * expected or made < MORE * usual or expected > MORE * usual:
        return ""
    return f"its callers make {made / max(expected, 1.0):.2g} times the calls that as many of their requests used to make"


def _per_window(
    frames: Sequence[EvidenceFrame], signal: str, onset_ns: int, callee: str = ""
) -> Mapping[str, tuple[float, float, int]]:
    """By service (of calls: by caller of `callee`): mean counts per window before and since the onset, and how many windows since."""
    counts: dict[str, dict[int, float]] = {}
    for frame in frames:
        if frame.signal != signal:
            continue
        for i, name in enumerate(frame.services):
            if (callee and frame.peers[i] != callee) or frame.state[i] == ServiceState.STALE:
                continue
            counts.setdefault(name, {})[frame.window_ns] = float(frame.counts[i])
    out = {}
    for name, found in counts.items():
        before, since = ([c for w, c in found.items() if (w >= onset_ns) is late] for late in (False, True))
        if before and since:
            out[name] = sum(before) / len(before), sum(since) / len(since), len(since)
    return out
