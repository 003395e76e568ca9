"""On which nodes services run, and ran: taken out of the attributes in which it travels, and kept with when that was."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from contracts.claims import NODES, parsed, spelled
from contracts.frames import EvidenceFrame
from contracts.nodes import MOST_NODES, TOLD_S, Ground, nodes_from
from contracts.units import SECOND

_KEPT_NS: Final = 900 * SECOND
"""Nodes on which a service has not run for this long are forgotten: no incident looks further back."""


class Stay(msgspec.Struct):
    """From when until when a service ran on a node, epoch nanoseconds of what was heard."""

    zone: str
    first_ns: int
    last_ns: int


class NodesTold:
    """The nodes of each service, by name."""

    def __init__(self) -> None:
        self.by: dict[str, dict[str, Stay]] = {}
        self._bare: dict[str, tuple[str, str]] = {}
        """Attributes as they last came, and without what they say of nodes: mostly they come again as they were."""

    def take(self, frame: EvidenceFrame) -> EvidenceFrame:
        """Learn from a frame; the same without what it says of nodes."""
        said = [i for i, text in enumerate(frame.attributes) if NODES in text]
        if not said:
            return frame
        attributes = list(frame.attributes)
        for i in said:
            name, text = frame.services[i], attributes[i]
            known = self._bare.get(name)
            if known is None or known[0] != text:
                found = parsed(text)
                self._hear(name, found.pop(NODES, ""), frame.window_ns)
                known = self._bare[name] = text, spelled(found)
            attributes[i] = known[1]
        return replace(frame, attributes=tuple(attributes))

    def _hear(self, name: str, text: str, now_ns: int) -> None:
        stays = self.by.setdefault(name, {})
        begun_ns = now_ns if stays else 0  # where it ran when it was first heard of it may have run for long
        for heard in nodes_from(text):
            stay = stays.get(heard.node)
            last_ns = heard.heard_s * SECOND
            if stay is None:
                stays[heard.node] = Stay(heard.zone, begun_ns, last_ns)
            elif last_ns - stay.last_ns > TOLD_S * SECOND:  # it had left, and came back
                stays[heard.node] = Stay(heard.zone or stay.zone, now_ns, last_ns)
            else:
                stay.zone, stay.last_ns = heard.zone or stay.zone, max(stay.last_ns, last_ns)
        newest_ns = max((s.last_ns for s in stays.values()), default=0)
        kept = sorted(stays, key=lambda n: (-stays[n].last_ns, n))[:MOST_NODES]
        self.by[name] = {n: stays[n] for n in sorted(kept) if newest_ns - stays[n].last_ns <= _KEPT_NS}

    def at(self, name: str, time_ns: int) -> tuple[Ground, ...]:
        """Where a service ran at a time."""
        stays = self.by.get(name, {})
        since_ns = min(time_ns, max((s.last_ns for s in stays.values()), default=0)) - TOLD_S * SECOND
        there = {n: s for n, s in stays.items() if s.last_ns >= since_ns and s.first_ns <= time_ns}
        return tuple(Ground(n, s.zone) for n, s in there.items())

    def moved_since(self, name: str, time_ns: int) -> bool:
        """Whether some of a service began to run on another node after a time."""
        return any(s.first_ns > time_ns for s in self.by.get(name, {}).values())

    def forget(self, names: set[str]) -> None:
        """Services that left."""
        self.by = {n: stays for n, stays in self.by.items() if n not in names}
        self._bare = {n: known for n, known in self._bare.items() if n not in names}
