"""The join of callers with callees: spans of one partition of traces in, calls between services out.

A span is the child of the span whose id it names as parent, in the same trace. Where the two are of different services, the
pair is a call. Both orders of arrival are joined: every span is kept as a possible parent, and every span whose parent is not
there yet as a waiting child, for `join_horizon_s` of event time. All spans of a trace come to one partition, so neither the
scattering of spans over messages nor their order changes which pairs are found.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from contracts.events import ClockOffset
from contracts.external import EXTERNAL
from contracts.frames import AddressFrame, SpanFrame
from contracts.frames.decoded import B1, I32, I64, KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER, KIND_SERVER
from contracts.settings import IngestSettings
from contracts.units import MILLISECOND, MINUTE, SECOND
from streams.windows.call_events import calls_of, calls_outside, is_call
from streams.windows.calls import Witness
from streams.windows.collect import Partial
from streams.windows.collect_spans import site_of
from streams.windows.containment import Containment
from streams.windows.facts import HIDDEN_CALLS, HIDDEN_SERVES, JOINED, ORPHANS, Facts
from streams.windows.hosts import Hosts, is_carried
from streams.windows.names import Names
from streams.windows.older_spans import layout_of, spans_of
from streams.windows.request_rows import SPAN, STREAM, UNTIMED, kinds_of
from streams.windows.rows import UNIT, Cut, Events, Origin, frame, group, row_frame
from streams.windows.shared_ids import Distinct, SharedIds
from streams.windows.silent_hops import PASSED, SilentHops, SilentServices, passed_on
from streams.windows.state import dump, load
from streams.windows.tables import KeyTable, Rows, end_to_end, mix
from streams.windows.tenures import OPEN, Tenures, is_numeric
from streams.windows.watermark import Watermarks

_KIND, _VERSION = "edges", 1
LAGGARD_NS = MINUTE
"""A source that was heard of this lately may still bring the other halves of calls, however far it is behind: after an outage
partitions catch up one after the other."""
_MOST_SPANS = 4_000_000
_SLICES = 8


class EdgeJoiner:
    """Joins the spans of one environment and one partition of traces."""

    def __init__(
        self, environment: str, settings: IngestSettings, partitions: int, silent: SilentServices | None = None
    ) -> None:
        """`silent`: services that send no spans, as far as they become known."""
        self.environment, self.partitions = environment, partitions
        self.width_ns = settings.window_ms * MILLISECOND
        self.horizon_ns = int(settings.join_horizon_s * SECOND)
        self.counters: Counter[str] = Counter()
        self.watermarks = Watermarks(int(settings.idle_timeout_s * SECOND), extrapolate=False)
        self.flushed_watermark = 0
        self._names = Names(environment, partitions, 4 * settings.max_services)
        step = max(1, self.horizon_ns // _SLICES)
        self._parents = KeyTable(SPAN, step, _MOST_SPANS)
        self._waiting = KeyTable(SPAN, step, _MOST_SPANS)
        self._arrived: list[Rows] = []
        self._tenures = Tenures()
        self._witness = Witness(self._names, self.width_ns, self.horizon_ns, self._tenures)
        self._clocks = Containment()
        self._hosts = Hosts()
        self._silent = SilentServices() if silent is None else silent
        self._hops = SilentHops(self._names, self._hosts, self._silent)
        self._facts = Facts()
        self._shared = SharedIds()

    @property
    def pending(self) -> int:
        """Spans that arrived since the last flush."""
        return sum(len(a) for a in self._arrived)

    def add(self, frame: SpanFrame, now_ns: int) -> None:
        """Take a frame in; one that was delivered before is ignored."""
        if self.watermarks.mend(now_ns):
            self.flushed_watermark = min(self.flushed_watermark, now_ns)
            self._parents.mend(now_ns)
            self._waiting.mend(now_ns)
            self._hosts.mend(now_ns)
        if not self.watermarks.admit(frame.source, frame.sequence, frame.watermark_ns, now_ns):
            self.counters["redelivered_frames"] += bool(len(frame.span))  # an empty one only tells the time
            return
        if len(frame.span):
            self._names.now_ns = max(self._names.now_ns, now_ns)
            self._silent.spoke(frame.services, now_ns)
            self._hosts.hear(((site_of(h), h) for h in frame.hosts), now_ns)
            self._tenures.hear(site_of(h) for h in frame.hosts if is_numeric(h))
            self._witness.failed.hear((site_of(p), p) for p in (*frame.hosts, *frame.peers))
            numbers = np.array([self._names.number(s) for s in frame.services], np.int32)
            rows = _rows(frame, numbers[frame.service], self._clocks.number(frame))
            self._arrived.append(rows if (numbers >= 0).all() else rows[rows["service"] >= 0])

    def told(self, frame: AddressFrame, now_ns: int) -> None:
        """Take what a cluster says of addresses: an answer from before one was given to somebody else is none of its new owner's."""
        self._hops.told(frame)
        rows = zip(frame.names, frame.namespaces, frame.stands_for, frame.from_ns.tolist(), strict=True)
        for name, namespace, stands_for, since_ns in rows:
            site = site_of(EXTERNAL + name)
            if site not in self._hosts.text or namespace:
                continue
            owner = self._names.find(stands_for)
            if any(t.owner == owner and t.to_ns == OPEN for t in self._tenures.of(site)):
                continue
            self._hosts.handed(site, since_ns, self._tenures.last_ns(site), now_ns)
            self._tenures.handed(site, owner, since_ns, self.watermarks.furthest)

    def flush(self, source: str, sequence: int, now_ns: int, *, tells_time: bool = True) -> list[Partial]:
        """Calls found since the last flush, and, if it `tells_time`, empty frames for targets that get none."""
        watermark = self.watermarks.advance(now_ns)
        children, parents, between, outside = self._join(now_ns)
        self._clocks.learn(children, parents, now_ns)
        self._forget(min(watermark, self.watermarks.slowest(now_ns, LAGGARD_NS)))
        self.counters["names_left"] += self._names.make_room(LAGGARD_NS, self._named)
        self._witness.forget(self._names.left)
        self._hops.forget(self._names.left)
        origin = Origin(self.environment, source, sequence, watermark)
        partials: list[Partial] = [
            (self.environment, cut.target, row_frame(origin, "edges", self._names, cut, self._told_of(cut)))
            for cut in group(self._events(children, parents, between, outside), self._names, self.width_ns)
        ]
        self.counters["calls"] += sum(int(p.count.sum()) for _, _, p in partials)
        said = [(self.environment, target, f) for target, f in self._witness.flush(origin)]
        if tells_time and watermark > self.flushed_watermark:
            sent = {t for _, t, _ in partials}
            empty = frame(origin, "edges", {})
            partials += [(self.environment, t, empty) for t in range(self.partitions) if t not in sent]
            self.flushed_watermark = watermark
        self._facts.at(now_ns)
        return self._facts.ride(self.environment, partials, self.partitions) + said

    def _named(self) -> I64:
        """Numbers of names in the tables."""
        kept = np.union1d(self._parents.column("service"), self._waiting.column("service")).astype(np.int64)
        return np.union1d(np.union1d(kept, self._witness.failed.numbers()), self._hops.numbers())

    def _told_of(self, cut: Cut) -> dict[str, Any] | None:
        """Which rows are calls of services that don't tell of them themselves."""
        passing = self._hops.who_pass(cut.service)
        return None if passing is None else {"role": passing.astype(np.int8)}

    def clocks(self, now_ns: int) -> list[ClockOffset]:
        """What became known of the clocks of senders."""
        return self._clocks.news(self.environment, now_ns)

    def _events(self, children: Rows, parents: Rows, between: I64 | None, outside: Rows) -> Events:
        """Calls that were joined, and calls to addresses outside, or to who passes them on."""
        hosts = {s: self._names.number(self._hosts.text[s]) for s in np.unique(outside["site"]).tolist()}
        host = np.array([hosts[s] for s in outside["site"].tolist()], np.int64)
        if (passing := self._hops.asked(outside)) is not None:
            host = np.where(passing >= 0, passing, host)
        joined = calls_of(children, parents if between is None else passed_on(parents, between), len(self._names))
        if not len(outside):
            return joined
        some = host >= 0
        return joined.and_also(calls_outside(outside[some], host[some], len(self._names)))

    def _join(self, now_ns: int) -> tuple[Rows, Rows, I64 | None, Rows]:
        """Calls (child, parent) completed by what arrived, who passed them on where somebody did, and the client spans of calls to
        addresses outside, or to who passes them on."""
        nothing = np.empty(0, SPAN)
        if not self._arrived:
            return nothing, nothing, None, nothing
        spans = self._arrived[0] if len(self._arrived) == 1 else end_to_end(self._arrived)
        self._arrived = []
        keys, spans, asked, _ = self._distinct(spans, now_ns)
        if not len(spans):
            return nothing, nothing, None, nothing
        # They are kept from now on, whatever the clocks of their senders say.
        newest = self.watermarks.furthest or int(spans["end_ns"].max())
        which, late_children = self._waiting.take(asked)
        late_parents = spans.take(which)
        self.counters["evicted"] += self._parents.insert(keys, spans, newest)

        parent = spans["parent"]
        children = np.flatnonzero(parent)
        keys = mix(spans["trace"][children], parent[children])
        order = np.argsort(keys)
        keys, children = keys[order], children[order]
        found, parents = self._parents.find(keys)
        alone = np.ones(len(children), np.bool_)
        alone[found] = False
        if self._shared.services:
            late_children, late_parents = self._not_astray(late_children, late_parents, newest)
            found, parents = self._served(spans.take(children), found, parents, alone)
        waiting = spans.take(children[alone])
        self.counters["evicted"] += self._waiting.insert(keys[alone], waiting, newest)
        callees = end_to_end([late_children, spans.take(children[found])])
        callers = end_to_end([late_parents, parents])
        calls = np.flatnonzero(is_call(callees, callers))
        between = self._between(callees.take(calls), callers.take(calls), now_ns)
        outside = self._calls_outside(spans, callees, callers, now_ns)
        callees, callers = callees.take(calls), callers.take(calls)
        self._note(callees, callers)
        self._witness.arrived(spans, waiting)
        late = calls < len(late_children)
        if between is None:
            self._witness.joined(callees, callers, late, self._parents, newest)
        else:
            own, passed = np.flatnonzero(between < 0), np.flatnonzero(between >= 0)
            self._witness.joined(callees.take(own), callers.take(own), late[own], self._parents, newest)
            self._witness.passed_on(callees.take(passed), between[passed], late[passed])
        return callees, callers, between, outside

    def _between(self, callees: Rows, callers: Rows, now_ns: int) -> I64 | None:
        """Who passed calls on (`SilentHops.passed`); what becomes known of that is told."""
        self._hops.look(now_ns)
        between = self._hops.passed(callees, callers, now_ns)
        for called, passing in self._hops.news():
            self._witness.leads(*called, passing)
        for passage in self._hops.passages():
            self._facts.tell("\t".join((PASSED, *(self._names.text[n] for n in passage))))
        return between

    def _not_astray(self, children: Rows, parents: Rows, newest_ns: int) -> tuple[Rows, Rows]:
        """Pairs without those whose children wait for the other half of their parent's span: they go on waiting."""
        astray = self._shared.astray(children, parents)
        if astray.any():
            back = children.take(np.flatnonzero(astray))
            keys = mix(back["trace"], back["parent"])
            order = np.argsort(keys)
            self.counters["evicted"] += self._waiting.insert(keys[order], back.take(order), newest_ns)
        kept = np.flatnonzero(~astray)
        return children.take(kept), parents.take(kept)

    def _served(self, children: Rows, found: I64, parents: Rows, alone: B1) -> tuple[I64, Rows]:
        """Which children have which parents, where spans have two halves; `alone` are those that have none."""
        astray = self._shared.astray(children.take(found), parents)
        alone[found[astray]] = True
        served, halves = self._shared.served(children, self._parents)
        alone[served] = False
        kept = np.flatnonzero(~astray & ~np.isin(found, served))
        return np.concatenate([found[kept], served]), np.concatenate([parents.take(kept), halves])

    def _calls_outside(self, spans: Rows, children: Rows, parents: Rows, now_ns: int) -> Rows:
        """Those of the spans that call an address at which nobody who sends spans answers, or who passes calls on."""
        if not self._hosts.text:
            return spans.take([])
        answers = (kinds_of(children) == KIND_SERVER) | (children["service"] != parents["service"])
        asked = answers & (kinds_of(parents) == KIND_CLIENT) & (children["trace"] == parents["trace"])
        self._hosts.answered(parents["site"][asked], now_ns, parents["start_ns"][asked])
        within = (
            is_carried(children, parents, (KIND_CLIENT,)) & (kinds_of(children) == KIND_CLIENT) & (parents["site"] != 0)
        )
        self._hosts.carried(children["site"][within], parents["site"][within], now_ns)
        away = self._hosts.is_outside(spans["site"], now_ns, spans["start_ns"])
        if (passing := self._hops.asked(spans)) is not None:
            away |= passing >= 0
        found = spans.take(np.flatnonzero((kinds_of(spans) == KIND_CLIENT) & away))
        if not len(found):
            return found
        carried = children["span"][is_carried(children, parents, (KIND_CLIENT, KIND_PRODUCER))]
        return found.take(np.flatnonzero(~np.isin(found["span"], carried)))

    def _distinct(self, spans: Rows, now_ns: int) -> Distinct:
        """Spans sorted by key, without those seen before (on whichever source partition)."""
        keys = mix(spans["trace"], spans["span"])
        order = np.argsort(keys)
        keys = keys[order]
        again = self._parents.contains(keys)
        again[1:] |= keys[1:] == keys[:-1]
        if again.any():
            found = self._shared.apart(keys, spans.take(order), again, self._parents)
            self.counters["duplicates"] += len(keys) - len(found.keys)
            self._hosts.answered(found.answered, now_ns)
            return found
        return Distinct(keys, spans.take(order), keys, keys[:0])

    def _forget(self, watermark: int) -> None:
        self._parents.expire(watermark - self.horizon_ns)
        orphans = self._waiting.expired(watermark - self.horizon_ns)
        self.counters["orphans"] += len(orphans)
        self._count(orphans["service"][_serves(orphans)], ORPHANS)

    def _note(self, children: Rows, parents: Rows) -> None:
        """What calls, complete now, tell of spans that are missing."""
        served, kinds = _serves(children), kinds_of(parents)
        asked = (kinds == KIND_CLIENT) | (kinds == KIND_PRODUCER)
        self._count(children["service"][served], JOINED)
        self._count(parents["service"][served & ~asked], HIDDEN_CALLS)
        self._count(children["service"][asked & ~served], HIDDEN_SERVES)

    def _count(self, services: I32, what: int) -> None:
        for number, times in zip(*(c.tolist() for c in np.unique(services, return_counts=True)), strict=True):
            self._facts.of(self._names.text[number])[what] += times

    def snapshot(self) -> bytes:
        """The whole state, with what is pending."""
        arrived = end_to_end(self._arrived).tobytes() if self._arrived else b""
        body = {
            "watermarks": self.watermarks.state(),
            "flushed": self.flushed_watermark,
            "names": self._names.state(),
            "parents": self._parents.state(),
            "waiting": self._waiting.state(),
            "arrived": arrived,
            "sites": True,
            "weights": True,
            "witness": self._witness.state(),
            "clocks": self._clocks.state(),
            "hosts": self._hosts.state(),
            "hops": self._hops.state(),
            "spells": self._hosts.spells(),
            "tenures": self._tenures.state(),
            "facts": self._facts.state(),
            "shared": sorted(self._shared.services),
            "counters": dict(self.counters),
        }
        return dump(_KIND, _VERSION, body)

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state.

        Raises:
            UnreadableEvent: it is not such a snapshot.
        """
        body = load(_KIND, _VERSION, state)
        self.watermarks.load(body["watermarks"])
        self.flushed_watermark = body["flushed"]
        self._names.load(body["names"])
        kept = layout_of(body)
        for table, saved in ((self._parents, body["parents"]), (self._waiting, body["waiting"])):
            table.load([[keys, spans_of(rows, kept), *times] for keys, rows, *times in saved])
        arrived = spans_of(body["arrived"], kept)
        self._arrived = [np.frombuffer(arrived, SPAN)] if arrived else []
        if "witness" in body:
            self._witness.load(body["witness"])
        self._clocks = Containment()
        if "clocks" in body:
            self._clocks.load(body["clocks"])
        self._hosts = Hosts()
        self._hosts.load(body.get("hosts", []), body.get("spells", []))
        self._hops = SilentHops(self._names, self._hosts, self._silent)
        if "hops" in body:
            self._hops.load(body["hops"])
        self._tenures.load(body.get("tenures", []), (s for s, text in self._hosts.text.items() if is_numeric(text)))
        self._facts = Facts()
        if "facts" in body:
            self._facts.load(body["facts"])
        self._shared.services = set(body.get("shared", ()))
        self.counters.clear()
        self.counters.update(body["counters"])


def _rows(frame: SpanFrame, service: np.ndarray, clock: I32) -> Rows:
    rows = np.empty(len(frame.span), SPAN)
    for name in ("trace", "span", "parent", "start_ns", "end_ns", "kind", "error"):
        rows[name] = getattr(frame, name)
    rows["service"], rows["clock"] = service, clock
    rows["site"] = frame.site if len(frame.site) else 0
    rows["weight"] = frame.weight if len(frame.weight) else UNIT
    if len(frame.stream):
        rows["kind"] |= frame.stream.astype(np.int8) * STREAM
    if len(frame.untimed):
        rows["kind"] |= frame.untimed.astype(np.int8) * UNTIMED
    return rows


def _serves(rows: Rows) -> B1:
    """Which spans are of requests served."""
    kinds = kinds_of(rows)
    found: B1 = (kinds == KIND_SERVER) | (kinds == KIND_CONSUMER)
    return found
