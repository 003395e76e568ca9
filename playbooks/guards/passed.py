"""Whether a trouble has passed: by the newest whole windows of a target, of the calls to it, and of those by whom users feel it.

What was ill since the onset is judged over many windows; a remedy is for what is ill now. A trouble that comes and goes is well in some windows as
well: it has passed only if it has been well for longer than it ever paused, and than chance would have it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts import features as f
from contracts.frames import EvidenceFrame
from contracts.units import SECOND
from contracts.verdicts import ServiceState
from playbooks.guards.callers_view import (
    FAILING,
    LEAST_FAILED,
    LEAST_REQUESTS,
    asked_of,
    rows_of_calls,
)
from playbooks.guards.resources import short_of, unended
from playbooks.guards.service_rows import FACES, ServiceRows, rows_of

LEAST_WELL: Final = 2
"""Newest whole windows that must be well."""
BY_CHANCE: Final = 0.05
"""Probability up to which so many windows are not well by chance, of a trouble that shows in as many windows as it did."""
PRESENT_S: Final = 8.0
"""Seconds by which what is known of somebody may be behind what is known of anybody, for it to be of the present: telemetry comes a few seconds late."""
LONGEST_S: Final = 10.0
"""Seconds that a request which takes as long as the slowest since the onset is waited for at most."""
CALLS: Final = (f.CALL_ERROR_RATE, f.CALL_LATENCY_P95, f.NETWORK_GAP)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one of those concerned shows, by window: whether it is ill, and how many requests it served; and how long the slowest took that are."""

    ill: Mapping[int, bool]
    served: Mapping[int, float]
    slowest_s: float = 0.0
    width_s: float = 1.0


def passed(
    frames: Iterable[EvidenceFrame], service: str, felt_by: Collection[str], onset_ns: int, peer: str = ""
) -> str:
    """That `service`, the calls to it (and its own to `peer`), and whoever else it is felt by have been well in the newest whole windows, after
    they were ill, in words; "" where that isn't so, or not known. Frames in order of arrival; a later one of the same window counts."""
    kept = list(frames)
    target = _of(kept, service, onset_ns)
    metrics = rows_of(kept, service, f.Signal.METRICS)
    if target is None or short_of(metrics) or unended(_faces(kept, service), onset_ns):
        return ""
    serving = [target, *(s for name in sorted({*felt_by} - {service}) if (s := _of(kept, name, onset_ns)) is not None)]
    calls = [*_of_calls(kept, service, onset_ns), *(_of_calls(kept, peer, onset_ns, caller=service) if peer else ())]
    seen = [*serving, *calls]
    width_ns, newest_ns = round(target.width_s * SECOND), max(frame.window_ns for frame in kept)
    known = [newest_ns - width_ns, *(max(s.ill) for s in serving)]
    if calls:  # who called nobody of late has nothing to tell of it
        known.append(max(frame.window_ns for frame in kept if frame.signal == f.Signal.EDGES))
    slowest_s = min(max(s.slowest_s for s in seen), LONGEST_S)
    until_ns = min(known) - math.ceil(slowest_s) * SECOND
    if newest_ns - until_ns > (PRESENT_S + slowest_s) * SECOND:
        return ""
    windows = sorted(w for w in target.ill if w <= until_ns)
    streak = _streak([any(s.ill.get(w, False) for s in seen) for w in windows])
    if not streak or sum(target.served[w] for w in windows[-streak:]) < LEAST_REQUESTS:
        return ""
    return f"{service}, and those by whom users feel it, have been well for {streak * width_ns / SECOND:.0f} s"


def _streak(ill: Sequence[bool]) -> int:
    """How many of the latest windows are well, where that is more than a pause of a trouble that comes and goes; else 0."""
    told = np.flatnonzero(ill)
    if not len(told):
        return 0
    streak = len(ill) - 1 - int(told[-1])
    longest = int(np.diff(told).max(initial=1)) - 1
    share = len(told) / (int(told[-1]) - int(told[0]) + 1)
    return streak if streak >= LEAST_WELL and streak > longest and (1.0 - share) ** streak <= BY_CHANCE else 0


def _faces(frames: Sequence[EvidenceFrame], service: str) -> dict[f.Signal, ServiceRows | None]:
    return {face.signal: rows_of(frames, service, face.signal) for face in FACES}


def _of(frames: Sequence[EvidenceFrame], service: str, onset_ns: int) -> _Seen | None:
    """The windows since the onset in which a service says how it serves: by its spans, or where it has none by its counters. One without a
    request is not well."""
    for face in FACES:
        rows = rows_of(frames, service, face.signal)
        if rows is None or face.rate not in rows.values:
            continue
        late = rows.window + round(rows.width_s * SECOND) > onset_ns
        since = rows.part(np.asarray(late & np.isfinite(rows.values[face.rate]), np.bool_))
        if not since.counts.any():
            continue
        typical = face.latencies[:2]
        ill = since.above(face.errors, *typical) | (since.counts <= 0)
        took = [since.values[name][ill] for name in typical if name in since.values]
        slowest_s = max((float(np.nanmax(t)) for t in took if np.isfinite(t).any()), default=0.0)
        told = list(map(int, since.window))
        return _Seen(
            dict(zip(told, ill.tolist(), strict=True)),
            dict(zip(told, since.counts, strict=True)),
            slowest_s,
            rows.width_s,
        )
    return None


def _of_calls(frames: Sequence[EvidenceFrame], callee: str, onset_ns: int, caller: str = "") -> Iterator[_Seen]:
    """The same of the calls to a service, by caller: those of one, or of all."""
    ill: dict[str, dict[int, bool]] = {}
    slowest_s: dict[str, float] = {}
    for frame, i in rows_of_calls(frames, callee):
        name = frame.services[i]
        if frame.window_ns + frame.width_ns <= onset_ns or frame.counts[i] < 0 or caller not in ("", name):
            continue
        if frame.state[i] == ServiceState.STALE:
            continue
        windows, amiss = ill.setdefault(name, {}), _amiss(frame, i)
        windows[frame.window_ns] = amiss or windows.get(frame.window_ns, False)
        if amiss and f.CALL_LATENCY_P95 in frame.features:
            took = float(np.nan_to_num(frame.values[i, frame.features.index(f.CALL_LATENCY_P95)]))
            slowest_s[name] = max(slowest_s.get(name, 0.0), took)
    yield from (_Seen(ill[name], {}, slowest_s.get(name, 0.0)) for name in sorted(ill))


def _amiss(frame: EvidenceFrame, i: int) -> bool:
    """Whether calls fail, take longer, lose time on the way, or are not answered."""
    columns = [frame.features.index(name) for name in CALLS if name in frame.features]
    made, answered = asked_of(frame, i), float(frame.counts[i])
    lost = made - answered >= LEAST_FAILED and made - answered > FAILING * made
    return lost or bool((frame.values[i, columns] > frame.high[i, columns]).any())
