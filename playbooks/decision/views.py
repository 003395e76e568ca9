"""What telemetry last said of each service, kept cheaply: the latest frames as they are, looked into only when deciding."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from contracts.claims import Heard
from contracts.features import Signal
from contracts.frames import EvidenceFrame
from playbooks.decision.world import ServiceView
from playbooks.guards import Standing, standing
from playbooks.guards.innocence import means

MOST_SERVICES: Final = 20_000
FRAMES: Final = 10
"""Windows per signal and partition that count as the present: a service silent for longer has no present features."""
KEPT: Final = 90
"""Windows kept per signal and partition: what a target was like before it was suspected."""


class Views:
    """The services of one environment."""

    def __init__(self) -> None:
        self._frames: dict[tuple[str, int], deque[EvidenceFrame]] = {}
        self._versions: dict[str, str] = {}
        self._heard = Heard()
        self._kept: dict[str, ServiceView] = {}

    def take(self, frame: EvidenceFrame) -> None:
        """Keep a frame. Edges carry no features of a service, but how its callers see it."""
        self._frames.setdefault((frame.signal, frame.partition), deque(maxlen=KEPT)).append(frame)
        if frame.signal == Signal.EDGES:
            return
        self._versions.update((s, v) for s, v in zip(frame.services, frame.versions, strict=False) if v)
        self._heard.take(frame.signal, frame.services, frame.attributes, frame.window_ns)
        if len(self._versions) > MOST_SERVICES:
            self._make_room()

    def _make_room(self) -> None:
        """Of services that are in no frame any more, forget all but what is kept."""
        here = {s for frames in self._frames.values() for f in frames for s in f.services} | self._kept.keys()
        self._versions = {s: v for s, v in self._versions.items() if s in here}

    def known(self, service: str) -> bool:
        """Whether anything was heard of a service."""
        return self._seen(service) or service in self._kept

    def standing(self, service: str, onset_ns: int) -> Standing:
        """How a service has answered since a moment, by all frames kept."""
        return standing((f for frames in self._frames.values() for f in frames), service, onset_ns)

    def _seen(self, service: str) -> bool:
        return next(iter(self._newest(service)), None) is not None

    def view(self, service: str) -> ServiceView:
        """The service as last seen, newest window first per signal."""
        newest = list(self._newest(service))
        if not newest:
            return self._kept.get(service) or self._view(service, [])
        return self._view(service, newest)

    def _newest(self, service: str) -> Iterator[EvidenceFrame]:
        for key in sorted(k for k in self._frames if k[0] != Signal.EDGES):
            present = islice(reversed(self._frames[key]), FRAMES)
            found = next((f for f in present if service in f.services), None)
            if found is not None:
                yield found

    def _view(self, service: str, frames: Iterable[EvidenceFrame]) -> ServiceView:
        columns: dict[str, dict[str, float]] = {"values": {}, "low": {}, "high": {}}
        for frame in frames:
            row = frame.services.index(service)
            for name, numbers in columns.items():
                array = getattr(frame, name)
                numbers.update(_observed(frame.features, array[row]))
        return ServiceView(self._versions.get(service, ""), self._heard.of(service), **columns)

    def keep(self, services: Iterable[str]) -> dict[str, ServiceView]:
        """Views worth a snapshot: of services under decision. The others are seen again within a window."""
        return {s: self.view(s) for s in sorted(set(services))}

    def rows(self, services: Iterable[str]) -> list[EvidenceFrame]:
        """The frames kept, with only the rows of these services and of calls to them: worth a snapshot, too."""
        wanted = frozenset(services)
        cuts = (_cut(f, wanted) for key in sorted(self._frames) for f in self._frames[key])
        return [c for c in cuts if c is not None]

    def restore(self, kept: Mapping[str, ServiceView], frames: Iterable[EvidenceFrame] = ()) -> None:
        """Fall back on these until telemetry comes in again."""
        for frame in frames:
            self.take(frame)
        self._kept = dict(kept)


_BY_ROW: Final = ("values", "counts", "score", "low", "high", "p_value")
_BY_NAME: Final = ("services", "peers", "versions", "attributes", "state", "notes")


def _cut(frame: EvidenceFrame, wanted: frozenset[str]) -> EvidenceFrame | None:
    """A frame with the rows of some services, or of calls to them; None without any."""
    edges = frame.signal == Signal.EDGES
    named = (means(p) for p in frame.peers) if edges else ({s} for s in frame.services)
    short = {s.rsplit("/", 1)[-1] for s in wanted} | wanted if edges else wanted
    rows = [i for i, names in enumerate(named) if names & short]
    if not rows:
        return None
    cut: dict[str, Any] = {name: getattr(frame, name)[rows] for name in _BY_ROW}
    for name in _BY_NAME:
        column = getattr(frame, name)
        cut[name] = tuple(column[i] for i in rows if i < len(column))
    return replace(frame, **cut)


def _observed(names: tuple[str, ...], row: Any) -> dict[str, float]:
    values = row.tolist()
    return {n: v for n, v in zip(names, values, strict=False) if v == v}  # noqa: PLR0124 (NaN: not observed)
