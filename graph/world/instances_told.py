"""What is told of how the instances of services fare, taken out of the attributes in which it travels."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from contracts.claims import INSTANCES, parsed, spelled
from contracts.frames import EvidenceFrame
from contracts.instance_parts import ComparedInstances, compared
from contracts.parts import parts_from
from contracts.units import SECOND

_OLD_NS: Final = 90 * SECOND
"""What was told longer ago is not true any more: it is told every few seconds while there is something to tell, and spans may come a minute
late."""


class InstancesTold:
    """The latest word on the instances of each service, as text (`contracts.parts`), and when it was said."""

    def __init__(self) -> None:
        self.by: dict[str, tuple[str, int]] = {}

    def take(self, frame: EvidenceFrame) -> EvidenceFrame:
        """Learn from a frame of spans; the same without what it says of instances."""
        said = [
            i for i, text in enumerate(frame.attributes) if text and (frame.services[i] in self.by or INSTANCES in text)
        ]
        if not said:
            return frame
        attributes = list(frame.attributes)
        for i in said:
            name, found = frame.services[i], parsed(attributes[i])
            text = found.pop(INSTANCES, "")
            if text:
                self.by[name] = text, frame.window_ns
                attributes[i] = spelled(found)
            else:
                self.by.pop(name, None)
        return replace(frame, attributes=tuple(attributes))

    def of(self, name: str, now_ns: int) -> ComparedInstances | None:
        """How a service's instances compare; None where nothing is told of them."""
        text, told_ns = self.by.get(name, ("", 0))
        return compared(parts_from(text)) if text and now_ns - told_ns <= _OLD_NS else None

    def forget(self, names: set[str]) -> None:
        """Services that left."""
        self.by = {n: told for n, told in self.by.items() if n not in names}
