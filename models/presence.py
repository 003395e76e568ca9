"""Who should be in a frame: a service that falls silent sends no rows, and that is news."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from contracts.features import COUNT_OF, Signal
from contracts.frames.features import FeatureFrame

NS: Final = 1_000_000_000
EXPECTED_FOR_NS: Final = 120 * NS
"""A series is expected in every window for this long after it was last there."""
DISCONTINUITY_NS: Final = 45 * NS
"""A jump of event time by more than this is a gap in what was recorded or delivered, not a silence of services."""
COUNTED = frozenset({Signal.SPANS.value, Signal.LOGS.value, Signal.EDGES.value})
"""Signals whose absence means that nothing happened. Metrics come when their reader likes."""


@dataclass(slots=True)
class Presence:
    """Who was seen when, of one environment and signal."""

    clock_ns: int = -1
    last_ns: dict[tuple[str, str], int] = field(default_factory=dict)

    def complete(self, frame: FeatureFrame) -> tuple[FeatureFrame, bool]:
        """The frame with a row of zero events for each series that was there lately and is missing now, and whether
        event time jumped (then nobody is expected yet)."""
        if frame.revision > 0 or frame.window_ns <= self.clock_ns:
            return frame, False
        jumped = self.clock_ns >= 0 and frame.window_ns - self.clock_ns > max(DISCONTINUITY_NS, 3 * frame.width_ns)
        if jumped and frame.signal in COUNTED:
            self.last_ns.clear()
        self.clock_ns = frame.window_ns
        here = set(zip(frame.services, frame.peers or ("",) * len(frame.services), strict=True))
        missing = [key for key in self.last_ns if key not in here] if frame.signal in COUNTED else []
        self._note(frame)
        self._forget(frame.window_ns)
        missing = [key for key in missing if key in self.last_ns]
        return (_with_silent(frame, missing) if missing else frame), jumped

    def _note(self, frame: FeatureFrame) -> None:
        peers = frame.peers or ("",) * len(frame.services)
        for service, peer, count in zip(frame.services, peers, frame.counts.tolist(), strict=True):
            if count > 0 or frame.signal not in COUNTED:
                self.last_ns[(service, peer)] = frame.window_ns

    def _forget(self, window_ns: int) -> None:
        horizon = window_ns - EXPECTED_FOR_NS
        for key in [key for key, last in self.last_ns.items() if last < horizon]:
            del self.last_ns[key]

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        return {"clock_ns": self.clock_ns, "last": [[s, p, t] for (s, p), t in self.last_ns.items()]}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Presence:
        """Inverse of `plain`."""
        return cls(plain["clock_ns"], {(s, p): t for s, p, t in plain["last"]})


def _with_silent(frame: FeatureFrame, missing: list[tuple[str, str]]) -> FeatureFrame:
    count, width = len(missing), len(frame.features)
    rows = np.full((count, width), np.nan)
    traffic = COUNT_OF[Signal(frame.signal)]
    if traffic in frame.features:
        rows[:, frame.features.index(traffic)] = 0.0
    blank = ("",) * count
    return dataclasses.replace(
        frame,
        services=frame.services + tuple(s for s, _ in missing),
        peers=frame.peers + tuple(p for _, p in missing) if frame.signal == Signal.EDGES else frame.peers,
        versions=frame.versions + blank,
        attributes=frame.attributes + blank,
        values=np.concatenate([frame.values, rows]),
        counts=np.concatenate([frame.counts, np.zeros(count, np.int64)]),
        notes=frame.notes + blank if frame.notes else frame.notes,
    )
