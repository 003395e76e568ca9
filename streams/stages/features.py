"""Features: partial aggregates of one partition of services in, columnar frames per environment, signal and window out.

Also said here: who is silent, whose telemetry is lost, and what is missing in it (`streams.windows.liveness`, `streams.windows.losses`,
`streams.windows.gaps`).
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator

from contracts.errors import UnreadableEvent
from contracts.events import encode
from contracts.features import OPERATIONS, Signal
from contracts.frames import AddressFrame, FeatureFrame, PartialFrame, pack, unpack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import ADDRESSES, ANOMALIES, FEATURES, GAPS, partition_of
from contracts.units import MILLISECOND
from streams.environments import Environments
from streams.stage import Emit, Output
from streams.windows.addresses import Addresses
from streams.windows.calls import CALLS
from streams.windows.gaps import GapJudge
from streams.windows.instances import INSTANCES
from streams.windows.kept import KeptShares
from streams.windows.liveness import Liveness
from streams.windows.losses import EVERYTHING, NODE, Losses
from streams.windows.merge import MERGES, FeatureMerger, liveness_of
from streams.windows.operations import OperationMerge
from streams.windows.silent_hops import PASSED
from streams.windows.state import dump, load

_KIND, _VERSION = "feature_stage", 1
_MOST_FRAMES = 512
_ENDS = 3
_SIGNALS = frozenset({CALLS, OPERATIONS, INSTANCES, *MERGES})


class FeatureStage:
    """One partition of services; a merger per environment and signal. Emits on ticks, and in between when much has come."""

    def __init__(self, partition: int, settings: Settings, partitions: int = 1) -> None:
        self._partition, self._settings, self._partitions = partition, settings.ingest, partitions
        self._mergers: dict[str, dict[str, FeatureMerger]] = {}
        """By environment and signal."""
        self._liveness: dict[str, Liveness] = {}
        self._losses: dict[str, Losses] = {}
        self._kept: dict[str, KeptShares] = {}
        self._operations: dict[str, OperationMerge] = {}
        self._gaps: dict[str, GapJudge] = {}
        self._addresses: dict[str, Addresses] = {}
        """They outlive their environment's telemetry. Every instance is told first of all what stands now; snapshots have what stood before."""
        self._taken = 0
        self._gone: Counter[str] = Counter()
        self._environments = Environments(settings.ingest.max_environments, self._forget)

    @property
    def counters(self) -> Counter[str]:
        """Rows sent and corrected, and what was dropped: late, service_limit, stale_points, redelivered_frames."""
        silence = sum((found.counters for found in self._liveness.values()), Counter[str]())
        silence["late_operations"] = sum(found.late for found in self._operations.values())
        return sum((m.counters for m in self._each()), self._gone + self._environments.counters + silence)

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Take a frame of partials in, or what addresses stand for.

        Raises:
            UnreadableEvent: it is neither.
        """
        if record.topic == ADDRESSES:
            told = unpack(AddressFrame, record.value)
            self._addresses_of(told.environment).take(told)
            return []
        frame = unpack(PartialFrame, record.value)
        if frame.signal not in _SIGNALS:
            raise UnreadableEvent(f"unknown signal {frame.signal!r}", fix=f"valid: {', '.join(sorted(_SIGNALS))}")
        if frame.signal == INSTANCES:  # it keeps no environment, and no service, of which nothing else is heard
            if frame.environment in self._mergers:
                self._merger(frame.environment, Signal.SPANS).liveness.report(frame)
            return []
        if not self._environments.lets_in(frame.environment, now_ns):
            return []
        self._losses_of(frame.environment).hear(frame, now_ns)
        self._gaps_of(frame.environment).hear(frame, now_ns)
        self._hear_passages(frame)
        if frame.signal == CALLS:
            spans = self._merger(frame.environment, Signal.SPANS)
            spans.liveness.add(frame, spans.watermarks.merged)
        elif frame.signal == OPERATIONS:
            self._operations_of(frame.environment).add(frame)
        else:
            self._merger(frame.environment, frame.signal).add(frame, now_ns)
        self._taken += 1
        return self.tick(now_ns) if self._taken >= _MOST_FRAMES else []

    def _hear_passages(self, frame: PartialFrame) -> None:
        """Calls that services without spans pass on are no calls of their callers to whoever serves them."""
        for what, *passage in (text.split("\t") for text in frame.told):
            edges = self._mergers.get(frame.environment, {}).get(Signal.EDGES)
            if what == PASSED and len(passage) == _ENDS and edges is not None:
                edges.passed_on(passage[0], passage[-1])

    def tick(self, now_ns: int) -> list[Output]:
        """Rows that are due by now, and corrections."""
        self._taken = 0
        outputs: list[Output] = []
        for merger in self._each():
            merger.absorb()  # what one signal says of silence in another is known first
        for merger in self._each():
            seen = merger.advance(now_ns)
            frames = self._corrected(merger, seen)
            outputs += [Emit(FEATURES, f.environment, pack(f), partition=self._partition) for f in frames]
            for frame in seen:
                self._gaps_of(merger.environment).see(frame)
                if merger.signal == Signal.SPANS:
                    self._losses_of(merger.environment).see(frame)
            outputs += self._glimpses(merger)
        for environment, operations in self._operations.items():
            reached_ns = self._merger(environment, Signal.SPANS).watermarks.merged
            over = operations.advance(reached_ns)
            outputs += [Emit(FEATURES, environment, pack(f), partition=self._partition) for f in over]
        for losses in self._losses.values():
            told = losses.look(now_ns)
            outputs += [Emit(ANOMALIES, a.service, encode(a), route=a.environment) for a in told]
        for judge in self._gaps.values():
            known = judge.look(now_ns)
            outputs += [Emit(GAPS, f"{g.environment}/{g.service}", encode(g), route=g.environment) for g in known]
        return outputs

    def _glimpses(self, merger: FeatureMerger) -> list[Output]:
        """Windows of spans that are not told yet, as far as there is no doubt about what has come of them."""
        known = self._kept.get(merger.environment)
        if known is None or merger.of != Signal.SPANS:
            return []
        sure = [known.beyond_doubt(frame, passed) for frame, passed in merger.glimpses()]
        return [Emit(FEATURES, f.environment, pack(f), partition=self._partition) for f in sure if f is not None]

    def _corrected(self, merger: FeatureMerger, frames: list[FeatureFrame]) -> list[FeatureFrame]:
        """Frames as they are to be told, where only a part of the spans may have been kept."""
        if merger.of not in (Signal.SPANS, Signal.EDGES, Signal.METRICS):
            return frames
        known = self._kept.setdefault(merger.environment, KeptShares())
        if merger.of == Signal.METRICS:
            known.read(merger.metered(), self._settings.window_ms * MILLISECOND)
            known.time(frames)
            return frames
        told = [known.correct(frame) for frame in frames]
        if merger.of == Signal.SPANS:
            known.forget(merger.left)
        return told

    def _forget(self, environment: str) -> None:
        self._kept.pop(environment, None)
        self._operations.pop(environment, None)
        liveness = self._liveness.pop(environment, None)
        self._gone += liveness.counters if liveness is not None else Counter()
        self._losses.pop(environment, None)
        self._gaps.pop(environment, None)
        for merger in self._mergers.pop(environment, {}).values():
            self._gone += merger.counters

    def _losses_of(self, environment: str) -> Losses:
        found = self._losses.get(environment)
        if found is None:
            found = self._losses[environment] = Losses(environment, functools.partial(self._mine, environment))
        return found

    def _operations_of(self, environment: str) -> OperationMerge:
        found = self._operations.get(environment)
        if found is None:
            found = self._operations[environment] = OperationMerge(environment, self._partition)
        return found

    def _gaps_of(self, environment: str) -> GapJudge:
        found = self._gaps.get(environment)
        if found is None:
            found = self._gaps[environment] = GapJudge(environment, self._settings.max_services)
        return found

    def _addresses_of(self, environment: str) -> Addresses:
        return self._addresses.setdefault(environment, Addresses())

    def _mine(self, environment: str, scope: str) -> bool:
        """Whether this partition tells of a scope: of services the one that has them, of the rest one of all."""
        if scope != EVERYTHING and not scope.startswith(NODE):
            return True
        return partition_of(f"{environment}/{scope}", self._partitions) == self._partition

    def _each(self) -> Iterator[FeatureMerger]:
        return (m for mergers in self._mergers.values() for m in mergers.values())

    def _merger(self, environment: str, signal: str) -> FeatureMerger:
        mergers = self._mergers.setdefault(environment, {})
        if environment not in self._liveness:
            self._liveness[environment] = liveness_of(self._settings, mergers)
        found = mergers.get(signal)
        if found is None:
            liveness = self._liveness[environment]
            found = mergers[signal] = FeatureMerger(environment, signal, self._settings, self._partition, liveness)
            found.follow(mergers, self._addresses_of(environment))
        return found

    def snapshot(self) -> bytes:
        """The whole state."""
        mergers = [[m.environment, m.of, m.snapshot()] for m in self._each()]
        liveness = {e: found.state() for e, found in self._liveness.items()}
        losses = {e: found.state() for e, found in self._losses.items()}
        body = {"taken": self._taken, "mergers": mergers, "liveness": liveness, "losses": losses}
        body["kept"] = {e: found.state() for e, found in self._kept.items()}
        body["operations"] = {e: found.state() for e, found in self._operations.items()}
        body["gaps"] = {e: found.state() for e, found in self._gaps.items()}
        body["addresses"] = {e: found.state() for e, found in self._addresses.items() if found}
        return dump(_KIND, _VERSION, body)

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state. UnreadableEvent if it is none."""
        body = load(_KIND, _VERSION, state)
        self._taken, self._mergers, self._liveness, self._losses = body["taken"], {}, {}, {}
        self._gaps = {}
        for environment, signal, merger in body["mergers"]:
            self._merger(environment, signal).restore(merger)
        for environment, liveness in body.get("liveness", {}).items():
            self._liveness[environment].load(liveness)
        for environment, losses in body.get("losses", {}).items():
            self._losses_of(environment).load(losses)
        self._kept = {}
        for environment, kept in body.get("kept", {}).items():
            self._kept.setdefault(environment, KeptShares()).load(kept)
        self._operations = {}
        for environment, operations in body.get("operations", {}).items():
            self._operations_of(environment).load(operations)
        for environment, gaps in body.get("gaps", {}).items():
            self._gaps_of(environment).load(gaps)
        for environment, addresses in body.get("addresses", {}).items():
            self._addresses_of(environment).load(addresses)
        self._environments.restored(self._mergers)
