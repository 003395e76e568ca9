"""Where services run, and which nodes were heard of: what tells a node whose telemetry is lost from services that are."""

from __future__ import annotations

import functools
from typing import Any, Final

from contracts.frames import Resource
from contracts.nodes import ground_of

_MOST_PLACES: Final = 1 << 14


class Places:
    """The nodes of one environment, as one source hears of them."""

    def __init__(self) -> None:
        self._heard: set[str] = set()
        self._fresh: list[str] = []
        self._known: set[str] = set()

    def note(self, resource: Resource) -> None:
        """Something of a resource came."""
        node = _node_of(resource)
        if not node:
            return
        self._heard.add(node)
        place = f"{resource.service}\t{node}"
        if place not in self._known:
            if len(self._known) >= _MOST_PLACES:
                self._known.clear()
            self._known.add(place)
            self._fresh.append(place)

    def news(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """`heard` and `placed` of a PartialFrame: what is new since this was last asked."""
        heard, placed = tuple(sorted(self._heard)), tuple(self._fresh)
        self._heard, self._fresh = set(), []
        return heard, placed

    def state(self) -> list[Any]:
        """For a snapshot."""
        return [sorted(self._heard), self._fresh, sorted(self._known)]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        self._heard, self._fresh, self._known = set(state[0]), list(state[1]), set(state[2])


@functools.lru_cache(1 << 14)
def _node_of(resource: Resource) -> str:
    return ground_of(dict(resource.attributes)).node
