"""The series of one environment: which belong together, when what they say is told, and when it is over.

Series of one group (a host, a shop's business figures) are judged beside each other: their alarm is the group's, which names those that
spoke. An alarm opens where evidence passes the budget of false alarms and is news, and is over after some quiet points.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from contracts.errors import UnreadableEvent
from contracts.events import Anomaly, Contribution
from contracts.events.telemetry import anomaly_id
from contracts.frames.decoded import F64, I64
from contracts.frames.series_frame import SeriesFrame
from contracts.frames.series_point import SeriesMode
from contracts.units import DAY, SECOND
from contracts.verdicts import AnomalyKind, AnomalyPhase, ServiceState
from models.series.alarms import Heard, Loudness, bar, distance_of
from models.series.calendar import UNIVERSAL, Calendar
from models.series.distance import From
from models.series.forecasting.forecasts import Forecasting
from models.series.residuals import Way
from models.series.roster import SeriesRoster
from models.series.scorer import SeriesScorer
from models.series.tails import MOST_DECADES
from models.snapshots import load, save

SIGNAL: Final = "series"
DETECTOR, MODEL_VERSION = "series", "1"
_KIND, _VERSION = "SeriesWatch", 1
_ROOM: Final = 64
_QUIET_POINTS: Final = 5
"""Quiet points in a row after which an alarm is over."""
_QUIET_SHARE: Final = 0.3
"""Share of the bar below which a point is quiet."""
_NEAR_SHARE: Final = 0.5
"""Share of the bar below which a unit is near where it was: so many quiet points of it, and a distance is told again. By hand."""
_SILENT_GAPS, _SILENT_S = 10.0, 60.0
"""Usual gaps between points, and seconds, after which nothing is known of a series any more: the longer of both."""
_SILENT_MOST_S: Final = DAY / SECOND
"""Seconds after which a series may leave where there is no room, however rare its points are."""
_RECENT_GAPS: Final = 1.5
"""Usual gaps between its points for which what a series said stands beside what others of its group say."""
_MOST_NAMED: Final = 3
_SPREADS: Final = 3.0
"""Spreads on both sides of the level that are told as expected."""
_WORDS: Final[dict[Way, str]] = {
    Way.FAST: "far from the last points",
    Way.SLOW: "far from its level",
    Way.JUMP: "a jump",
    Way.SEASON: "unusual for this time",
    Way.SHIFT: "its level moved",
    Way.VOLATILITY: "it varies otherwise than usual",
    Way.RANGE: "outside of everything seen",
    Way.FLAT: "the same value for unusually long",
    Way.SEASON_SHIFT: "its level is unusual for this time",
    Way.FORECAST: "not as the last points lead to expect",
}


class Unit(msgspec.Struct):
    """What alarms together: one series, or a group of them."""

    name: str
    rows: list[int] = []
    loudness: Loudness = msgspec.field(default_factory=Loudness)
    quiet: int = 0
    near: int = _QUIET_POINTS
    open: Anomaly | None = None


class SeriesWatch:
    """One environment. `false_alarms_a_week`: how many are accepted over all its series; `most`: series that there is room for; `calendar`:
    by which their seasons go; `forecasting`: forecasters of libraries, where there are any."""

    def __init__(
        self,
        environment: str,
        false_alarms_a_week: float = 1.0,
        most: int = 10_000,
        calendar: Calendar = UNIVERSAL,
        forecasting: Forecasting | None = None,
    ) -> None:
        self.environment, self._budget = environment, false_alarms_a_week
        self.counters: Counter[str] = Counter()
        self._roster = SeriesRoster(most)
        self._scorer = SeriesScorer(calendar=calendar, forecasting=forecasting)
        self._scorer.counts_in(self.counters)
        self._units: dict[str, Unit] = {}
        self._unit_of: list[str] = []
        self._values, self._evidence, self._distances = np.zeros(0), np.zeros(0), np.zeros((0, len(From)))
        self._totals, self._totals_s = np.zeros(0), np.zeros(0)
        """Of counters: the last value, and when it was read."""
        self._ways, self._expected = np.zeros((0, len(Way))), np.zeros((0, 2))

    def observe(self, frame: SeriesFrame, now_ns: int) -> list[Anomaly]:
        """Judge the points of a frame that is read at `now_ns`, in order of time. Points not newer than the last of their series count as
        `late_points`, those that are no numbers as `not_finite`, those of series for which there is no room as `series_limit`, and
        series that left to make some as `series_left`."""
        self._make_room(self._roster.hear(frame.names, now_ns), now_ns)
        return [anomaly for points in _moments(frame) for anomaly in self._moment(frame, points, now_ns)]

    def scores(self, frame: SeriesFrame) -> dict[str, tuple[float, float]]:
        """As `observe`, for a frame of one time at that time, but only the score of each unit and how much of it is news."""
        now_ns = int(frame.times_ns[0])
        return {
            unit.name: (heard.score, heard.news)
            for points in _moments(frame)
            for unit, heard in self._heard(frame, points, now_ns)
        }

    def tick(self, now_ns: int) -> list[Anomaly]:
        """End what nothing is known of any more, and let series go where there is little room."""
        told = []
        for unit in self._units.values():
            if unit.open is not None and self._silent(unit, now_ns):
                text = "no points come any more: what it does now is not known"
                told.append(self._end(unit, now_ns, ServiceState.STALE, text))
        self._make_room(0, now_ns)
        return told

    def _make_room(self, newcomers: int, now_ns: int) -> None:
        """Let silent series go where there is little room for others; none leaves whose alarm is not over."""
        if not self._roster.is_crowded(newcomers, now_ns):
            return
        told = [row for unit in self._units.values() if unit.open is not None for row in unit.rows]
        known = np.arange(len(self._roster))
        silent_ns = (np.minimum(self._silent_s(known), _SILENT_MOST_S) * SECOND).astype(np.int64)
        stay = self._roster.staying(newcomers, now_ns, silent_ns, told)
        self.counters["series_left"] += len(known) - len(stay)
        if len(stay) < len(known):
            self._keep(stay)

    def _keep(self, rows: I64) -> None:
        """All others leave."""
        self._roster.keep(rows)
        self._scorer.load(self._scorer.state(rows))
        self._load_arrays(self._arrays(rows))
        self._unit_of = [self._unit_of[row] for row in rows.tolist()]
        members: dict[str, list[int]] = {}
        for row, name in enumerate(self._unit_of):
            members.setdefault(name, []).append(row)
        self._units = {name: unit for name, unit in self._units.items() if name in members}
        for name, unit in self._units.items():
            unit.rows = members[name]

    def _moment(self, frame: SeriesFrame, points: list[int], now_ns: int) -> list[Anomaly]:
        time_ns = int(frame.times_ns[points[0]])
        needed = bar(len(self._units), self._budget)
        return [
            a for unit, heard in self._heard(frame, points, now_ns) for a in self._judge(unit, heard, needed, time_ns)
        ]

    def _heard(self, frame: SeriesFrame, points: list[int], now_ns: int) -> list[tuple[Unit, Heard]]:
        """Points of one time, of one series the last alone, and what the units that they belong to say then."""
        read = [(row, i) for i in points if (row := self._row(frame, i, now_ns)) is not None]
        admitted = dict(read)
        if len(read) > len(admitted):
            self.counters["late_points"] += len(read) - len(admitted)
        if not admitted:
            return []
        rows, kept = np.array(list(admitted), dtype=np.int64), list(admitted.values())
        times_s, values = frame.times_ns[kept] / SECOND, self._levels(frame, rows, kept)
        grown = np.isfinite(values)
        if not grown.any():
            return []
        rows, times_s, values = rows[grown], times_s[grown], values[grown]
        kept = [i for i, is_known in zip(kept, grown.tolist(), strict=True) if is_known]
        said = self._scorer.step(rows, times_s, values)
        wrong_way = (frame.directions[frame.series[kept]] * (values - said.expected[:, 0])) < 0
        self._evidence[rows] = np.where(wrong_way, 0.0, said.evidence)
        self._distances[rows] = np.where(wrong_way[:, None], 0.0, said.distances)
        self._values[rows], self._ways[rows], self._expected[rows] = values, said.ways, said.expected
        self.counters["points"] += len(rows)
        units = [self._units[name] for name in dict.fromkeys(self._unit_of[row] for row in rows)]
        return [(unit, self._together(unit, float(times_s[0]))) for unit in units]

    def _levels(self, frame: SeriesFrame, rows: I64, kept: list[int]) -> F64:
        """Values as they are judged: of counters their growth per second, NaN where it isn't known (the first, and after a reset)."""
        values, times_s = frame.values[kept], frame.times_ns[kept] / SECOND
        counts = frame.modes[frame.series[kept]] == SeriesMode.COUNTER
        if not counts.any():
            return values
        before, before_s = self._totals[rows], self._totals_s[rows]
        known = (before_s > 0) & (values >= before)
        rate = np.where(known, (values - before) / np.maximum(times_s - before_s, 1e-9), np.nan)
        self._totals[rows], self._totals_s[rows] = values, times_s
        return np.where(counts, rate, values)

    def _together(self, unit: Unit, time_s: float) -> Heard:
        """What the members of a unit say now, also those whose last point is no older than usual."""
        recent = self._recent(unit, time_s)
        evidence, distance = float(self._evidence[recent].sum()), distance_of(self._distances[recent])
        return unit.loudness.hear(evidence, distance, len(unit.rows))

    def _recent(self, unit: Unit, time_s: float) -> I64:
        rows = np.array(unit.rows, dtype=np.int64)
        now = time_s - self._scorer.last_s[rows] <= _RECENT_GAPS * np.exp(self._scorer.cadence[rows])
        return rows[now]

    def _row(self, frame: SeriesFrame, i: int, now_ns: int) -> int | None:
        name = frame.names[frame.series[i]]
        if not np.isfinite(frame.values[i]):
            self.counters["not_finite"] += 1
            return None
        row = self._roster.row(name)
        if row is None:
            row = self._enrol(name, frame.groups[frame.series[i]], now_ns)
        if row is None:
            self.counters["series_limit"] += 1
            return None
        if frame.times_ns[i] / SECOND <= max(self._scorer.last_s[row], self._totals_s[row]):
            self.counters["late_points"] += 1
            return None
        return row

    def _enrol(self, name: str, group: str, now_ns: int) -> int | None:
        row = self._roster.enrol(name, now_ns)
        if row is None:
            return None
        if row >= len(self._values):
            self._grow(max(_ROOM, min(2 * row, self._roster.most)))
        self._scorer.enrol(row, name)
        unit = f"group\t{group}" if group else name
        self._unit_of.append(unit)
        self._units.setdefault(unit, Unit(group or name)).rows.append(row)
        return row

    def _grow(self, room: int) -> None:
        more = room - len(self._values)
        self._scorer.grow(room)
        self._values, self._evidence = np.pad(self._values, (0, more)), np.pad(self._evidence, (0, more))
        self._totals, self._totals_s = np.pad(self._totals, (0, more)), np.pad(self._totals_s, (0, more))
        self._ways, self._expected = (
            np.pad(self._ways, ((0, more), (0, 0))),
            np.pad(self._expected, ((0, more), (0, 0))),
        )
        self._distances = np.pad(self._distances, ((0, more), (0, 0)))

    def _judge(self, unit: Unit, heard: Heard, needed: float, time_ns: int) -> list[Anomaly]:
        """Rarity is told where it is news, a distance once until the unit has been near again: a level that stays is adopted."""
        departs = heard.far >= needed and unit.near >= _QUIET_POINTS
        unit.near = 0 if heard.far >= needed else unit.near + (heard.far < _NEAR_SHARE * needed)
        if unit.open is None:
            if not departs and (heard.rare < needed or heard.news <= 0.0):
                return []
            unit.open, unit.quiet = self._begin(unit, heard.score, time_ns), 0
            self.counters["anomalies"] += 1
            return [unit.open]
        unit.quiet = unit.quiet + 1 if heard.rare < _QUIET_SHARE * needed and heard.far < needed else 0
        if unit.quiet < _QUIET_POINTS:
            return []
        return [self._end(unit, time_ns, ServiceState.HEALTHY, "back to what is expected")]

    def _begin(self, unit: Unit, score: float, time_ns: int) -> Anomaly:
        rows = self._recent(unit, time_ns / SECOND)
        said = dict(zip(rows.tolist(), self._decades(rows).tolist(), strict=True))
        loud = sorted((r for r in said if said[r] > 0), key=lambda r: -said[r])
        whole = sum(said.values())
        decades = min(score, MOST_DECADES)
        return Anomaly(
            id=anomaly_id("se", self.environment, unit.name, time_ns),
            environment=self.environment,
            service=unit.name,
            phase=AnomalyPhase.OPENED,
            state=ServiceState.ANOMALOUS,
            onset_ns=time_ns,
            time_ns=time_ns,
            p_value=10.0**-decades,
            decades=decades,
            contributions=tuple(self._contribution(r, said[r], whole) for r in loud),
            detector=DETECTOR,
            model_version=MODEL_VERSION,
            text=self._words(unit, loud),
            kind=AnomalyKind.SERIES,
        )

    def _decades(self, rows: I64) -> F64:
        """What each of some rows says: by how rare it is, or by how far (a value is d times as far as usual once in d² points)."""
        far: F64 = 2.0 * np.log10(np.maximum(self._distances[rows].max(axis=1), 1.0))
        return np.maximum(self._evidence[rows], far)

    def _contribution(self, row: int, decades: float, whole: float) -> Contribution:
        low, high = self._range(row)
        above = 1.0 if self._values[row] >= self._expected[row, 0] else -1.0
        return Contribution(
            signal=SIGNAL,
            feature=self._roster.names[row],
            value=float(self._values[row]),
            low=low,
            high=high,
            decades=above * decades,
            share=decades / whole,
        )

    def _range(self, row: int) -> tuple[float, float]:
        level, spread = self._expected[row].tolist()
        return level - _SPREADS * spread, level + _SPREADS * spread

    def _words(self, unit: Unit, loud: list[int]) -> str:
        parts = []
        for row in loud[:_MOST_NAMED]:
            low, high = self._range(row)
            value, way = self._values[row], self._way_words(row)
            name = f"{self._roster.names[row]} " if self._roster.names[row] != unit.name else ""
            outside = f", expected {low:.3g} to {high:.3g}" if not low <= value <= high else ""
            parts.append(f"{name}{value:.4g}{outside} ({way})")
        more = f"; and {len(loud) - _MOST_NAMED} more" if len(loud) > _MOST_NAMED else ""
        return "; ".join(parts) + more

    def _way_words(self, row: int) -> str:
        way = self._way(row)
        by = self._scorer.forecaster(row) if way in (Way.SEASON, Way.SEASON_SHIFT) else ""
        return f"{_WORDS[way]}, as {by} forecasts it" if by else _WORDS[way]

    def _way(self, row: int) -> Way:
        """In what way a row is most unusual."""
        if self._ways[row].any():
            return Way(int(self._ways[row].argmax()))
        return (Way.SLOW, Way.JUMP)[int(self._distances[row].argmax())]

    def _end(self, unit: Unit, time_ns: int, state: ServiceState, text: str) -> Anomaly:
        opened, unit.open, unit.quiet = unit.open, None, 0
        if opened is None:
            raise AssertionError("only what is open ends")
        return msgspec.structs.replace(
            opened, phase=AnomalyPhase.CLOSED, state=state, time_ns=max(time_ns, opened.time_ns), text=text
        )

    def _silent(self, unit: Unit, now_ns: int) -> bool:
        rows = np.array(unit.rows, dtype=np.int64)
        return bool(np.all(now_ns / SECOND - self._scorer.last_s[rows] > self._silent_s(rows)))

    def _silent_s(self, rows: I64) -> F64:
        """Seconds without a point after which nothing is known of each of some rows any more."""
        silent_s: F64 = np.maximum(_SILENT_GAPS * np.exp(self._scorer.cadence[rows]), _SILENT_S)
        return silent_s

    def _arrays(self, rows: I64 | slice) -> dict[str, F64]:
        """What is kept here of some rows."""
        own = {"values": self._values, "evidence": self._evidence, "ways": self._ways, "expected": self._expected}
        own |= {"totals": self._totals, "totals_s": self._totals_s, "distances": self._distances}
        return {name: values[rows] for name, values in own.items()}

    def _load_arrays(self, arrays: dict[str, F64]) -> None:
        self._values, self._evidence = arrays["values"], arrays["evidence"]
        self._ways, self._expected = arrays["ways"], arrays["expected"]
        self._totals, self._totals_s = arrays["totals"], arrays["totals_s"]
        none = np.zeros((len(self._values), len(From)))  # in a snapshot of before distances were known
        self._distances = arrays.get("distances", none)

    def snapshot(self) -> bytes:
        """The whole state, of the series that there are."""
        known = slice(len(self._roster))
        body = {
            "names": self._roster.names,
            "times": self._roster.state(),
            "unit_of": self._unit_of,
            "units": {name: msgspec.to_builtins(unit) for name, unit in self._units.items()},
            **self._arrays(known),
            "scorer": self._scorer.state(known),
            "forecasters": self._scorer.forecasters,
        }
        return save(_KIND, _VERSION, body)

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state.

        Raises:
            UnreadableEvent: it is none.
        """
        body: dict[str, Any] = load(_KIND, _VERSION, state)
        try:
            self._unit_of = body["unit_of"]
            self._units = {name: msgspec.convert(unit, Unit) for name, unit in body["units"].items()}
            self._load_arrays(body)
            self._scorer.restore(body["scorer"], body.get("forecasters", []), body["names"])
            self._roster.load(body["names"], body["times"] if "times" in body else self._old_times(len(body["names"])))
        except (KeyError, ValueError, msgspec.ValidationError) as e:
            raise UnreadableEvent(f"a damaged snapshot of {_KIND}: {e}") from e

    def _old_times(self, many: int) -> list[list[int]]:
        """Of a snapshot that doesn't say when series were heard of: they have been there since their last point."""
        last_ns = (self._scorer.last_s[:many] * SECOND).astype(np.int64).tolist()
        return [last_ns, last_ns]


def _moments(frame: SeriesFrame) -> Iterator[list[int]]:
    """I64 of points by time, the oldest first."""
    order = np.argsort(frame.times_ns, kind="stable").tolist()
    for _, points in itertools.groupby(order, key=lambda i: frame.times_ns[i]):
        yield list(points)
