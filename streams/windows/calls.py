"""What calls say of services that are silent themselves: who was asked, how it went, and who was at work for whom.

A service whose own telemetry does not come is still seen by others. Its callers' client spans say whether it answers; the spans
of its callees, whose parents are not there, say that it works. Both are counted here as they arrive, without waiting for the
other half of a call that may never come:

ASKED   caller → callee: client spans of the caller that may have gone to the callee, and how many of them failed, or ended long
        after an answer usually comes: who gives up on a callee that hangs often doesn't call that an error
ALONE   caller → callee: requests that the callee served for somebody unseen, who may have been the caller
SPOKE   caller → callee: spans of any kind of a service that is known to call the callee
DUE     caller → callee: calls that requests of the caller, of those that failed too, usually make by their routes, in thousandths, where
        no client span tells of the calls (`streams.windows.route_calls`)
BLAMED  caller → callee: requests of the caller that failed, and a call to the callee in them, too (`streams.windows.failed_calls`)

A client span does not say whom it reaches. Where it leads is learnt from calls of which both halves were seen: by its peer or
its name (the span's `site`). If a site leads to several callees, its spans count for all of them, and are taken back from the others
when the callee turns up. All are sums of integers: they merge in any order. A span that was sampled counts
as many times as it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from contracts.frames import PartialFrame
from contracts.frames.decoded import B1, I64, KIND_CLIENT, KIND_CONSUMER, KIND_SERVER, U64
from contracts.units import MILLISECOND
from streams.windows.failed_calls import UNKNOWN, FailedCalls
from streams.windows.grouping import dense, sum_by
from streams.windows.names import Names
from streams.windows.request_rows import SPAN, begins, kinds_of, requests_behind
from streams.windows.route_calls import RouteCalls
from streams.windows.rows import UNIT, Origin, frame
from streams.windows.tables import KeyTable, Rows, mix, ranges
from streams.windows.tenures import Tenures

CALLS: Final = "calls"
"""The signal of these partials. It is no feature: it ends where silence is judged."""
ASKED, ALONE, SPOKE, DUE, BLAMED = 0, 1, 2, 3, 4
_ROLES: Final = 5
_MOST_TARGETS: Final = 32
_MOST_PAIRS: Final = 100_000
_SLOWER: Final = 5.0
_SLOWER_NS: Final = 200 * MILLISECOND
"""A call that took so many times as long as answers usually do, and so much longer, was not answered as usual."""
_USUAL: Final = 0.1


class Fan:
    """From a key to the few numbers it leads to. Full, it begins anew."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[int, int], None] = {}
        self._size: dict[int, int] = {}
        self._keys: U64 = np.empty(0, np.uint64)
        self._low: I64 = np.zeros(1, np.int64)
        self._targets: I64 = np.empty(0, np.int64)
        self._fresh = True

    def learn(self, keys: U64, targets: I64) -> None:
        """Take note of where keys led."""
        _, some = np.unique(mix(keys, targets.astype(np.uint64)), return_index=True)
        for pair in zip(keys[some].tolist(), targets[some].tolist(), strict=True):
            if pair in self._pairs or self._size.get(pair[0], 0) >= _MOST_TARGETS:
                continue
            if len(self._pairs) >= _MOST_PAIRS:
                self._pairs, self._size = {}, {}
            self._pairs[pair] = None
            self._size[pair[0]] = self._size.get(pair[0], 0) + 1
            self._fresh = False

    def lead(self, key: int, target: int) -> None:
        """A key leads to this target alone."""
        self.load([list(pair) for pair in self._pairs if pair[0] != key] + [[key, target]])

    def of(self, keys: U64) -> tuple[I64, I64]:
        """For each target of each key: the index of the key in `keys`, and the target."""
        if not self._fresh:
            self._build()
        if not len(self._keys) or not len(keys):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        hit = np.flatnonzero(self._keys[at] == keys)
        which, place = ranges(self._low[at[hit]], self._low[at[hit] + 1])
        return hit[which], self._targets[place]

    def _build(self) -> None:
        pairs = sorted(self._pairs)
        keys = np.array([k for k, _ in pairs], np.uint64)
        self._targets = np.array([t for _, t in pairs], np.int64)
        self._keys, first = np.unique(keys, return_index=True)
        self._low = np.append(first, len(pairs)).astype(np.int64)
        self._fresh = True

    def forget(self, numbers: set[int]) -> None:
        """These targets have left, and their numbers are given to others."""
        self.load([list(pair) for pair in self._pairs if pair[1] not in numbers])

    def state(self) -> list[list[int]]:
        """For a snapshot."""
        return [list(p) for p in sorted(self._pairs)]

    def load(self, state: list[list[int]]) -> None:
        """Take the state of a snapshot."""
        self._pairs, self._size, self._fresh = {}, {}, False
        for key, target in state:
            self._pairs[key, target] = None
            self._size[key] = self._size.get(key, 0) + 1


class Witness:
    """Counts what calls say, for one partition of traces of one environment."""

    def __init__(self, names: Names, width_ns: int, horizon_ns: int, tenures: Tenures) -> None:
        self._names, self._width_ns = names, width_ns
        self._tenures = tenures
        self.failed = FailedCalls(names, horizon_ns, SPAN)
        self._callees, self._callers, self._sites = Fan(), Fan(), Fan()
        self._said: list[tuple[I64, ...]] = []
        self._usual: dict[int, float] = {}
        """How long calls of a site take that are answered, in ns."""
        self._routes = RouteCalls()
        self._requests: list[Rows] = []
        self._made: list[tuple[I64, U64, I64, I64]] = []
        """Calls since the last flush of which no client span tells: caller, its route, callee, how many."""

    def arrived(self, spans: Rows, alone: Rows) -> None:
        """New spans, and those of them whose parent was not there yet."""
        window, service = spans["end_ns"] // self._width_ns, spans["service"].astype(np.int64)
        windows, place = dense(window)
        key, (count,) = sum_by(place * len(self._names) + service, (_each(spans),))
        spoke = key % len(self._names)
        which, callee = self._callees.of(spoke.astype(np.uint64))
        self._say(windows[key // len(self._names)][which], (spoke[which], callee), SPOKE, count[which])

        client = np.flatnonzero(spans["kind"] == KIND_CLIENT)
        failed = np.zeros(len(spans), np.bool_)
        failed[client] = self._failed(spans[client])
        which, callee = self._led(spans[client])
        asked = client[which]
        self._say(window[asked], (service[asked], callee), ASKED, *_counted(spans[asked], failed[asked]))
        self._fail(spans.take(client[failed[client]]))
        self._served_alone(alone, 1)
        self._requests.append(spans[begins(spans)])

    def _fail(self, calls: Rows) -> None:
        """Calls of these client spans failed: to where spans of their site lead, if that is to one callee, else to whom they name."""
        which, callee = self._led(calls)
        led = np.bincount(which, minlength=len(calls))
        callees = self.failed.peers(calls["site"])
        only = led[which] == 1
        callees[which[only]] = callee[only]
        self.failed.add(calls, np.where(led > 1, UNKNOWN, callees))

    def joined(self, children: Rows, parents: Rows, late: B1, spans: KeyTable, newest_ns: int) -> None:
        """Calls, complete now. `late`: the child had come before, and counted as alone. `spans`: those that are remembered; `newest_ns`: how
        far event time has come."""
        self._served_alone(children[late], -1)
        client, failing = np.flatnonzero(kinds_of(parents) == KIND_CLIENT), np.zeros(len(parents), np.bool_)
        failing[client] = self._failed(parents[client])
        amiss = children["error"] | failing
        self.failed.add(parents.take(np.flatnonzero(amiss)), children["service"][amiss].astype(np.int64))
        end_ns, service, callee, weight = self.failed.find(spans, newest_ns)
        self._say(end_ns // self._width_ns, (service, callee), BLAMED, weight)
        self._learn_routes(children, parents, spans)
        asked = np.flatnonzero(parents["kind"] == KIND_CLIENT)
        site, actual = _site(parents[asked]), children["service"][asked].astype(np.int64)
        which, callee = self._led(parents[asked], known=False)
        other = callee != actual[which]
        taken = asked[which[other]]
        made = parents[taken]
        made["weight"] = np.maximum(
            made["weight"], children["weight"][taken]
        )  # a pair is kept as often as the rarer of both
        count, failed = _counted(made, failing[taken])
        caller = parents["service"][taken].astype(np.int64)
        self._say(parents["end_ns"][taken] // self._width_ns, (caller, callee[other]), ASKED, -count, -failed)
        self._sites.learn(site, actual)
        self._tenures.joined(parents["site"][asked], actual, parents["start_ns"][asked], newest_ns)
        self._answered(parents[asked[~failing[asked]]])
        pairs = parents["service"].astype(np.int64), children["service"].astype(np.int64)
        self._callees.learn(pairs[0].astype(np.uint64), pairs[1])
        self._callers.learn(pairs[1].astype(np.uint64), pairs[0])

    def passed_on(self, children: Rows, between: I64, late: B1) -> None:
        """Calls of these callees came through services that send no spans (`streams.windows.silent_hops`)."""
        self._served_alone(children[late], -1)
        callees = children["service"].astype(np.int64)
        self._callees.learn(between.astype(np.uint64), callees)
        self._callers.learn(callees.astype(np.uint64), between)

    def leads(self, caller: int, site: int, callee: int) -> None:
        """A caller's client spans of a site lead to this callee, whoever was joined with them."""
        self._sites.lead(int(mix(np.array([caller], np.uint64), np.array([site], np.uint64))[0]), callee)

    def _learn_routes(self, children: Rows, parents: Rows, spans: KeyTable) -> None:
        """Which routes made those calls of which their callers have no client span."""
        untold = np.flatnonzero(kinds_of(parents) != KIND_CLIENT)
        if not len(untold):
            return
        children, service = children[untold], parents["service"][untold].astype(np.int64)
        found, begun = requests_behind(parents[untold], spans)
        callee, weight = (children[name][found].astype(np.int64) for name in ("service", "weight"))
        self._made.append((service[found], begun["site"], callee, weight))

    def _expect(self) -> None:
        """Say what requests that have come usually call, by their routes."""
        made, self._made = self._made, []
        for callers, *_ in made:
            self._routes.callers(callers)
        spans = np.concatenate(self._requests) if self._requests else np.empty(0, np.void)
        self._requests = []
        if len(spans):
            spans = spans[self._routes.calling(spans["service"].astype(np.int64))]
        if len(spans):
            self._routes.decay(int(spans["end_ns"].max()))
            self._routes.served(spans["service"].astype(np.int64), spans["site"], spans["weight"].astype(np.int64))
        for calls in made:
            self._routes.called(*calls)
        if len(spans):
            self._due(spans)

    def _due(self, spans: Rows) -> None:
        service, weight = spans["service"].astype(np.int64), spans["weight"].astype(np.int64)
        which, callee, calls = self._routes.due(service, spans["site"])
        due = np.rint(calls * weight[which]).astype(np.int64)
        window = spans["end_ns"][which] // self._width_ns
        self._say(window, (service[which], callee), DUE, due, due * spans["error"][which])

    def forget(self, names: list[int]) -> None:
        """Names of these numbers have left."""
        if names:
            self._routes.forget(np.array(names, np.int64))
            gone = set(names)
            for fan in (self._callees, self._callers, self._sites):
                fan.forget(gone)
            self._tenures.forget(names)

    def _led(self, calls: Rows, *, known: bool = True) -> tuple[I64, I64]:
        """For each callee that client spans may have reached: the index of the span, and the callee."""
        which, callee = self._sites.of(_site(calls))
        held = self._tenures.holds(calls["site"][which], callee, calls["start_ns"][which], known=known)
        return which[held], callee[held]

    def _pace_of(self, calls: Rows) -> U64:
        """Where calls lead to the same answers: at an address that has changed hands, to others."""
        times, site = self._tenures.hands(calls["site"]), _site(calls)
        return np.where(times > 0, mix(site, times), site) if times.any() else site

    def _failed(self, calls: Rows) -> B1:
        """Which client spans failed, or took far longer than what is answered."""
        sites, place = np.unique(self._pace_of(calls), return_inverse=True)
        usual = np.array([self._usual.get(s, np.inf) for s in sites.tolist()])
        limit = np.maximum(_SLOWER * usual, usual + _SLOWER_NS)
        failed: B1 = calls["error"] | (calls["end_ns"] - calls["start_ns"] > limit[place.ravel()])
        return failed

    def _answered(self, good: Rows) -> None:
        """Learn how long calls take that are answered well."""
        sites, place = np.unique(self._pace_of(good), return_inverse=True)
        took = (good["end_ns"] - good["start_ns"]).astype(np.float64)
        mean = np.bincount(place.ravel(), took, len(sites)) / np.maximum(
            np.bincount(place.ravel(), minlength=len(sites)), 1
        )
        if len(self._usual) + len(sites) > _MOST_PAIRS:
            self._usual = {}
        for site, mean_ns in zip(sites.tolist(), mean.tolist(), strict=True):
            before = self._usual.get(site, mean_ns)
            self._usual[site] = before + _USUAL * (mean_ns - before)

    def _served_alone(self, children: Rows, sign: int) -> None:
        served = children[(children["kind"] == KIND_SERVER) | (children["kind"] == KIND_CONSUMER)]
        which, caller = self._callers.of(served["service"].astype(np.uint64))
        callee = served["service"][which].astype(np.int64)
        count = sign * _each(served[which])
        self._say(served["end_ns"][which] // self._width_ns, (caller, callee), ALONE, count)

    def _say(self, window: I64, pair: tuple[I64, I64], role: int, count: I64, failed: I64 | None = None) -> None:
        if len(window):
            roles = np.full(len(window), role, np.int64)
            self._said.append(
                (window, *pair, roles, count, np.zeros(len(window), np.int64) if failed is None else failed)
            )

    def flush(self, origin: Origin) -> Iterator[tuple[int, PartialFrame]]:
        """A frame per partition that has the caller or the callee of something said since the last flush."""
        self._expect()
        if not self._said:
            return
        window, caller, callee, role, count, failed = (np.concatenate(c) for c in zip(*self._said, strict=True))
        self._said = []
        windows, place = dense(window)
        size = len(self._names)
        key, (count, failed) = sum_by(((place * size + caller) * size + callee) * _ROLES + role, (count, failed))
        rest, role = np.divmod(key, _ROLES)
        rest, callee = np.divmod(rest, size)
        place, caller = np.divmod(rest, size)
        targets = self._names.targets()
        some = (count != 0) | (failed != 0)
        for target in np.unique(np.concatenate([targets[caller[some]], targets[callee[some]]])).tolist():
            at = np.flatnonzero(some & ((targets[caller] == target) | (targets[callee] == target)))
            listed, number = dense(np.concatenate([caller[at], callee[at]]), size)
            columns: dict[str, Any] = {
                "window_ns": windows[place[at]] * self._width_ns,
                "role": role[at].astype(np.int8),
                "count": count[at],
                "errors": failed[at],
            }
            columns["service"], columns["peer"] = np.split(number.astype(np.int32), 2)
            yield target, frame(origin, CALLS, columns, (self._names, listed))

    def state(self) -> list[Any]:
        """For a snapshot. What was said is flushed before one is taken, or said again by who takes its place."""
        self._expect()
        return [
            self._callees.state(),
            self._callers.state(),
            self._sites.state(),
            [list(s) for s in self._said],
            self._usual,
            self._routes.state(),
            self.failed.state(),
        ]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        for fan, saved in zip((self._callees, self._callers, self._sites), state, strict=False):
            fan.load(saved)
        self._said = [tuple(s) for s in state[3]]
        self._usual = {int(site): float(ns) for site, ns in state[4].items()} if len(state) > 4 else {}
        self._routes, self._requests = RouteCalls(), []
        if len(state) > 5:
            self._routes.load(state[5])
        if len(state) > 6:
            self.failed.load(state[6])


def _site(spans: Rows) -> U64:
    return mix(spans["service"].astype(np.uint64), spans["site"])


def _each(spans: Rows) -> I64:
    """How many spans each stands for, whole."""
    found: I64 = np.rint(spans["weight"] / UNIT).astype(np.int64)
    return found


def _counted(spans: Rows, failed: B1) -> tuple[I64, I64]:
    each = _each(spans)
    return each, each * failed
