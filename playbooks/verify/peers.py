"""Services that the action can't have touched: if they got well at the same time, it was perhaps not the action."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from contracts.features import ERROR_RATE, LATENCY_P95, Signal
from contracts.frames.feature_frame import EvidenceFrame
from contracts.meant_names import calls_meant
from contracts.units import SECOND

RECENT_NS: Final = 5 * SECOND
"""How shortly before the action a peer must have been ill to be compared with."""
ALIKE_NS: Final = 2 * SECOND
"""How much later than the target a peer may get well and be said to have got well with it."""
LEAST: Final = 2
"""Windows that say of a peer that it is ill, or well."""
_HARM: Final = (ERROR_RATE, LATENCY_P95)


class Peers:
    """Who was ill by what it serves itself when the action came, and since when they are well.

    A caller of the target recovers with it, however indirectly, and whom it calls may have been ill of its demands: both are touched.
    """

    def __init__(self, target: str, began_ns: int) -> None:
        self._target, self._began_ns = target, began_ns
        self._windows: dict[str, dict[int, bool]] = {}
        self._calls: dict[tuple[str, str], None] = {}
        self._own: dict[str, None] = {}
        """Services that tell of themselves."""

    def observe(self, frame: EvidenceFrame) -> None:
        """Take a frame in."""
        if frame.signal == Signal.EDGES:
            self._calls.update(dict.fromkeys(zip(frame.services, frame.peers, strict=False)))
            return
        self._own.update(dict.fromkeys(frame.services))
        if frame.signal != Signal.SPANS or frame.window_ns < self._began_ns - 2 * RECENT_NS:
            return
        before = frame.window_ns + frame.width_ns <= self._began_ns
        for service, ill in _ill(frame).items():
            if ill and before:
                self._windows.setdefault(service, {})[frame.window_ns] = True
            elif service in self._windows:
                self._windows[service][frame.window_ns] = ill

    def untouched(self) -> tuple[str, ...]:
        """Services that were ill right before the action and can't have been helped by it."""
        since_ns = self._began_ns - RECENT_NS
        calls = set(calls_meant(self._calls, self._own.keys()))
        touched = self._reach((b, a) for a, b in calls) | self._reach(calls)
        return tuple(
            sorted(
                service
                for service, windows in self._windows.items()
                if service not in touched
                and sum(ill for w, ill in windows.items() if since_ns <= w < self._began_ns) >= LEAST
            )
        )

    def recovered(self) -> dict[str, int]:
        """Those of the untouched that are well now, and since when (epoch nanoseconds)."""
        found = {service: self._well_since(service) for service in self.untouched()}
        return {service: since_ns for service, since_ns in found.items() if since_ns}

    def _well_since(self, service: str) -> int:
        since_ns, count = 0, 0
        for window, ill in sorted(self._windows[service].items()):
            since_ns, count = (0, 0) if ill else (since_ns or window, count + 1)
        return since_ns if count >= LEAST else 0

    def _reach(self, pairs: Iterable[tuple[str, str]]) -> set[str]:
        calls: dict[str, set[str]] = {}
        for one, other in pairs:
            calls.setdefault(one, set()).add(other)
        found, todo = {self._target}, [self._target]
        while todo:
            for other in sorted(calls.get(todo.pop(), ())):
                if other not in found:
                    found.add(other)
                    todo.append(other)
        return found


def _ill(frame: EvidenceFrame) -> dict[str, bool]:
    """Who fails or is slow by its own numbers, of those who served something."""
    columns = [j for j, name in enumerate(frame.features) if name in _HARM]
    if not columns or not len(frame.services):
        return {}
    values, high = frame.values[:, columns], frame.high[:, columns]
    known = np.isfinite(values) & np.isfinite(high)
    ill, seen = np.any(known & (values > high), axis=1).tolist(), np.any(known, axis=1).tolist()
    return {s: i for s, i, k in zip(frame.services, ill, seen, strict=True) if k}
