"""What telemetry last said of each service, kept cheaply: the latest frames as they are, looked into only when deciding."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from contracts.claims import Heard
from contracts.features import Signal
from contracts.frames import EvidenceFrame
from playbooks.decision.world import ServiceView

MOST_SERVICES: Final = 20_000
FRAMES: Final = 10
"""Windows kept per signal and partition: a service silent for longer has no present features."""


class Views:
    """The services of one environment."""

    def __init__(self) -> None:
        self._frames: dict[tuple[str, int], deque[EvidenceFrame]] = {}
        self._versions: dict[str, str] = {}
        self._heard = Heard()
        self._kept: dict[str, ServiceView] = {}

    def take(self, frame: EvidenceFrame) -> None:
        """Keep a frame. Edges carry no features of a service."""
        if frame.signal == Signal.EDGES:
            return
        self._frames.setdefault((frame.signal, frame.partition), deque(maxlen=FRAMES)).append(frame)
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
        found = any(service in f.services for frames in self._frames.values() for f in frames)
        return found or service in self._kept

    def view(self, service: str) -> ServiceView:
        """The service as last seen, newest window first per signal."""
        if not any(service in f.services for frames in self._frames.values() for f in frames):
            return self._kept.get(service) or self._view(service, [])
        return self._view(service, list(self._newest(service)))

    def _newest(self, service: str) -> Iterable[EvidenceFrame]:
        for key in sorted(self._frames):
            found = next((f for f in reversed(self._frames[key]) if service in f.services), None)
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

    def restore(self, kept: Mapping[str, ServiceView]) -> None:
        """Fall back on these until telemetry comes in again."""
        self._kept = dict(kept)


def _observed(names: tuple[str, ...], row: Any) -> dict[str, float]:
    values = row.tolist()
    return {n: v for n, v in zip(names, values, strict=False) if v == v}  # noqa: PLR0124 (NaN: not observed)
