"""Partials of all sources to feature frames: which rows are due, which have to be corrected, what was lost.

A row of a window is due when the merged watermark has passed the window's end by the allowed lateness and by the delay
learnt for that service; nobody waits for somebody else's delay. What comes later corrects the row (a revision); what comes
after `max_delay_s` is counted as late and dropped. How the partials of a signal are merged, and what its rows hold, is its
`SignalMerge`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np

from contracts.capacity import MERIT_NS
from contracts.features import BY_SIGNAL, Signal
from contracts.frames import GLIMPSE, FeatureFrame, PartialFrame, Presence
from contracts.frames.decoded import B1, F64, I8, I64
from contracts.settings import IngestSettings
from contracts.units import MILLISECOND, SECOND
from streams.windows.addresses import Addresses
from streams.windows.collect_metrics import METRIC_CALLS
from streams.windows.entities import Entities
from streams.windows.glimpses import glimpses
from streams.windows.liveness import WAIT, Liveness
from streams.windows.merge_calls import MetricCallMerge
from streams.windows.merge_edges import EdgeMerge
from streams.windows.merge_logs import LogMerge
from streams.windows.merge_metrics import MetricMerge
from streams.windows.merge_rows import JUMP_NS
from streams.windows.merge_spans import SpanMerge
from streams.windows.row_values import span_aside
from streams.windows.signal_merge import SignalMerge
from streams.windows.state import dump, load
from streams.windows.watermark import Watermarks
from streams.windows.window import Window

_KIND, _VERSION = "features", 1
MEMORY_NS = 300 * SECOND
"""A service without data has rows (quiet, or missing) for so long; then it is taken to be gone."""
AGAIN_NS = 200 * MILLISECOND
"""How soon a row that has to wait for what others say is looked at again."""
MERGES: Final[Mapping[str, type[SignalMerge]]] = {
    **{m.signal.value: m for m in (SpanMerge, EdgeMerge, LogMerge, MetricMerge)},
    METRIC_CALLS: MetricCallMerge,
}
"""By the signal of partials; metrics of calls make rows of edges, too."""


def liveness_of(settings: IngestSettings, mergers: Mapping[str, FeatureMerger]) -> Liveness:
    """Who judges silence for these mergers of one environment."""
    return Liveness(
        settings.window_ms * MILLISECOND, int(settings.max_delay_s * SECOND), 4 * settings.max_services, mergers
    )


class FeatureMerger:
    """Merges the partials of one environment, signal and partition of services."""

    def __init__(
        self,
        environment: str,
        signal: str,
        settings: IngestSettings,
        partition: int = 0,
        liveness: Liveness | None = None,
    ) -> None:
        self.environment, self.partition = environment, partition
        self._merge = MERGES[signal](settings)
        self.of, self.signal = signal, self._merge.signal.value
        """Signal of the partials, and of the rows."""
        self._open = self._merge.open
        self._glimpse_from = settings.glimpse_requests if isinstance(self._merge, SpanMerge) else 0
        self.liveness = liveness or liveness_of(settings, {signal: self})
        self.left: list[str] = []
        """Services (callers, of edges) that left when this was last advanced, as there was no room."""
        self._arrived: list[PartialFrame] = []
        self._now_ns = 0
        """When something last came in, by this process's clock."""
        self._restored_ns = -1
        """The clock of the snapshot this was restored from, until the first data after it."""

    @property
    def entities(self) -> Entities:
        """Services, or edges, numbered."""
        return self._open.entities

    @property
    def watermarks(self) -> Watermarks:
        """How far the time of each source has come."""
        return self._open.watermarks

    @property
    def counters(self) -> Counter[str]:
        """Rows sent and corrected, and what was dropped."""
        return self._open.counters

    def has(self, entity: int, window: int) -> bool:
        """Whether there are data of an entity for a window."""
        found = self._open.by_number.get(window)
        return found is not None and entity < len(found.have) and bool(found.have[entity])

    def counted(self, entity: int, window: int) -> int:
        """Events of an entity (-1: of none) in a window."""
        found = self._open.by_number.get(window)
        if found is None or entity < 0:
            return 0
        return int(found.sums.of(self._merge.keys(np.array([entity], np.int64)))[0][0])

    def metered(self) -> list[tuple[str, int, int, float, float]]:
        """Requests that metrics counted, of the rows that were sent since this was last asked."""
        return self._merge.metered()

    def follow(self, mergers: Mapping[str, FeatureMerger], addresses: Addresses) -> None:
        """Those of the other signals: calls that spans tell of are not told again by metrics. And what addresses stand for."""
        if isinstance(self._merge, EdgeMerge | MetricCallMerge):
            self._merge.callees.addresses = addresses
        if isinstance(self._merge, MetricCallMerge):
            self._merge.by_spans = lambda window: (
                mergers[Signal.EDGES].callers(window) if Signal.EDGES in mergers else frozenset()
            )

    def callers(self, window: int) -> frozenset[str]:
        """Services (callers, of edges) that rows were due for lately, and whose own spans tell of their calls."""
        known = np.flatnonzero(self.entities.known(window, MEMORY_NS // self._open.width_ns))
        others = self._merge.passing if isinstance(self._merge, EdgeMerge) else frozenset[str]()
        return frozenset(self.entities.keys[i][0] for i in known.tolist()) - others

    def passed_on(self, caller: str, callee: str) -> None:
        """A caller's calls are joined with a callee's spans through another service: there are none between the two until some come."""
        self.absorb()
        self.entities.end((caller, callee))

    # --- in ---------------------------------------------------------------------------------------------------------

    def add(self, frame: PartialFrame, now_ns: int) -> None:
        """Take a frame in; one that was delivered before is ignored."""
        self._now_ns = now_ns
        self._mend_time(now_ns)
        known = self.watermarks.sources.get(frame.source)
        if not self.watermarks.admit(frame.source, frame.sequence, frame.watermark_ns, now_ns):
            self.counters["redelivered_frames"] += bool(frame.services)  # an empty one only tells the time
            return
        if not frame.services:
            return
        self._arrived.append(frame)
        if self._restored_ns >= 0:  # the first data after a restore
            self._restored_ns = -1
            if known is not None and known.new_log and len(frame.window_ns):
                # What was sent meanwhile is lost with the former log: nobody was silent then.
                first = int(frame.window_ns.min()) // self._open.width_ns
                self._open.frontier = max(self._open.frontier, first - 1)

    def absorb(self) -> None:
        """Merge what has arrived; `advance` does so first of all. Frames are cheaper merged together than one by one."""
        frames, self._arrived = self._arrived, []
        self._merge.merge(frames, self._now_ns)

    def _mend_time(self, now_ns: int) -> None:
        """If event time was ahead of the clock (it was led there, or the clock was set back), begin again from the clock."""
        if not self.watermarks.mend(now_ns):
            return
        windows = self._open
        self.counters["time_mended"] += 1
        latest = now_ns // windows.width_ns
        windows.frontier = min(windows.frontier, latest - 1)
        self.entities.mend(latest)
        for number in [n for n in windows.by_number if n > latest + windows.max_delay_ns // windows.width_ns]:
            del windows.by_number[number]
            self._merge.close(number)

    # --- out --------------------------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> list[FeatureFrame]:
        """Rows that are due, and corrections, oldest window first."""
        self.left = []
        self._mend_time(now_ns)
        self.absorb()
        before = self.watermarks.merged
        watermark = self.watermarks.advance(now_ns)
        windows = self._open.by_number
        if not watermark or (watermark == before and not any(w.changed for w in windows.values())):
            return []
        self._pass_windows(watermark, watermark - before > JUMP_NS)
        frames: list[FeatureFrame] = []
        held: B1 = np.zeros(self.entities.capacity, np.bool_)
        for number in sorted(windows):
            window = windows[number]
            if watermark >= window.due_ns:
                frames += self._emit(window, watermark, held)
            elif len(window.waits):  # most have nothing to say for as long as they are kept
                held[window.waits] = True
        self._close(watermark)
        return frames

    def glimpses(self) -> list[tuple[FeatureFrame, float]]:
        """What has come so far of windows that time has just passed, or half of them, each with that part; after `advance`. More may come:
        a rate is of what has come so far."""
        due = glimpses(self._open, self._merge.events, self._glimpse_from)
        return [(self._frame(look.window, look.entity, GLIMPSE), look.passed) for look in due]

    def _pass_windows(self, watermark: int, jumped: bool) -> None:
        """Open the windows that time has passed, so that silent services are reported; not over a jump of time."""
        if 0 <= self._restored_ns < self.watermarks.opened_ns:
            return  # this process was away, and nothing has come since: who is silent can't be told yet
        windows = self._open
        reached = (watermark - windows.lateness_ns) // windows.width_ns - 1
        if windows.frontier < 0 and windows.by_number:
            windows.frontier = max(min(windows.by_number) - 1, reached - JUMP_NS // windows.width_ns)
            jumped = False
        if windows.frontier >= 0 and not jumped and self._merge.fills:
            for number in range(windows.frontier + 1, reached + 1):
                window = windows.window(number)
                window.fill, window.due_ns = True, 0
        windows.frontier = max(windows.frontier, reached)

    def _emit(self, window: Window, watermark: int, held: B1) -> list[FeatureFrame]:
        """What is due of a window. `held`: entities of which an older row is waiting to be judged; their rows come in order."""
        window.changed = False
        entities, width_ns = self.entities, self._open.width_ns
        window.fit(entities.capacity)
        end_ns = (window.index + 1) * width_ns + self._open.lateness_ns
        delay_ns = entities.delays.delay_ns
        wanted = window.have & ~window.sent
        if window.fill:
            wanted |= entities.known(window.index, MEMORY_NS // width_ns) & ~window.sent
        due = wanted & (delay_ns <= watermark - end_ns) & ~held
        if isinstance(self._merge, MetricCallMerge) and (due | window.dirty).any():
            silenced = self._merge.silenced(window, np.flatnonzero(due | window.dirty))
            window.have[silenced] = window.dirty[silenced] = due[silenced] = wanted[silenced] = False

        # Of entities without data it may be too early to say whether they are quiet or missing: their rows wait.
        silent = np.flatnonzero(due & ~window.have)
        window.waits = np.empty(0, np.int64)
        if len(silent):
            said = self.liveness.judge(self.signal, entities, silent, (window.index, watermark - end_ns))
            window.missing[silent] = said == Presence.MISSING
            window.waits = silent[np.asarray(said == WAIT, np.bool_)]
        due[window.waits] = False
        held[window.waits] = True

        dirty = window.dirty & window.sent
        frames = []
        if due.any():
            spoke = np.flatnonzero(due & window.have)
            if len(spoke):
                entities.sent(spoke, window.index, self._merge.events(window, spoke))
                if self.signal == Signal.SPANS:
                    self.liveness.spoke(entities, spoke, window.index)
            frames.append(self._frame(window, np.flatnonzero(due), 0))
        if dirty.any():
            window.revision += 1
            self.counters["corrected"] += int(np.count_nonzero(dirty))
            frames.append(self._frame(window, np.flatnonzero(dirty), window.revision))
        window.sent |= due
        window.dirty[:] = False

        waiting = wanted & ~due
        window.due_ns = 1 << 62
        if waiting.any():
            due_ns = end_ns + delay_ns[waiting]
            window.due_ns = int(np.where(due_ns <= watermark, watermark + AGAIN_NS, due_ns).min())
        return frames

    def _frame(self, window: Window, entity: I64, revision: int) -> FeatureFrame:
        values, counts, notes = self._merge.values(window, entity)
        have, missing = window.have[entity], window.missing[entity]
        values[missing & ~have] = np.nan
        listed, known = entity.tolist(), self.entities
        self.counters["rows" if revision >= 0 else "glimpses"] += len(listed)
        return FeatureFrame(
            environment=self.environment,
            signal=self.signal,
            partition=self.partition,
            window_ns=window.index * self._open.width_ns,
            width_ns=self._open.width_ns,
            revision=revision,
            services=tuple(known.keys[i][0] for i in listed),
            peers=tuple(known.keys[i][1] for i in listed) if self.signal == Signal.EDGES else (),
            versions=tuple(known.version[i] for i in listed),
            attributes=tuple(known.attributes[i] for i in listed),
            features=BY_SIGNAL[Signal(self.signal)],
            values=values,
            counts=counts,
            notes=notes,
            presence=_presence(have, missing),
            aside=self._aside(window, entity),
            **self._merge.templates(window, entity),
        )

    def _aside(self, window: Window, entity: I64) -> F64:
        """What explains these rows: see `contracts.features.ASIDE`."""
        if self.signal == Signal.SPANS:
            return span_aside(window.sums, self._merge.keys(entity))
        if self.signal == Signal.EDGES:
            pairs = [self.entities.keys[i] for i in entity.tolist()]
            return self.liveness.asked(pairs, window.index)
        return np.empty(0, np.float64)

    def _close(self, watermark: int) -> None:
        """Close the windows that nothing can change any more, and let entities go for which there is no room."""
        windows = self._open
        keep_ns = windows.max_delay_ns + windows.lateness_ns
        for number in [n for n in windows.by_number if (n + 1) * windows.width_ns + keep_ns <= watermark]:
            del windows.by_number[number]
            self._merge.close(number)
        oldest, merit = (watermark - keep_ns) // windows.width_ns, MERIT_NS // windows.width_ns
        gone = self.entities.make_room(oldest, merit).tolist()
        self.left = [self.entities.keys[number][0] for number in gone]
        self.counters["service_left"] += len(gone)
        self._merge.forget(gone)
        self._merge.expire(watermark)

    # --- state ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The whole state."""
        self.absorb()
        body = {
            "watermarks": self.watermarks.state(),
            "entities": self.entities.state(),
            "windows": [w.state() for w in self._open.by_number.values()],
            "frontier": self._open.frontier,
            "counters": dict(self.counters),
            **self._merge.state(),
        }
        return dump(_KIND, _VERSION, body)

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state.

        Raises:
            UnreadableEvent: it is not such a snapshot.
        """
        body = load(_KIND, _VERSION, state)
        self._arrived = []
        self.watermarks.load(body["watermarks"])
        self.entities.load(body["entities"])
        self._open.by_number.clear()
        for saved in body["windows"]:
            window = Window(saved["index"], self._open.columns, 0)
            window.load(saved)
            self._open.by_number[window.index] = window
        self._open.frontier, self._restored_ns = body["frontier"], self.watermarks.now_ns
        self._merge.load(body)
        self.counters.clear()
        self.counters.update(body["counters"])


def _presence(have: B1, missing: B1) -> I8:
    """Presence of rows; nothing where all have data."""
    if have.all():
        return np.empty(0, np.int8)
    silent = np.where(missing, Presence.MISSING, Presence.QUIET)
    return np.where(have, Presence.OBSERVED, silent).astype(np.int8)
