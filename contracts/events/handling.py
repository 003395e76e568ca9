"""What an instance of a stage took in, in which order and at what time: what a replay needs besides the topics."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.events.codec import Event

TICK = -1
"""In place of a topic: time was let pass."""


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """What deciding was told from outside of the log, in recordings of former releases: an answer that differs from the last one to
    the same question.

    It is the answer to the `number`-th question (from 0) since the beginning of the message, and to all later ones alike.
    """

    number: int
    question: str
    about: tuple[str, ...]
    answer: Any


class Handling(Event, frozen=True, kw_only=True):
    """A stretch of the life of one instance of a stage, which begins fresh or with `state` and ends with its process.

    `takes` are, in order: index into `topics` (or TICK), partition, offset, and time of the instance's clock in ns since
    the take before (the first since 0). `sequence` counts the messages of a life from 0; `state` (msgpack, in base64) is
    that of its beginning: b"" if fresh, and `state_lost` if it was too large to keep. `anew`: the stage was told that records
    may be repeated to it.
    """

    stage: str
    topic: str
    partition: int
    life: str
    sequence: int
    made_with: str
    topics: tuple[str, ...]
    takes: tuple[tuple[int, int, int, int], ...]
    lookups: tuple[Lookup, ...] = ()
    """Of former releases; nothing is looked up any more."""
    state: bytes = b""
    state_lost: bool = False
    anew: bool = False
    spread: dict[str, int] = {}
    """By topic, over how many of its first partitions what was emitted is spread, where that is not all of them."""
