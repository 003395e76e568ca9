"""What a cluster says of the instances of services, as whoever judges silence is told of it, and remembers it.

The watch repeats it every few seconds, so that nothing is believed of a watch that ended. Between two reports that say the same it
was so all the time; a report that is not repeated is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from contracts.frames import InstanceState, PartialFrame
from contracts.topics import partition_of
from contracts.units import SECOND
from streams.windows.rows import Origin, frame

INSTANCES: Final = "instances"
"""The signal of these partials. It is no feature: it ends where silence is judged."""
REPEATED_NS: Final = 5 * SECOND
"""How often the watch repeats what it said."""
BELIEVED_NS: Final = 2 * REPEATED_NS + 2 * SECOND
"""How long a report holds that nobody repeats."""

_STATES: Final = {int(state): state for state in InstanceState}


def instance_frames(
    environment: str, source: str, states: Mapping[str, InstanceState], time_ns: int, partitions: int
) -> Iterator[tuple[int, PartialFrame]]:
    """A frame per partition of services, with the states at `time_ns` of those that belong there."""
    places: dict[int, list[str]] = {}
    for service in sorted(states):
        places.setdefault(partition_of(f"{environment}/{service}", partitions), []).append(service)
    for target, services in sorted(places.items()):
        columns: dict[str, Any] = {
            "window_ns": np.full(len(services), time_ns, np.int64),
            "service": np.arange(len(services), dtype=np.int32),
            "role": np.array([states[s] for s in services], np.int8),
            "count": np.ones(len(services), np.int64),
        }
        made = frame(Origin(environment, source, time_ns, 0), INSTANCES, columns)
        nothing = ("",) * len(services)
        yield target, replace(made, services=tuple(services), versions=nothing, attributes=nothing)


class InstanceReports:
    """The latest state of each service's instances, since when, and when it was told last; of at most `most` services."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sequences: dict[str, int] = {}
        self._told: dict[str, tuple[InstanceState, int, int]] = {}

    def take(self, frame: PartialFrame) -> int:
        """Note what a report says; how many of its services there was no room for. One that came before is ignored."""
        if frame.sequence <= self._sequences.get(frame.source, -1):
            return 0
        self._sequences[frame.source] = frame.sequence
        left = 0
        for place, time_ns, role in zip(
            frame.service.tolist(), frame.window_ns.tolist(), frame.role.tolist(), strict=True
        ):
            name, state = frame.services[place], _state(role)
            known = self._told.get(name)
            if known is None and len(self._told) >= self._most and not self._make_room(time_ns):
                left += 1
                continue
            goes_on = known is not None and known[0] is state and time_ns - known[2] <= BELIEVED_NS
            self._told[name] = (state, known[1] if goes_on and known is not None else time_ns, time_ns)
        return left

    def since_ns(self, service: str, state: InstanceState, end_ns: int) -> int | None:
        """Since when a service's instances were in a state that they were still in at `end_ns`; None if they weren't, or nobody
        said so."""
        known = self._told.get(service)
        if known is None or known[0] is not state or known[1] >= end_ns or end_ns - known[2] > BELIEVED_NS:
            return None
        return known[1]

    def _make_room(self, now_ns: int) -> bool:
        for name in [n for n, (_, _, told_ns) in self._told.items() if now_ns - told_ns > BELIEVED_NS]:
            del self._told[name]
        return len(self._told) < self._most

    def state(self) -> list[Any]:
        """For a snapshot."""
        return [self._sequences, [[name, int(s), since, told] for name, (s, since, told) in self._told.items()]]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        sequences, told = state
        self._sequences = dict(sequences)
        self._told = {name: (_state(s), since, at) for name, s, since, at in told}


def _state(code: int) -> InstanceState:
    """A code of a later release says nothing."""
    return _STATES.get(code, InstanceState.UNSURE)
