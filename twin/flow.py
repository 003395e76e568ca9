"""One second of a system: demand runs down the calls, time and failures come back up. Everything at once, in arrays.

A service's requests are a row of `SAMPLES` requests that stand for its law: own work (log-normal, stretched by shared cores), waiting
(M/M/c, and a fluid queue beyond saturation), and the calls it waits for. Failures are probabilities, so that rare ones are not lost
between samples. What needs the answer to go first (retries, threads held while callees answer, cycles) takes that of the second before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from twin.blueprint import Role, SystemPlan
from twin.fleet import B1, Fleet
from twin.knobs import Knob, Panel
from twin.laws import F64, I64, standard_normals, stretched, wait_if_waiting, waiting_share

SAMPLES = 96
NOTICE_S = 5.0
"""Who fails health checks for this long is sent no more requests."""
PATIENCE_S = 20.0
"""Requests that would wait longer are turned away."""
QUEUE_S = 1e9
"""Messages wait as long as it takes."""
COLD_S = 15.0
"""A new process is slow at first, half as much after so many seconds."""
REFUSED_S = 0.001
"""A refusal comes at once."""


@dataclass(slots=True)
class SystemSecond:
    """What one second was like. By service unless said.

    `arriving`, `answered` requests per second; `failing` the share of answers that are failures, `refused` and `hung` shares of what
    arrives; `law` sorted seconds, (services, SAMPLES); `raw` the same unsorted. By call: `call_rate`, `call_failing`, `call_law`,
    `call_unanswered` (share), `call_blamed` (share of the caller's failures in which it failed), `call_gap` (seconds). By slot: `cpu` (share of the `cores` that it has), `waiting` requests,
    `served` per second and `slot_failing`, the share of these that fail; `pick`, the slot that answers each sample of `raw`.
    """

    arriving: F64
    answered: F64
    failing: F64
    refused: F64
    hung: F64
    law: F64
    raw: F64
    call_rate: F64
    call_failing: F64
    call_unanswered: F64
    call_blamed: F64
    call_law: F64
    call_gap: F64
    cpu: F64
    cores: F64
    held: F64
    waiting: F64
    oldest_s: F64
    served: F64
    slot_failing: F64
    pick: I64


class Flow:
    """The laws of one system, with the little memory that they need."""

    def __init__(self, plan: SystemPlan, fleet: Fleet, r: Generator) -> None:
        self.plan, self.fleet, self._r = plan, fleet, r
        s, c = plan.services, plan.calls
        self.work = np.array([x.work_s for x in s])
        self.spread = np.array([x.spread for x in s])
        self.mean_work = self.work * np.exp(self.spread**2 / 2)
        self.cpu_share = np.array([x.cpu_share for x in s])
        self.base_fail = np.array([x.error_rate for x in s])
        self.threads = np.array([float(x.threads) for x in s])
        self.cores = np.array([x.cores for x in s])
        self.worker = np.array([x.role is Role.WORKER for x in s])
        self.caller = np.array([x.caller for x in c], np.int64)
        self.callee = np.array([x.callee for x in c], np.int64)
        self.per_request = np.array([x.per_request for x in c])
        self.timeout = np.array([x.timeout_s for x in c])
        self.tries = 1.0 + np.array([x.retries for x in c])
        self.needed = np.array([not x.optional and not x.queued for x in c], np.float64)
        self.waited = np.array([not x.queued for x in c], np.float64)
        self.parallel = np.array([x.parallel for x in c], np.bool_)
        self.network = np.array([x.network_s for x in c])
        self.entry = np.array([e.service for e in plan.entries], np.int64)
        self.entry_rate = np.array([e.rate for e in plan.entries])
        self._levels = np.array(plan.levels)
        self._normal = standard_normals(SAMPLES)
        self._back = np.array([x.back for x in c], np.bool_)
        self._by_level = self._levelled()
        n = len(s)
        self.last_rate, self.last_failing, self.last_lost = np.zeros(n), self.base_fail.copy(), np.zeros(n)
        self.last_call_failing = np.zeros(len(c))
        self.last_law = np.repeat(self.mean_work[:, None], SAMPLES, axis=1)
        self.held_below = np.zeros(n)
        """Mean seconds for which a request holds its thread while others answer."""

    def _levelled(self) -> list[tuple[I64, I64, F64]]:
        """For each level from the top: its services' calls, its services, and which call is which service's."""
        out = []
        for level in range(int(self._levels.max()) + 1):
            services = np.flatnonzero(self._levels == level)
            calls = np.flatnonzero(self._levels[self.caller] == level) if len(self.caller) else np.empty(0, np.int64)
            owner = np.zeros((len(services), len(calls)))
            if len(calls):
                owner[np.searchsorted(services, self.caller[calls]), np.arange(len(calls))] = 1.0
            out.append((calls, services, owner))
        return out

    def second(self, panel: Panel, demand: F64, now_s: float) -> SystemSecond:
        """The next second; `demand` is users' requests per second by entry."""
        arriving, call_rate = self._down(panel, demand)
        stations = self._stations(panel, arriving, now_s)
        found = self._up(panel, arriving, stations, call_rate)
        self.last_rate, self.last_failing = arriving, found.failing
        self.last_lost = np.minimum(found.refused + found.hung, 1.0)
        self.last_law = found.raw
        self.last_call_failing = found.call_failing
        return found

    def _down(self, panel: Panel, demand: F64) -> tuple[F64, F64]:
        """Requests per second that come to each service, and of each call (tries again included)."""
        rate = np.zeros(len(self.plan.services))
        np.add.at(rate, self.entry, demand)
        each = self.per_request * panel[Knob.CALLS] * _attempts(self.last_call_failing, self.tries)
        out = np.zeros(len(self.caller))
        back = np.flatnonzero(self._back)
        alive = 1.0 - self.last_lost
        out[back] = np.minimum(self.last_rate * alive, 1e6)[self.caller[back]] * np.minimum(each[back], 0.5)
        np.add.at(rate, self.callee[back], out[back])
        for calls, _, _ in self._by_level:
            ahead = calls[~self._back[calls]]
            out[ahead] = (rate * alive)[self.caller[ahead]] * each[ahead]
            np.add.at(rate, self.callee[ahead], out[ahead])
        return rate, out

    def _stations(self, panel: Panel, arriving: F64, now_s: float) -> _Stations:
        """What each instance does with its share of the requests."""
        fleet, service = self.fleet, self.fleet.service
        ready = fleet.ready(now_s)
        down = ready & (panel[Knob.DOWN] > 0.5)
        fleet.unheard_s = np.where(down, fleet.unheard_s + 1.0, 0.0)
        routed = ready & ~fleet.drained & (fleet.unheard_s <= NOTICE_S)
        sharing = np.bincount(service[routed], minlength=len(arriving))
        share = np.where(routed, 1.0 / np.maximum(sharing, 1)[service], 0.0)
        slow = self._slowness(panel, now_s)
        cores = np.maximum(self.cores[service] * panel[Knob.CORES], 0.01)
        each = self.mean_work[service] * self.cpu_share[service] * panel[Knob.WORK][service]
        burnt = np.minimum(panel[Knob.BURN] * self.cores[service], 0.98 * cores)
        hung = np.minimum(panel[Knob.HANG], 1.0)
        own = np.where(down, 0.0, arriving[service] * share * (1.0 - hung))
        cpu = (own * each + burnt) / cores
        alone = np.maximum(self.cpu_share[service] / cores, 1.0)  # one request can't have more than there is
        slow = slow * (1.0 - self.cpu_share[service] + self.cpu_share[service] * alone * stretched(cpu, cores))
        hold = self.mean_work[service] * slow + self.held_below[service]
        threads = np.maximum(self.threads[service] * panel[Knob.THREADS] * fleet.kept, 0.5)
        able = np.minimum(threads / hold, np.maximum(cores - burnt, 0.01) / np.maximum(each, 1e-9))
        most = able * np.where(self.worker[service], QUEUE_S, PATIENCE_S)
        grown = np.maximum(fleet.backlog + own - able, 0.0)
        rejected = np.where(grown > most, np.minimum((grown - most) / np.maximum(own, 1e-9), 1.0), 0.0)
        fleet.backlog = np.where(ready, np.minimum(grown, most), 0.0)
        rho = np.minimum(own / able, 0.97)
        return _Stations(
            pick=self._picks(routed, sharing),
            share=share,
            none=sharing == 0,
            slow=slow,
            tail=panel[Knob.TAIL],
            fluid=fleet.backlog / able,
            waits=waiting_share(threads, rho),
            wait=wait_if_waiting(threads, rho, hold),
            fail=np.minimum(self.base_fail[service] + panel[Knob.FAIL] + rejected, 1.0),
            down=down,
            hang=hung,
            cpu=np.where(ready, np.minimum(cpu, 1.0), np.nan),
            cores=cores,
            held=np.minimum(own * hold, threads),
            done=np.minimum(able, own + fleet.backlog),
        )

    def _slowness(self, panel: Panel, now_s: float) -> F64:
        """Times the usual that work takes in each instance: by what troubles it, what is asked for, its youth, its full memory."""
        fleet = self.fleet
        young = np.where(fleet.born > -1e8, np.exp2(-np.maximum(now_s - fleet.born, 0.0) / COLD_S), 0.0)
        thrashing = 6.0 * np.clip(fleet.memory - 0.92, 0.0, 0.08) / 0.08
        slow: F64 = panel[Knob.SLOW] * panel[Knob.WORK][fleet.service] * (1.0 + 0.8 * young) * (1.0 + thrashing)
        return slow

    def _picks(self, routed: B1, sharing: I64) -> I64:
        """The slot that answers sample k of each service: each instance its share."""
        order = np.flatnonzero(routed)
        first = self.fleet.first[:, None]
        if not len(order):
            return np.repeat(first, SAMPLES, axis=1)
        start = np.concatenate([[0], np.cumsum(sharing)[:-1]])[:, None]
        at = start + (np.arange(SAMPLES)[None, :] * sharing[:, None]) // SAMPLES
        picked: I64 = np.where(sharing[:, None] > 0, order[np.minimum(at, len(order) - 1)], first)
        return picked

    def _up(self, panel: Panel, arriving: F64, st: _Stations, call_rate: F64) -> SystemSecond:
        """Time and failures, from those who call nobody up to the entrances."""
        raw, failing, refused, hung = self._by_themselves(st)
        handed = np.maximum(1.0 - failing, 1e-9)
        calls = _Calls.none(len(self.caller), self.network + panel[Knob.GAP])
        below = np.zeros(len(arriving))
        for places, members, owner in reversed(self._by_level):
            if not len(places):
                continue
            self._call(panel, places, calls, (raw, failing, refused, hung))
            times = self._times_called(panel, places)
            spent = calls.total[places] * times * self.waited[places, None]
            apart = self.parallel[places]
            more = owner[:, ~apart] @ spent[~apart]
            if apart.any():
                beside = np.zeros_like(more)
                np.maximum.at(beside, np.searchsorted(members, self.caller[places[apart]]), spent[apart])
                more += beside
            raw[members] += more
            below[members] = more.mean(axis=1)
            share = np.minimum(self.per_request[places] * panel[Knob.CALLS][places], 1.0)
            missed = np.log1p(-np.minimum(share * calls.final[places] * self.needed[places], 1.0 - 1e-12))
            failing[members] = 1.0 - (1.0 - failing[members]) * np.exp(owner @ missed)
            handed_on = share * calls.final[places] * self.needed[places]
            calls.blamed[places] = np.minimum(handed_on / np.maximum(failing[self.caller[places]], 1e-12), 1.0)
        self.held_below = 0.5 * self.held_below + 0.5 * below
        handed = np.minimum((1.0 - failing) / handed, 1.0)
        lost = np.minimum(refused + hung, 1.0)
        done = np.bincount(self.fleet.service, weights=st.done, minlength=len(arriving))
        answered = np.where(self.worker, np.minimum(done, arriving + done), arriving * (1.0 - lost))
        waiting: F64 = np.bincount(self.fleet.service, weights=self.fleet.backlog, minlength=len(arriving)).astype(
            float
        )
        return SystemSecond(
            arriving=arriving,
            answered=answered,
            failing=failing,
            refused=refused,
            hung=hung,
            law=np.sort(raw, axis=1),
            raw=raw,
            call_rate=call_rate,
            call_failing=calls.failing,
            call_unanswered=calls.unanswered,
            call_blamed=calls.blamed,
            call_law=np.sort(calls.law, axis=1),
            call_gap=calls.gap,
            cpu=st.cpu,
            cores=st.cores,
            held=st.held,
            waiting=waiting,
            oldest_s=waiting / np.maximum(done, 1e-3),
            served=np.where(st.down, 0.0, arriving[self.fleet.service] * st.share * (1.0 - st.hang)),
            slot_failing=1.0 - (1.0 - st.fail) * handed[self.fleet.service],
            pick=st.pick,
        )

    def _by_themselves(self, st: _Stations) -> tuple[F64, F64, F64, F64]:
        """Each service's samples without its callees, and the shares that fail, are refused, are never answered."""
        r, shape, service = self._r, (len(self.work), SAMPLES), self.fleet.service
        z = self._normal[np.argsort(r.random(shape), axis=1)]
        raw = self.work[:, None] * np.exp(self.spread[:, None] * z) * st.slow[st.pick]
        raw *= np.where(r.random(shape) < 0.125, st.tail[st.pick], 1.0)
        queued = np.where(r.random(shape) < st.waits[st.pick], st.wait[st.pick], 0.0)
        fluid = np.where(self.worker[:, None], 0.0, st.fluid[st.pick])
        raw += queued * r.standard_exponential(shape) + fluid

        def mean(x: F64) -> F64:
            found: F64 = np.bincount(service, weights=st.share * x, minlength=shape[0]).astype(np.float64)
            return found

        refused = np.where(st.none, 1.0, mean(st.down.astype(np.float64)))
        hung = mean(np.where(st.down, 0.0, st.hang))
        alive = np.maximum(1.0 - refused - hung, 1e-9)
        failing = np.clip(mean(np.where(st.down, 0.0, (1.0 - st.hang) * st.fail)) / alive, 0.0, 1.0)
        return raw, failing, refused, hung

    def _call(self, panel: Panel, places: I64, calls: _Calls, answers: tuple[F64, F64, F64, F64]) -> None:
        """What these calls are like for their callers, by what their callees do."""
        r, (raw, failing, refused, hung) = self._r, answers
        callee, back = self.callee[places], self._back[places]
        shape = (len(places), SAMPLES)
        law = np.where(back[:, None], self.last_law[callee], raw[callee])
        law = law[np.arange(shape[0])[:, None], np.argsort(r.random(shape), axis=1)] + calls.gap[places, None]
        bad = np.where(back, self.last_failing[callee], failing[callee])
        none = np.where(back, 0.0, hung[callee])
        fast = 1.0 - (1.0 - np.minimum(panel[Knob.REFUSE][places], 1.0)) * (1.0 - np.where(back, 0.0, refused[callee]))
        silent = 1.0 - (1.0 - np.minimum(panel[Knob.LOSS][places], 1.0)) * (1.0 - none)
        limit = self.timeout[places, None]
        late = (law > limit).mean(axis=1)
        law = np.minimum(law, limit)
        law = np.where(r.random(shape) < silent[:, None], limit, law)
        law = np.where(r.random(shape) < fast[:, None], REFUSED_S, law)
        each = 1.0 - (1.0 - fast) * (1.0 - silent) * (1.0 - late) * (1.0 - bad)
        again = r.random(shape) < each[:, None]
        calls.law[places] = law
        calls.total[places] = law * np.where(again, self.tries[places, None], 1.0)
        calls.failing[places] = each
        calls.final[places] = each ** self.tries[places]
        calls.unanswered[places] = 1.0 - (1.0 - fast) * (1.0 - silent)

    def _times_called(self, panel: Panel, places: I64) -> F64:
        """How often each sample request makes the call."""
        wanted = (self.per_request[places] * panel[Knob.CALLS][places])[:, None]
        whole = np.floor(wanted)
        times: F64 = whole + (self._r.random((len(places), SAMPLES)) < wanted - whole)
        return times


@dataclass(slots=True)
class _Stations:
    """What each instance does; by slot, but for `pick` (service, sample) and `none` (service)."""

    pick: I64
    share: F64
    none: B1
    slow: F64
    tail: F64
    fluid: F64
    waits: F64
    wait: F64
    fail: F64
    down: B1
    hang: F64
    cpu: F64
    cores: F64
    held: F64
    done: F64


@dataclass(slots=True)
class _Calls:
    """What calls are like: `law` of one try, `total` of all tries; `failing` of a try, `final` of the last, `unanswered` by the callee;
    `blamed`, the share of the caller's failures in which one failed."""

    law: F64
    total: F64
    failing: F64
    final: F64
    unanswered: F64
    gap: F64
    blamed: F64

    @classmethod
    def none(cls, count: int, gap: F64) -> _Calls:
        """Nothing known yet."""
        return cls(
            np.zeros((count, SAMPLES)),
            np.zeros((count, SAMPLES)),
            np.zeros(count),
            np.zeros(count),
            np.zeros(count),
            gap,
            np.zeros(count),
        )


def _attempts(failing: F64, tries: F64) -> F64:
    """Mean tries of a call of which each fails with this probability, at most `tries`: 1 + p + p² + …"""
    p = np.minimum(failing, 1.0 - 1e-9)
    found: F64 = (1.0 - p**tries) / (1.0 - p)
    return found
