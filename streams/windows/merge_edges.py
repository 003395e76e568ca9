"""Merging edges: calls of one service to another, which is the peer."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from contracts.external import EXTERNAL
from contracts.features import Signal
from contracts.frames import PartialFrame
from contracts.frames.decoded import F64, I8, I64
from contracts.settings import IngestSettings
from contracts.topics import SPANS
from contracts.units import MINUTE, SECOND
from streams.windows.callees import Callees
from streams.windows.grouping import dense
from streams.windows.merge_rows import RowMerge
from streams.windows.row_values import edge_values
from streams.windows.window import Window

LONGEST_NS: Final = MINUTE
"""Whoever waits for an answer gives up by then; what lasts longer does not wait."""


class EdgeMerge(RowMerge):
    """Entities are pairs of caller and callee."""

    signal = Signal.EDGES
    per_service = 8

    def __init__(self, settings: IngestSettings) -> None:
        super().__init__(settings)
        self.callees = Callees(self.per_service * settings.max_services)
        self.passing: set[str] = set()
        """Callers of whose calls their callees' spans alone tell (`streams.windows.silent_hops`)."""

    def roles_of(self, frame: PartialFrame) -> I8:
        """Calls have none. Of frames that say so it is taken note of which callers tell of their calls themselves."""
        if len(frame.count) and frame.source.startswith(f"{SPANS}/") and (len(frame.role) or self.passing):
            passes = frame.role != 0 if len(frame.role) else np.zeros(len(frame.count), np.bool_)
            names = frame.services
            self.passing -= {names[i] for i in np.unique(frame.service[~passes]).tolist()}
            self.passing |= {names[i] for i in np.unique(frame.service[passes]).tolist()}
        return np.zeros(len(frame.count), np.int8)

    def entities_of(self, frame: PartialFrame, now_ns: int) -> I64:
        """The entity of each row of a frame; -1 where there is no room for it."""
        if self.callees.addresses and len(frame.service):
            return self._entities_meant(frame)
        names, number_of = frame.services, self.open.entities.number
        pair = frame.service.astype(np.int64) * len(names) + frame.peer
        distinct, place = dense(pair, len(names) ** 2)
        pairs = [(names[p // len(names)], names[p % len(names)]) for p in distinct.tolist()]
        return np.array([number_of(p) for p in pairs], np.int64)[place]

    def _entities_meant(self, frame: PartialFrame) -> I64:
        """The same where a cluster says what addresses stand for: who answers at one depends on when."""
        names, number_of, callees = frame.services, self.open.entities.number, self.callees
        windows, at = dense(_begun(frame, self.open.width_ns))
        pair = frame.service.astype(np.int64) * len(names) + frame.peer
        distinct, place = dense(pair * len(windows) + at)
        calls = [
            (names[rest // len(names)], names[rest % len(names)], int(windows[number]))
            for rest, number in (divmod(d, len(windows)) for d in distinct.tolist())
        ]
        callees.joined({(a, b) for a, b, _ in calls if not b.startswith(EXTERNAL)}, int(frame.window_ns.max()))
        by_address = frame.source.startswith(f"{SPANS}/")  # else what is called external is a name that callers chose
        meant = [
            (a, callees.told_by_spans(a, b, time_ns) if by_address and b.startswith(EXTERNAL) else b)
            for a, b, time_ns in calls
        ]
        return np.array([number_of(p) for p in meant], np.int64)[place]

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {"callees": self.callees.state(), "passing": sorted(self.passing)}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot; one of before there were addresses knows none."""
        self.callees.load(state.get("callees", []))
        self.passing = set(state.get("passing", ()))

    def values(self, window: Window, entity: I64) -> tuple[F64, I64, tuple[str, ...]]:
        """Call rate, error rate, latency and network gap; the number of calls."""
        return *edge_values(window.sums, self.keys(entity), self.open.width_ns / SECOND, window.beyond), ()


def _begun(frame: PartialFrame, width_ns: int) -> I64:
    """When the calls of each row were made, by their mean duration: who gives up after half a minute meant who had the address then."""
    took = np.minimum(frame.duration_ns // np.maximum(frame.count, 1), LONGEST_NS)
    begun: I64 = frame.window_ns - np.maximum(took - width_ns, 0)
    return begun
