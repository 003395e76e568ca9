"""What a target's resources say of it: that one is short, that it runs hot, that requests are stuck in it, or that it is yet to be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from contracts import features as f
from contracts.frames.decoded import F64
from contracts.units import SECOND
from playbooks.guards.callers_view import AMISS
from playbooks.guards.service_rows import FACES, RECENT, Face, ServiceRows, around

OFTEN_NS: Final = 10 * SECOND
"""Time between two looks up to which it is told often how busy a target is."""
FULL: Final = (f.MEMORY, f.MEMORY_BYTES, f.RESTARTS, f.QUEUE_LAG, f.POOL_WAIT)
"""Resources whose shortage is the target's own trouble, felt or not yet felt."""
ENDS: Final = 3.0
ENDS_LEAST: Final = 2.0
"""Times the requests in flight that those which end account for (by Little's law, if each took as long as the slowest; so many at least), from
which others don't end."""
BUSY: Final = (f.CPU, f.CPU_CORES)
"""Resources that say how much it is asked for: a reason to scale, none to restart."""


def cpu_before(metrics: ServiceRows | None, onset_ns: int) -> F64:
    """Shares of its CPU's limit that a target used before the onset, (looks,)."""
    if metrics is None or f.CPU not in metrics.values:
        return np.empty(0)
    return metrics.values[f.CPU][metrics.window < onset_ns]


def yet_to_be_told(metrics: ServiceRows | None, onset_ns: int, newest_ns: int) -> bool:
    """Whether a service of which it is told often how busy it is has not been told of since the onset, in time for whoever diagnoses.
    `newest_ns`: beginning of the newest window of anything: what came with that nobody has judged yet."""
    if metrics is None:
        return False
    busy = np.zeros(len(metrics.window), dtype=bool)
    for name in BUSY:
        busy |= np.isfinite(metrics.values[name]) if name in metrics.values else False
    looks = metrics.window[busy] + round(metrics.width_s * SECOND)
    judged = looks[looks <= newest_ns]
    return len(judged) > 1 and int(judged[-1]) <= onset_ns and int(judged[-1] - judged[-2]) <= OFTEN_NS


def _late(rows: ServiceRows | None, name: str) -> tuple[F64, F64]:
    """The latest observed values of a resource, and the upper ends of what was expected."""
    if rows is None or name not in rows.values:
        return np.empty(0), np.empty(0)
    seen = np.isfinite(rows.values[name]) & np.isfinite(rows.high[name])
    return rows.values[name][seen][-RECENT:], rows.high[name][seen][-RECENT:]


def _is_above(values: F64, high: F64) -> bool:
    """Whether the last look and a third of the latest are above the expected range."""
    return len(values) > 0 and bool(values[-1] > high[-1]) and bool((values > high).mean() >= AMISS)


def short_of(metrics: ServiceRows | None) -> str:
    """Which resource is short, "" where none is: the last look and a third of the latest are above the expected range."""
    for name in FULL:
        values, high = _late(metrics, name)
        if _is_above(values, high):
            return f"{f.FEATURES[name].text}: {values[-1]:.3g}, expected up to {high[-1]:.3g}"
    return ""


def unended(rows: Mapping[f.Signal, ServiceRows | None], onset_ns: int) -> str:
    """That far more requests are in flight than those that end account for, "" where that isn't so: they hang, and of them no other figure tells.
    Of who held streams open before nothing follows."""
    metrics = rows[f.Signal.METRICS]
    values, high = _late(metrics, f.IN_FLIGHT)
    if metrics is None or not _is_above(values, high):
        return ""
    usual = metrics.values[f.IN_FLIGHT][metrics.window < onset_ns]
    ended = [x for x in (_ended(rows[face.signal], face, onset_ns) for face in FACES) if x is not None]
    if not ended or not np.isfinite(usual).any():
        return ""
    before, since = (ENDS * max(ENDS_LEAST, *side) for side in zip(*ended, strict=True))
    if values[-1] <= since or float(np.nanmean(usual)) > before:
        return ""
    return f"{f.FEATURES[f.IN_FLIGHT].text}: {values[-1]:.3g}, expected up to {high[-1]:.3g}, and those that end account for fewer"


def _ended(rows: ServiceRows | None, face: Face, onset_ns: int) -> tuple[float, float] | None:
    """Requests in flight by those that end, before the onset and since: how many come, times what the slowest take. None where that is not known."""
    if rows is None or face.rate not in rows.values or face.latencies[1] not in rows.values:
        return None
    found = []
    for part in around(rows, face, onset_ns):
        seconds = part.values[face.latencies[1]]
        if not np.isfinite(seconds).any():
            return None
        found.append(float(np.nanmean(part.values[face.rate]) * np.nanmax(seconds)))
    return found[0], found[1]


def runs_hot(metrics: ServiceRows | None) -> bool:
    """Whether it is busier than expected, at the last look and a third of the latest."""
    return bool(busy(metrics))


def busy(metrics: ServiceRows | None) -> str:
    """That its processor is busier than expected, "" where it is not: where callers wait for it and it is asked for no more, that is its own
    trouble."""
    for name in BUSY:
        values, high = _late(metrics, name)
        if _is_above(values, high):
            return f"its callers wait before it takes their requests; {f.FEATURES[name].text}: {values[-1]:.3g}, expected up to {high[-1]:.3g}"
    return ""
