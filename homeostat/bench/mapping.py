"""How much of a day of telemetry is understood: metric points by what becomes of them, and whom spans call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from connectors.otlp.conventions import Conventions, standard
from connectors.otlp.decode import decode
from connectors.otlp.flatten import UnreadMetric
from connectors.otlp.reasons import NO_SUBJECT, NOT_SERVED, OTHER_STATE, UNMAPPED_METRIC, UNMAPPED_UNIT, UNUSED_METRIC
from contracts.external import EXTERNAL
from contracts.frames.decoded import KIND_CLIENT, KIND_PRODUCER, Decoded
from contracts.topics import INGRESS
from homeostat.bench.astronomy.shop_day import ShopDay

IGNORED: Final = (UNUSED_METRIC, OTHER_STATE, NOT_SERVED, NO_SUBJECT)
"""Known by name, and carrying nothing that a feature needs: other instruments, other states (idle CPU), the caller's side of a call."""
LISTED: Final = (UNMAPPED_METRIC, UNMAPPED_UNIT)


@dataclass(slots=True)
class Understood:
    """What became of points and of calls."""

    mapped: int = 0
    """Points that became part of a feature."""
    skipped: Counter[str] = field(default_factory=Counter)
    """All others, by reason."""
    unread: Counter[UnreadMetric] = field(default_factory=Counter)
    calls: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    """Calls of which nobody knows whom they ask, or by another name: `caller -> callee: what was made of it`."""

    @property
    def ignored(self) -> int:
        """Points that are known and feed no feature."""
        return sum(self.skipped[reason] for reason in IGNORED)

    @property
    def points(self) -> int:
        """All points."""
        return self.mapped + sum(self.skipped.values())

    @property
    def mapped_share(self) -> float:
        """Of the points that could be of use (all but those that are known to be of none), the share that is mapped."""
        return self.mapped / max(self.points - self.ignored, 1)

    @property
    def known_share(self) -> float:
        """Share of all points that are mapped, or ignored by name."""
        return (self.mapped + self.ignored) / max(self.points, 1)

    @property
    def named_share(self) -> float:
        """Share of calls whose callee is known."""
        return 1.0 - sum(self.unknown.values()) / max(self.calls, 1)

    def lines(self) -> Iterator[str]:
        """The figures, and the rest by name."""
        yield (
            f"{self.points} points: {self.mapped} mapped ({100 * self.mapped / max(self.points, 1):.1f} %), {self.ignored} ignored by name "
            f"({100 * self.ignored / max(self.points, 1):.1f} %); {100 * self.mapped_share:.1f} % of those not ignored are mapped"
        )
        yield f"{self.calls} calls: {100 * self.named_share:.2f} % of their callees are known"
        for metric, count in self.unread.most_common():
            yield f"unmapped: {metric.name} ({metric.kind}, unit {metric.unit!r}, of {metric.scope}): {count} points"
        for reason, count in sorted((self.skipped - Counter(dict.fromkeys((*IGNORED, *LISTED), 1 << 62))).items()):
            yield f"not read: {count} points, {reason}"
        for call, count in self.unknown.most_common():
            yield f"unknown callee: {call} ({count} calls)"


def understood(day: ShopDay, conventions: Conventions | None = None) -> Understood:
    """What is understood of a day."""
    found, calls = Understood(), _Calls()
    for topic, _, payload in day.messages():
        if topic not in INGRESS:
            continue
        decoded = decode(topic, payload, conventions=conventions or standard(), unread=found.unread)
        found.mapped += sum(len(b) for b in (decoded.points, decoded.histograms) if b is not None) + decoded.added
        if decoded.spans is None and decoded.logs is None:
            found.skipped.update(decoded.skipped)
        calls.take(decoded)
    for call, callee in day.callees.items():
        if call not in calls.caller:
            continue
        found.calls += 1
        said = calls.said(call)
        if callee not in (said, said.removeprefix(EXTERNAL), said.rpartition("/")[2] if ":" not in said else said):
            found.unknown[f"{calls.caller[call]} -> {callee}: {said or 'nobody'}"] += 1
    return found


@dataclass(slots=True)
class _Calls:
    """Spans that call, whom they name, and who answered."""

    caller: dict[tuple[int, int], str] = field(default_factory=dict)
    _peer: dict[tuple[int, int], str] = field(default_factory=dict)
    _parents: list[tuple[tuple[int, int], str]] = field(default_factory=list)
    _answered: dict[tuple[int, int], str] = field(default_factory=dict)
    _sided: set[tuple[int, int]] = field(default_factory=set)

    def take(self, decoded: Decoded) -> None:
        """Look at the spans of a message."""
        spans = decoded.spans
        if spans is None:
            return
        columns: Iterable[tuple[int, ...]] = zip(
            *(c.tolist() for c in (spans.resource, spans.trace, spans.span, spans.parent, spans.kind, spans.peer)),
            strict=True,
        )
        for resource, trace, span, parent, kind, peer in columns:
            service, call = decoded.resources[resource].service, (trace, span)
            self.caller[call], self._peer[call] = service, decoded.strings[peer]
            if kind not in (KIND_CLIENT, KIND_PRODUCER):
                self._sided.add(call)
            if parent:
                self._parents.append(((trace, parent), service))

    def said(self, call: tuple[int, int]) -> str:
        """Whom a call asks: who answered it, else whom it names."""
        if not self._answered:
            self._answered = {at: s for at, s in self._parents if at in self.caller and self.caller[at] != s}
        peer = self._peer[call]
        if peer and not peer.startswith(EXTERNAL):
            return peer
        return self._answered.get(call, peer)
