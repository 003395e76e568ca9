"""A recorded life of a stage once more: the same messages in the same order at the same times, so the same events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import Permanent
from contracts.events import Handling, Lookup
from contracts.events.handling import TICK
from contracts.ports import Record
from streams.stage import CatchesUp, Emit, Output, Stage

log = logging.getLogger(__name__)
Place = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(frozen=True, slots=True)
class Take:
    """One step of a life: a message, or a tick (no place)."""

    place: Place | None
    now_ns: int


@dataclass(slots=True)
class Answers:
    """What was looked up, as recorded: asked in the same order it gives the same answers."""

    _known: dict[tuple[str, ...], Any] = field(default_factory=dict)
    _next: list[Lookup] = field(default_factory=list)
    _asked: int = 0

    def load(self, lookups: Iterable[Lookup]) -> None:
        """The answers of the next message."""
        self._next, self._asked = sorted(lookups, key=lambda a: -a.number), 0

    def ask(self, question: str, about: tuple[str, ...], merge: Callable[[Any, Any], Any]) -> Any:
        """The answer; `merge(before, said)` undoes what the recorder made of it.

        Raises:
            Permanent: nobody asked that then: this is not the stage that was recorded.
        """
        key = (question, *about)
        said = self._next.pop() if self._next and self._next[-1].number == self._asked else None
        if said is not None and (said.question, *said.about) == key:
            self._known[key] = merge(self._known.get(key), said.answer)
        elif said is not None or key not in self._known:
            raise Permanent(
                f"{question} of {'/'.join(about)} was not looked up when this was recorded",
                reason="replay_diverged",
                fix="replay with the same release, settings and playbooks as the worker had",
            )
        self._asked += 1
        return self._known[key]


@dataclass(frozen=True, slots=True)
class Life:
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


def takes(message: Handling) -> Iterator[Take]:
    """The steps of a stretch."""
    now_ns = 0
    for topic, partition, offset, since_ns in message.takes:
        now_ns += since_ns
        yield Take(None if topic == TICK else (message.topics[topic], partition, offset), now_ns)


def lives(messages: Iterable[Handling]) -> tuple[list[Life], list[str]]:
    """Whole lives, and in words what can't be replayed of others. A message that came twice counts once."""
    found: dict[tuple[str, str, int, str], dict[int, Handling]] = {}
    for m in messages:
        found.setdefault((m.stage, m.topic, m.partition, m.life), {})[m.sequence] = m
    whole, broken = [], []
    for (stage, topic, partition, life), parts in found.items():
        name = f"{stage}/{topic}/{partition}, life {life[:8]}"
        last = next((n for n in range(len(parts)) if n not in parts), len(parts))
        if last < len(parts):
            broken.append(f"{name}: message {last} of its record is not in the log")
        if last and parts[0].state_lost:
            broken.append(f"{name}: the state it began with was too large to keep")
        elif last:
            whole.append(Life(tuple(parts[n] for n in range(last))))
    return sorted(whole, key=lambda w: (w.begin_ns, w.name)), broken


def live(life: Life, stage: Stage, answers: Answers, records: Mapping[Place, Record]) -> Iterator[tuple[int, Emit]]:
    """What the stage emits when it lives this life, with the time.

    Raises:
        KeyError: a message it took is not among `records`.
    """
    if life.messages[0].state:
        stage.restore(life.messages[0].state)
    if life.messages[0].anew and isinstance(stage, CatchesUp):
        stage.begin_anew()
    for message in life.messages:
        answers.load(message.lookups)
        for take in takes(message):
            for output in _step(stage, records[take.place] if take.place else None, take.now_ns):
                if isinstance(output, Emit):
                    yield take.now_ns, output


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
