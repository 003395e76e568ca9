"""The truth of an episode: what was wrong, since when, whom it hurt, what repairs it. Written by the simulator alone.

Users are hurt in a second in which the share of their requests that fail or take longer than they bear (twice what nineteen of twenty
took before, and 50 ms), or of messages that are not done in a minute, exceeds the calm share by `HARM`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from contracts.verdicts import CauseKind
from twin.catalogue import FaultLevel
from twin.flow import SystemSecond
from twin.laws import F64, I64

HARM = 0.01
CALM_S = (20, 80)
"""The seconds in which it is measured what is usual: before anything befalls the system."""
LATE_S = 60.0
"""A message that waits for longer is not done."""
SMOOTH = 0.5


@dataclass(slots=True)
class FaultTruth:
    """One fault. `roots` are names that a right diagnosis may give, `repairs` pairs of action and service that end it.

    Times in seconds of the episode. `hurt_from_s` is when users began to be hurt while it was there (None: never), `gone_s` when it was gone.
    """

    kind: str
    level: FaultLevel
    service: str
    roots: frozenset[str]
    causes: frozenset[CauseKind]
    repairs: frozenset[tuple[str, str]]
    begin_s: float
    size: float
    ramp_s: float
    heals_s: float | None
    hurt_from_s: float | None = None
    hurt_until_s: float | None = None
    gone_s: float | None = None
    path: frozenset[str] = frozenset()
    """Services through which its harm may reach users: the roots and all whose requests come to them."""
    rate: float = 0.0
    """Requests per second that the busiest of the roots was asked when it began."""
    arrives_s: float | None = None
    """When telemetry of the first second of harm, from any service on its path, could have arrived at the earliest: before that, nobody
    can know. None where none of them tells anything, or nobody was hurt."""

    @property
    def repairable(self) -> bool:
        """Whether any action ends it."""
        return bool(self.repairs)


@dataclass(slots=True)
class Act:
    """Something that was done to the system through an actuator, and how users were before and after."""

    at_s: float
    action: str
    service: str
    key: str
    failed: bool = False
    harm_before: float = 0.0
    harm_after: float | None = None


class HarmGauge:
    """How much users are hurt, second by second."""

    def __init__(self, entries: I64, workers: I64) -> None:
        self._entries, self._workers = entries, workers
        self._calm: list[SystemSecond] = []
        self._patience: F64 | None = None
        self._usual: F64 = np.zeros(len(entries) + len(workers))
        self.series: list[float] = []
        """By second."""
        self._smooth = 0.0

    def take(self, second: SystemSecond) -> float:
        """The harm of one second: an excess share in [0, 1], smoothed over about two seconds. That of the seconds in which it is measured
        what is usual is known behind them (in `series`): something may befall the system in those, too."""
        number = len(self.series)
        if CALM_S[0] <= number < CALM_S[1]:
            self._calm.append(second)
        if number == CALM_S[1]:
            self._know()
        self.series.append(self._harm(second))
        return self.series[-1]

    def _know(self) -> None:
        """What is usual, and the harm of the seconds it was measured in."""
        law = np.array([second.law[self._entries] for second in self._calm])
        forever = np.full(len(self._entries), np.inf)
        self._usual = np.mean([self._bad(second, forever) for second in self._calm], axis=0)
        self._patience = 2.0 * np.mean(law[:, :, int(0.95 * law.shape[2])], axis=0) + 0.05
        self.series[CALM_S[0] : CALM_S[1]] = [self._harm(second) for second in self._calm]
        self._calm.clear()

    def _harm(self, second: SystemSecond) -> float:
        if self._patience is None:
            return 0.0
        excess = float(np.max(self._bad(second, self._patience) - self._usual, initial=0.0))
        self._smooth += SMOOTH * (max(excess, 0.0) - self._smooth)
        return self._smooth

    def _bad(self, second: SystemSecond, patience: F64) -> F64:
        """The share of users' requests that go wrong, by entry, and of messages, by worker."""
        at = self._entries
        lost = np.minimum(second.refused[at] + second.hung[at], 1.0)
        slow = np.maximum((second.law[at] > patience[:, None]).mean(axis=1) - 1.0 / second.law.shape[1], 0.0)
        served = 1.0 - (1.0 - lost) * (1.0 - second.failing[at]) * (1.0 - slow)
        w = self._workers
        undone = np.where(second.oldest_s[w] > LATE_S, 1.0, 1.0 - (1.0 - second.failing[w]) * (1.0 - second.hung[w]))
        return np.concatenate([served, undone])


@dataclass(slots=True)
class EpisodeTruth:
    """All that is true of an episode."""

    faults: list[FaultTruth] = field(default_factory=list)
    operations: list[tuple[float, str, str]] = field(default_factory=list)
    """(second, kind, service) of what happened and was no fault."""
    acts: list[Act] = field(default_factory=list)
    harm: list[float] = field(default_factory=list)
    services: tuple[str, ...] = ()

    def active(self, at_s: float, grace_s: float = 0.0) -> list[FaultTruth]:
        """Faults that were there at a time, or up to `grace_s` before."""
        return [f for f in self.faults if f.begin_s <= at_s and (f.gone_s is None or at_s < f.gone_s + grace_s)]
