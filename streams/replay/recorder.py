"""A stage whose handling is recorded: which messages it took, in which order, and at what time.

A stage is a function of exactly these, so its events can be had again from the log, byte for byte, whatever the clock, the
order between partitions and the world were (`streams.replay.player`). Where what it emits goes out, the record of how it came about
goes out before it.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from contracts.events import Handling, encode
from contracts.events.handling import TICK
from contracts.ports import Record
from contracts.topics import HANDLING
from contracts.units import MINUTE, SECOND
from streams.stage import CatchesUp, Emit, Output, Stage, StageSpec

FLUSH_NS: Final = SECOND
IDLE_FLUSH_NS: Final = MINUTE
"""Where nothing but time passed."""
MAX_TAKES: Final = 5_000
MAX_STATE: Final = 2_000_000
"""Bytes of state that a record of handling may begin with; a message holds 8 MB, in base64."""


class Recorder:
    """Collects what one instance takes in, until it is sent."""

    def __init__(
        self, stage: str, topic: str, partition: int, made_with: str, spread: Mapping[str, int] | None = None
    ) -> None:
        self._about = stage, topic, partition, made_with
        self._spread = dict(spread or {})
        self.begin()

    def begin(self, state: bytes = b"", *, anew: bool = False) -> None:
        """A new life, fresh or with `state`; `anew` if the stage was told so."""
        self._anew = anew
        self._life, self._sequence = uuid.uuid4().hex, 0
        self._state = state
        self._begun_ns = 0
        self._clear()

    def _clear(self) -> None:
        self._topics: dict[str, int] = {}
        self._takes: list[tuple[int, int, int, int]] = []
        self._last_ns = self._first_ns = 0

    def took(self, record: Record, now_ns: int) -> None:
        """A message is about to be handled."""
        topic = self._topics.setdefault(record.topic, len(self._topics))
        self._note(topic, record.partition, record.offset, now_ns)

    def ticked(self, now_ns: int) -> None:
        """Time is about to pass."""
        self._note(TICK, 0, 0, now_ns)

    def _note(self, topic: int, partition: int, offset: int, now_ns: int) -> None:
        self._takes.append((topic, partition, offset, now_ns - self._last_ns))
        self._last_ns = now_ns
        self._first_ns = self._first_ns or now_ns
        self._begun_ns = self._begun_ns or now_ns

    def is_due(self, now_ns: int) -> bool:
        """Whether what was collected should go out although nothing else does."""
        patience_ns = FLUSH_NS if self._topics else IDLE_FLUSH_NS
        return bool(self._takes) and (now_ns - self._first_ns >= patience_ns or len(self._takes) >= MAX_TAKES)

    def age_ns(self, now_ns: int) -> int:
        """How long this life has lasted."""
        return now_ns - self._begun_ns if self._begun_ns else 0

    def message(self) -> Emit:
        """What was collected."""
        stage, topic, partition, made_with = self._about
        lost = self._sequence == 0 and len(self._state) > MAX_STATE
        handling = Handling(
            stage=stage,
            topic=topic,
            partition=partition,
            life=self._life,
            sequence=self._sequence,
            made_with=made_with,
            topics=tuple(self._topics),
            takes=tuple(self._takes),
            state=self._state if self._sequence == 0 and not lost else b"",
            state_lost=lost,
            anew=self._anew,
            spread=self._spread,
        )
        self._sequence += 1
        self._clear()
        return Emit(HANDLING, f"{stage}/{topic}/{partition}", encode(handling), partition=partition)


class RecordedStage:
    """A stage and its recorder. With `life_ns` a life that lasted so long ends, and another begins with its state: who replays
    need not go further back."""

    def __init__(self, make: Callable[[], Stage], recorder: Recorder, life_ns: int = 0) -> None:
        self._make, self._recorder, self._life_ns = make, recorder, life_ns
        self._stage = make()

    @property
    def counters(self) -> Counter[str]:
        """The stage's."""
        return self._stage.counters

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """As the stage does."""
        self._recorder.took(record, now_ns)
        return self._recorded(self._stage.handle(record, now_ns), now_ns)

    def tick(self, now_ns: int) -> list[Output]:
        """As the stage does."""
        self._recorder.ticked(now_ns)
        return self._recorded(self._stage.tick(now_ns), now_ns)

    def _recorded(self, outputs: list[Output], now_ns: int) -> list[Output]:
        ends = 0 < self._life_ns <= self._recorder.age_ns(now_ns)
        if ends or self._recorder.is_due(now_ns) or any(isinstance(o, Emit) for o in outputs):
            outputs = [self._recorder.message(), *outputs]
        if ends:
            state, self._stage = self._stage.snapshot(), self._made_anew()
            self.restore(state)
        return outputs

    def _made_anew(self) -> Stage:
        counters, stage = self._stage.counters, self._make()
        stage.counters.update(counters)
        return stage

    def snapshot(self) -> bytes:
        """As the stage does."""
        return self._stage.snapshot()

    def restore(self, state: bytes) -> None:
        """As the stage does."""
        self._stage.restore(state)
        self._recorder.begin(state)

    def begin_anew(self) -> None:
        """As the stage does, if it does."""
        if isinstance(self._stage, CatchesUp):
            self._stage.begin_anew()
            self._recorder.begin(anew=True)


def recorded(spec: StageSpec, made_with: str, life_ns: int = 0, spread: Mapping[str, int] | None = None) -> StageSpec:
    """The same stage, recorded, in lives of `life_ns` (0: as long as its process); it was made to emit to `spread` (`Handling.spread`)."""

    def make(topic: str, partition: int) -> Stage:
        about = spec.consumes[0] if spec.colocated else topic
        recorder = Recorder(spec.name, about, partition, made_with, spread)
        return RecordedStage(lambda: spec.make(topic, partition), recorder, life_ns)

    return replace(spec, make=make, produces=(*spec.produces, HANDLING))
