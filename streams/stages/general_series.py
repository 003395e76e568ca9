"""General series: their points in, anomalies of kind `series` out. Which points of metrics are general series is told at ingest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from contracts.errors import UnreadableEvent
from contracts.events import Anomaly, encode
from contracts.frames import SeriesFrame, unpack
from contracts.ports import Record
from contracts.settings import MAX_ENVIRONMENTS, CalendarSettings, SeriesSettings
from contracts.topics import ANOMALIES
from models.series.calendar import UNIVERSAL, Calendar
from models.series.forecasting.forecasters import forecasting_of
from models.series.series_watch import SeriesWatch
from models.snapshots import load, save
from streams.environments import Environments
from streams.stage import Emit, Output

_KIND, _VERSION = "SeriesStage", 1
NAME: Final = "series"


class SeriesStage:
    """One partition of `telemetry.points`."""

    def __init__(self, settings: SeriesSettings, max_environments: int = MAX_ENVIRONMENTS) -> None:
        self._settings = settings
        self._watches: dict[str, SeriesWatch] = {}
        self._counters: Counter[str] = Counter()
        self._environments = Environments(max_environments, self._forget)

    @property
    def counters(self) -> Counter[str]:
        """Points judged and anomalies opened; points left out: late_points, not_finite, series_limit; series
        that left to make room for others: series_left; choices among forecasters: forecasts, those that were used: forecasts_used, and
        forecasters that failed in one: forecasts_failed."""
        for watch in self._watches.values():
            self._counters.update(watch.counters)
            watch.counters.clear()
        self._counters.update(self._environments.counters)
        self._environments.counters.clear()
        return self._counters

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Judge the points of a frame.

        Raises:
            UnreadableEvent: it is none.
        """
        frame = unpack(SeriesFrame, record.value)
        if not self._environments.lets_in(frame.environment, now_ns):
            return []
        watch = self._watches.get(frame.environment)
        if watch is None:
            watch = self._watches[frame.environment] = self._watch(frame.environment)
        try:
            return self._tell(watch.observe(frame, now_ns))
        except (IndexError, ValueError) as e:
            raise UnreadableEvent(f"a frame of series that can't be judged: {e}") from e

    def tick(self, now_ns: int) -> list[Output]:
        """Notice series that are no longer heard of."""
        return [out for watch in self._watches.values() for out in self._tell(watch.tick(now_ns))]

    def _watch(self, environment: str) -> SeriesWatch:
        calendar = calendar_of(self._settings.calendars, environment)
        forecasting = forecasting_of(self._settings, calendar)
        return SeriesWatch(
            environment, self._settings.false_alarms_per_week, self._settings.max_series, calendar, forecasting
        )

    def _forget(self, environment: str) -> None:
        self._watches.pop(environment, None)

    def _tell(self, anomalies: list[Anomaly]) -> list[Output]:
        return [Emit(ANOMALIES, key=a.service, value=encode(a), route=a.environment) for a in anomalies]

    def snapshot(self) -> bytes:
        """The whole state."""
        return save(_KIND, _VERSION, {"watches": {name: watch.snapshot() for name, watch in self._watches.items()}})

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state.

        Raises:
            UnreadableEvent: it is none.
        """
        found: dict[str, bytes] = load(_KIND, _VERSION, state).get("watches", {})
        self._watches = {}
        for environment, theirs in found.items():
            self._watches[environment] = self._watch(environment)
            self._watches[environment].restore(theirs)
        self._environments.restored(self._watches)


def calendar_of(calendars: Mapping[str, CalendarSettings], environment: str) -> Calendar:
    """By which calendar an environment's seasons go: its own, that of all others (`*`), or none."""
    given = calendars.get(environment, calendars.get("*"))
    return UNIVERSAL if given is None else Calendar(given.timezone, given.holidays)
