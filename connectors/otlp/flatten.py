"""From nested messages to one flat list of items with the resource of each, remembering where each item stood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from connectors.otlp.chosen_series import SeriesChoice
from connectors.otlp.codecs import Codec
from connectors.otlp.columns import Resources, Strings
from connectors.otlp.conventions import Conventions, standard
from connectors.otlp.identity import STANDARD, Identified, IdentityRules
from connectors.otlp.reasons import Skips
from contracts.frames.decoded import I32, Resource, SpanBatch
from contracts.frames.series_point import SeriesPoint


class UnreadMetric(NamedTuple):
    """A metric that could not be read: its name, unit, type, scope and the reason."""

    name: str
    unit: str
    kind: str
    scope: str
    reason: str


@dataclass(slots=True)
class DecodeContext:
    """What decoding one message shares between its parts."""

    codec: Codec
    environment: str
    long_lived: tuple[str, ...] = ()
    """Patterns of the names of spans that are streams."""
    rules: IdentityRules = STANDARD
    """How services and environments are named."""
    strings: Strings = field(default_factory=Strings)
    resources: Resources = field(default_factory=Resources)
    skips: Skips = field(default_factory=Skips)
    conventions: Conventions = field(default_factory=standard)
    linked: SpanBatch | None = None
    """Links of spans, once they are read."""
    unread: Counter[UnreadMetric] | None = None
    """Counts the points of metrics that could not be read, for who asks."""
    unread_of: Counter[tuple[Resource, str]] = field(default_factory=Counter)
    """The same by who sends them."""
    choice: SeriesChoice | None = None
    """Which metrics are general series, too."""
    series: list[SeriesPoint] = field(default_factory=list)
    """Points of these."""


@dataclass(slots=True)
class Flat:
    """Items in order, the resource of each, the place names they came from, and who sent how many of them."""

    items: list[Any]
    resource: I32
    sections: list[tuple[int, str]]
    senders: list[tuple[Identified, int]]

    def place(self, row: int) -> str:
        """Where item `row` stood in the message."""
        for count, prefix in self.sections:
            if row < count:
                return f"{prefix}[{row}]"
            row -= count
        return f"item {row}"


def flatten(entries: Iterable[Any], signal: str, context: DecodeContext) -> Flat:
    """All items of `signal` (`Spans` or `Logs`) in ResourceX messages."""
    scopes, items_field = ("scope_spans", "spans") if signal == "Spans" else ("scope_logs", "log_records")
    item_name = "spans" if signal == "Spans" else "logRecords"
    items: list[Any] = []
    rows: list[tuple[int, int]] = []
    senders: list[tuple[Identified, int]] = []
    sections: list[tuple[int, str]] = []
    for i, entry in enumerate(entries):
        identified = context.codec.identify(entry.resource, context.environment, context.rules)
        if identified is None:
            lost = sum(len(getattr(scope, items_field)) for scope in getattr(entry, scopes))
            context.skips.unreadable(f"resource{signal}[{i}].resource", lost)
            continue
        before = len(items)
        for j, scope in enumerate(getattr(entry, scopes)):
            found = getattr(scope, items_field)
            items += found
            sections.append((len(found), f"resource{signal}[{i}].scope{signal}[{j}].{item_name}"))
        rows.append((context.resources.index(identified), len(items) - before))
        senders.append((identified, len(items) - before))
    indexes = np.array(rows, np.int32).reshape(-1, 2)
    return Flat(items, np.repeat(indexes[:, 0], indexes[:, 1]), sections, senders)
