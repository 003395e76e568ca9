"""Who calls whom, as the evidence of the last minutes tells: enough to say whether two services can feel one another at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from contracts.frames import EvidenceFrame
from contracts.units import SECOND
from playbooks.guards.callers_view import means

FORGET_NS: Final = 600 * SECOND
"""Event time after which a call that was not made again is forgotten."""
MOST_CALLS: Final = 100_000
"""Pairs of caller and callee that are kept, the latest."""


class KnownCalls:
    """Pairs of caller and callee of one environment."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int] = {}
        self._swept_ns = 0

    def take(self, frame: EvidenceFrame, time_ns: int) -> None:
        """Note the pairs of a frame of calls; `time_ns`: how far event time has come."""
        self._seen.update(dict.fromkeys(zip(frame.services, frame.peers, strict=False), time_ns))
        if abs(time_ns - self._swept_ns) >= FORGET_NS or len(self._seen) > MOST_CALLS:
            self._swept_ns = time_ns
            kept = sorted(
                ((ns, pair) for pair, ns in self._seen.items() if 0 <= time_ns - ns < FORGET_NS), reverse=True
            )
            self._seen = {pair: ns for ns, pair in kept[: MOST_CALLS // 2]}

    def linked(self, some: Iterable[str], others: Iterable[str]) -> bool:
        """Whether calls lead from any of `some` to any of `others`, in whatever direction and over however many services. Of whom no calls
        are known may be linked with anybody."""
        beside: dict[str, set[str]] = defaultdict(set)
        for caller, callee in self._seen:
            for name in means(callee) | {callee}:
                beside[caller].add(name)
                beside[name].add(caller)
        wanted, reached = {n for o in others for n in _names(o)}, {n for s in some for n in _names(s)}
        if not (reached & beside.keys() and wanted & beside.keys()):
            return True
        todo = list(reached)
        while todo:
            for name in beside[todo.pop()] - reached:
                reached.add(name)
                todo.append(name)
        return not wanted.isdisjoint(reached)


def _names(service: str) -> set[str]:
    """By what names its callers may know a service."""
    return {service, service.rsplit("/", 1)[-1]}
