"""Requests by operation: a route, method or topic of a service, a statement of a database, so that one that is slow or fails is told.

Sums per service would hide a route that one request in fifty asks for. Ingest sums each flush by operation; here the sums of all source
partitions are merged over `WIDTH_NS`. The operations are those that `streams.windows.routes` keeps: so many per service and in all, the
least useful leave, and what finds no room is of the operation `OTHER`. A service of one operation has none here: it is that operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from contracts.features import OPERATION_SUMS, OPERATIONS
from contracts.frames import FeatureFrame, PartialFrame
from contracts.frames.decoded import I64
from contracts.units import SECOND
from streams.windows.grouping import dense, sum_by
from streams.windows.names import Names
from streams.windows.routes import THOUSANDTHS, Routes
from streams.windows.rows import Origin, frame

WIDTH_NS: Final = 5 * SECOND
LATE_NS: Final = 3 * SECOND
"""A window of operations is told so long after its end: what comes later is counted as late."""
OTHER: Final = "(other)"
_COLUMNS: Final = ("count", "errors", "known", "level", "pace", "duration_ns")
"""Columns of partials; the last one sums the logarithms of durations of known requests, in thousandths."""
_MOST_ROWS: Final = 100_000
"""Operations of a window, in one environment and partition."""

Key = tuple[str, str]


def operation_frames(
    origin: Origin, names: Names, routes: Routes, spans: tuple[I64, I64, I64], sums: tuple[I64, ...]
) -> Iterator[tuple[int, PartialFrame]]:
    """Partials of requests. `spans` are their ends, services and routes (slots of `routes`; -1: of no room), `sums` are `_COLUMNS`."""
    end_ns, service, slot = spans
    several = routes.several([names.text[i] for i in range(len(names))])
    some = np.flatnonzero(several[service])
    if not len(some):
        return
    windows, window = dense(end_ns[some] // WIDTH_NS)
    size = routes.slots + 1
    targets = names.targets()
    key = ((targets[service[some]] * len(windows) + window) * len(names) + service[some]) * size + slot[some] + 1
    keys, columns = sum_by(key, tuple(c[some] for c in sums))
    rest, slots = np.divmod(keys, size)
    rest, services = np.divmod(rest, len(names))
    target, place = np.divmod(rest, len(windows))
    bounds = np.searchsorted(target, np.arange(names.partitions + 1))
    here = Origin(origin.environment, origin.source, origin.sequence, 0)
    for t in np.flatnonzero(np.diff(bounds)).tolist():
        rows = slice(int(bounds[t]), int(bounds[t + 1]))
        of_service, service_at = np.unique(services[rows], return_inverse=True)
        of_slot, slot_at = np.unique(slots[rows], return_inverse=True)
        listed = tuple(names.text[i] for i in of_service.tolist())
        told = tuple(routes.name(i - 1) or OTHER for i in of_slot.tolist())
        filled: dict[str, Any] = {name: c[rows] for name, c in zip(_COLUMNS, columns, strict=True)}
        filled["window_ns"] = windows[place[rows]] * WIDTH_NS
        filled["service"] = service_at.ravel().astype(np.int32)
        filled["peer"] = (slot_at.ravel() + len(listed)).astype(np.int32)
        empty = frame(here, OPERATIONS, filled)
        blank = ("",) * (len(listed) + len(told))
        yield t, _named(empty, (*listed, *told), blank)


def _named(empty: PartialFrame, services: tuple[str, ...], blank: tuple[str, ...]) -> PartialFrame:
    fields = {name: getattr(empty, name) for name in PartialFrame.__slots__}
    return PartialFrame(**{**fields, "services": services, "versions": blank, "attributes": blank})


class OperationMerge:
    """Sums of operations of one environment and partition of services, until their windows are over."""

    def __init__(self, environment: str, partition: int) -> None:
        self.environment, self.partition = environment, partition
        self.late = 0
        """Requests that came after their window, or for which there was no room."""
        self._windows: dict[int, dict[Key, list[int]]] = {}
        self._sequences: dict[str, int] = {}
        self._told_ns = 0

    def add(self, given: PartialFrame) -> None:
        """Take a frame in; one that was delivered before is ignored."""
        if given.sequence <= self._sequences.get(given.source, -1):
            return
        self._sequences[given.source] = given.sequence
        columns = zip(*(getattr(given, name).tolist() for name in _COLUMNS), strict=True)
        rows = zip(given.window_ns.tolist(), given.service.tolist(), given.peer.tolist(), columns, strict=True)
        for window_ns, service, operation, sums in rows:
            if window_ns < self._told_ns:
                self.late += sums[0]
                continue
            window = self._windows.setdefault(window_ns, {})
            key = given.services[service], given.services[operation]
            known = window.get(key)
            if known is None:
                if len(window) >= _MOST_ROWS:
                    self.late += sums[0]
                    continue
                known = window[key] = [0] * len(_COLUMNS)
            for i, value in enumerate(sums):
                known[i] += value

    def advance(self, reached_ns: int) -> list[FeatureFrame]:
        """Windows that are over now that event time has come so far, oldest first."""
        over = sorted(w for w in self._windows if w + WIDTH_NS + LATE_NS <= reached_ns)
        self._told_ns = max([self._told_ns, *(w + WIDTH_NS for w in over)])
        return [self._frame(window_ns, self._windows.pop(window_ns)) for window_ns in over]

    def _frame(self, window_ns: int, rows: dict[Key, list[int]]) -> FeatureFrame:
        keys = sorted(rows)
        sums = np.array([rows[k] for k in keys], np.float64).reshape(len(keys), len(_COLUMNS))
        sums[:, 3:] /= THOUSANDTHS
        blank = ("",) * len(keys)
        return FeatureFrame(
            environment=self.environment,
            signal=OPERATIONS,
            partition=self.partition,
            window_ns=window_ns,
            width_ns=WIDTH_NS,
            revision=0,
            services=tuple(k[0] for k in keys),
            peers=tuple(k[1] for k in keys),
            versions=blank,
            attributes=blank,
            features=OPERATION_SUMS,
            values=sums,
            counts=sums[:, 0].astype(np.int64),
            notes=(),
        )

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        windows = [[w, [[*key, *sums] for key, sums in rows.items()]] for w, rows in self._windows.items()]
        return {"windows": windows, "sequences": self._sequences, "told": self._told_ns, "late": self.late}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self._windows = {w: {(row[0], row[1]): list(row[2:]) for row in rows} for w, rows in state["windows"]}
        self._sequences, self._told_ns, self.late = dict(state["sequences"]), state["told"], state["late"]
