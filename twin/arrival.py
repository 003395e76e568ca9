"""What arrives: a message on a topic, as a broker would hand it over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that arrives on a topic."""

    topic: str
    key: str
    value: bytes
