"""An episode: a system drawn from a seed, minutes of its life, what befalls it, and the truth of all that.

episode = SimulatedEpisode.drawn(Split.PROVING, 7)
while not episode.over:
    for message in episode.second(): ...      # one second of life; what arrives in it, as messages on topics
    TwinActuator(episode)                      # what may be done to it meanwhile
episode.truth
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.random import Generator

from contracts.events import Change, encode
from contracts.frames import FeatureFrame, pack
from contracts.topics import CHANGES, FEATURES
from contracts.units import SECOND
from twin.arrival import Arrival
from twin.blueprint import Role, SystemPlan
from twin.catalogue import KINDS, FaultKind, FaultLevel
from twin.configuration import CONFIGURATIONS, Configuration, Split, generator_of, pick
from twin.faults import InjectedFault, candidates, drawable, inject, overloaded, size_of
from twin.feature_rows import FeatureRows, whole_delay
from twin.flow import SystemSecond
from twin.habits import Habit
from twin.laws import I64
from twin.load import UserDemand
from twin.operations import OPERATIONS
from twin.request_level import RequestLevel
from twin.soundness import draw_sound_system
from twin.system import SimulatedSystem
from twin.truth import HARM, Act, EpisodeTruth, FaultTruth, HarmGauge

START_NS: Final = 1_780_000_000 * SECOND
CALM_S: Final = 120
"""Before this second nothing befalls a system but what is no fault."""
HEARD_S: Final = 2.0
"""A change record arrives within so many seconds of the change."""


class Fidelity(Protocol):
    """How seconds of a system become telemetry."""

    @property
    def name(self) -> str:
        """`window` or `request`."""
        ...

    def messages(self, second: SystemSecond) -> list[Arrival]:
        """What arrives in the second that has just passed."""
        ...

    def late_s(self, habit: Habit) -> float:
        """How long after the end of a second the spans of it arrive from who has this habit."""
        ...


class WindowLevel:
    """Feature frames directly."""

    name = "window"

    def __init__(self, system: SimulatedSystem, r: Generator) -> None:
        self._rows = FeatureRows(system, r, START_NS)

    def messages(self, second: SystemSecond) -> list[Arrival]:
        """The frames that are due."""
        return [_sent(frame) for frame in self._rows.take(second)]

    def late_s(self, habit: Habit) -> float:
        """Whole seconds, as rows go out."""
        return float(whole_delay(habit.delay_s) - 1)


def _sent(frame: FeatureFrame) -> Arrival:
    return Arrival(FEATURES, frame.environment, pack(frame))


@dataclass(frozen=True, slots=True)
class Plot:
    """What is to befall a system: kinds of faults with the seconds in which they begin, and how long the episode is."""

    faults: tuple[tuple[float, str], ...]
    seconds: int
    operations: bool = True
    size: float | None = None
    """How strong all faults are, in [0, 1]; None: drawn."""
    at: str = ""
    """The service at which they are, where they can be there; empty: drawn."""


def draw_plot(r: Generator, kinds: Sequence[str] = ()) -> Plot:
    """Mostly one fault; sometimes none, two that overlap, or two in succession; sometimes a long episode."""
    names = sorted(kinds or KINDS)
    form = pick(r, {"one": 6.0, "none": 1.5, "overlapping": 1.0, "successive": 1.0})
    count = {"one": 1, "none": 0}.get(form, 2)
    chosen = [names[int(r.integers(len(names)))] for _ in range(count)]
    first = CALM_S + float(r.integers(0, 60))
    apart = float(r.integers(10, 60)) if form == "overlapping" else float(r.integers(180, 260))
    begins = [first + i * apart for i in range(count)]
    slow = any(KINDS[k].ramp_s[1] > 60 or "leak" in k for k in chosen)
    seconds = int((begins[-1] if begins else first) + (360 if slow else 200) + int(r.integers(0, 40)))
    return Plot(tuple(zip(begins, chosen, strict=True)), seconds)


@dataclass(slots=True)
class SimulatedEpisode:
    """One case, as it runs. `name` is its split and seed."""

    name: str
    split: Split
    seed: int
    plan: SystemPlan
    plot: Plot
    system: SimulatedSystem
    fidelity: Fidelity
    configuration: Configuration
    truth: EpisodeTruth = field(default_factory=EpisodeTruth)
    faults: list[InjectedFault] = field(default_factory=list)
    keys: dict[str, float | None] = field(default_factory=dict)
    """Keys of effects, with the time at which each was had (None: under way)."""
    luck: Generator = field(init=False)
    """What becomes of effects: a source of chance of their own, so that acting changes nothing else."""
    _gauge: HarmGauge = field(init=False)
    _chance: Generator = field(init=False)
    _records: list[tuple[float, Arrival]] = field(default_factory=list)

    def __post_init__(self) -> None:
        services = self.plan.services
        workers: I64 = np.array([i for i, s in enumerate(services) if s.role is Role.WORKER], np.int64)
        self._gauge = HarmGauge(np.array([e.service for e in self.plan.entries], np.int64), workers)
        self._chance = generator_of(self.split, self.seed, "events")
        self.luck = generator_of(self.split, self.seed, "luck")
        self.truth.services = tuple(s.name for s in services)
        self.truth.harm = self._gauge.series

    @classmethod
    def drawn(
        cls,
        split: Split,
        seed: int,
        *,
        kinds: Sequence[str] = (),
        services: int | None = None,
        style: str | None = None,
        plot: Plot | None = None,
        fidelity: str = "window",
    ) -> SimulatedEpisode:
        """The episode of a seed; `kinds`, `services`, `style` and `plot` narrow what is drawn. `fidelity`: `window` or `request`."""
        configuration = CONFIGURATIONS[split]
        plan = draw_sound_system(split, configuration, seed, services, style)
        plot = plot or draw_plot(generator_of(split, seed, "plot"), kinds)
        load = UserDemand(generator_of(split, seed, "load"), configuration, plan.entries, plot.seconds + 1)
        system = SimulatedSystem(plan, load, generator_of(split, seed, "life"))
        chance = generator_of(split, seed, "telemetry")
        sends = WindowLevel(system, chance) if fidelity == "window" else RequestLevel(system, chance, START_NS)
        drawn = cls(f"{split}/{seed}", split, seed, plan, plot, system, sends, configuration)
        drawn.truth.operations += [(at_s, what, "") for at_s, what in load.turns]
        return drawn

    @property
    def now_ns(self) -> int:
        """The time of the episode."""
        return START_NS + int(self.system.now_s * SECOND)

    @property
    def over(self) -> bool:
        """Whether it has come to its end."""
        return self.system.now_s >= self.plot.seconds

    def second(self) -> list[Arrival]:
        """Let one second pass; the messages that arrive in it, in order."""
        self._befall()
        found = self.system.step()
        self._note(found)
        messages = self.fidelity.messages(found)
        return [*self._changes(), *messages]

    # --- what befalls it

    def _befall(self) -> None:
        now, r = self.system.now_s, self._chance
        for begin, name in self.plot.faults:
            if begin == now:
                self._begin(KINDS[name])
        if self.plot.operations and now >= 30:
            if not self._hourly:
                return
            if r.random() < self._hourly / 3600.0:
                name = pick(r, {n: w for n, (w, _) in OPERATIONS.items()})
                service = OPERATIONS[name][1](self.system, r)
                self.truth.operations.append((now, name, self.plan.services[service].name if service >= 0 else ""))

    @property
    def _hourly(self) -> float:
        low, high = self.configuration.operations_per_hour
        part = (self.seed * 2_654_435_761 % 1000) / 1000
        return float(low * (high / low) ** part)

    def _begin(self, kind: FaultKind) -> None:
        r = self._chance
        places = candidates(self.system, kind)
        if not places:  # a system without a cache has no trouble with it: something else befalls it
            others = drawable(self.system, [k for k in KINDS.values() if k.level is not FaultLevel.DEPENDENCY])
            kind = others[int(r.integers(len(others)))]
            places = candidates(self.system, kind)
        weights = np.array([1.0 + np.log1p(self.system.flow.last_rate[i]) for i in places])
        service = places[int(r.choice(len(places), p=weights / weights.sum()))]
        named = self.system.index.get(self.plot.at, -1)
        service = named if named in places else service
        size = size_of(r, self.configuration.subtle) if self.plot.size is None else self.plot.size
        fault = inject(self.system, kind, service, size, r, told=bool(r.random() < 0.6))
        roots = [self.system.index[name] for name in fault.truth.roots if name in self.system.index]
        fault.truth.rate = max((float(self.system.flow.last_rate[i]) for i in roots), default=0.0)
        self.faults.append(fault)
        self.truth.faults.append(fault.truth)

    # --- truth

    def _note(self, second: SystemSecond) -> None:
        now = self.system.now_s - 1.0
        harm = self._gauge.take(second)
        hurt = harm >= HARM
        for fault in self.faults:
            truth = fault.truth
            if truth.gone_s is None and not fault.sitting(self.system):
                truth.gone_s = now
            others = any(f.truth.gone_s is None for f in self.faults if f is not fault)
            over = truth.gone_s is not None and (others or truth.hurt_from_s is None or truth.hurt_until_s != now)
            if hurt and not over:
                if truth.hurt_from_s is None:
                    truth.hurt_from_s, truth.arrives_s = now, self._arrival(truth, now)
                truth.hurt_until_s = now + 1.0
            if hurt and truth.level is FaultLevel.LOAD:
                full = overloaded(self.system) - truth.roots
                if full:
                    truth.roots |= full
                    truth.repairs |= {("scale", name) for name in full}
        for act in self.truth.acts:
            if act.harm_after is None and now >= act.at_s + 30.0:
                act.harm_after = float(np.mean(self.truth.harm[int(act.at_s) + 5 :]))

    def _arrival(self, truth: FaultTruth, second: float) -> float | None:
        """When the first telemetry of a second arrives from the services that a fault's harm passes."""
        late = [self.fidelity.late_s(s.habit) for s in self.plan.services if s.tells and s.name in truth.path]
        return second + 1.0 + min(late) if late else None

    def acted(self, action: str, service: str, key: str, *, failed: bool = False) -> None:
        """Somebody did something to the system."""
        before = self.truth.harm[-10:]
        self.truth.acts.append(
            Act(self.system.now_s, action, service, key, failed, float(np.mean(before)) if before else 0.0)
        )

    def _changes(self) -> list[Arrival]:
        """Records of changes that arrive now; those of our own doing are told by whoever did it."""
        while self.system.happenings:
            seen = self.system.happenings.popleft()
            change = Change(
                environment=self.plan.environment,
                service=seen.service,
                kind=seen.kind,
                time_ns=START_NS + int(seen.at_s * SECOND),
                actor=seen.actor,
                before=seen.before,
                after=seen.after,
                text=seen.text,
                subject=seen.subject,
            )
            due = self.system.now_s + float(self._chance.uniform(0.0, HEARD_S))
            self._records.append((due, Arrival(CHANGES, seen.service, encode(change))))
        now = [m for due, m in self._records if due <= self.system.now_s]
        self._records = [(due, m) for due, m in self._records if due > self.system.now_s]
        return now
