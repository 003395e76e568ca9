"""A recorded life of a stage once more: the same messages in the same order at the same times, so the same events."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from contracts.errors import Permanent
from contracts.events import Handling
from contracts.events.handling import TICK
from contracts.ports import Record
from streams.stage import CatchesUp, Emit, Output, Stage

log = logging.getLogger(__name__)
Place = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(frozen=True, slots=True)
class RecordedInput:
    """One step of a life: a message, or a tick (no place)."""

    place: Place | None
    now_ns: int


@dataclass(frozen=True, slots=True)
class RecordedLife:
    """All messages of one life from its beginning, in order."""

    messages: tuple[Handling, ...]

    @property
    def name(self) -> str:
        """Stage, topic and partition of the instance."""
        m = self.messages[0]
        return f"{m.stage}/{m.topic}/{m.partition}"

    @property
    def begin_ns(self) -> int:
        """Time of the first take."""
        return next((t.now_ns for m in self.messages for t in takes(m)), 0)

    @property
    def end_ns(self) -> int:
        """Time of the last take."""
        return max((sum(t[3] for t in m.takes) for m in self.messages), default=0)

    def handled(self) -> Iterator[tuple[Place, int]]:
        """Every message taken, and when."""
        return ((t.place, t.now_ns) for m in self.messages for t in takes(m) if t.place is not None)

    def places(self) -> Iterator[Place]:
        """Every message taken."""
        return (place for place, _ in self.handled())


def takes(message: Handling) -> Iterator[RecordedInput]:
    """The steps of a stretch."""
    now_ns = 0
    for topic, partition, offset, since_ns in message.takes:
        now_ns += since_ns
        yield RecordedInput(None if topic == TICK else (message.topics[topic], partition, offset), now_ns)


@dataclass(frozen=True, slots=True)
class Broken:
    """A life that can't be replayed, or not to its end: why, and the time that is known of it."""

    text: str
    begin_ns: int
    end_ns: int
    beginless: bool
    """Its beginning is not in the log, as that of all lives that are older than the log's memory."""


class NotHeld(Exception):
    """A message that was taken is no longer in the log."""


def lives(messages: Iterable[Handling]) -> tuple[list[RecordedLife], list[Broken]]:
    """Whole lives, and what can't be replayed of others. A message that came twice counts once."""
    found: dict[tuple[str, str, int, str], dict[int, Handling]] = {}
    for m in messages:
        found.setdefault((m.stage, m.topic, m.partition, m.life), {})[m.sequence] = m
    whole: list[RecordedLife] = []
    broken: list[Broken] = []
    for (stage, topic, partition, life), parts in found.items():
        name = f"{stage}/{topic}/{partition}, life {life[:8]}"
        last = next((n for n in range(len(parts)) if n not in parts), len(parts))
        missing = RecordedLife(tuple(parts[n] for n in sorted(parts) if n >= last))
        if last < len(parts):
            text = f"{name}: message {last} of its record is not in the log"
            broken.append(Broken(text, missing.begin_ns, missing.end_ns, beginless=last == 0))
        if last and parts[0].state_lost:
            lost = RecordedLife(tuple(parts[n] for n in range(last)))
            text = f"{name}: the state it began with was too large to keep"
            broken.append(Broken(text, lost.begin_ns, lost.end_ns, beginless=False))
        elif last:
            whole.append(RecordedLife(tuple(parts[n] for n in range(last))))
    return sorted(whole, key=lambda w: (w.begin_ns, w.name)), broken


def play(life: RecordedLife, stage: Stage, records: Mapping[Place, Record]) -> Iterator[tuple[int, Emit]]:
    """What the stage emits when it lives this life, with the time.

    Raises:
        NotHeld: a message it took is not among `records`.
        Permanent: this is not the stage that was recorded.
    """
    if any(message.lookups for message in life.messages):
        raise Permanent(
            "a former release recorded it, whose deciding looked things up outside of the log",
            reason="replay_diverged",
            fix="replay with the release that recorded it",
        )
    if life.messages[0].state:
        _restore(stage, life.messages[0].state)
    if life.messages[0].anew and isinstance(stage, CatchesUp):
        stage.begin_anew()
    for message in life.messages:
        for take in takes(message):
            for output in _step(stage, _record(take, records), take.now_ns):
                if isinstance(output, Emit):
                    yield take.now_ns, output


def _restore(stage: Stage, state: bytes) -> None:
    try:
        stage.restore(state)
    except Exception as e:  # whatever another release makes of it
        raise Permanent(
            f"the state it began with cannot be read ({type(e).__name__}: {e})",
            reason="replay_diverged",
            fix="replay with the same release as the worker had",
        ) from e


def _record(take: RecordedInput, records: Mapping[Place, Record]) -> Record | None:
    if take.place is None:
        return None
    if take.place not in records:
        topic, partition, offset = take.place
        raise NotHeld(f"{topic}/{partition} no longer holds offset {offset}")
    return records[take.place]


def _step(stage: Stage, record: Record | None, now_ns: int) -> list[Output]:
    try:
        return stage.tick(now_ns) if record is None else stage.handle(record, now_ns)
    except Permanent as e:
        if e.reason == "replay_diverged":
            raise
        return []  # then it became a dead letter
    except Exception:  # as then, when the loop went on
        log.debug("a step failed, as it did then", exc_info=True)
        return []
