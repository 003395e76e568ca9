"""Edges: spans of one partition of traces in, partial aggregates of the calls between services out."""

from __future__ import annotations

from collections import Counter

from contracts.events import TelemetryGaps, decode, encode
from contracts.frames import AddressFrame, SpanFrame, pack, unpack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import ADDRESSES, CLOCKS, GAPS, PARTIALS, SPANS
from streams.environments import Environments
from streams.stage import Emit, Output
from streams.windows.edges import EdgeJoiner
from streams.windows.sequence import CatchUp, Sequence
from streams.windows.silent_hops import SilentServices
from streams.windows.state import dump, load

_KIND, _VERSION = "edge_stage", 1
_MOST_PENDING = 1 << 15


class EdgeStage:
    """One partition of traces; a joiner per environment."""

    def __init__(self, partition: int, settings: Settings, partitions: int) -> None:
        self._source = f"{SPANS}/{partition}"
        self._settings, self._partitions = settings.ingest, partitions
        self._sequence, self._catch_up = Sequence(), CatchUp()
        self._joiners: dict[str, EdgeJoiner] = {}
        self._silent: dict[str, SilentServices] = {}
        """Of environments, also of those of which no spans have come yet: what stands is told first of all."""
        self._gone: Counter[str] = Counter()
        self._environments = Environments(settings.ingest.max_environments, self._forget)

    @property
    def counters(self) -> Counter[str]:
        """Calls found, and what was dropped: orphans, duplicates, evicted, redelivered_frames."""
        return sum((j.counters for j in self._joiners.values()), self._gone + self._environments.counters)

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Take a frame of spans in, or what addresses stand for, or who sends no spans.

        Raises:
            UnreadableEvent: it is none of these.
        """
        if record.topic == ADDRESSES:
            told = unpack(AddressFrame, record.value)
            if told.environment in self._joiners:
                self._joiners[told.environment].told(told, now_ns)
            return []
        if record.topic == GAPS:
            if record.value:
                gaps = decode(TelemetryGaps, record.value)
                self._silent_of(gaps.environment).told(gaps)
            return []
        frame = unpack(SpanFrame, record.value)
        alone = self._catch_up.covers(record, now_ns)
        outputs = self._flush(now_ns, tells_time=False) if alone else []
        self._sequence.reach(record.offset)
        if self._environments.lets_in(frame.environment, now_ns):
            self._joiner(frame.environment).add(frame, now_ns)
        if alone or sum(j.pending for j in self._joiners.values()) >= _MOST_PENDING:
            outputs += self._flush(now_ns, tells_time=not alone)
        return outputs

    def tick(self, now_ns: int) -> list[Output]:
        """Join what has come since the last flush, and send the calls on."""
        return self._flush(now_ns)

    def _forget(self, environment: str) -> None:
        joiner = self._joiners.pop(environment, None)
        if joiner is not None:
            self._gone += joiner.counters

    def _silent_of(self, environment: str) -> SilentServices:
        found = self._silent.get(environment)
        if found is None:
            most = self._settings.max_environments
            while len(self._silent) >= most and (idle := next((e for e in self._silent if e not in self._joiners), "")):
                del self._silent[idle]
            found = self._silent[environment] = SilentServices()
        return found

    def _joiner(self, environment: str) -> EdgeJoiner:
        found = self._joiners.get(environment)
        if found is None:
            silent = self._silent_of(environment)
            found = self._joiners[environment] = EdgeJoiner(environment, self._settings, self._partitions, silent)
        return found

    def _flush(self, now_ns: int, *, tells_time: bool = True) -> list[Output]:
        outputs: list[Output] = []
        for joiner in self._joiners.values():
            partials = joiner.flush(self._source, self._sequence.number, now_ns, tells_time=tells_time)
            outputs += [Emit(PARTIALS, e, pack(f), partition=t) for e, t, f in partials]
            outputs += [Emit(CLOCKS, f"{c.environment}/{c.service}", encode(c)) for c in joiner.clocks(now_ns)]
        return outputs

    def snapshot(self) -> bytes:
        """The whole state."""
        joiners = [[e, j.snapshot()] for e, j in self._joiners.items()]
        sequence = [self._sequence.base, self._sequence.offset]
        silent = {e: s.state() for e, s in self._silent.items() if s}
        return dump(_KIND, _VERSION, {"sequence": sequence, "joiners": joiners, "silent": silent})

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state. UnreadableEvent if it is none."""
        body = load(_KIND, _VERSION, state)
        self._sequence.base, self._sequence.offset = body["sequence"]
        self._joiners, self._silent = {}, {}
        for environment, silent in body.get("silent", {}).items():
            self._silent_of(environment).load(silent)
        for environment, joiner in body["joiners"]:
            self._joiner(environment).restore(joiner)
        self._environments.restored(self._joiners)
        self._catch_up.restored()

    def begin_anew(self) -> None:
        """There is no snapshot, but records may have been read by an owner that died before it saved one."""
        self._catch_up.restored()
