"""What telemetry last said of each service, kept cheaply: the latest frames as they are, looked into only when deciding."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any, Final

from contracts.features import Signal
from contracts.frames import EvidenceFrame
from playbooks.decision.world import ServiceView

FORGET_NS: Final = 120_000_000_000
"""A service without rows for this long has no present features. It is longer than telemetry may be late; who is silent has rows
that say so."""
TIDY: Final = 512
"""Frames between two looks for what is to be forgotten."""


class Views:
    """The services of one environment."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int], dict[str, EvidenceFrame]] = {}
        """Per signal and partition, of each service the last frame with a row of it: rows of a window come split over frames."""
        self._newest_ns: dict[tuple[str, int], int] = {}
        self._taken = 0
        self._versions: dict[str, str] = {}
        self._attributes: dict[str, str] = {}
        self._kept: dict[str, ServiceView] = {}

    def take(self, frame: EvidenceFrame) -> None:
        """Keep a frame. Edges carry no features of a service."""
        if frame.signal == Signal.EDGES:
            return
        key = (frame.signal, frame.partition)
        self._last.setdefault(key, {}).update(zip(frame.services, repeat(frame), strict=False))
        self._newest_ns[key] = max(self._newest_ns.get(key, 0), frame.window_ns)
        self._taken += 1
        if self._taken % TIDY == 0:
            self._tidy()
        self._versions.update((s, v) for s, v in zip(frame.services, frame.versions, strict=False) if v)
        self._attributes.update((s, a) for s, a in zip(frame.services, frame.attributes, strict=False) if a)

    def known(self, service: str) -> bool:
        """Whether anything was heard of a service."""
        return any(service in last for last in self._last.values()) or service in self._kept

    def view(self, service: str) -> ServiceView:
        """The service as last seen, newest window first per signal."""
        if not any(service in last for last in self._last.values()):
            return self._kept.get(service) or self._view(service, [])
        return self._view(service, list(self._newest(service)))

    def _newest(self, service: str) -> Iterable[EvidenceFrame]:
        for key in sorted(self._last):
            frame = self._last[key].get(service)
            if frame is not None and frame.window_ns >= self._newest_ns[key] - FORGET_NS:
                yield frame

    def _tidy(self) -> None:
        for key, last in self._last.items():
            self._last[key] = {s: f for s, f in last.items() if f.window_ns >= self._newest_ns[key] - FORGET_NS}

    def _view(self, service: str, frames: Iterable[EvidenceFrame]) -> ServiceView:
        columns: dict[str, dict[str, float]] = {"values": {}, "low": {}, "high": {}}
        for frame in frames:
            row = frame.services.index(service)
            for name, numbers in columns.items():
                array = getattr(frame, name)
                numbers.update(_observed(frame.features, array[row]))
        return ServiceView(self._versions.get(service, ""), _attributes(self._attributes.get(service, "")), **columns)

    def keep(self, services: Iterable[str]) -> dict[str, ServiceView]:
        """Views worth a snapshot: of services under decision. The others are seen again within a window."""
        return {s: self.view(s) for s in sorted(set(services))}

    def restore(self, kept: Mapping[str, ServiceView]) -> None:
        """Fall back on these until telemetry comes in again."""
        self._kept = dict(kept)


def _observed(names: tuple[str, ...], row: Any) -> dict[str, float]:
    values = row.tolist()
    return {n: v for n, v in zip(names, values, strict=False) if v == v}  # noqa: PLR0124 (NaN: not observed)


def _attributes(text: str) -> dict[str, str]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in sorted(found.items())} if isinstance(found, dict) else {}
