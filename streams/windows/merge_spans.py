"""Merging spans: requests that services serve, by the role of the span."""

from __future__ import annotations

import numpy as np

from contracts.features import Signal
from contracts.frames.decoded import F64, I8, I64
from contracts.units import SECOND
from streams.windows.merge_rows import RowMerge
from streams.windows.row_values import span_values
from streams.windows.window import Window

SERVED = 0
"""Role of a span that is a request served; 1: a root span of another kind, which counts for services that serve none."""


class SpanMerge(RowMerge):
    """A service that was once seen to serve requests is judged by these alone, in all its windows."""

    signal = Signal.SPANS

    def heard(self, entity: I64, role: I8) -> None:
        """These services serve requests: from now on their other root spans are none (and never were)."""
        entities = self.open.entities
        serving = entity[(role == SERVED) & (entity >= 0)]
        first_time = serving[~entities.served[serving]]
        if len(first_time):
            first_time = np.unique(first_time)
            entities.served[first_time] = True
            for window in self.open.by_number.values():
                window.fit(entities.capacity)
                window.spoil(first_time)

    def keys(self, entity: I64) -> I64:
        """Its requests; the root spans of a service that serves none stand for them."""
        keys: I64 = entity * 2 + ~self.open.entities.served[entity]
        return keys

    def values(self, window: Window, entity: I64) -> tuple[F64, I64, tuple[str, ...]]:
        """Request rate, error rate and latencies; the number of requests."""
        return *span_values(window.sums, self.keys(entity), self.open.width_ns / SECOND, window.beyond), ()
