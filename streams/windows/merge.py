"""Partials of all sources to feature frames: which rows are due, which have to be corrected, what was lost.

A row of a window is due when the merged watermark has passed the window's end by the allowed lateness and by the delay
learnt for that service; nobody waits for somebody else's delay. What comes later corrects the row (a revision); what comes
after `max_delay_s` is counted as late and dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from contracts.capacity import MERIT_NS
from contracts.features import BY_SIGNAL, Signal
from contracts.frames import FeatureFrame, PartialFrame, Presence
from contracts.frames.decoded import B1, F64, I8, I64
from contracts.settings import IngestSettings
from streams.windows.entities import Entities
from streams.windows.grouping import dense
from streams.windows.liveness import WAIT, Liveness
from streams.windows.row_values import COLUMNS, edge_values, log_values, span_values
from streams.windows.rows import SUMS
from streams.windows.series import HISTO, POINT, MetricWindow, SeriesBook
from streams.windows.state import dump, load
from streams.windows.tables import ranges
from streams.windows.templates import GRACE_NS, TemplateBook
from streams.windows.watermark import Watermarks
from streams.windows.window import Window

_KIND, _VERSION = "features", 1
JUMP_NS = 10_000_000_000
"""Time that passes in one step longer than this was not observed: no data in it is no information."""
MEMORY_NS = 300_000_000_000
"""A service without data has rows (quiet, or missing) for so long; then it is taken to be gone."""
AGAIN_NS = 200_000_000
"""How soon a row that has to wait for what others say is looked at again."""
_EDGES_PER_SERVICE = 8
_SERIES_PER_SERVICE = 64


def liveness_of(settings: IngestSettings, mergers: Mapping[str, FeatureMerger]) -> Liveness:
    """Who judges silence for these mergers of one environment."""
    return Liveness(settings.window_ms * 1_000_000, int(settings.max_delay_s * 1e9), 4 * settings.max_services, mergers)


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
        self.environment, self.signal, self.partition = environment, signal, partition
        self.counters: Counter[str] = Counter()
        self.width_ns = settings.window_ms * 1_000_000
        self.lateness_ns = settings.lateness_ms * 1_000_000
        self.max_delay_ns = int(settings.max_delay_s * 1e9)
        self.watermarks = Watermarks(int(settings.idle_timeout_s * 1e9))
        most = settings.max_services * (_EDGES_PER_SERVICE if signal == "edges" else 1)
        self.entities = Entities(most, self.max_delay_ns)
        self.windows: dict[int, Window] = {}
        self.frontier = -1
        self._jump = JUMP_NS // self.width_ns
        self._restored_ns = -1
        self.templates = TemplateBook()
        self.series = SeriesBook(self.max_delay_ns, settings.max_services * _SERIES_PER_SERVICE, self.counters)
        self.metrics: dict[int, MetricWindow] = {}
        self._arrived: list[PartialFrame] = []
        self.liveness = liveness or liveness_of(settings, {signal: self})
        self._now_ns = 0
        """When something last came in, by this process's clock: how fresh a claim is is not for its sender to say."""

    # --- in ---------------------------------------------------------------------------------------------------------

    def add(self, frame: PartialFrame, now_ns: int) -> None:
        """Take a frame in; one that was delivered before is ignored."""
        self._now_ns = now_ns
        self._mend_time(now_ns)
        known = self.watermarks.sources.get(frame.source)
        if not self.watermarks.admit(frame.source, frame.sequence, frame.watermark_ns, now_ns):
            self.counters["redelivered_frames"] += bool(frame.services)  # an empty one only tells the time
            return
        if frame.services:
            self._arrived.append(frame)
            self._resume(frame, known is not None and known.new_log)

    def _resume(self, frame: PartialFrame, new_log: bool) -> None:
        """The first data after a restore. If the log is new, what was sent meanwhile is lost: nobody was silent then."""
        if self._restored_ns < 0:
            return
        self._restored_ns = -1
        if new_log and len(frame.window_ns):
            self.frontier = max(self.frontier, int(frame.window_ns.min()) // self.width_ns - 1)

    def absorb(self) -> None:
        """Merge what has arrived; `advance` does so first of all. Frames are cheaper merged together than one by one."""
        frames, self._arrived = self._arrived, []
        if self.signal == "metrics":
            for frame in frames:
                self._add_points(frame)
        elif frames:
            self._add_rows(frames)

    def _add_rows(self, frames: list[PartialFrame]) -> None:
        entity = np.concatenate([self._entities_of(f) for f in frames])
        role = np.concatenate([f.role if len(f.role) else np.zeros(len(f.count), np.int8) for f in frames])
        if self.signal == "spans":
            self._served(entity[(role == 0) & (entity >= 0)])
        index = np.concatenate([f.window_ns for f in frames]) // self.width_ns
        columns = [np.concatenate([getattr(f, n) for f in frames]) for n in ("count", *SUMS[self.signal])]
        usable = (entity >= 0) & ~self._too_late(index)
        self._count_lost(entity, usable, columns[0])
        self.entities.resumed(entity[usable], index[usable], self.watermarks.merged // self.width_ns, self._jump)
        key = entity * 2 + role
        first_row = np.cumsum([0, *(len(f.count) for f in frames)])
        hist_row = np.concatenate([f.hist_row + first for f, first in zip(frames, first_row, strict=False)])
        bucket = np.concatenate([f.hist_bucket for f in frames]).astype(np.int64)
        hist_count = np.concatenate([f.hist_count for f in frames])
        windows, place = dense(np.where(usable, index, -1))
        for i, number in enumerate(windows.tolist()):
            if number < 0:
                continue
            window, rows = self._window(number), np.flatnonzero(place == i)
            window.sums.add(key[rows], tuple(c[rows] for c in columns))
            cell = np.flatnonzero(place[hist_row] == i)
            if len(cell):
                window.sums.add_cells(key[hist_row[cell]], bucket[cell], hist_count[cell])
            self._noticed(window, entity[rows])
        self._learn_delays(entity[usable], index[usable], columns[0][usable])
        for frame, first in zip(frames, first_row.tolist(), strict=False):
            if len(frame.template_row):
                own = slice(first, first + len(frame.count))
                self._add_templates(frame, entity[own], index[own], usable[own])

    def _entities_of(self, frame: PartialFrame) -> I64:
        """The entity of each row; -1 where there is no room for it."""
        if self.signal != "edges":
            number_of = self.entities.number
            numbers = np.array([number_of((s, "")) for s in frame.services], np.int64)
            for i, number in enumerate(numbers.tolist()):
                if number >= 0 and (frame.versions[i] or frame.attributes[i]):
                    self._identify(number, frame, i)
            return numbers[frame.service]
        pair = frame.service.astype(np.int64) * len(frame.services) + frame.peer
        distinct, place = dense(pair, len(frame.services) ** 2)
        names = frame.services
        pairs = [(names[p // len(names)], names[p % len(names)]) for p in distinct.tolist()]
        return np.array([self._number(*p) for p in pairs], np.int64)[place]

    def _identify(self, number: int, frame: PartialFrame, i: int) -> None:
        self.entities.identify(number, frame.versions[i], frame.attributes[i], frame.source, self._now_ns)

    def _number(self, service: str, peer: str) -> int:
        return self.entities.number((service, peer))

    def _served(self, entity: I64) -> None:
        """These services serve requests: from now on their other root spans are none (and never were)."""
        first_time = entity[~self.entities.served[entity]]
        if len(first_time):
            first_time = np.unique(first_time)
            self.entities.served[first_time] = True
            for window in self.windows.values():
                window.fit(self.entities.capacity)
                window.spoil(first_time)

    def _too_late(self, index: I64) -> B1:
        late: B1 = (index + 1) * self.width_ns + self.lateness_ns + self.max_delay_ns <= self.watermarks.merged
        return late

    def _count_lost(self, entity: I64, usable: B1, count: I64) -> None:
        if not usable.all():
            self.counters["late"] += int(count[(entity >= 0) & ~usable].sum())
            self.counters["service_limit"] += int(count[entity < 0].sum())

    def _window(self, index: int) -> Window:
        window = self.windows.get(index)
        if window is None:
            window = self.windows[index] = Window(index, COLUMNS[self.signal], self.entities.capacity)
            if self.signal == "metrics":
                self.metrics[index] = MetricWindow()
        window.fit(self.entities.capacity)
        return window

    def _learn_delays(self, entity: I64, index: I64, events: I64) -> None:
        merged = self.watermarks.merged
        tells = index * self.width_ns >= self.watermarks.disturbed_ns
        if merged and tells.any():
            late_ns = merged - (index[tells] + 1) * self.width_ns
            self.entities.delays.observe(entity[tells], late_ns, events[tells], merged)

    def _noticed(self, window: Window, entity: I64) -> None:
        """Data of some entities came for a window."""
        window.touch(entity)
        if self.frontier >= window.index and (self.entities.first[entity] > window.index).any():
            for later in self.windows.values():
                later.due_ns = 0
        self.entities.seen(entity, window.index)

    def _add_templates(self, frame: PartialFrame, entity: I64, index: I64, usable: B1) -> None:
        for row, template, text in zip(
            frame.template_row.tolist(), frame.template_hash.tolist(), frame.template_text, strict=True
        ):
            self.templates.tell(template, text)
            if usable[row]:
                before = self.templates.see(int(entity[row]), template, int(index[row]))
                if before in self.windows:
                    self.windows[before].spoil(entity[row : row + 1])

    def _add_points(self, frame: PartialFrame) -> None:
        numbers = np.array([self._number(s, "") for s in frame.services], np.int64)
        for i, number in enumerate(numbers.tolist()):
            if number >= 0:
                self._identify(number, frame, i)
        points, histos = _points(frame, numbers), _histos(frame, numbers)
        index = np.concatenate([points["time"], histos["time"]]) // self.width_ns
        entity = np.concatenate([points["entity"], histos["entity"]]).astype(np.int64)
        usable = (entity >= 0) & ~self._too_late(index)
        self._count_lost(entity, usable, np.ones(len(index), np.int64))
        for w in np.unique(index[usable]).tolist():
            mine = usable & (index == w)
            window = self._window(w)
            some_histos = histos[mine[len(points) :]]
            which, cell = ranges(some_histos["low"], some_histos["high"])
            size = np.bincount(which, minlength=len(some_histos))
            some_histos["high"] = np.cumsum(size)
            some_histos["low"] = some_histos["high"] - size
            bucket, count = frame.hist_bucket[cell].astype(np.int64), frame.hist_count[cell]
            self.metrics[w].add(points[mine[: len(points)]], some_histos, bucket, count)
            self._noticed(window, np.unique(entity[mine]))
        self._learn_delays(entity[usable], index[usable], np.ones(int(np.count_nonzero(usable)), np.int64))

    def _mend_time(self, now_ns: int) -> None:
        """If event time was ahead of the clock (it was led there, or the clock was set back), begin again from the clock."""
        if not self.watermarks.mend(now_ns):
            return
        self.counters["time_mended"] += 1
        latest = now_ns // self.width_ns
        self.frontier = min(self.frontier, latest - 1)
        self.entities.mend(latest)
        for index in [i for i in self.windows if i > latest + self.max_delay_ns // self.width_ns]:
            del self.windows[index]
            self.metrics.pop(index, None)
            self.templates.close(index)

    # --- out --------------------------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> list[FeatureFrame]:
        """Rows that are due, and corrections, oldest window first."""
        self._mend_time(now_ns)
        self.absorb()
        before = self.watermarks.merged
        watermark = self.watermarks.advance(now_ns)
        if not watermark or (watermark == before and not any(w.changed for w in self.windows.values())):
            return []
        self._pass_windows(watermark, watermark - before > JUMP_NS)
        frames: list[FeatureFrame] = []
        held: B1 = np.zeros(self.entities.capacity, np.bool_)
        for index in sorted(self.windows):
            frames += self._emit(self.windows[index], watermark, held)
        self._close(watermark)
        return frames

    def _pass_windows(self, watermark: int, jumped: bool) -> None:
        """Open the windows that time has passed, so that silent services are reported; not over a jump of time."""
        if 0 <= self._restored_ns < self.watermarks.opened_ns:
            return  # this process was away, and nothing has come since: who is silent can't be told yet
        reached = (watermark - self.lateness_ns) // self.width_ns - 1
        if self.frontier < 0 and self.windows:
            self.frontier = max(min(self.windows) - 1, reached - JUMP_NS // self.width_ns)
            jumped = False
        if self.frontier >= 0 and not jumped and self.signal != "metrics":
            for index in range(self.frontier + 1, reached + 1):
                window = self._window(index)
                window.fill, window.due_ns = True, 0
        self.frontier = max(self.frontier, reached)

    def _emit(self, window: Window, watermark: int, held: B1) -> list[FeatureFrame]:
        """What is due of a window. `held`: series of which an older row is waiting to be judged; their rows come in order."""
        window.changed = False
        if watermark < window.due_ns:
            held[window.waits] = True
            return []
        window.fit(self.entities.capacity)
        end_ns = (window.index + 1) * self.width_ns + self.lateness_ns
        delay_ns = self.entities.delays.delay_ns
        wanted = window.have & ~window.sent
        if window.fill:
            wanted |= self.entities.known(window.index, MEMORY_NS // self.width_ns) & ~window.sent
        due = wanted & (delay_ns <= watermark - end_ns) & ~held
        silent = np.flatnonzero(due & ~window.have)
        waits = silent[self._silent(window, silent, watermark - end_ns)]
        due[waits] = False
        held[waits] = True
        window.waits = waits
        dirty = window.dirty & window.sent
        frames = []
        if due.any():
            self._sent(window, np.flatnonzero(due & window.have))
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

    def _silent(self, window: Window, entity: I64, since_ns: int) -> B1:
        """Which of the rows without data can't be judged yet."""
        if not len(entity):
            return np.zeros(0, np.bool_)
        said = self.liveness.judge(self.signal, self.entities, entity, (window.index, since_ns))
        window.missing[entity] = said == Presence.MISSING
        return np.asarray(said == WAIT, np.bool_)

    def _sent(self, window: Window, entity: I64) -> None:
        """First rows with data go out."""
        if not len(entity):
            return
        self.entities.sent(entity, window.index, self._events(window, entity))
        if self.signal == Signal.SPANS:
            self.liveness.spoke(self.entities, entity, window.index)

    def _events(self, window: Window, entity: I64) -> I64:
        if self.signal == Signal.METRICS:
            metrics = self.metrics[window.index]
            metrics.digest(entity, self.series)
            return metrics.values(entity)[1]
        return window.sums.of(entity * 2)[0]

    def has(self, entity: int, window: int) -> bool:
        """Whether there are data of an entity for a window."""
        found = self.windows.get(window)
        return found is not None and entity < len(found.have) and bool(found.have[entity])

    def counted(self, entity: int, window: int) -> int:
        """Events of an entity (-1: of none) in a window."""
        found = self.windows.get(window)
        return 0 if found is None or entity < 0 else int(found.sums.of(np.array([entity * 2], np.int64))[0][0])

    def _close(self, watermark: int) -> None:
        keep_ns = self.max_delay_ns + self.lateness_ns
        for index in [i for i in self.windows if (i + 1) * self.width_ns + keep_ns <= watermark]:
            del self.windows[index]
            self.metrics.pop(index, None)
            self.templates.close(index)
        gone = self.entities.make_room((watermark - keep_ns) // self.width_ns, MERIT_NS // self.width_ns)
        self.counters["service_left"] += len(gone)
        self.counters["template_left"], self.counters["template_limit"] = self.templates.left, self.templates.over_limit
        for entity in gone.tolist():
            self.templates.forget(entity)
        if self.signal == "metrics":
            self.series.expire(watermark - 10 * self.max_delay_ns)

    def _frame(self, window: Window, entity: I64, revision: int) -> FeatureFrame:
        values, counts, notes = self._values(window, entity)
        values[window.missing[entity] & ~window.have[entity]] = np.nan
        listed = entity.tolist()
        edges = self.signal == "edges"
        self.counters["rows"] += len(listed)
        return FeatureFrame(
            environment=self.environment,
            signal=self.signal,
            partition=self.partition,
            window_ns=window.index * self.width_ns,
            width_ns=self.width_ns,
            revision=revision,
            services=tuple(self.entities.keys[i][0] for i in listed),
            peers=tuple(self.entities.keys[i][1] for i in listed) if edges else (),
            versions=tuple(self.entities.version[i] for i in listed),
            attributes=tuple(self.entities.attributes[i] for i in listed),
            features=BY_SIGNAL[Signal(self.signal)],
            values=values,
            counts=counts,
            notes=notes,
            presence=_presence(window.have[entity], window.missing[entity]),
        )

    def _values(self, window: Window, entity: I64) -> tuple[F64, I64, tuple[str, ...]]:
        width_s = self.width_ns / 1e9
        if self.signal == "spans":
            return *span_values(window.sums, entity * 2 + ~self.entities.served[entity], width_s), ()
        if self.signal == "edges":
            return *edge_values(window.sums, entity * 2, width_s), ()
        if self.signal == "metrics":
            metrics = self.metrics[window.index]
            metrics.digest(entity, self.series)
            return *metrics.values(entity), ()
        new = [self._new_templates(window.index, e) for e in entity.tolist()]
        found = np.array([len(t) for t in new], np.int64)
        notes = tuple("\n".join(self.templates.text(t) for t in templates) for templates in new)
        return *log_values(window.sums, entity * 2, width_s, found), notes

    def _new_templates(self, window: int, entity: int) -> list[int]:
        if window < self.entities.first[entity] + GRACE_NS // self.width_ns:
            return []
        return self.templates.fresh(entity, window)

    # --- state ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The whole state."""
        self.absorb()
        body = {
            "watermarks": self.watermarks.state(),
            "entities": self.entities.state(),
            "windows": [w.state() for w in self.windows.values()],
            "metrics": [[i, m.state()] for i, m in self.metrics.items()],
            "frontier": self.frontier,
            "templates": self.templates.state(),
            "series": self.series.state(),
            "counters": dict(self.counters),
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
        self.windows, self.metrics = {}, {}
        for saved in body["windows"]:
            window = Window(saved["index"], COLUMNS[self.signal], 0)
            window.load(saved)
            self.windows[window.index] = window
        for index, metrics in body["metrics"]:
            self.metrics[index] = MetricWindow()
            self.metrics[index].load(metrics)
        self.frontier, self._restored_ns = body["frontier"], self.watermarks.now_ns
        self.templates.load(body["templates"])
        self.series.load(body["series"])
        self.counters.clear()
        self.counters.update(body["counters"])


def _presence(have: B1, missing: B1) -> I8:
    """Presence of rows; nothing where all have data."""
    if have.all():
        return np.empty(0, np.int8)
    silent = np.where(missing, Presence.MISSING, Presence.QUIET)
    return np.where(have, Presence.OBSERVED, silent).astype(np.int8)


def _points(frame: PartialFrame, numbers: I64) -> Any:
    points = np.empty(len(frame.point_series), POINT)
    points["entity"] = numbers[frame.point_service]
    points["feature"], points["series"], points["mode"] = frame.point_feature, frame.point_series, frame.point_mode
    points["start"], points["time"], points["value"] = frame.point_start_ns, frame.point_time_ns, frame.point_value
    return points


def _histos(frame: PartialFrame, numbers: I64) -> Any:
    histos = np.empty(len(frame.histo_series), HISTO)
    histos["entity"] = numbers[frame.histo_service]
    histos["series"], histos["mode"], histos["error"] = frame.histo_series, frame.histo_mode, frame.histo_error
    histos["start"], histos["time"] = frame.histo_start_ns, frame.histo_time_ns
    rows = np.arange(len(histos))
    histos["low"] = np.searchsorted(frame.hist_row, rows, side="left")
    histos["high"] = np.searchsorted(frame.hist_row, rows, side="right")
    return histos
