"""The demo's shop as a system of the simulator: the same calls, workers, work times, timeouts, load and habits, and the same is done to it."""

from __future__ import annotations

from typing import Final

import numpy as np

from contracts.features import ERROR_RATE, LATENCY_P50, LATENCY_P95, REQUEST_RATE, Signal
from contracts.frames import FeatureFrame, unpack
from contracts.topics import FEATURES, OTLP_METRICS, OTLP_SPANS
from contracts.units import SECOND
from homeostat.demo.shop.blueprint import LOAD, SHOP
from homeostat.demo.shop.service import CALL_TIMEOUT_S
from homeostat.demo.shop.telemetry import EXPORT_MS
from homeostat.realism.course import (
    AFTER_S,
    FAILING_S,
    LEAK_MOST_S,
    LEAK_PER_S,
    LEAK_S,
    LOAD_S,
    LOADS,
    PAUSE_S,
    RESTARTS,
    SHARE_FAILING,
    WARM_S,
    SecondSeen,
    ShopCourse,
    Stretch,
    by_second,
)
from homeostat.realism.reading_otlp import ENTRANCE, senders_of, spans_of
from twin.blueprint import CallPlan, EntryPlan, Role, ServicePlan, SystemPlan
from twin.configuration import CONFIGURATIONS, Split
from twin.episode import START_NS, Fidelity, WindowLevel
from twin.habits import Habit
from twin.influences import Influence, Seat
from twin.knobs import Knob
from twin.load import UserDemand
from twin.request_level import RequestLevel
from twin.system import SimulatedSystem

_SPREAD: Final = 0.4 / 12**0.5
"""The shop's work is uniform within a fifth of its time: the same deviation."""
_CPU_SHARE: Final = 0.05
"""Of the shop's work, which is waiting."""
_OUTSIDE: Final = "bank"


def plan_of(start_s: float) -> SystemPlan:
    """The shop's plan; `start_s`: how long a process takes to be ready, which depends on the machine."""
    names = [f"{ENTRANCE}{route}" for route in LOAD] + [n for n in SHOP if n != ENTRANCE]
    index = {name: i for i, name in enumerate(names)}
    habit = Habit(delay_s=EXPORT_MS / 1000, metrics_every_s=1, metrics_delay_s=EXPORT_MS / 1000, logs=False)
    services, calls = [], []
    for name in names:
        blueprint = SHOP[name.partition("/")[0]]
        route = blueprint.routes[name.removeprefix(ENTRANCE)] if name.startswith(ENTRANCE) else None
        route = route or next(iter(blueprint.routes.values()))
        role = Role.GATEWAY if name.startswith(ENTRANCE) else Role.SERVICE
        services.append(
            ServicePlan(
                name=name,
                role=role if blueprint.instrumented else Role.THIRD_PARTY,
                habit=habit,
                instances=1,
                threads=blueprint.workers,
                cores=1.0,
                work_s=route.work_s,
                spread=_SPREAD,
                cpu_share=_CPU_SHARE,
                error_rate=0.0,
                memory=0.31,
                start_s=start_s,
                routes=1,
            )
        )
        calls += [CallPlan(index[name], index[callee], 1.0, CALL_TIMEOUT_S) for callee, _ in route.calls]
    levels = _levels(len(names), calls)
    calls.sort(key=lambda c: (levels[c.caller], c.caller))
    entries = tuple(EntryPlan(index[f"{ENTRANCE}{route}"], rate) for route, rate in LOAD.items())
    return SystemPlan("default", "complete", tuple(services), tuple(calls), entries, levels, nodes=2, zones=1)


def _levels(count: int, calls: list[CallPlan]) -> tuple[int, ...]:
    levels = [0] * count
    for _ in range(count):
        for call in calls:
            levels[call.callee] = max(levels[call.callee], levels[call.caller] + 1)
    return tuple(levels)


class DrawnShop:
    """One drawn shop, at either fidelity, second by second."""

    def __init__(self, fidelity: str, seed: int, start_s: float) -> None:
        r = np.random.default_rng(seed)
        plan = plan_of(start_s)
        load = UserDemand(r, CONFIGURATIONS[Split.TUNING], plan.entries, 2)
        load.level(1.0)
        self.system = SimulatedSystem(plan, load, r)
        self.level: Fidelity = (
            RequestLevel(self.system, r, START_NS) if fidelity == "request" else WindowLevel(self.system, r)
        )
        self.course = ShopCourse(fidelity)
        self._windows: dict[str, dict[int, SecondSeen]] = {}

    def run(self) -> ShopCourse:
        """All that is done, in the order of the real run."""
        self._pass(WARM_S)
        for factor in LOADS:
            self._turn(Knob.DEMAND, factor, LOAD_S, Seat.LOAD)
            self._stretch("load", factor, LOAD_S)
        self._pass(PAUSE_S)
        self._turn(Knob.FAIL, SHARE_FAILING, FAILING_S, Seat.CODE, "cart")
        self._stretch("failing", SHARE_FAILING, FAILING_S)
        self._pass(PAUSE_S)
        work_s = next(iter(SHOP["pricing"].routes.values())).work_s
        self._turn(Knob.SLOW, 1.0 + LEAK_PER_S * LEAK_S / work_s, LEAK_S + AFTER_S, Seat.PROCESS, "pricing")
        self._stretch("leak", LEAK_MOST_S, LEAK_S)
        for _ in range(1 + RESTARTS):
            self.system.restart(self.system.index["pricing"], rolling=False)
            self._stretch("restart", 0.0, AFTER_S)
        self.course.seconds = self._windows or by_second(self.course.spans)
        return self.course

    def _turn(self, knob: Knob, value: float, lasts_s: float, seat: Seat, service: str = "") -> None:
        now = self.system.now_s
        found = Influence(knob, value, seat, now, end_s=now + lasts_s)
        if seat is Seat.LOAD:
            found.places = np.array([0], np.int64)
        else:
            found.service = self.system.index[service]
        if seat is Seat.PROCESS:
            found.ramp_s = LEAK_S
            found.places = self.system.fleet.running(found.service)
            found.incarnations = self.system.fleet.incarnation[found.places].copy()
        self.system.influences.append(found)

    def _stretch(self, what: str, level: float, lasts_s: float) -> None:
        begin = self.system.now_s
        self._pass(lasts_s)
        self.course.stretches.append(Stretch(what, level, begin, self.system.now_s))

    def _pass(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            second = self.system.step()
            for message in self.level.messages(second):
                if message.topic == OTLP_SPANS:
                    self.course.spans += spans_of(message.value, START_NS, self.system.now_s)
                elif message.topic == OTLP_METRICS:
                    for name in senders_of(message.value):
                        self.course.metrics_s.setdefault(name, []).append(self.system.now_s)
                elif message.topic == FEATURES:
                    self._take(unpack(FeatureFrame, message.value))

    def _take(self, frame: FeatureFrame) -> None:
        if frame.signal != Signal.SPANS:
            return
        at = [frame.features.index(n) for n in (REQUEST_RATE, ERROR_RATE, LATENCY_P50, LATENCY_P95)]
        second = (frame.window_ns - START_NS) // SECOND
        for i, name in enumerate(frame.services):
            rate, failing, p50, p95 = frame.values[i, at].tolist()
            if rate > 0 and np.isfinite(p50):
                self._windows.setdefault(name, {})[second] = SecondSeen(rate, max(failing, 0.0), p50, p95)
