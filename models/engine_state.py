"""What detection knows of the services and edges of an environment, beside what its detectors do."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np

from contracts.capacity import surplus
from contracts.events import Contribution
from contracts.features import Signal
from contracts.frames.decoded import B1, I8
from contracts.frames.feature_frame import FeatureFrame
from contracts.units import MINUTE, SECOND
from models.adoption import Adopting, Former
from models.forecast import HOURS, MINUTES, Forecast, Trends
from models.forecast import SIGNALS as TRENDING
from models.harm import Promises
from models.judgement import CLIMBED_NS, TREND_BACK, VIEW_NS, VIEW_WINDOWS
from models.ledger import Ledger, Rows

MOST_SERVICES: Final = 20_000
"""Services (and edges) of one environment in one partition whose state is kept."""
LAYERS: Final = (Signal.SPANS.value, Signal.METRICS.value, Signal.LOGS.value)
SPANS: Final = 0


@dataclass(slots=True)
class Reasons:
    """Why a service was loud in the newest window of a signal in which it was."""

    window_ns: int
    parts: list[Contribution]


@dataclass(slots=True)
class LevelShift:
    """A departure that opens nothing: what is known for its end by adoption, and when it was last seen."""

    adopting: Adopting
    loud_ns: int


@dataclass(slots=True)
class Foreseen:
    """A forecast of harm, and until when it holds unless it is made again (event time), or an episode is on because of it; where the
    feature is now, smoothed."""

    signal: str
    forecast: Forecast
    until_ns: int
    level: float
    made_ns: int

    def holds(self, value: float, weight: float, now_ns: int, *, on: bool) -> bool:
        """Take the newest value; whether the forecast still holds. One that opened an episode holds until it is back."""
        if np.isfinite(value):
            self.level += weight * (value - self.level)
        high, told = self.forecast.high, self.forecast.value
        return self.level > high + TREND_BACK * (told - high) and (on or now_ns <= self.until_ns)


@dataclass(slots=True)
class EngineState:
    """One environment, as far as this partition sees it."""

    environment: str
    services: Ledger = field(default_factory=lambda: Ledger(LAYERS))
    edges: Ledger = field(default_factory=lambda: Ledger((Signal.EDGES.value,)))
    promises: Promises = field(default_factory=Promises)
    """How services keep their objectives."""
    reasons: dict[int, dict[str, Reasons]] = field(default_factory=dict)
    """Of services that are loud, by row and signal."""
    shifts: dict[int, LevelShift] = field(default_factory=dict)
    """By row."""
    trends: dict[str, tuple[Trends, ...]] = field(default_factory=dict)
    """Slow changes, by signal."""
    forecasts: dict[int, dict[str, Foreseen]] = field(default_factory=dict)
    """Harm that is foreseen, by row and feature."""
    formers: dict[tuple[str, str], dict[str, Former]] = field(default_factory=dict)
    """What was normal before the last adoption of a service or edge, by feature."""
    refused: dict[str, str] = field(default_factory=dict)
    """Services whose new levels a person refused to take for normal, and who."""
    words: dict[str, int] = field(default_factory=dict)
    """When the last word on a service was given."""
    strictness: float = 0.0
    """Decades by which more is asked for before an anomaly opens (`models.strictness`); `heed_strictness` sets it."""
    _near: tuple[int, dict[str, set[str]]] = (0, {})

    def row(self, service: str) -> int:
        """The row of a service; a new one where it is not known."""
        return int(self.services.rows((service,), ())[0])

    def heed_strictness(self, strictness: float) -> None:
        """Ask for so many decades more from now on, of services and of edges."""
        self.strictness = self.services.strictness = self.edges.strictness = strictness

    def neighbours(self, service: str) -> Rows:
        """Rows of those that call a service or are called by it, and of those that call the same as it does where that sends no spans
        itself: what is wrong with a database shows in all who use it."""
        if self._near[0] != len(self.edges):
            near: dict[str, set[str]] = {}
            for caller, callee in self.edges.slots.keys:
                near.setdefault(caller, set()).add(callee)
                near.setdefault(callee, set()).add(caller)
            self._near = len(self.edges), near
        direct = self._near[1].get(service, set())
        shared = (self._near[1][name] for name in direct if self._dark(name))
        names = sorted(direct.union(*shared) - {service})
        found = (self.services.slots.find(name, "") for name in names)
        return np.array([row for row in found if row is not None], np.intp)

    def _dark(self, service: str) -> bool:
        """Whether no spans of a service have ever come."""
        row = self.services.slots.find(service, "")
        return row is None or bool(self.services.window_ns[SPANS, row] < 0)

    def merged(self, row: int, window_ns: int) -> list[Contribution]:
        """Reasons of all signals that count at `window_ns`."""
        ledger, parts = self.services, []
        for signal, reasons in self.reasons.get(row, {}).items():
            layer = ledger.signals.index(signal)
            reach = min(VIEW_WINDOWS * int(ledger.cadence_ns[layer, row]), VIEW_NS)
            if reasons.window_ns == ledger.view_ns[layer, row] and abs(window_ns - reasons.window_ns) <= reach:
                parts += reasons.parts
        return parts

    def forget_reasons(self, window_ns: int) -> None:
        """Forget reasons that count no more."""
        for row in list(self.reasons):
            kept = {s: r for s, r in self.reasons[row].items() if window_ns - r.window_ns <= VIEW_NS}
            if kept:
                self.reasons[row] = kept
            else:
                del self.reasons[row]

    def foresee(self, rows: Rows, frame: FeatureFrame) -> list[int]:
        """Follow slow changes; the rows of the frame of whose signal harm is foreseen."""
        if frame.signal not in TRENDING:
            return []
        trends = self.trends.get(frame.signal)
        if trends is None:
            trends = self.trends[frame.signal] = tuple(Trends(frame.signal, clock) for clock in (MINUTES, HOURS))
        for trend in trends:
            lasts_ns = max(MINUTE, trend.clock.bucket_ns * 6 // 5)
            for i, found in (trend.take(rows, frame) or {}).items():
                for forecast in found:
                    self.note_forecast(int(rows[i]), frame, forecast, lasts_ns)
        if not self.forecasts:
            return []
        at = {row: i for i, row in enumerate(rows.tolist())}
        return [at[row] for row in sorted(self.forecasts.keys() & at.keys()) if self._still(row, frame, at[row])]

    def note_forecast(self, row: int, frame: FeatureFrame, forecast: Forecast, lasts_ns: int) -> None:
        """Put a forecast on record; one that an episode is on because of stays as it was made first."""
        known = self.forecasts.setdefault(row, {})
        old = known.get(forecast.feature)
        if old is not None:
            forecast = dataclasses.replace(forecast, low=old.forecast.low, high=old.forecast.high)
        level = old.level if old is not None else forecast.value
        known[forecast.feature] = Foreseen(frame.signal, forecast, frame.window_ns + lasts_ns, level, frame.window_ns)

    def _still(self, row: int, frame: FeatureFrame, i: int) -> bool:
        """Whether harm is foreseen of a service from the signal of a frame; what is past is forgotten."""
        known, on = self.forecasts[row], bool(self.services.open[row])
        layer = self.services.signals.index(frame.signal)
        weight = min(0.6, 0.1 * max(1.0, float(self.services.cadence_ns[layer, row]) / (5 * SECOND)))
        for feature, seen in list(known.items()):
            if seen.signal != frame.signal or frame.missing[i]:
                continue
            j = frame.features.index(feature) if feature in frame.features else -1
            value = float(frame.values[i, j]) if j >= 0 else float("nan")
            if not seen.holds(value, weight, frame.window_ns, on=on):
                del known[feature]
        if not known:
            del self.forecasts[row]
        return any(seen.signal == frame.signal for seen in known.values())

    def foreseen(self, row: int, signal: str) -> list[Forecast]:
        """Harm that is foreseen of a service from a signal."""
        return [seen.forecast for seen in self.forecasts.get(row, {}).values() if seen.signal == signal]

    def climbs(self, row: int, window_ns: int) -> bool:
        """Whether something of a service rises towards harm, as of lately: its levels have not settled. What arrived there harms."""
        seen = self.forecasts.get(row, {}).values()
        return any(s.made_ns + CLIMBED_NS >= window_ns or s.level >= s.forecast.hurts for s in seen)

    def states(self) -> dict[str, int]:
        """The state of every service that was heard of, as an index into `models.ledger.STATES`."""
        ledger = self.services
        rows = np.arange(len(ledger))
        states: I8 = ledger.states(rows, SPANS)
        heard = ((ledger.window_ns[:, rows] >= 0) | ledger.missing[:, rows]).any(axis=0) | (ledger.told_ns[rows] > 0)
        names = zip(ledger.slots.keys, states.tolist(), heard.tolist(), strict=True)
        return {service: state for (service, _), state, known in names if known}

    def may_learn(self, services: tuple[str, ...], peers: tuple[str, ...], window_ns: int) -> B1:
        """False for services that our own action disturbs, and for those (and edges) with an episode on: what stays changed becomes
        normal by adoption or not at all."""
        ledger = self.services
        if not peers:
            rows = ledger.rows(services, ())
            return ~(ledger.troubled(rows, window_ns) | (window_ns < ledger.suspended_ns[rows]))
        held = np.ones(len(services), np.bool_)
        if ledger.episodes or ledger.ended_ns[: len(ledger)].max(initial=-1) >= window_ns or self._suspended(window_ns):
            every = np.arange(len(ledger))
            troubled = ledger.troubled(every, window_ns) | (window_ns < ledger.suspended_ns[every])
            sick = {ledger.slots.keys[i][0] for i in np.flatnonzero(troubled)}
            held = np.array([name not in sick for name in services], np.bool_)
        if self.edges.episodes:
            on = {self.edges.slots.keys[row] for row in self.edges.episodes}
            held &= np.array([key not in on for key in zip(services, peers, strict=True)], np.bool_)
        return held

    def _suspended(self, window_ns: int) -> bool:
        return bool((self.services.suspended_ns[: len(self.services)] > window_ns).any())

    def make_room(self) -> int:
        """Forget who was not heard of for longest, where there are too many; how many services that were. Who has an episode on
        stays."""
        services, edges = surplus(len(self.services), MOST_SERVICES), surplus(len(self.edges), MOST_SERVICES)
        if not services and not edges:
            return 0
        gone = _longest_unheard(self.services, services)
        names = {self.services.slots.keys[i][0] for i in gone}
        left = _longest_unheard(self.edges, edges)
        left |= {
            i
            for i, key in enumerate(self.edges.slots.keys)
            if i not in self.edges.episodes and not names.isdisjoint(key)
        }
        for key in [self.edges.slots.keys[i] for i in left] + [(name, "") for name in names]:
            self.formers.pop(key, None)
        for name in names & self.words.keys():
            del self.words[name]
        kept = np.array([i for i in range(len(self.services)) if i not in gone], np.intp)
        where = {int(row): i for i, row in enumerate(kept)}
        self.reasons = {where[row]: r for row, r in self.reasons.items() if row in where}
        self.shifts = {where[row]: s for row, s in self.shifts.items() if row in where}
        self.forecasts = {where[row]: f for row, f in self.forecasts.items() if row in where}
        self.promises.keep(kept)
        for trend in itertools.chain.from_iterable(self.trends.values()):
            trend.keep(kept)
        self.services.keep(kept)
        self.edges.keep(np.array([i for i in range(len(self.edges)) if i not in left], np.intp))
        self._near = 0, {}
        return len(gone)

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        reasons = [[row, msgspec.to_builtins(r)] for row, r in self.reasons.items()]
        return {
            "services": self.services.plain(),
            "edges": self.edges.plain(),
            "promises": self.promises.plain(len(self.services)),
            "reasons": reasons,
            "shifts": [[row, msgspec.to_builtins(s)] for row, s in self.shifts.items()],
            "trends": {s: [t.plain(len(self.services)) for t in trends] for s, trends in self.trends.items()},
            "forecasts": [[row, msgspec.to_builtins(f)] for row, f in self.forecasts.items()],
            "formers": [[s, p, msgspec.to_builtins(known)] for (s, p), known in self.formers.items()],
            "refused": self.refused,
            "words": self.words,
        }

    @classmethod
    def of(cls, environment: str, plain: Mapping[str, Any]) -> EngineState:
        """Inverse of `plain`."""
        trends = {signal: tuple(Trends(signal, clock) for clock in (MINUTES, HOURS)) for signal in plain["trends"]}
        for signal, known in trends.items():
            for trend, state in zip(known, plain["trends"][signal], strict=True):
                trend.restore(state)
        return cls(
            environment,
            Ledger.of(plain["services"]),
            Ledger.of(plain["edges"]),
            Promises.of(plain["promises"]),
            {int(row): msgspec.convert(r, dict[str, Reasons]) for row, r in plain["reasons"]},
            {int(row): msgspec.convert(s, LevelShift) for row, s in plain["shifts"]},
            trends,
            {int(row): msgspec.convert(f, dict[str, Foreseen]) for row, f in plain["forecasts"]},
            {(s, p): msgspec.convert(f, dict[str, Former]) for s, p, f in plain["formers"]},
            dict(plain["refused"]),
            dict(plain["words"]),
        )


def _longest_unheard(ledger: Ledger, many: int) -> set[int]:
    """So many rows that were heard of least lately and have no episode on."""
    if not many:
        return set()
    heard = ledger.told_ns[: len(ledger)]
    order = sorted(range(len(ledger)), key=lambda i: (int(heard[i]), ledger.slots.keys[i]))
    return set([i for i in order if i not in ledger.episodes][:many])
