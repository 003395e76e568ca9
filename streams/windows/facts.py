"""Facts of telemetry itself, counted where it comes in: what a service sends, what it leaves unsaid, and how late it comes.

They are sums of integers per service, which travel with partials to the partition that has the service; what they mean is judged there
and nowhere else (`streams.windows.gaps`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from contracts.external import EXTERNAL
from contracts.features import BY_SIGNAL, CPU, CPU_CORES, MEMORY, MEMORY_BYTES, Signal
from contracts.frames import Decoded, PartialFrame, Resource
from contracts.frames.decoded import I64, KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER, KIND_SERVER
from contracts.topics import partition_of
from contracts.units import MILLISECOND, MINUTE, SECOND
from streams.windows.clocks import Tags
from streams.windows.collect import Partial, Receipt

HEARD, VERSIONLESS, NAMESPACELESS, INSTANCELESS, WORKLOADLESS, NAMELESS = range(6)
"""Messages with spans or logs of a service, and those whose resource doesn't say this of it."""
SERVED, ASKED, PRODUCED, OTHERS, ROOTS, UNNAMED = range(6, 12)
"""Spans by kind; root spans that are no requests served; calls that name nobody."""
LOGS, POINTS, RESOURCE_POINTS, UNREAD = range(12, 16)
SHIFTED, SHIFT_MS = 16, 17
"""Messages whose times were shifted by more than `OFF_NS`, and the sum of those shifts."""
HIDDEN_CALLS, HIDDEN_SERVES, JOINED, ORPHANS = range(18, 22)
"""Of joined spans: requests that its own span, no client's, led to; those answered by a span that is no server's; requests whose
caller's span came, and those whose never did."""
DELAYS_S: Final = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 15.0, 30.0, 60.0)
"""Upper bounds of the buckets of delays; the last is open."""
_BUCKETS: Final = len(DELAYS_S) + 1
SPAN_DELAYS: Final = slice(22, 22 + _BUCKETS)
LOG_DELAYS: Final = slice(SPAN_DELAYS.stop, SPAN_DELAYS.stop + _BUCKETS)
WIDTH: Final = LOG_DELAYS.stop

OFF_NS: Final = 2 * SECOND
"""A clock that is off by less is corrected, and nobody needs to be told."""
EVERY_NS: Final = 2 * SECOND
"""How often facts are sent on."""
AGAIN_NS: Final = 5 * MINUTE
"""How often what can't be counted is said again while it is so."""
CALLED, UNREAD_METRIC = "called", "unread"
_MOST_TOLD: Final = 1 << 14
_KINDS: Final = 6
_BOUNDS_NS: Final = np.array([int(s * SECOND) for s in DELAYS_S], np.int64)
_NODES: Final = ("db:", "messaging:", EXTERNAL)
_OF_RESOURCES: Final = np.array(
    [name in (CPU, CPU_CORES, MEMORY, MEMORY_BYTES) for name in BY_SIGNAL[Signal.METRICS]], np.bool_
)
"""Which features of metrics tell of CPU or memory."""
_NAMED_PODS: Final = frozenset({"k8s.pod.name", "k8s.pod.uid"})
_WORKLOADS: Final = frozenset(
    f"k8s.{kind}.name" for kind in ("deployment", "statefulset", "daemonset", "cronjob", "job")
)


class Facts:
    """What is counted of the services of one environment since it was last sent on."""

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}
        self._table: I64 = np.zeros((0, WIDTH), np.int64)
        """A row per service, in its slot."""
        self._fresh: list[str] = []
        self._told: dict[str, int] = {}
        self._now_ns = self._sent_ns = 0

    def at(self, now_ns: int) -> None:
        """Time is at least this."""
        self._now_ns = max(self._now_ns, now_ns)

    def of(self, service: str) -> I64:
        """The counts of a service, to be added to at once."""
        slot = self._slots_of([service])[0]
        found: I64 = self._table[slot]
        return found

    def add(self, services: list[str], rows: I64) -> None:
        """Add a row to the counts of each service; one may be named twice."""
        at = self._slots_of(services)
        if len(set(at)) == len(at):
            self._table[at] += rows
        else:
            np.add.at(self._table, at, rows)

    def _slots_of(self, services: list[str]) -> list[int]:
        slots = self._slots
        at = [slots.setdefault(name, len(slots)) for name in services]
        if len(slots) > len(self._table):
            more = np.zeros((2 * len(slots) - len(self._table), WIDTH), np.int64)
            self._table = np.concatenate([self._table, more])
        return at

    def tell(self, text: str) -> None:
        """Say what can't be counted, unless it was said lately."""
        said_ns = self._told.get(text)
        if said_ns is None or self._now_ns - said_ns >= AGAIN_NS:
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            self._told[text] = self._now_ns
            self._fresh.append(text)

    def ride(self, environment: str, partials: list[Partial], partitions: int) -> list[Partial]:
        """The same frames; the first of this environment to each target carries what is new. What has no frame to ride on waits."""
        due = self._now_ns - self._sent_ns >= EVERY_NS or self._now_ns < self._sent_ns
        if not due or not (self._slots or self._fresh):
            return partials
        targets = {t for e, t, _ in partials if e == environment}
        if len(targets) < partitions and self._fresh:  # what all are to know waits until all have frames
            return partials
        rows = dict(self._by_target(targets, environment, partitions))
        found, fresh = list(partials), tuple(self._fresh)
        for i, (e, target, frame) in enumerate(partials):
            if e == environment and target in targets:
                targets.discard(target)
                found[i] = (e, target, _with(frame, rows.get(target, ()), fresh))
        self._fresh, self._sent_ns = [], self._now_ns
        return found

    def _by_target(
        self, targets: set[int], environment: str, partitions: int
    ) -> Iterator[tuple[int, list[tuple[str, I64]]]]:
        of = {name: target_of(environment, name, partitions) for name in self._slots}
        for target in sorted(targets):
            yield target, [(name, self._table[slot]) for name, slot in self._slots.items() if of[name] == target]
        left = {name: self._table[slot] for name, slot in self._slots.items() if of[name] not in targets}
        self._take(left)

    def _take(self, counts: Mapping[str, Any]) -> None:
        self._slots = {name: i for i, name in enumerate(counts)}
        self._table = np.array(list(counts.values()), np.int64).reshape(-1, WIDTH)

    def state(self) -> list[Any]:
        """For a snapshot."""
        counts = {name: self._table[slot] for name, slot in self._slots.items()}
        return [counts, self._fresh, self._told, self._now_ns, self._sent_ns]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        counts, self._fresh, told, self._now_ns, self._sent_ns = state
        self._take({name: row for name, row in counts.items() if len(row) == WIDTH})
        self._fresh, self._told = list(self._fresh), dict(told)


def _with(frame: PartialFrame, rows: Any, told: tuple[str, ...]) -> PartialFrame:
    facts = np.stack([row for _, row in rows]) if rows else np.empty((0, 0), np.int64)
    return replace(frame, facts_of=tuple(name for name, _ in rows), facts=facts, told=told)


@functools.lru_cache(1 << 14)
def target_of(environment: str, service: str, partitions: int) -> int:
    """The partition that has a service."""
    return partition_of(f"{environment}/{service}", partitions)


def count(decoded: Decoded, receipt: Receipt, tags: Tags, facts: dict[str, Facts]) -> None:
    """Count what one message tells. `facts`: by environment, of those that there is room for."""
    resources = decoded.resources
    table = np.zeros((len(resources), WIDTH), np.int64)
    _spans(decoded, receipt, table)
    if decoded.logs is not None:
        logs = decoded.logs
        table[:, LOGS] = np.bincount(logs.resource, minlength=len(resources))
        table[:, LOG_DELAYS] = _delays(logs.resource, receipt.time_ns - logs.time_ns, len(resources))
    for batch in (decoded.points, decoded.histograms):
        if batch is not None:
            table[:, POINTS] += np.bincount(batch.resource, minlength=len(resources))
    if decoded.points is not None:
        some = decoded.points.resource[_OF_RESOURCES[decoded.points.feature]]
        table[:, RESOURCE_POINTS] = np.bincount(some, minlength=len(resources))
    _clocks(tags, table)
    speaks = table[:, SERVED : OTHERS + 1].any(axis=1) | (table[:, LOGS] > 0)
    table[:, HEARD : NAMELESS + 1] = np.array([_unsaid_of(r) for r in resources], np.int64).reshape(-1, NAMELESS + 1)
    table[~speaks, HEARD : NAMELESS + 1] = 0
    senders: dict[str, list[int]] = {}
    for i, resource in enumerate(resources):
        if not resource.service.startswith(_NODES):  # a database or a queue sends nothing itself
            senders.setdefault(resource.environment, []).append(i)
    for environment, at in senders.items():
        if environment in facts:
            facts[environment].add([resources[i].service for i in at], table[at])
    for resource, metric, points in decoded.unread:
        known = facts.get(resource.environment)
        if known is not None and not resource.service.startswith(_NODES):
            known.of(resource.service)[UNREAD] += points
            known.tell(f"{UNREAD_METRIC}\t{resource.service}\t{metric}")
    _called(decoded, facts)


def _spans(decoded: Decoded, receipt: Receipt, table: I64) -> None:
    spans, n = decoded.spans, len(decoded.resources)
    if spans is None:
        return
    resource, kind = spans.resource.astype(np.int64), np.clip(spans.kind, 0, _KINDS - 1)
    by_kind = np.bincount(resource * _KINDS + kind, minlength=n * _KINDS).reshape(n, -1)
    table[:, SERVED] = by_kind[:, KIND_SERVER] + by_kind[:, KIND_CONSUMER]
    table[:, ASKED], table[:, PRODUCED] = by_kind[:, KIND_CLIENT], by_kind[:, KIND_PRODUCER]
    table[:, OTHERS] = by_kind.sum(axis=1) - table[:, SERVED : PRODUCED + 1].sum(axis=1)
    served = (kind == KIND_SERVER) | (kind == KIND_CONSUMER)
    table[:, ROOTS] = np.bincount(resource[(spans.parent == 0) & ~served], minlength=n)
    unnamed = ((kind == KIND_CLIENT) | (kind == KIND_PRODUCER)) & (spans.peer == 0)
    table[:, UNNAMED] = np.bincount(resource[unnamed], minlength=n)
    table[:, SPAN_DELAYS] = _delays(resource, receipt.time_ns - spans.end_ns, n)


def _delays(resource: Any, late_ns: I64, n: int) -> I64:
    bucket = np.searchsorted(_BOUNDS_NS, late_ns)
    found: I64 = np.bincount(resource.astype(np.int64) * _BUCKETS + bucket, minlength=n * _BUCKETS).reshape(n, -1)
    return found


def _clocks(tags: Tags, table: I64) -> None:
    for i in np.flatnonzero(tags.of >= 0).tolist():
        shift_ns = tags.clocks[int(tags.of[i])].shift_ns
        if abs(shift_ns) > OFF_NS:
            table[i, SHIFTED], table[i, SHIFT_MS] = 1, shift_ns // MILLISECOND


_UNSAID: Final[dict[int, tuple[Resource, tuple[int, ...]]]] = {}
"""By the identity of a resource, which is the same object in each message of a sender: quicker than by its value."""


def _unsaid_of(resource: Resource) -> tuple[int, ...]:
    known = _UNSAID.get(id(resource))
    if known is None or known[0] is not resource:
        if len(_UNSAID) >= _MOST_TOLD:
            _UNSAID.clear()
        known = _UNSAID[id(resource)] = resource, _unsaid(resource)
    return known[1]


def _unsaid(resource: Resource) -> tuple[int, ...]:
    """A message's part in HEARD to NAMELESS."""
    said = dict(resource.attributes)
    namespace, _, name = resource.service.rpartition("/")
    return (
        1,
        not resource.version,
        not (namespace or said.get("service.namespace") or said.get("k8s.namespace.name")),
        not resource.instance,
        bool(_NAMED_PODS & said.keys()) and not _WORKLOADS & said.keys(),
        name.startswith("unknown_service"),
    )


def _called(decoded: Decoded, facts: dict[str, Facts]) -> None:
    """Whom client spans name that may be a service: by its name, or by the host that it is reached at."""
    spans = decoded.spans
    if spans is None:
        return
    asked = spans.kind == KIND_CLIENT
    environments = {r.environment for r in decoded.resources}
    for environment in sorted(environments & facts.keys()):
        here = asked
        if len(environments) > 1:
            here = asked & np.array([r.environment == environment for r in decoded.resources], np.bool_)[spans.resource]
        for at in np.unique(spans.peer[here]).tolist():
            for name in _names_in(decoded.strings[at]):
                facts[environment].tell(f"{CALLED}\t{name}")


@functools.lru_cache(1 << 13)
def _names_in(peer: str) -> tuple[str, ...]:
    """The names of services that a peer may mean: `payment.shop.svc` is `payment`, or `shop/payment`."""
    if not peer.startswith(EXTERNAL):
        return ()
    name = peer.removeprefix(EXTERNAL)
    labels = name.split(".")
    if labels[0].isdigit() or ":" in name:
        return ()
    found = [name, labels[0]]
    if len(labels) > 1 and labels[1]:
        found.append(f"{labels[1]}/{labels[0]}")
    return tuple(dict.fromkeys(found))
