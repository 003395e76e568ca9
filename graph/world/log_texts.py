"""The texts that services wrote for the first time: of late, and which other services they name."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from contracts.features import LOG_ERROR_RATE
from contracts.frames import EvidenceFrame
from graph.evidence.complaints import named_in
from graph.evidence.situation import Shift
from graph.judgement import CALLEE_LEAST
from graph.world.topology import Topology

MAX_NOTES: Final = 50
"""Windows with new texts that are kept of each service."""
SHOWN: Final = 5
"""New texts since an onset that are looked at."""


class LogTexts:
    """By service, the windows in which it wrote something new, and that, line by line."""

    def __init__(self) -> None:
        self.notes: dict[str, deque[tuple[int, str]]] = {}
        self._found: dict[str, tuple[int, dict[str, str]]] = {}
        """Whom each names, at a revision of the services: a tick asks of many, and texts come seldom."""

    def take(self, frame: EvidenceFrame) -> None:
        """Learn what is new in a window."""
        for name, text in zip(frame.services, frame.notes, strict=False):
            if text:
                self.notes.setdefault(name, deque(maxlen=MAX_NOTES)).append((frame.window_ns, text))
                self._found.pop(name, None)

    def since(self, name: str, onset_ns: int) -> tuple[str, ...]:
        """The first new texts since an onset."""
        told = (text for time_ns, text in self.notes.get(name, ()) if time_ns >= onset_ns)
        return tuple(t for text in told for t in text.split("\n") if t)[:SHOWN]

    def complaints(self, name: str, found: Mapping[str, Shift], topology: Topology) -> dict[str, str]:
        """Services that the texts of one of whom no calls are known name, of whenever, if it writes more error records than usual: what was new
        an hour ago is not again."""
        share = found.get(LOG_ERROR_RATE)
        more = share is not None and share.strength() > CALLEE_LEAST
        return self._named(name, topology) if more else {}

    def named_by(self, names: Iterable[str], topology: Topology) -> dict[str, int]:
        """Services that some of whom no calls are known name, as if they were one call away from them."""
        return {other: 1 for name in list(names) for other in self._named(name, topology)}

    def _named(self, name: str, topology: Topology) -> dict[str, str]:
        if name not in self.notes or topology.callees.get(name):
            return {}
        known = self._found.get(name)
        if known is None or known[0] != topology.revision:
            texts = (t for _, text in self.notes[name] for t in text.split("\n"))
            known = self._found[name] = topology.revision, named_in(texts, name, topology.services)
        return known[1]

    def forget(self, names: Collection[str]) -> None:
        """Services that left."""
        for name in names:
            self.notes.pop(name, None)
            self._found.pop(name, None)
