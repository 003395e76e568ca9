"""The life of an anomaly: what turns evidence per window into one episode per fault.

    Warming ──enough seen──> Healthy ──enough suspicious windows──> Anomalous ──quiet, or adopted──> Healthy
       any of them ──unheard of──> Stale ──heard again──> Warming or Healthy

Hysteresis in level (`open_p` below `close_p`) and in time (`open_windows` of the last 3, `close_windows` in a row). What is
known of the windows of every series stands in arrays (`models.ledger`); an `Episode` is there only for as long as it is on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from contracts.events import Anomaly, Contribution, HarmAhead
from contracts.events.telemetry import anomaly_id
from contracts.verdicts import AnomalyPhase, ServiceState
from models.adoption import Adopting
from models.contributions import accounted
from models.judgement import MATERIAL, TOLD_DECADES, UPDATE_NS
from models.wording import describe


@dataclass(frozen=True, slots=True)
class WindowEvidence:
    """What one window of one signal says about a service: decades of fused evidence, and its reasons."""

    signal: str
    window_ns: int
    decades: float
    contributions: tuple[Contribution, ...]
    late_ns: int = 0
    text: str = ""
    forecasts: tuple[HarmAhead, ...] = ()
    early: bool = False
    """Whether it is of a window that is not over."""


@dataclass(slots=True)
class Episode:
    """An anomaly of one service (or edge) that is on. Events come out of `begin`, `update`, `end` and `adopt`."""

    environment: str
    service: str
    peer: str = ""
    """The callee, for the episode of an edge."""
    id: str = ""
    onset_ns: int = 0
    opened_ns: int = 0
    told_ns: int = 0
    told_decades: float = 0.0
    told_features: tuple[str, ...] = ()
    last_ns: int = 0
    opener: str = ""
    adopting: Adopting = field(default_factory=Adopting)

    def begin(self, onset_ns: int, look: WindowEvidence, model: tuple[str, str]) -> Anomaly:
        """Open it. `model` is (detector, version)."""
        self.onset_ns, self.opened_ns, self.last_ns, self.opener = onset_ns, look.window_ns, look.window_ns, look.signal
        self.id = anomaly_id("an", self.environment, self.service, self.peer, onset_ns, look.window_ns)
        self.adopting = Adopting(opened_ns=look.window_ns, harmed_ns=look.window_ns)
        self.adopting.note(look.contributions)
        return self._tell(AnomalyPhase.OPENED, ServiceState.ANOMALOUS, look, model)

    def update(self, look: WindowEvidence, model: tuple[str, str]) -> list[Anomaly]:
        """Take in another window; an update where it is worth telling."""
        self.last_ns = max(self.last_ns, look.window_ns)
        self.adopting.note(look.contributions)
        if not self._worth_telling(look):
            return []
        return [self._tell(AnomalyPhase.UPDATED, ServiceState.ANOMALOUS, look, model)]

    def end(self, look: WindowEvidence, state: ServiceState, model: tuple[str, str], text: str = "") -> Anomaly:
        """Close it."""
        return self._tell(AnomalyPhase.CLOSED, state, look, model, text or "back to what is expected")

    def adopt(self, window_ns: int, model: tuple[str, str], by: str, text: str) -> Anomaly:
        """End it by taking its levels for normal."""
        look = WindowEvidence(self.opener, window_ns, 0.0, self.adopting.parts())
        told = self._tell(AnomalyPhase.ADOPTED, ServiceState.HEALTHY, look, model, text)
        return msgspec.structs.replace(told, by=by)

    def _worth_telling(self, look: WindowEvidence) -> bool:
        if look.window_ns - self.told_ns < UPDATE_NS or look.decades < TOLD_DECADES:
            return False
        features = {c.feature for c in look.contributions}
        return not features <= set(self.told_features) or look.decades >= self.told_decades + MATERIAL

    def _tell(
        self, phase: AnomalyPhase, state: ServiceState, look: WindowEvidence, model: tuple[str, str], text: str = ""
    ) -> Anomaly:
        self.told_ns, self.told_decades = look.window_ns, look.decades
        features = (c.feature for c in look.contributions)
        self.told_features = tuple(dict.fromkeys((*self.told_features, *features)))
        return Anomaly(
            id=self.id,
            environment=self.environment,
            service=self.service,
            phase=phase,
            state=state,
            onset_ns=self.onset_ns,
            time_ns=look.window_ns,
            p_value=10.0**-look.decades,
            decades=look.decades,
            contributions=look.contributions
            if phase is AnomalyPhase.ADOPTED
            else accounted(look.contributions, look.signal),
            detector=model[0],
            model_version=model[1],
            text=text or look.text or describe(look.contributions),
            peer=self.peer,
            late_ns=look.late_ns,
            forecasts=look.forecasts,
            early=look.early,
        )

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Episode:
        """Inverse of `plain`."""
        return msgspec.convert(plain, cls)
