"""The life of an anomaly: a state machine per service that turns evidence per window into one episode per fault.

    Warming ──enough seen──> Healthy ──enough suspicious windows──> Anomalous ──quiet, or adopted──> Healthy
       any of them ──unheard of──> Stale ──heard again──> Warming or Healthy

Hysteresis in level (`open_p` below `close_p`) and in time (`open_windows` of the last 3, `close_windows` in a row).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from contracts.events import Anomaly, Contribution
from contracts.events.telemetry import anomaly_id
from contracts.settings import DetectSettings
from contracts.verdicts import AnomalyPhase, ServiceState
from models.adoption import Adopting
from models.judgement import (
    EMPTY_PER_QUIET,
    HARD_DECADES,
    HARD_REQUESTS,
    LOOK_BACK,
    MATERIAL,
    ONSET_NS,
    TOLD_DECADES,
    UNEASY,
    UPDATE_NS,
)
from models.wording import describe


@dataclass(frozen=True, slots=True)
class WindowEvidence:
    """What one window of one signal says about a service: decades of fused evidence, and whether it survives the
    false-discovery bound over all services."""

    signal: str
    window_ns: int
    decades: float
    discovery: bool
    requests: int
    contributions: tuple[Contribution, ...]
    rising: bool = False
    late_ns: int = 0
    empty: bool = False
    """Nothing happened in the window, and nothing should have: it says little, and only that it is quiet."""
    hard: bool = False
    """Whether the signal speaks of what callers see, so that one window may do."""


@dataclass(slots=True)
class SignalHistory:
    """The last windows of one signal."""

    suspicious: list[bool] = field(default_factory=list)
    quiet: int = 0
    empty: int = 0
    uneasy_since_ns: int = 0


@dataclass(slots=True)
class Episode:
    """State machine of one service (or edge). Events come out of `look`, `end` and `adopt`."""

    environment: str
    service: str
    peer: str = ""
    """The callee, for the episode of an edge."""
    state: ServiceState = ServiceState.WARMING
    histories: dict[str, SignalHistory] = field(default_factory=dict)
    id: str = ""
    onset_ns: int = 0
    opened_ns: int = 0
    told_ns: int = 0
    told_decades: float = 0.0
    told_features: tuple[str, ...] = ()
    last_ns: int = 0
    opener: str = ""
    adopting: Adopting = field(default_factory=Adopting)

    @property
    def open(self) -> bool:
        """Whether an episode is on."""
        return bool(self.id)

    def look(self, look: WindowEvidence, warm: bool, settings: DetectSettings, model: tuple[str, str]) -> list[Anomaly]:
        """Take in one window; what is to be told. `model` is (detector, version)."""
        self.last_ns = max(self.last_ns, look.window_ns)
        if not warm and not self.open:
            self.state = ServiceState.WARMING
            return []
        history = self.histories.setdefault(look.signal, SignalHistory())
        if look.empty:
            history.empty += 1
            return self._rest(history, look, settings, model)
        history.empty = 0
        self._note(history, look, settings)
        if not self.open:
            self.state = ServiceState.HEALTHY
            if not self._opens(history, look, settings):
                return []
            self._begin(max(history.uneasy_since_ns or look.window_ns, look.window_ns - ONSET_NS), look)
            return [self._tell(AnomalyPhase.OPENED, look, model)]
        self.state = ServiceState.ANOMALOUS
        self.adopting.note(look.contributions)
        if self._closes(settings):
            return [self.end(look, ServiceState.HEALTHY, model)]
        return [self._tell(AnomalyPhase.UPDATED, look, model)] if self._worth_telling(look) else []

    def _rest(
        self, history: SignalHistory, look: WindowEvidence, settings: DetectSettings, model: tuple[str, str]
    ) -> list[Anomaly]:
        """An empty window: it counts for closing only, and for a fraction."""
        if not self.open or look.signal != self.opener or history.empty < EMPTY_PER_QUIET * settings.close_windows:
            return []
        return [self.end(look, ServiceState.STALE, model, "no more requests come: whether it is well can't be told")]

    def end(self, look: WindowEvidence, state: ServiceState, model: tuple[str, str], text: str = "") -> Anomaly:
        """Close the episode that is on."""
        self.state = state
        told = self._tell(AnomalyPhase.CLOSED, look, model, text or "back to what is expected")
        self._clear()
        return told

    def adopt(self, window_ns: int, model: tuple[str, str], by: str, text: str) -> Anomaly:
        """End the episode that is on by taking its levels for normal."""
        self.state = ServiceState.HEALTHY
        look = WindowEvidence(self.opener, window_ns, 0.0, False, 0, self.adopting.parts())
        told = self._tell(AnomalyPhase.ADOPTED, look, model, text)
        self._clear()
        return msgspec.structs.replace(told, by=by)

    def _clear(self) -> None:
        self.id, self.opener, self.told_features = "", "", ()
        self.adopting = Adopting()
        for history in self.histories.values():
            history.suspicious, history.quiet, history.empty, history.uneasy_since_ns = [], 0, 0, 0

    @staticmethod
    def _note(history: SignalHistory, look: WindowEvidence, settings: DetectSettings) -> None:
        p = 10.0**-look.decades
        history.suspicious = [*history.suspicious, p <= settings.open_p and look.discovery][-LOOK_BACK:]
        history.quiet = history.quiet + 1 if p > settings.close_p else 0
        if look.decades < UNEASY:
            history.uneasy_since_ns = 0
        elif not history.uneasy_since_ns:
            history.uneasy_since_ns = look.window_ns

    @staticmethod
    def _opens(history: SignalHistory, look: WindowEvidence, settings: DetectSettings) -> bool:
        if not history.suspicious[-1]:
            return False
        hard = look.hard and look.decades >= HARD_DECADES and look.requests >= HARD_REQUESTS
        return hard or sum(history.suspicious) >= min(settings.open_windows, LOOK_BACK)

    def _closes(self, settings: DetectSettings) -> bool:
        opener = self.histories.get(self.opener)
        quiet = opener is None or opener.quiet >= settings.close_windows
        return quiet and not any(any(h.suspicious) for h in self.histories.values())

    def _begin(self, onset_ns: int, look: WindowEvidence) -> None:
        self.onset_ns, self.opened_ns, self.opener = onset_ns, look.window_ns, look.signal
        self.id = anomaly_id("an", self.environment, self.service, self.peer, onset_ns, look.window_ns)
        self.state = ServiceState.ANOMALOUS
        self.adopting = Adopting(opened_ns=look.window_ns, harmed_ns=look.window_ns)
        self.adopting.note(look.contributions)

    def _worth_telling(self, look: WindowEvidence) -> bool:
        if look.window_ns - self.told_ns < UPDATE_NS or look.decades < TOLD_DECADES:
            return False
        features = tuple(c.feature for c in look.contributions)
        joined = not set(features) <= set(self.told_features)
        return joined or look.decades >= self.told_decades + MATERIAL

    def _tell(self, phase: AnomalyPhase, look: WindowEvidence, model: tuple[str, str], text: str = "") -> Anomaly:
        if phase is AnomalyPhase.OPENED:
            self.told_features = ()
        self.told_ns, self.told_decades = look.window_ns, look.decades
        features = (c.feature for c in look.contributions)
        self.told_features = tuple(dict.fromkeys((*self.told_features, *features)))
        return Anomaly(
            id=self.id,
            environment=self.environment,
            service=self.service,
            phase=phase,
            state=self.state,
            onset_ns=self.onset_ns,
            time_ns=look.window_ns,
            p_value=10.0**-look.decades,
            decades=look.decades,
            contributions=look.contributions,
            detector=model[0],
            model_version=model[1],
            text=text or describe(look.contributions, look.rising),
            peer=self.peer,
            late_ns=look.late_ns,
        )

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Episode:
        """Inverse of `plain`."""
        return msgspec.convert(plain, cls)
