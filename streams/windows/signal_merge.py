"""What merging partials needs whatever their signal is: the windows that are open, the entities that have rows in them, and time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from contracts.features import Signal
from contracts.frames import PartialFrame
from contracts.frames.decoded import B1, F64, I64
from contracts.settings import IngestSettings
from contracts.units import MILLISECOND, SECOND
from streams.windows.entities import Entities
from streams.windows.row_values import COLUMNS
from streams.windows.watermark import Watermarks
from streams.windows.window import Window


class OpenWindows:
    """The open windows of one signal, by number (start / width). `frontier` is the last one that time has passed; -1 if none."""

    def __init__(self, signal: Signal, settings: IngestSettings, per_service: int) -> None:
        self.width_ns = settings.window_ms * MILLISECOND
        self.lateness_ns = settings.lateness_ms * MILLISECOND
        self.max_delay_ns = int(settings.max_delay_s * SECOND)
        self.watermarks = Watermarks(int(settings.idle_timeout_s * SECOND))
        self.entities = Entities(settings.max_services * per_service, self.max_delay_ns)
        self.counters: Counter[str] = Counter()
        self.columns = COLUMNS[signal]
        self.by_number: dict[int, Window] = {}
        self.frontier = -1

    def window(self, number: int) -> Window:
        """The window of this number, opened if need be, with room for all entities."""
        found = self.by_number.get(number)
        if found is None:
            found = self.by_number[number] = Window(number, self.columns, self.entities.capacity)
        found.fit(self.entities.capacity)
        return found

    def usable(self, entity: I64, number: I64, events: I64) -> B1:
        """Which rows can be taken; the events of the others are counted: their window is closed, or there is no room for their entity."""
        late = (number + 1) * self.width_ns + self.lateness_ns + self.max_delay_ns <= self.watermarks.merged
        usable: B1 = (entity >= 0) & ~late
        if not usable.all():
            self.counters["late"] += int(events[(entity >= 0) & ~usable].sum())
            self.counters["service_limit"] += int(events[entity < 0].sum())
        return usable

    def noticed(self, window: Window, entity: I64) -> None:
        """Data of some entities came for a window."""
        window.touch(entity)
        if self.frontier >= window.index and (self.entities.first[entity] > window.index).any():
            for later in self.by_number.values():
                later.due_ns = 0
        self.entities.seen(entity, window.index)

    def learn_delays(self, entity: I64, number: I64, events: I64) -> None:
        """How late data of some entities came, behind the merged watermark."""
        merged = self.watermarks.merged
        tells = number * self.width_ns >= self.watermarks.disturbed_ns
        if merged and tells.any():
            late_ns = merged - (number[tells] + 1) * self.width_ns
            self.entities.delays.observe(entity[tells], late_ns, events[tells], merged)


class SignalMerge(ABC):
    """How the partials of one signal are merged, and what the rows of a window are made of."""

    signal: ClassVar[Signal]
    per_service: ClassVar[int] = 1
    """Entities for which there is room, per service."""
    fills: ClassVar[bool] = True
    """Whether services of which nothing came get rows, too."""

    def __init__(self, settings: IngestSettings) -> None:
        self.open = OpenWindows(self.signal, settings, self.per_service)

    @abstractmethod
    def merge(self, frames: Sequence[PartialFrame], now_ns: int) -> None:
        """Take frames in. `now_ns`: when, by this process's clock: how fresh a claim is is not for its sender to say."""

    def keys(self, entity: I64) -> I64:
        """Where each entity's events are in the sums of a window (those of metrics are not there)."""
        return entity * 2

    @abstractmethod
    def events(self, window: Window, entity: I64) -> I64:
        """Events of each entity in a window whose rows go out for the first time."""

    @abstractmethod
    def values(self, window: Window, entity: I64) -> tuple[F64, I64, tuple[str, ...]]:
        """Of each entity: features in the order of the signal, (entities, features); the number of trials; notes, or none."""

    def templates(self, window: Window, entity: I64) -> dict[str, Any]:
        """The columns `template_*` of the rows of a window, where there are any."""
        return {}

    def metered(self) -> list[tuple[str, int, int, float, float]]:
        """Requests that metrics count, over which intervals; of other signals none."""
        return []

    def close(self, number: int) -> None:  # noqa: B027 - most signals have nothing to do
        """A window is closed: what was kept for it alone can go."""

    def forget(self, entities: Sequence[int]) -> None:  # noqa: B027 - most signals have nothing to do
        """These entities have left; their numbers are given to others."""

    def expire(self, watermark_ns: int) -> None:  # noqa: B027 - most signals have nothing to do
        """Time has come so far."""

    def state(self) -> dict[str, Any]:
        """What a snapshot holds besides windows, entities and time."""
        return {}

    def load(self, state: dict[str, Any]) -> None:  # noqa: B027 - most signals have nothing to do
        """Take the state of a snapshot; windows and entities have been loaded."""
