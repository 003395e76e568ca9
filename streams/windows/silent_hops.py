"""Services that pass calls on and send no spans themselves: a proxy that only counts, a service that only logs.

A caller's client span is joined with the span of whoever served, however many services without spans passed the call on in between. Where
the address that the caller names is another service's, which tells of itself (`SilentServices`) and sends no spans, the caller called
that one: what the client span tells is its way of serving, and the only word there is of it. The pair is a call of the service in between.

An address that merely differs from the name of whoever served is no such thing: it must be the name of somebody who is known, and is
nobody's here who serves under it. Names mean what they mean to their caller (`contracts.meant_names`), or what the cluster says.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from contracts.events import TelemetryGaps
from contracts.external import EXTERNAL
from contracts.frames import AddressFrame
from contracts.frames.decoded import B1, I64, KIND_CLIENT, KIND_INTERNAL, U64
from contracts.meant_names import meant_by
from contracts.units import DAY, HOUR, MINUTE
from contracts.verdicts import GapKind
from streams.windows.addresses import Addresses
from streams.windows.collect_spans import site_of
from streams.windows.hosts import Hosts
from streams.windows.names import Names
from streams.windows.request_rows import kinds_of
from streams.windows.tables import Rows, mix

TOLD_NS: Final = DAY
"""So long it is remembered of a service that it tells of itself and sends no spans: one that is away still has its address."""
SPOKE_NS: Final = HOUR
"""So long after its last span a service sends spans."""
MOST_SILENT: Final = 20_000
_NOBODY: Final = -1
_NEVER: Final = -(1 << 62)
_UNKNOWN: Final = (-1, -1, -1)
PASSED: Final = "passed"
"""What is told of a call that somebody passed on: who called, who passed it on, who served (`streams.windows.facts`)."""


class SilentServices:
    """The services of one environment that tell of themselves, and of which no spans come."""

    def __init__(self) -> None:
        self._told_ns: dict[str, int] = {}
        self._spoke_ns: dict[str, int] = {}
        self.version = 0
        """Grows with each change."""

    def __bool__(self) -> bool:
        return bool(self._told_ns)

    def told(self, gaps: TelemetryGaps) -> None:
        """Take what is missing in a service's telemetry. That nothing is says nothing: it may be all there, or the service gone."""
        if any(g.kind == GapKind.NO_SPANS for g in gaps.gaps):
            if gaps.service not in self._told_ns:
                self.version += 1
                if len(self._told_ns) >= MOST_SILENT:
                    self._forget(min(self._told_ns, key=lambda s: (self._told_ns[s], s)))
            self._told_ns[gaps.service] = max(gaps.time_ns, self._told_ns.get(gaps.service, 0))
        elif gaps.gaps and gaps.service in self._told_ns:
            self._forget(gaps.service)

    def _forget(self, service: str) -> None:
        self._told_ns.pop(service, None)
        self._spoke_ns.pop(service, None)
        self.version += 1

    def spoke(self, services: tuple[str, ...], now_ns: int) -> None:
        """Spans of these services came."""
        for service in self._told_ns.keys() & set(services) if self._told_ns else ():
            self.version += now_ns - self._spoke_ns.get(service, _NEVER) > SPOKE_NS
            self._spoke_ns[service] = now_ns

    def at(self, now_ns: int) -> frozenset[str]:
        """Those of a time."""
        return frozenset(
            s
            for s, told_ns in self._told_ns.items()
            if now_ns - told_ns <= TOLD_NS and now_ns - self._spoke_ns.get(s, _NEVER) > SPOKE_NS
        )

    def state(self) -> list[dict[str, int]]:
        """For a snapshot."""
        return [self._told_ns, self._spoke_ns]

    def load(self, state: list[dict[str, int]]) -> None:
        """Take the state of a snapshot."""
        self._told_ns, self._spoke_ns = (dict(d) for d in state)
        self.version += 1


class _Called(NamedTuple):
    """A caller and the address that it calls, as numbers: of the name, and the hash that its spans carry."""

    caller: int
    site: int


class SilentHops:
    """Who passes on which calls, for one partition of traces of one environment."""

    def __init__(self, names: Names, hosts: Hosts, silent: SilentServices) -> None:
        self._names, self._hosts, self._silent = names, hosts, silent
        self._addresses = Addresses()
        self._through: dict[_Called, int] = {}
        """The number of the service that passes on what a caller calls at an address."""
        self._served_ns: dict[_Called, int] = {}
        """Where a service of that very name answers by its own spans, and when that was last seen."""
        self._decided: dict[tuple[_Called, int], int] = {}
        self._texts: dict[int, str] = {}
        """Addresses that may be a silent service's."""
        self._sites: U64 = np.empty(0, np.uint64)
        self._keys: U64 = np.empty(0, np.uint64)
        self._numbers: I64 = np.empty(0, np.int64)
        self._passing: I64 = np.empty(0, np.int64)
        self._looked = _UNKNOWN
        self._heard = 0
        self._known: frozenset[str] = frozenset()
        self._news: list[tuple[_Called, int]] = []
        self._passages: dict[tuple[int, int, int], None] = {}

    def told(self, frame: AddressFrame) -> None:
        """Take what a cluster says of the addresses of silent services, and of whose names they might be."""
        short = {t.removeprefix(EXTERNAL).partition(".")[0] for t in self._texts.values()}
        rows = [i for i, n in enumerate(frame.names) if n in short or frame.stands_for[i] in self._known]
        if not rows and not self._addresses:
            return
        at = np.array(rows, np.int64)
        names, namespaces, stands_for, objects = (
            tuple(column[i] for i in rows)
            for column in (frame.names, frame.namespaces, frame.stands_for, frame.objects)
        )
        some = dataclasses.replace(frame, names=names, namespaces=namespaces, stands_for=stands_for, objects=objects)
        self._addresses.take(dataclasses.replace(some, from_ns=frame.from_ns[at], headless=frame.headless[at]))
        self._looked = _UNKNOWN

    def look(self, now_ns: int) -> None:
        """See which addresses may be silent services', if that may have changed."""
        at = (self._silent.version, now_ns // MINUTE, self._hosts.heard)
        if at == self._looked or not (self._silent or len(self._sites)):
            return
        anew = at[:2] != self._looked[:2] or len(self._hosts.text) < self._heard
        self._looked = at
        if anew:
            self._decided, self._known, self._heard = {}, self._silent.at(now_ns), 0
            self._texts = {site_of(EXTERNAL + n): EXTERNAL + n for n in sorted(self._short | self._known)}
            for called in [c for c, n in self._through.items() if self._names.text[n] not in self._known]:
                del self._through[called]
        short, told = self._short | self._known, self._addresses.names
        for site, text in itertools.islice(self._hosts.text.items(), self._heard, None):
            labels = text.removeprefix(EXTERNAL).split(".")
            if labels[0] in short or not told.isdisjoint((text.removeprefix(EXTERNAL), *labels[:2])):
                self._texts[site] = text
        self._heard = len(self._hosts.text)
        self._sites = np.array(sorted(self._texts), np.uint64)
        self._index()

    @property
    def _short(self) -> set[str]:
        return {n.rpartition("/")[2] for n in self._known}

    def passed(self, children: Rows, parents: Rows, now_ns: int) -> I64 | None:
        """The number of the service in between of each joined pair, less than 0 where there is none; None where none has any."""
        if not len(self._sites):
            return None
        at = np.flatnonzero((kinds_of(parents) == KIND_CLIENT) & np.isin(parents["site"], self._sites))
        if not len(at):
            return None
        keys = mix(
            mix(parents["service"][at].astype(np.uint64), parents["site"][at]),
            children["service"][at].astype(np.uint64),
        )
        _, first, place = np.unique(keys, return_index=True, return_inverse=True)
        some = at[first]
        ends = zip(*(c.tolist() for c in (parents["service"][some], parents["site"][some])), strict=True)
        decided = [
            self._decide(_Called(*called), callee, now_ns)
            for called, callee in zip(ends, children["service"][some].tolist(), strict=True)
        ]
        if all(n < 0 for n in decided):
            return None
        found = np.full(len(parents), _NOBODY, np.int64)
        found[at] = np.array(decided, np.int64)[place.ravel()]
        return found

    def _decide(self, called: _Called, callee: int, now_ns: int) -> int:
        """The service in between of a caller, at an address, and who served; less than 0 where there is none."""
        known = self._decided.get((called, callee))
        if known is None:
            known = self._decided[called, callee] = self._between(called, callee, now_ns)
            if known >= 0:
                self._passages[called.caller, known, callee] = None
        if now_ns - self._served_ns.get(called, _NEVER) <= SPOKE_NS:
            known = _NOBODY
        if known >= 0 and self._through.get(called) != known:
            self._through[called] = known
            self._news.append((called, known))
            self._index()
        elif known < 0 and self._through.pop(called, None) is not None:
            self._index()
        return known

    def _between(self, called: _Called, callee: int, now_ns: int) -> int:
        caller, served = self._names.text[called.caller], self._names.text[callee]
        text = self._texts[called.site]
        if served.rpartition("/")[2] in text.removeprefix(EXTERNAL).split(".")[:2]:
            self._served_ns[called] = now_ns
            return _NOBODY
        meant = self._addresses.stands_for(caller, text, now_ns) if self._addresses else ""
        if not meant or meant.startswith(EXTERNAL):
            meant = meant_by(caller, text, self._known | {n for n in self._names.in_use() if ":" not in n}).service
        return self._names.number(meant) if meant in self._known and meant not in (caller, served) else _NOBODY

    def _index(self) -> None:
        told = self._hosts.text  # whom a caller names otherwise (`peer.service`) is told of where spans come in
        pairs = sorted((int(_key(c)), n) for c, n in self._through.items() if c.site in told)
        self._keys = np.array([k for k, _ in pairs], np.uint64)
        self._numbers = np.array([n for _, n in pairs], np.int64)
        self._passing = np.unique(np.array(list(self._through.values()), np.int64))

    def news(self) -> list[tuple[_Called, int]]:
        """Callers (by number) and addresses (by site) that have become known since this was last asked, and who passes these calls on."""
        found, self._news = self._news, []
        return found

    def passages(self) -> list[tuple[int, int, int]]:
        """Who called, who passed it on and who served, of what was decided (anew, every minute) since this was last asked."""
        found, self._passages = list(self._passages), {}
        return found

    def asked(self, spans: Rows) -> I64 | None:
        """The number of the service that passes on the call of each client span, less than 0 where there is none; None where none has any."""
        if not len(self._keys):
            return None
        keys = mix(spans["service"].astype(np.uint64), spans["site"])
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        hit = (self._keys[at] == keys) & (kinds_of(spans) == KIND_CLIENT)
        return np.where(hit, self._numbers[at], _NOBODY) if hit.any() else None

    def who_pass(self, numbers: I64) -> B1 | None:
        """Which of these services pass on calls; None where none does."""
        return np.isin(numbers, self._passing) if len(self._passing) else None

    def numbers(self) -> I64:
        """Numbers of names that are in use here."""
        return np.union1d(self._passing, np.array([c.caller for c in self._through], np.int64))

    def forget(self, names: list[int]) -> None:
        """Names of these numbers have left; others have them from now on."""
        if names:
            gone = set(names)
            self._decided = {}
            self._served_ns = {c: ns for c, ns in self._served_ns.items() if c.caller not in gone}

    def state(self) -> dict[str, Any]:
        """For a snapshot. What addresses stand for is told again."""
        return {
            "through": [[*c, n] for c, n in self._through.items()],
            "served": [[*c, ns] for c, ns in self._served_ns.items()],
            "addresses": self._addresses.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take the state of a snapshot."""
        self._through = {_Called(a, s): n for a, s, n in state["through"]}
        self._served_ns = {_Called(a, s): ns for a, s, ns in state["served"]}
        self._addresses.load(state["addresses"])
        self._looked = _UNKNOWN
        self._index()


def passed_on(parents: Rows, between: I64) -> Rows:
    """Callers' spans as those of the services in between, which have no span of their own: they tell neither how long they waited nor
    whether they failed."""
    found = parents.copy()
    some = between >= 0
    found["service"][some], found["kind"][some], found["site"][some] = between[some], KIND_INTERNAL, 0
    return found


def _key(called: _Called) -> np.uint64:
    key = mix(np.array([called.caller], np.uint64), np.array([called.site], np.uint64))
    return np.uint64(key[0])
