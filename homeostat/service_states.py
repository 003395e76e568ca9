"""How each service is, for people: its state, since when and why, from what detection says of it.

This only repeats evidence and anomalies. What is not heard of any more is shown as stale, because the last word on it has grown old:
"healthy" is never said of what was not seen just now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.events import Anomaly
from contracts.frames import EvidenceFrame
from contracts.units import HOUR, SECOND
from contracts.verdicts import AnomalyKind, AnomalyPhase, ServiceState

FORGET_NS: Final = HOUR
"""Who was not heard of for this long is no longer listed."""
MOST: Final = 20_000
_RECENT_NS: Final = 10 * SECOND
_FIRST: Final = (ServiceState.ANOMALOUS, ServiceState.STALE, ServiceState.HEALTHY, ServiceState.WARMING)


@dataclass(slots=True)
class _Signal:
    state: str = ""
    windows: int = 0
    last_ns: int = 0
    """End of the newest window."""


@dataclass(slots=True)
class _Service:
    signals: dict[str, _Signal] = field(default_factory=dict)
    state: ServiceState = ServiceState.WARMING
    since_ns: int = 0
    heard_ns: int = 0
    """When the newest frame came, by this process's clock."""
    delay_s: float = 0.0
    anomalies: dict[str, str] = field(default_factory=dict)


class Services:
    """All services of the environments whose evidence comes here. Bounded: whoever was not heard of for longest goes."""

    def __init__(self, warmup_windows: int, stale_s: float) -> None:
        self._warmup, self._stale_ns = warmup_windows, int(stale_s * SECOND)
        self._known: dict[tuple[str, str], _Service] = {}

    def observe(self, frame: EvidenceFrame, now_ns: int) -> None:
        """Take in what one window says. Edges are not services."""
        end_ns = frame.window_ns + frame.width_ns
        for i, name in enumerate(frame.services):
            if (frame.peers and frame.peers[i]) or ":" in name:
                continue
            service = self._known.pop((frame.environment, name), None) or _Service()
            self._known[frame.environment, name] = service
            signal = service.signals.setdefault(frame.signal, _Signal())
            signal.windows += 1
            if end_ns < signal.last_ns:
                continue
            signal.state, signal.last_ns, service.heard_ns = frame.state[i], end_ns, now_ns
            service.delay_s = (now_ns - end_ns) / SECOND
            state = _of(service)
            if state is not service.state or not service.since_ns:
                service.state, service.since_ns = state, frame.window_ns
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def note(self, anomaly: Anomaly) -> None:
        """Remember why a service is anomalous."""
        if anomaly.peer or anomaly.kind is AnomalyKind.MODEL:
            return
        service = self._known.get((anomaly.environment, anomaly.service))
        if service is None:
            return
        if anomaly.phase in {AnomalyPhase.OPENED, AnomalyPhase.UPDATED}:
            service.anomalies[anomaly.id] = anomaly.text
        else:
            service.anomalies.pop(anomaly.id, None)

    def forget(self, theirs: Callable[[str], bool]) -> None:
        """These environments are another process's now."""
        self._known = {key: s for key, s in self._known.items() if not theirs(key[0])}

    def rows(self, now_ns: int) -> list[dict[str, Any]]:
        """One row per service, by environment and name."""
        for key in [k for k, s in self._known.items() if now_ns - s.heard_ns > FORGET_NS and not s.anomalies]:
            del self._known[key]
        return [self._row(*key, s, now_ns) for key, s in sorted(self._known.items())]

    def counts(self, now_ns: int) -> dict[str, dict[str, int]]:
        """By environment, how many services are in which state."""
        found: dict[str, Counter[str]] = {}
        for (environment, _), s in sorted(self._known.items()):
            found.setdefault(environment, Counter())[self._state(s, now_ns)[0].value] += 1
        return {e: dict(sorted(n.items())) for e, n in found.items()}

    def _row(self, environment: str, name: str, service: _Service, now_ns: int) -> dict[str, Any]:
        state, since_ns, why = self._state(service, now_ns)
        return {
            "environment": environment,
            "service": name,
            "state": state.value,
            "since_ns": since_ns,
            "why": why,
            "delay_s": round(service.delay_s, 2),
            "last_window_ns": max(s.last_ns for s in service.signals.values()),
            "signals": {n: s.state for n, s in sorted(service.signals.items())},
        }

    def _state(self, service: _Service, now_ns: int) -> tuple[ServiceState, int, str]:
        silent_ns = now_ns - service.heard_ns
        said = "; ".join(service.anomalies.values())
        if silent_ns > self._stale_ns:
            old = f"nothing of it was seen for {silent_ns / SECOND:.0f} s"
            return ServiceState.STALE, service.heard_ns, f"{old}; before: {said}" if said else old
        if service.state in {ServiceState.ANOMALOUS, ServiceState.STALE}:
            return service.state, service.since_ns, said or "see `homeostat why`"
        warming = [n for n, s in sorted(service.signals.items()) if s.state == ServiceState.WARMING]
        if service.state is ServiceState.WARMING:
            seen = max(s.windows for s in service.signals.values())
            why = f"{seen} windows were seen, at least {self._warmup} are needed"
            return service.state, service.since_ns, why
        why = "as expected" + (f"; {', '.join(warming)} still warming" if warming else "")
        return service.state, service.since_ns, why


def _of(service: _Service) -> ServiceState:
    """What its newest windows say; a signal that ended some time ago has no say any more."""
    newest = max(s.last_ns for s in service.signals.values())
    states = {s.state for s in service.signals.values() if newest - s.last_ns <= _RECENT_NS}
    return next((s for s in _FIRST if s.value in states), ServiceState.WARMING)
