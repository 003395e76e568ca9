"""Merging edges: calls of one service to another, which is the peer."""

from __future__ import annotations

import numpy as np

from contracts.features import Signal
from contracts.frames import PartialFrame
from contracts.frames.decoded import F64, I64
from contracts.units import SECOND
from streams.windows.grouping import dense
from streams.windows.merge_rows import RowMerge
from streams.windows.row_values import edge_values
from streams.windows.window import Window


class EdgeMerge(RowMerge):
    """Entities are pairs of caller and callee."""

    signal = Signal.EDGES
    per_service = 8

    def entities_of(self, frame: PartialFrame, now_ns: int) -> I64:
        """The entity of each row of a frame; -1 where there is no room for it."""
        names, number_of = frame.services, self.open.entities.number
        pair = frame.service.astype(np.int64) * len(names) + frame.peer
        distinct, place = dense(pair, len(names) ** 2)
        pairs = [(names[p // len(names)], names[p % len(names)]) for p in distinct.tolist()]
        return np.array([number_of(p) for p in pairs], np.int64)[place]

    def values(self, window: Window, entity: I64) -> tuple[F64, I64, tuple[str, ...]]:
        """Call rate, error rate, latency and network gap; the number of calls."""
        return *edge_values(window.sums, self.keys(entity), self.open.width_ns / SECOND, window.beyond), ()
