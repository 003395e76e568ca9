"""Merging logs: records, errors among them, and templates that a service never wrote before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.features import Signal
from contracts.frames import PartialFrame
from contracts.frames.decoded import B1, F64, I64
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.merge_rows import RowMerge
from streams.windows.row_values import log_values
from streams.windows.template_counts import TemplateCounts
from streams.windows.templates import GRACE_NS, TemplateBook
from streams.windows.window import Window


class LogMerge(RowMerge):
    """A template counts as new in the window of its first record; where an older record comes later, that window is corrected."""

    signal = Signal.LOGS

    def __init__(self, settings: IngestSettings) -> None:
        super().__init__(settings)
        self._templates = TemplateBook()
        self._counts = TemplateCounts()

    def merged(self, frame: PartialFrame, entity: I64, number: I64, usable: B1) -> None:
        """Take note of a frame's templates."""
        columns = (frame.template_row.tolist(), frame.template_hash.tolist(), frame.template_count.tolist())
        for row, template, count, text in zip(*columns, frame.template_text, strict=True):
            if usable[row]:
                one = self._templates.group(int(entity[row]), template, text)
                self._templates.tell(one, text)
                self._counts.add(int(number[row]), int(entity[row]), one, count)
                before = self._templates.see(int(entity[row]), one, int(number[row]))
                if before in self.open.by_number:
                    self.open.by_number[before].spoil(entity[row : row + 1])

    def values(self, window: Window, entity: I64) -> tuple[F64, I64, tuple[str, ...]]:
        """Record rate, error share and rate of new templates; the number of records; the new templates, a line each."""
        new = [self._new(window.index, e) for e in entity.tolist()]
        found = np.array([len(t) for t in new], np.int64)
        notes = tuple("\n".join(self._templates.text(t) for t in templates) for templates in new)
        return *log_values(window.sums, self.keys(entity), self.open.width_ns / SECOND, found), notes

    def _new(self, number: int, entity: int) -> list[int]:
        """Templates first seen in a window. Of a service first seen a moment ago all would be new, which says nothing."""
        if number < self.open.entities.first[entity] + GRACE_NS // self.open.width_ns:
            return []
        return self._templates.fresh(entity, number)

    def templates(self, window: Window, entity: I64) -> dict[str, Any]:
        """How often each of the most frequent templates of each entity came."""
        return self._counts.columns(window.index, entity.tolist(), self._templates)

    def close(self, number: int) -> None:
        """Forget which templates were new in a window, and how often they came."""
        self._templates.close(number)
        self._counts.close(number)

    def forget(self, entities: Sequence[int]) -> None:
        """Forget what these services wrote."""
        for entity in entities:
            self._templates.forget(entity)
            self._counts.forget(entity)

    def expire(self, watermark_ns: int) -> None:
        """Count the templates for which there was no room."""
        counters = self.open.counters
        counters["template_left"], counters["template_limit"] = self._templates.left, self._templates.over_limit

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {"templates": self._templates.state(), "template_counts": self._counts.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self._templates.load(state["templates"])
        self._counts.load(state.get("template_counts", {}))
