"""Log records on their way to partials: counts and errors per service, and which templates occurred."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from contracts.frames import Decoded, PartialFrame
from contracts.frames.decoded import I64, U64
from contracts.settings import IngestSettings
from streams.windows.collect import Collector, Partial, Pending, Receipt
from streams.windows.grouping import Column, run_starts
from streams.windows.names import Names
from streams.windows.rows import Cut, Events, Origin, group, row_frame, row_keys

ERROR_SEVERITY = 17
"""Lowest severity number of ERROR (OpenTelemetry, logs data model)."""
_MOST_TEXTS = 100_000


class LogCollector(Collector):
    """Collects log records. They have no ids, so a batch that an exporter sends twice counts twice."""

    signal = "logs"

    def __init__(self, settings: IngestSettings, partitions: int, counters: Counter[str]) -> None:
        super().__init__(settings, partitions, counters)
        self.pending = Pending()
        self.waiting = (self.pending,)
        self.texts: dict[str, dict[int, str]] = {}
        self.told: dict[str, set[tuple[int, int]]] = {}

    def add(self, decoded: Decoded, receipt: Receipt) -> None:
        """Take the log records of a message."""
        batch = decoded.logs
        if batch is None or not len(batch):
            return
        keep, scopes = self.believable(batch.time_ns, receipt), self.scopes(decoded)
        for scope in scopes:
            at = scope.pick(batch.resource, keep)
            self._learn(scope.names.environment, batch.template[at], batch.body[at], decoded.strings)
            error = (batch.severity[at] >= ERROR_SEVERITY).astype(np.int64)
            columns = (scope.numbers[batch.resource[at]], batch.time_ns[at], error, batch.template[at])
            self.pending.add(scope.names.environment, columns)
            self.note(scope.names.environment, columns[1], receipt)
        self.over_limit(scopes, batch.resource, keep)

    def _learn(self, environment: str, template: U64, body: Column, strings: tuple[str, ...]) -> None:
        texts = self.texts.setdefault(environment, {})
        found, first = np.unique(template, return_index=True)
        for known, index in zip(found.tolist(), body[first].tolist(), strict=True):
            if known not in texts:
                texts[known] = strings[index]

    def make_room(self) -> None:
        """What was told needs no text any more, if there are many; should it come again, it is told again."""
        super().make_room()
        for environment, texts in self.texts.items():
            if len(texts) > _MOST_TEXTS:
                self.counters["templates_left"] += len(texts)
                texts.clear()
                self.told.pop(environment, None)

    def forget(self, environment: str) -> None:
        """An environment is gone."""
        super().forget(environment)
        self.texts.pop(environment, None)
        self.told.pop(environment, None)

    def flush(self, origin: Origin) -> list[Partial]:
        """Everything since the last flush."""
        partials: list[Partial] = []
        sent: set[tuple[str, int]] = set()
        for environment, (service, time_ns, error, template) in self.pending.drain():
            here = Origin(environment, origin.source, origin.sequence, self.watermark(environment))
            names, none = self.names[environment], np.zeros(len(service), np.int64)
            self.counters["log_records"] += len(service)
            events = Events(time_ns, service, none, 1, none, (error,))
            key, _ = row_keys(events, names, self.width_ns)
            for cut in group(events, names, self.width_ns, histogram=False):
                partials.append((environment, cut.target, self._frame(here, names, cut, (key, template, error))))
                sent.add((environment, cut.target))
        partials += self.heartbeats(origin, sent)
        return partials

    def _frame(self, origin: Origin, names: Names, cut: Cut, events: tuple[I64, U64, I64]) -> PartialFrame:
        row, template, count = _templates(cut, *events)
        told, texts = self.told.setdefault(origin.environment, set()), []
        known_texts = self.texts.get(origin.environment, {})
        for known in template.tolist():
            place = (cut.target, known)
            texts.append("" if place in told else known_texts.get(known, ""))
            told.add(place)
        columns = {
            "template_row": row,
            "template_hash": template,
            "template_count": count,
            "template_text": tuple(texts),
        }
        return row_frame(origin, "logs", names, cut, columns)

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        told = [[e, *t] for e, of in sorted(self.told.items()) for t in sorted(of)]
        texts = [[e, k, v] for e, of in self.texts.items() for k, v in of.items()]
        return {**self.base_state(), "pending": self.pending.state(), "text_of": texts, "told": told}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self.load_base(state)
        self.pending.load(state["pending"])
        self.texts, self.told = {}, {}
        for environment, known, text in state.get("text_of", ()):
            self.texts.setdefault(environment, {})[known] = text
        if "text_of" not in state:  # from before each environment had its own; they may be told again
            self.texts = {e: dict(state["texts"]) for e in self.names}
            return
        for environment, target, known in state["told"]:
            self.told.setdefault(environment, set()).add((target, known))


def _templates(cut: Cut, key: I64, template: U64, error: I64) -> tuple[Column, U64, I64]:
    """Distinct (row, template) of one cut, sorted, and how many of their records are no errors; rows are counted from the cut's first."""
    row = np.searchsorted(cut.groups.keys, key)
    mine = np.flatnonzero((row >= cut.rows.start) & (row < cut.rows.stop))
    row, template, plain = row[mine] - cut.rows.start, template[mine], 1 - error[mine]
    order = np.lexsort((template, row))
    row, template, plain = row[order], template[order], plain[order]
    starts = np.union1d(run_starts(row), run_starts(template))
    count = np.add.reduceat(plain, starts) if len(starts) else np.zeros(0, np.int64)
    return row[starts].astype(np.int32), template[starts], count
