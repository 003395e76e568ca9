"""Whether a target that tells of no requests is worse by what others tell: who calls it, and who serves what it passes on.

Of a proxy, or of whoever sends no spans, nobody sees whether it is slow and fails itself or those whom it calls do. Where it passes calls
on, its callers' spans are joined with those of whoever serves behind it (`streams.windows.silent_hops`): if these get as many calls as
ever and answer as before, what its callers suffer from is its own. If they get fewer, they may be what it fails with: nothing is proven.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from contracts import features as f
from contracts.external import EXTERNAL
from contracts.frames import EvidenceFrame
from contracts.verdicts import ServiceState
from playbooks.guards.callers_view import FAILING, HISTORY_NS, LEAST_BEFORE, LEAST_REQUESTS, is_meant, known_as

PASSED_ON: Final = 0.8
"""Share of the usual calls for each that a target is asked, from which it passes on as many as ever."""
SLOWER: Final = 1.5
"""Times the usual (median) time of calls from which they are slower, however steady they were."""


class _Calls(NamedTuple):
    """Calls of some windows: how many, which share failed, and the median of their windows' times in seconds."""

    made: float
    failed: float
    took: float
    windows: int

    @property
    def share(self) -> float:
        return self.failed / max(self.made, 1.0)


def worse_by_itself(frames: Sequence[EvidenceFrame], service: str, onset_ns: int) -> str:
    """What its callers suffer from and nobody behind it accounts for, in words; "" where nothing is proven."""
    names = known_as(service)
    into = _around(frames, onset_ns, lambda _, peer: is_meant(peer, service, names))
    onward = _around(frames, onset_ns, lambda caller, peer: caller == service and not peer.startswith(EXTERNAL))
    (asked_before, asked), (passed_before, passed) = into, onward
    if min(asked_before.windows, passed_before.windows) < LEAST_BEFORE or min(asked.made, passed.made) < LEAST_REQUESTS:
        return ""
    due = passed_before.made / asked_before.made * asked.made
    as_before = passed.share < passed_before.share + FAILING and not passed.took > SLOWER * passed_before.took
    if passed.made < PASSED_ON * due or not as_before:
        return ""
    behind = "whoever it passes them on to answers all of them as before"
    if asked.share >= asked_before.share + FAILING:
        return f"its callers see {asked.failed:.0f} of {asked.made:.0f} calls fail, and {behind}"
    if asked.took > SLOWER * asked_before.took:
        return f"its callers wait {asked.took / asked_before.took:.2g} times as long as before, and {behind}"
    return ""


def _around(frames: Sequence[EvidenceFrame], onset_ns: int, meant: Callable[[str, str], bool]) -> tuple[_Calls, _Calls]:
    """Calls before the onset and since, of the rows that are meant; a later row of a window counts."""
    rows: dict[tuple[int, str, str], tuple[float, float, float]] = {}
    told = {f.CALL_ERROR_RATE, f.CALL_LATENCY_P95}
    for frame in frames:
        if frame.signal != f.Signal.EDGES or frame.window_ns < onset_ns - HISTORY_NS or not told <= {*frame.features}:
            continue
        errors, took = (frame.features.index(n) for n in (f.CALL_ERROR_RATE, f.CALL_LATENCY_P95))
        for i, (caller, peer) in enumerate(zip(frame.services, frame.peers, strict=True)):
            if frame.counts[i] > 0 and frame.state[i] != ServiceState.STALE and meant(caller, peer):
                made, share = float(frame.counts[i]), float(np.nan_to_num(frame.values[i, errors]))
                rows[frame.window_ns, caller, peer] = made, made * share, float(frame.values[i, took])
    before = [row for (window_ns, *_), row in rows.items() if window_ns < onset_ns]
    since = [row for (window_ns, *_), row in rows.items() if window_ns >= onset_ns]
    return _sum(before), _sum(since)


def _sum(rows: Sequence[tuple[float, float, float]]) -> _Calls:
    took = [t for *_, t in rows if math.isfinite(t)]
    made, failed = (sum(row[i] for row in rows) for i in (0, 1))
    return _Calls(made, failed, float(np.median(took)) if took else math.nan, len(rows))
