"""Services that the action can't have touched: if they got well at the same time, it was perhaps not the action."""

from __future__ import annotations

from contracts.features import Signal
from contracts.frames.feature_frame import EvidenceFrame
from contracts.units import SECOND
from contracts.verdicts import ServiceState

RECENT_NS = 5 * SECOND
"""How shortly before the action a peer must have been ill to be compared with."""


class Peers:
    """Who was ill when the action came, and who got well since."""

    def __init__(self, target: str, acted_ns: int) -> None:
        self._target, self._acted_ns = target, acted_ns
        self._ill: set[str] = set()
        self._well: dict[str, bool] = {}
        self._callers: dict[str, set[str]] = {}

    def observe(self, frame: EvidenceFrame) -> None:
        """Take a frame in."""
        if frame.signal == Signal.EDGES:
            for caller, callee in zip(frame.services, frame.peers, strict=False):
                self._callers.setdefault(callee, set()).add(caller)
        elif frame.window_ns >= self._acted_ns:
            self._well |= {s: v == ServiceState.HEALTHY for s, v in zip(frame.services, frame.state, strict=False)}
        elif frame.window_ns >= self._acted_ns - RECENT_NS:
            ill = (s for s, v in zip(frame.services, frame.state, strict=False) if v == ServiceState.ANOMALOUS)
            self._ill.update(ill)

    def untouched(self) -> tuple[str, ...]:
        """Services that were ill and can't have been helped: not the target, nor anyone who calls it, however indirectly."""
        return tuple(sorted(self._ill - self._dependents()))

    def recovered(self) -> tuple[str, ...]:
        """Those of the untouched that are well now."""
        return tuple(s for s in self.untouched() if self._well.get(s, False))

    def _dependents(self) -> set[str]:
        found, todo = {self._target}, [self._target]
        while todo:
            for caller in sorted(self._callers.get(todo.pop(), ())):
                if caller not in found:
                    found.add(caller)
                    todo.append(caller)
        return found
