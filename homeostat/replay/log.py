"""Replay from a log: what recorded stages emitted, had again from what they took in, and compared with what is in the log."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from itertools import zip_longest
from typing import Any, Final

import numpy as np

from connectors.kafka.client import KafkaBroker
from contracts.errors import HomeostatError, Permanent, UnknownName, UnreadableEvent
from contracts.events import Decision, Handling, decode
from contracts.frames import EvidenceFrame, FeatureFrame, unpack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import DECISIONS, EVIDENCE, FEATURES, HANDLING
from contracts.units import MILLISECOND, SECOND
from homeostat.implementations import load_playbooks
from homeostat.wiring import made_with_of, stage_specs
from streams.replay.player import Broken, NotHeld, Place, RecordedLife, lives, play
from streams.stage import StageSpec

ALWAYS: Final = (0, 2**63 - 1)
FRINGE_NS: Final = 10 * SECOND
"""A message's time in the log is when it was sent, a replayed one's when it was made: so much of a window's edges is left
out where only the log's time is known."""
_FRAMES: Final = {EVIDENCE: EvidenceFrame, FEATURES: FeatureFrame}
Event = tuple[str, bytes, bytes]
"""Topic, key and value."""


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What to replay: stages, in a window of time (ns, both ends included)."""

    stages: tuple[str, ...] = ("decide",)
    since_ns: int = ALWAYS[0]
    until_ns: int = ALWAYS[1]


@dataclass(slots=True)
class Replayed:
    """What came of a replay: events with their times, in order of time; what could not be replayed; what differs in make."""

    events: list[tuple[int, Event]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    made_otherwise: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Difference:
    """One event that the log and the replay don't have alike; `where` is the first field that differs, "" if one is missing."""

    topic: str
    key: str
    where: str
    text: str


@dataclass(frozen=True, slots=True)
class RecordedHandling:
    """What the log's record of handling tells of some stages."""

    stages: tuple[str, ...]
    whole: Sequence[RecordedLife]
    broken: Sequence[Broken]

    @property
    def since_ns(self) -> int:
        """The time from which on the record is whole: what is older began before the log's memory does."""
        return max((b.end_ns + 1 for b in self.broken if b.beginless), default=ALWAYS[0])


async def recorded(broker: KafkaBroker, stages: Sequence[str], idle: Collection[str] = ()) -> RecordedHandling:
    """Read the record of handling, which is long: once. Of those that may have been `idle` there need be none.

    Raises:
        UnknownName: nothing was recorded of one of the stages.
        HomeostatError: the broker can't be read.
    """
    handlings, known = [], set()
    async for record in broker.read([HANDLING]):
        handling = decode(Handling, record.value)
        known.add(handling.stage)
        if handling.stage in stages:
            handlings.append(handling)
    for stage in stages:
        if stage not in known and stage not in idle:
            raise UnknownName("recorded stage", stage, known)
    return RecordedHandling(tuple(stages), *lives(handlings))


async def replayed(broker: KafkaBroker, settings: Settings, found: RecordedHandling, wanted: ReplayRequest) -> Replayed:
    """Replay what was `found` recorded of the stages.

    Raises:
        HomeostatError: the broker can't be read.
    """
    partitions = await broker.ensure_topics(settings.broker.partitions, settings.ingest.topics)
    maker = _Maker(settings, partitions)
    chosen = [life for life in found.whole if life.end_ns >= wanted.since_ns and life.begin_ns <= wanted.until_ns]
    records = await _records(broker, {place for life in chosen for place in life.places()})
    late = [b.text for b in found.broken if b.end_ns >= wanted.since_ns and b.begin_ns <= wanted.until_ns]
    again = Replayed(broken=late)
    for life in chosen:
        if life.messages[0].made_with != maker.made_with:
            again.made_otherwise.append(life.name)
        _replay_life(life, maker, records, again)
    again.events.sort(key=lambda e: e[0])
    again.events = [e for e in again.events if wanted.since_ns <= _time(e[1], e[0]) <= wanted.until_ns]
    return again


async def since_offset(broker: KafkaBroker, found: RecordedHandling, place: Place) -> int:
    """The time (ns) at which one of the stages took a message, or, of a message on autonomous.decisions, at which it was decided.

    Raises:
        Permanent: it did not, as far as the log tells.
    """
    topic, partition, offset = place
    if topic == DECISIONS:
        async for record in broker.read([DECISIONS]):
            if record.partition == partition and record.offset >= offset:
                return decode(Decision, record.value).time_ns
    times = [
        take_ns
        for life in found.whole
        for (t, p, o), take_ns in life.handled()
        if t == topic and p == partition and o >= offset
    ]
    if not times:
        names = ", ".join(found.stages)
        raise Permanent(
            f"{names} took nothing from {topic}/{partition} at offset {offset} or later", reason="not_taken"
        )
    return min(times)


async def compared(
    broker: KafkaBroker, again: Replayed, wanted: ReplayRequest, topics: Sequence[str]
) -> list[Difference]:
    """Where the log and the replay differ, by topic and key; each event counts as often as it is there."""
    logged = [e async for _, e in _logged(broker, topics, wanted)]
    made = [e for _, e in again.events if e[0] in topics]
    missing, surplus = Counter(logged), Counter(made)
    common = missing & surplus
    missing, surplus = missing - common, surplus - common
    if surplus and wanted != ReplayRequest(
        wanted.stages
    ):  # what was made at a window's edge may have been sent beyond it
        surplus -= Counter([e async for _, e in _logged(broker, topics, ReplayRequest(wanted.stages))]) - Counter(
            logged
        )
    return list(_differences(list(missing.elements()), list(surplus.elements())))


def neighbours(
    settings: Settings, partitions: Mapping[str, int], stage: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The topics a stage writes to, and all stages that write to these.

    Raises:
        UnknownName: there is no such stage.
    """
    specs = _Maker(settings, partitions).specs({})
    if stage not in specs:
        raise UnknownName("stage", stage, specs)
    topics = specs[stage].produces
    return topics, tuple(s.name for s in specs.values() if set(s.produces) & set(topics))


async def _records(broker: KafkaBroker, places: set[Place]) -> dict[Place, Record]:
    topics = sorted({topic for topic, _, _ in places})
    if not topics:
        return {}
    found = {(r.topic, r.partition, r.offset): r async for r in broker.read(topics)}
    return {place: found[place] for place in places if place in found}


def _replay_life(life: RecordedLife, maker: _Maker, records: Mapping[Place, Record], again: Replayed) -> None:
    m = life.messages[0]
    stage = maker.specs(m.spread)[m.stage].make(m.topic, m.partition)
    try:
        for now_ns, emit in play(life, stage, records):
            again.events.append((now_ns, (emit.topic, emit.key.encode(), emit.value)))
    except (HomeostatError, NotHeld) as e:
        again.broken.append(f"{life.name}: {e}")


class _Maker:
    """Makes stages as the worker did."""

    def __init__(self, settings: Settings, partitions: Mapping[str, int]) -> None:
        self._settings, self._partitions = settings, partitions
        self._playbooks = load_playbooks(settings.act)
        self.made_with = made_with_of(settings, self._playbooks)
        self._specs: dict[tuple[tuple[str, int], ...], Mapping[str, StageSpec]] = {}

    def specs(self, spread: Mapping[str, int]) -> Mapping[str, StageSpec]:
        """All stages by name, as they are where what they emit is spread so (`Handling.spread`)."""
        key = tuple(sorted(spread.items()))
        if key not in self._specs:
            made = stage_specs(self._settings, {**self._partitions, **spread}, self._playbooks)
            self._specs[key] = {s.name: s for s in made}
        return self._specs[key]


async def _logged(
    broker: KafkaBroker, topics: Iterable[str], wanted: ReplayRequest
) -> AsyncIterator[tuple[int, Event]]:
    whole = wanted == ReplayRequest(wanted.stages)
    async for record in broker.read(list(topics)):
        event = (record.topic, record.key or b"", record.value)
        at_ns = _time(event, record.timestamp_ms * MILLISECOND)
        fringe_ns = 0 if whole or record.topic == DECISIONS else FRINGE_NS
        if wanted.since_ns + fringe_ns <= at_ns <= wanted.until_ns - fringe_ns:
            yield at_ns, event


def _time(event: Event, at_ns: int) -> int:
    """A decision says its time; of others it is when they were made or sent."""
    return decode(Decision, event[2]).time_ns if event[0] == DECISIONS else at_ns


def _differences(missing: Sequence[Event], surplus: Sequence[Event]) -> Iterator[Difference]:
    logged: dict[tuple[str, bytes], list[bytes]] = defaultdict(list)
    made: dict[tuple[str, bytes], list[bytes]] = defaultdict(list)
    for side, events in ((logged, missing), (made, surplus)):
        for topic, key, value in events:
            side[topic, _identity(topic, key, value)].append(value)
    for (topic, key), values in ({k: (logged[k], made[k]) for k in [*logged, *made]}).items():
        for ours, theirs in zip_longest(*values):
            yield _difference(topic, key.decode("utf-8", "replace"), ours, theirs)


def _identity(topic: str, key: bytes, value: bytes) -> bytes:
    """What two versions of an event have in common."""
    return decode(Decision, value).id.encode() if topic == DECISIONS else key


def _difference(topic: str, key: str, logged: bytes | None, made: bytes | None) -> Difference:
    if logged is None or made is None:
        return Difference(topic, key, "", "only in the replay" if logged is None else "only in the log")
    where, ours, theirs = _first(_readable(topic, logged), _readable(topic, made), "")
    return Difference(topic, key, where, f"{_short(ours)} in the log, {_short(theirs)} in the replay")


def _first(a: Any, b: Any, where: str) -> tuple[str, Any, Any]:
    """The first field that differs, and both its values."""
    if isinstance(a, dict) and isinstance(b, dict):
        pairs: Iterable[tuple[str, Any, Any]] = (
            (f".{k}", a.get(k), b.get(k)) for k in [*a, *(k for k in b if k not in a)]
        )
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = ((f"[{i}]", x, y) for i, (x, y) in enumerate(zip(a, b, strict=True)))
    else:
        return where.removeprefix("."), a, b
    return next((_first(x, y, where + name) for name, x, y in pairs if x != y), (where or "bytes", a, b))


def _readable(topic: str, value: bytes) -> Any:
    try:
        if topic in _FRAMES:
            return _plain(unpack(_FRAMES[topic], value))
        return json.loads(value)
    except (UnreadableEvent, ValueError):
        return value.hex()


def _plain(frame: Any) -> Any:
    """A frame as lists; numbers as text, as nan differs from itself."""
    found = asdict(frame) if is_dataclass(frame) and not isinstance(frame, type) else {}
    return {k: v.astype(str).tolist() if isinstance(v, np.ndarray) else v for k, v in found.items()}


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
