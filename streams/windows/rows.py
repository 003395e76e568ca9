"""Rows of spans, calls and records grouped by window and service, cut into one PartialFrame per target partition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from contracts.frames import PartialFrame, empty_columns
from contracts.frames.decoded import B1, I32, I64
from streams.windows.grouping import APART, Groups, aggregate, bucket_of_ns, dense
from streams.windows.names import Names

SUMS: Final = {
    "spans": ("errors", "duration_ns", "known", "level", "pace"),
    "edges": ("errors", "duration_ns", "gap_ns", "gap_count"),
    "logs": ("errors",),
}
"""Integer columns of a row besides its count, by signal."""
_NO_ROWS: Final = empty_columns()
_UNTOLD: Final = frozenset({"edges", "calls", "metric_calls"})
"""Signals whose frames don't tell attributes of services."""
UNIT: Final = 1000
"""Weights of events are in thousandths: sums of them are exact."""
UNSEEN: Final = ("unseen", "unseen_errors")
"""Columns of rows with events that stand for more than themselves: what is beyond them, in thousandths."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a frame comes from: what its receiver needs to ignore redeliveries and to know how far time has come."""

    environment: str
    source: str
    sequence: int
    watermark_ns: int
    tells_time: bool = True
    """Whether targets that get no rows are told the time by an empty frame. Where each message has frames of its own, that
    would be many times as many frames as there are rows: it can wait for the next tick."""


@dataclass(frozen=True, slots=True)
class Events:
    """n events to group. `other` is the callee of a call, the role of a span, or 0; below `others` in any case.

    `sums` are the integer columns of the signal (SUMS), errors first.
    """

    end_ns: I64
    service: I64
    other: I64
    others: int
    duration_ns: I64
    sums: tuple[I64, ...]
    counted: B1 | None = None
    """Events that count and whose durations do; the others only show that somebody is there. None: all of them."""
    timed: B1 | None = None
    """Events whose durations are latencies. None: all of them."""
    weight: I32 | None = None
    """How many events each stands for, in thousandths. None: one."""

    def and_also(self, more: Events) -> Events:
        """These events and some more."""
        sums = tuple(np.concatenate(pair) for pair in zip(self.sums, more.sums, strict=True))
        counted = [np.ones(len(e.end_ns), np.bool_) if e.counted is None else e.counted for e in (self, more)]
        timed = [np.ones(len(e.end_ns), np.bool_) if e.timed is None else e.timed for e in (self, more)]
        weight = [np.full(len(e.end_ns), UNIT, np.int32) if e.weight is None else e.weight for e in (self, more)]
        return Events(
            np.concatenate([self.end_ns, more.end_ns]),
            np.concatenate([self.service, more.service]),
            np.concatenate([self.other, more.other]),
            more.others,
            np.concatenate([self.duration_ns, more.duration_ns]),
            sums,
            None if self.counted is None and more.counted is None else np.concatenate(counted),
            None if self.timed is None and more.timed is None else np.concatenate(timed),
            None if self.weight is None and more.weight is None else np.concatenate(weight),
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """The rows of one target: where its rows and histogram cells begin and end in `groups`, and its decoded keys."""

    target: int
    window_ns: I64
    service: I64
    other: I64
    groups: Groups
    rows: slice
    cells: slice | None

    def sums(self, signal: str) -> dict[str, Any]:
        """Columns of a frame: count, the sums of the signal, and the histogram where it has one."""
        g = self.groups
        found: dict[str, Any] = {"count": g.count[self.rows]}
        sums = (*SUMS[signal], *UNSEEN) if len(g.sums) > len(SUMS[signal]) else SUMS[signal]
        found.update({n: s[self.rows] for n, s in zip(sums, g.sums, strict=True)})
        if self.cells is not None:
            found["hist_row"] = g.hist_row[self.cells] - np.int32(self.rows.start)
            found["hist_bucket"], found["hist_count"] = g.hist_bucket[self.cells], g.hist_count[self.cells]
        return found


def row_keys(events: Events, names: Names, width_ns: int) -> tuple[I64, I64]:
    """The key of each event's row, which sorts by (target, window, service, other), and the distinct windows."""
    windows, window = dense(events.end_ns // width_ns)
    key = names.targets()[events.service] * len(windows) + window
    return (key * len(names) + events.service) * events.others + events.other, windows


def group(events: Events, names: Names, width_ns: int, *, histogram: bool = True) -> Iterator[Cut]:
    """Group events by (target partition, window, service, other); one Cut per target that has any, in order."""
    if not len(events.end_ns):
        return
    key, windows = row_keys(events, names, width_ns)
    services = len(names)
    bucket = bucket_of_ns(events.duration_ns) if histogram else np.zeros(len(key), np.int32)
    plain = events.counted is None and events.timed is None and events.weight is None
    groups = aggregate(key, bucket, events.sums) if plain else _counted(key, bucket, events)
    rest, other = np.divmod(groups.keys, events.others)
    rest, service = np.divmod(rest, services)
    target, window = np.divmod(rest, len(windows))
    bounds = np.searchsorted(target, np.arange(names.partitions + 1))
    cells = np.searchsorted(groups.hist_row, bounds)
    for t in np.flatnonzero(np.diff(bounds)).tolist():
        rows = slice(int(bounds[t]), int(bounds[t + 1]))
        yield Cut(
            target=t,
            window_ns=windows[window[rows]] * width_ns,
            service=service[rows],
            other=other[rows],
            groups=groups,
            rows=rows,
            cells=slice(int(cells[t]), int(cells[t + 1])) if histogram else None,
        )


def _counted(key: I64, bucket: I32, events: Events) -> Groups:
    """Groups of all events, with the counts and sums of those that count, and the durations of those that are timed."""
    counted, timed = events.counted, events.timed
    ones = np.ones(len(key), np.int64) if counted is None else counted.astype(np.int64)
    placed = (ones > 0) if timed is None else timed & (ones > 0)
    apart = np.where(placed, bucket, APART).astype(np.int32)
    sums, each = tuple(s * ones for s in events.sums), None
    if events.weight is not None:
        each = np.rint(events.weight / UNIT).astype(np.int64)
        unseen = (events.weight.astype(np.int64) - UNIT) * ones
        sums = (*sums, unseen, unseen * events.sums[0])
    whole = aggregate(key, apart, (*sums, ones), each)
    kept = whole.hist_bucket != APART
    cells = (c[kept] for c in (whole.hist_row, whole.hist_bucket, whole.hist_count))
    return Groups(whole.keys, whole.sums[-1], whole.sums[:-1], *cells)


def frame(origin: Origin, signal: str, columns: dict[str, Any], named: tuple[Names, I64] | None = None) -> PartialFrame:
    """A PartialFrame of the services with the given numbers (sorted), or of none; `columns` name them by their place in that list."""
    told: dict[str, tuple[str, ...]] = dict.fromkeys(("services", "versions", "attributes"), ())
    if named is not None:
        names, listed = named[0], named[1].tolist()
        told["services"] = tuple(names.text[i] for i in listed)
        told["versions"] = tuple(names.version[i] for i in listed)
        told["attributes"] = tuple("" if signal in _UNTOLD else names.news(i) for i in listed)
    filled: dict[str, Any] = {**_NO_ROWS, "template_text": (), **told, **columns}
    return PartialFrame(
        environment=origin.environment,
        signal=signal,
        source=origin.source,
        sequence=origin.sequence,
        watermark_ns=origin.watermark_ns,
        **filled,
    )


def row_frame(origin: Origin, signal: str, names: Names, cut: Cut, more: dict[str, Any] | None = None) -> PartialFrame:
    """The PartialFrame of one Cut, and `more` columns; for edges `other` is the callee's number, for spans the role."""
    columns = {**cut.sums(signal), "window_ns": cut.window_ns, **(more or {})}
    if signal == "edges":
        listed, place = dense(np.concatenate([cut.service, cut.other]), len(names))
        columns["service"], columns["peer"] = np.split(place.astype(np.int32), 2)
    else:
        listed, place = dense(cut.service, len(names))
        columns["service"] = place.astype(np.int32)
        if signal == "spans":
            columns["role"] = cut.other.astype(np.int8)
    return frame(origin, signal, columns, (names, listed))
