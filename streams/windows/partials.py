"""From decoded messages of one source partition to mergeable partial aggregates, one frame per target partition.

Nothing here depends on how messages were cut into flushes except how many frames carry the sums: sums are integers, and
what a frame's sequence number covers is given by the source's offsets.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import NamedTuple

from contracts.capacity import Room
from contracts.frames import Decoded, SpanFrame
from contracts.settings import IngestSettings
from contracts.topics import RAW
from contracts.units import MINUTE
from streams.windows.clocks import Clocks, Tags
from streams.windows.collect import Collector, Partial, Receipt
from streams.windows.collect_logs import LogCollector
from streams.windows.collect_metrics import MetricCallCollector, MetricCollector
from streams.windows.collect_spans import SpanCollector
from streams.windows.facts import Facts, count
from streams.windows.places import Places
from streams.windows.rows import Origin
from streams.windows.sequence import Sequence
from streams.windows.state import dump, load

_KIND, _VERSION = "partials", 1
_SOURCES_PER_SERVICE = 4
ENVIRONMENT_QUIET_NS = MINUTE
"""An environment that was heard of since then does not leave."""


class Flushed(NamedTuple):
    """What a flush gives: partials by (environment, target partition) and spans by (environment, partition of traces)."""

    partials: list[Partial]
    spans: list[tuple[str, int, SpanFrame]]


class PartialBuilder:
    """Accumulates messages of one source partition until `flush`. `source` is `topic/partition`."""

    def __init__(self, source: str, settings: IngestSettings, partitions: int) -> None:
        self.source = source
        self.counters: Counter[str] = Counter()
        self.sequence = Sequence()
        self.clocks = Clocks(_SOURCES_PER_SERVICE * settings.max_services)
        self._environments = Room[str](settings.max_environments, ENVIRONMENT_QUIET_NS)
        self._spans = SpanCollector(settings, partitions, self.counters)
        self._logs = LogCollector(settings, partitions, self.counters)
        self._metrics = MetricCollector(settings, partitions, self.counters)
        self._calls = MetricCallCollector(settings, partitions, self.counters)
        self._places: dict[str, Places] = {}
        """Per environment."""
        self._facts: dict[str, Facts] = {}
        self._partitions = partitions

    @property
    def pending(self) -> int:
        """Records that wait for a flush."""
        return self._spans.pending.rows + self._logs.pending.rows + self._metrics.rows + self._calls.rows

    def add(self, decoded: Decoded, receipt: Receipt, offset: int) -> None:
        """Take a message in. `offset` is its place in the source."""
        self.sequence.reach(offset)
        self._admit(decoded, receipt)
        decoded, tags = self.clocks.correct(decoded, receipt, receipt.now_ns + self._spans.max_delay_ns)
        self.counters["clock_corrected"] += sum(tag.shift_ns != 0 for tag in tags.clocks)
        for reason, n in decoded.skipped.items():
            self.counters[f"skipped_{reason}"] += n
        for resource in decoded.resources:
            if resource.environment not in self._spans.refused:
                self._places.setdefault(resource.environment, Places()).note(resource)
        self._count(decoded, receipt, tags)
        self.counters["added_points"] += decoded.added
        self._spans.add(decoded, receipt, tags)
        self._logs.add(decoded, receipt)
        self._metrics.add(decoded, receipt)
        self._calls.add(decoded, receipt)

    def _count(self, decoded: Decoded, receipt: Receipt, tags: Tags) -> None:
        """Count facts of telemetry. What is measured by hand (`telemetry.raw`) is no telemetry that anybody could mend."""
        if self.source.startswith(RAW):
            return
        environments = {r.environment for r in decoded.resources}
        environments |= {r.environment for r, _, _ in decoded.unread} & self._facts.keys()
        facts = {e: self._facts.setdefault(e, Facts()) for e in environments - self._spans.refused}
        for found in facts.values():
            found.at(receipt.now_ns)
        if facts:
            count(decoded, receipt, tags, facts)

    def _admit(self, decoded: Decoded, receipt: Receipt) -> None:
        """Let environments in, as far as there is room. None leaves for them of which records wait for a flush."""
        refused, waiting = set[str](), {e for c in self._collectors for p in c.waiting for e in p.batches}
        for environment in sorted({r.environment for r in decoded.resources}):
            admitted, gone = self._environments.admit(environment, receipt.now_ns, waiting)
            if not admitted:
                refused.add(environment)
            for left in gone:
                self.clocks.forget(left)
                self._places.pop(left, None)
                self._facts.pop(left, None)
                for collector in self._collectors:
                    collector.forget(left)
            self.counters["environment_left"] += len(gone)
        for collector in self._collectors:
            collector.refused, collector.now_ns = frozenset(refused), receipt.now_ns

    @property
    def _collectors(self) -> tuple[Collector, ...]:
        return self._spans, self._logs, self._metrics, self._calls

    def flush(self, *, tells_time: bool = True) -> Flushed:
        """Frames of everything since the last flush, and, if it `tells_time`, empty ones for targets that get none."""
        origin = Origin("", self.source, self.sequence.number, 0, tells_time)
        partials, spans = self._spans.flush(origin)
        partials += [*self._logs.flush(origin), *self._metrics.flush(origin), *self._calls.flush(origin)]
        for collector in self._collectors:
            collector.make_room()
        if tells_time:
            partials = self._with_places(partials)
            for environment, facts in self._facts.items():
                partials = facts.ride(environment, partials, self._partitions)
        return Flushed(partials, spans)

    def _with_places(self, partials: list[Partial]) -> list[Partial]:
        """The first frame of each environment for each target says which nodes were heard of."""
        news = {e: self._places[e].news() for e in {e for e, _, _ in partials} & self._places.keys()}
        told: set[tuple[str, int]] = set()
        found: list[Partial] = []
        for environment, target, frame in partials:
            heard, placed = news.get(environment, ((), ()))
            if (heard or placed) and (environment, target) not in told:
                told.add((environment, target))
                found.append((environment, target, dataclasses.replace(frame, heard=heard, placed=placed)))
            else:
                found.append((environment, target, frame))
        return found

    def snapshot(self) -> bytes:
        """The whole state, with what is pending."""
        body = {
            "sequence": [self.sequence.base, self.sequence.offset],
            "spans": self._spans.state(),
            "logs": self._logs.state(),
            "metrics": self._metrics.state(),
            "calls": self._calls.state(),
            "places": {e: p.state() for e, p in self._places.items()},
            "clocks": self.clocks.state(),
            "facts": {e: f.state() for e, f in self._facts.items()},
            "environments": self._environments.state(),
            "counters": dict(self.counters),
        }
        return dump(_KIND, _VERSION, body)

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state.

        Raises:
            UnreadableEvent: it is not such a snapshot.
        """
        body = load(_KIND, _VERSION, state)
        self.sequence.base, self.sequence.offset = body["sequence"]
        self._spans.load(body["spans"])
        self._logs.load(body["logs"])
        self._metrics.load(body["metrics"])
        if "calls" in body:  # snapshots of before metrics told of calls have none
            self._calls.load(body["calls"])
        self._places = {}
        for environment, places in body.get("places", {}).items():
            self._places.setdefault(environment, Places()).load(places)
        self._facts = {}
        for environment, facts in body.get("facts", {}).items():
            self._facts.setdefault(environment, Facts()).load(facts)
        self.clocks.load(body.get("clocks", []))
        known = {name for collector in self._collectors for name in collector.names}
        self._environments.load(body.get("environments", []), sorted(known))
        self.counters.clear()
        self.counters.update(body["counters"])
