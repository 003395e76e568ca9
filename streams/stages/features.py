"""Features: partial aggregates of one partition of services in, one columnar frame per environment, signal and window out."""

from __future__ import annotations

from collections import Counter

from contracts.errors import UnreadableEvent
from contracts.features import Signal
from contracts.frames import PartialFrame, pack, unpack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import FEATURES
from streams.stage import Emit, Output
from streams.windows.merge import FeatureMerger
from streams.windows.state import dump, load

_KIND, _VERSION = "feature_stage", 1
_MOST_FRAMES = 512
_SIGNALS = frozenset(s.value for s in Signal)


class FeatureStage:
    """One partition of services; a merger per environment and signal. Emits on ticks, and in between when much has come."""

    def __init__(self, partition: int, settings: Settings) -> None:
        self._partition, self._settings = partition, settings.ingest
        self._mergers: dict[tuple[str, str], FeatureMerger] = {}
        self._taken = 0

    @property
    def counters(self) -> Counter[str]:
        """Rows sent and corrected, and what was dropped: late, service_limit, stale_points, redelivered_frames."""
        return sum((m.counters for m in self._mergers.values()), Counter())

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Take a frame of partials in.

        Raises:
            UnreadableEvent: it is none.
        """
        frame = unpack(PartialFrame, record.value)
        if frame.signal not in _SIGNALS:
            raise UnreadableEvent(f"unknown signal {frame.signal!r}", fix=f"valid: {', '.join(sorted(_SIGNALS))}")
        self._merger(frame.environment, frame.signal).add(frame, now_ns)
        self._taken += 1
        return self.tick(now_ns) if self._taken >= _MOST_FRAMES else []

    def tick(self, now_ns: int) -> list[Output]:
        """Rows that are due by now, and corrections."""
        self._taken = 0
        outputs: list[Output] = []
        for (environment, _), merger in self._mergers.items():
            frames = merger.advance(now_ns)
            outputs += [Emit(FEATURES, environment, pack(f), partition=self._partition) for f in frames]
        return outputs

    def _merger(self, environment: str, signal: str) -> FeatureMerger:
        found = self._mergers.get((environment, signal))
        if found is None:
            found = FeatureMerger(environment, signal, self._settings, self._partition)
            self._mergers[environment, signal] = found
        return found

    def snapshot(self) -> bytes:
        """The whole state."""
        mergers = [[e, s, m.snapshot()] for (e, s), m in self._mergers.items()]
        return dump(_KIND, _VERSION, {"taken": self._taken, "mergers": mergers})

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state. UnreadableEvent if it is none."""
        body = load(_KIND, _VERSION, state)
        self._taken, self._mergers = body["taken"], {}
        for environment, signal, merger in body["mergers"]:
            self._merger(environment, signal).restore(merger)
