"""Who calls whom, as the evidence of the last minutes tells: enough to say whether two services can feel one another at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from contracts.frames import EvidenceFrame
from contracts.units import SECOND
from playbooks.guards.callers_view import known_as, means

FORGET_NS: Final = 600 * SECOND
"""Event time after which who was not heard of is no longer one of the environment, nor a call that was not made again one of its calls."""
MOST_CALLS: Final = 100_000
"""Pairs of caller and callee that are kept, the latest."""


class KnownCalls:
    """Pairs of caller and callee of one environment."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int] = {}
        self._swept_ns = 0
        self._parts: Mapping[str, int] | None = {}
        """By name, the part of the environment that calls hold together; None where pairs have come or gone since that was found out."""

    def take(self, frame: EvidenceFrame, time_ns: int) -> None:
        """Note the pairs of a frame of calls; `time_ns`: how far event time has come."""
        known = len(self._seen)
        self._seen.update(dict.fromkeys(zip(frame.services, frame.peers, strict=False), time_ns))
        if len(self._seen) > known:
            self._parts = None
        if abs(time_ns - self._swept_ns) >= FORGET_NS or len(self._seen) > MOST_CALLS:
            self._sweep(time_ns)

    def _sweep(self, time_ns: int) -> None:
        kept = sorted(((ns, pair) for pair, ns in self._seen.items() if 0 <= time_ns - ns < FORGET_NS), reverse=True)
        self._seen = {pair: ns for ns, pair in kept[: MOST_CALLS // 2]}
        self._swept_ns, self._parts = time_ns, None

    def linked(self, some: Iterable[str], others: Iterable[str]) -> bool:
        """Whether calls lead from any of `some` to any of `others`, in whatever direction and over however many services. Of whom no calls
        are known may be linked with anybody."""
        if self._parts is None:
            self._parts = _parts_of(self._seen)
        mine, theirs = (
            {self._parts[n] for s in names for n in known_as(s) if n in self._parts} for names in (some, others)
        )
        return not mine or not theirs or not mine.isdisjoint(theirs)


def _parts_of(pairs: Iterable[tuple[str, str]]) -> Mapping[str, int]:
    beside: dict[str, set[str]] = defaultdict(set)
    for caller, callee in pairs:
        for name in means(callee) | {callee}:
            beside[caller].add(name)
            beside[name].add(caller)
    parts: dict[str, int] = {}
    for number, name in enumerate(beside):
        todo = [] if name in parts else [name]
        while todo:
            at = todo.pop()
            if at not in parts:
                parts[at] = number
                todo += beside[at]
    return parts
