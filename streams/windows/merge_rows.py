"""Merging rows of counts and latencies: spans, edges and logs come as sums per window and entity, and are added up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contracts.frames import PartialFrame
from contracts.frames.decoded import B1, I8, I64
from contracts.units import SECOND
from streams.windows.grouping import dense
from streams.windows.rows import SUMS, UNSEEN
from streams.windows.signal_merge import SignalMerge
from streams.windows.window import Window

JUMP_NS = 10 * SECOND
"""Time that passes in one step longer than this was not observed: no data in it is no information."""


class RowMerge(SignalMerge):
    """Sums are kept by entity * 2 + role; only spans have a role other than 0."""

    def merge(self, frames: Sequence[PartialFrame], now_ns: int) -> None:
        """Frames are cheaper merged together than one by one."""
        if not frames:
            return
        windows, entities = self.open, self.open.entities
        entity = np.concatenate([self.entities_of(f, now_ns) for f in frames])
        role = np.concatenate([self.roles_of(f) for f in frames])
        self.heard(entity, role)
        number = np.concatenate([f.window_ns for f in frames]) // windows.width_ns
        columns = [np.concatenate([_filled(getattr(f, n), f) for f in frames]) for n in ("count", *SUMS[self.signal])]
        sampled = any(len(f.unseen) for f in frames)
        beyond = [np.concatenate([_filled(getattr(f, n), f) for f in frames]) for n in UNSEEN] if sampled else []
        usable = windows.usable(entity, number, columns[0])
        reached, jump = windows.watermarks.merged // windows.width_ns, JUMP_NS // windows.width_ns
        entities.resumed(entity[usable], number[usable], reached, jump)

        key = entity * 2 + role
        first_row = np.cumsum([0, *(len(f.count) for f in frames)])
        hist_row = np.concatenate([f.hist_row + first for f, first in zip(frames, first_row, strict=False)])
        bucket = np.concatenate([f.hist_bucket for f in frames]).astype(np.int64)
        hist_count = np.concatenate([f.hist_count for f in frames])
        numbers, place = dense(np.where(usable, number, -1))
        for i, n in enumerate(numbers.tolist()):
            if n < 0:
                continue
            window, rows = windows.window(n), np.flatnonzero(place == i)
            window.sums.add(key[rows], tuple(c[rows] for c in columns))
            cell = np.flatnonzero(place[hist_row] == i)
            if len(cell):
                window.sums.add_cells(key[hist_row[cell]], bucket[cell], hist_count[cell])
            if beyond:
                window.beyond.add(key[rows], tuple(c[rows] for c in beyond))
            windows.noticed(window, entity[rows])
        windows.learn_delays(entity[usable], number[usable], columns[0][usable])
        for frame, first in zip(frames, first_row.tolist(), strict=False):
            own = slice(first, first + len(frame.count))
            self.merged(frame, entity[own], number[own], usable[own])

    def entities_of(self, frame: PartialFrame, now_ns: int) -> I64:
        """The entity of each row of a frame; -1 where there is no room for it."""
        entities = self.open.entities
        numbers = np.array([entities.number((s, "")) for s in frame.services], np.int64)
        for i, number in enumerate(numbers.tolist()):
            if number >= 0 and (frame.versions[i] or frame.attributes[i]):
                entities.identify(number, frame.versions[i], frame.attributes[i], frame.source, now_ns)
        return numbers[frame.service]

    def roles_of(self, frame: PartialFrame) -> I8:
        """The role of each row of a frame."""
        return frame.role if len(frame.role) else np.zeros(len(frame.count), np.int8)

    def heard(self, entity: I64, role: I8) -> None:
        """Rows of these entities, in these roles, are about to be merged."""

    def merged(self, frame: PartialFrame, entity: I64, number: I64, usable: B1) -> None:
        """The rows of a frame were merged; entity, window and whether they could be used, row by row."""

    def events(self, window: Window, entity: I64) -> I64:
        """Events of each entity in a window."""
        return window.sums.of(self.keys(entity))[0]


def _filled(column: I64, frame: PartialFrame) -> I64:
    """A column of a frame's rows; zeros where its sender did not know it yet."""
    return column if len(column) or not len(frame.count) else np.zeros(len(frame.count), np.int64)
