"""Whatever happens in whatever order, what the guards let through stays within the limits."""

from dataclasses import replace
from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import given, settings

from contracts.ports import RunEntry, StepEntry, Target, TargetState
from contracts.units import SECOND as S
from contracts.verdicts import TERMINAL_RUN_STATES, RunState, StepPhase
from playbooks.guards import CircuitLimits, GuardContext, check, planned_replicas
from playbooks.language import Guards, Match, Playbook, Step, Trigger, Verify

SERVICES = ("cart", "web", "db", "pay", "mail")
ENDS = (RunState.SUCCEEDED, RunState.ROLLED_BACK, RunState.FAILED, RunState.INCONCLUSIVE)


def books(guards: Guards) -> tuple[Playbook, ...]:
    def book(name: str, step: Step) -> Playbook:
        return Playbook(name, "1", "", Trigger(Match()), 1, guards, (step,), Verify(()))

    return (
        book("restart", Step("do", "restart")),
        book("grow", Step("do", "scale", {"by": 1})),
        book("double", Step("do", "scale", {"factor": 2.0})),
    )


class World:
    """A journal and replicas; runs are created and let through by the guards, as the executor does."""

    def __init__(self, guards: Guards, max_concurrent: int, circuit: CircuitLimits) -> None:
        self.books, self.guards, self.max_concurrent, self.circuit = books(guards), guards, max_concurrent, circuit
        self.now = 10**6 * S
        self.runs: dict[str, RunEntry] = {}
        self.replicas = dict.fromkeys(SERVICES, guards.min_replicas)
        self.effects: list[tuple[int, str, str]] = []

    def create(self, book: int, service: str) -> None:
        name = f"run{len(self.runs):03}"
        self.runs[name] = RunEntry(
            name, "d" + name, "prod", service, self.books[book].name, RunState.PENDING, self.now, self.now, 1, {}
        )

    def attempt(self, name: str) -> None:
        run = self.runs[name]
        if run.state is not RunState.PENDING:
            return
        book = next(b for b in self.books if b.name == run.playbook)
        state = TargetState(self.replicas[run.target], 1, "v2", "v1")
        planned = planned_replicas(book, state, {})
        history = list(self.runs.values())
        open_runs = [r for r in history if r.state not in TERMINAL_RUN_STATES]
        context = GuardContext(
            self.now, history, open_runs, SERVICES, planned=planned, max_concurrent=self.max_concurrent,
            circuit=self.circuit, run=name,
        )  # fmt: skip
        if check(book, Target("prod", run.target), state, context) is not None:
            self.runs[name] = replace(run, state=RunState.REFUSED, updated_ns=self.now)
            return
        step = StepEntry(name, "do", StepPhase.INTENT, "k", self.now)
        self.runs[name] = replace(run, state=RunState.RUNNING, steps=(step,), updated_ns=self.now)
        self.effects.append((self.now, run.playbook, run.target))
        if planned:
            self.replicas[run.target] = planned[-1]

    def finish(self, name: str, state: RunState) -> None:
        if self.runs[name].state is RunState.RUNNING:
            self.runs[name] = replace(self.runs[name], state=state, updated_ns=self.now)

    def check_limits(self) -> None:
        acting = [r for r in self.runs.values() if r.state is RunState.RUNNING]
        targets = [r.target for r in acting]
        assert len(acting) <= self.max_concurrent
        assert len(set(targets)) == len(targets), "one run on a target"
        for book in self.books:
            assert sum(r.playbook == book.name for r in acting) <= self.guards.max_concurrent
        assert len(set(targets)) <= max(1, int(self.guards.blast_radius * len(SERVICES) + 1e-9))
        assert all(self.guards.min_replicas <= n <= self.guards.max_replicas for n in self.replicas.values())

    def check_times(self) -> None:
        for key in {(b, t) for _, b, t in self.effects}:
            times = [at for at, b, t in self.effects if (b, t) == key]
            for a, b in pairwise(times):
                assert b - a >= self.guards.cooldown_s * S
            for at in times:
                assert sum(at - 3600 * S < other <= at for other in times) <= self.guards.max_per_hour


ACTIONS = st.one_of(
    st.tuples(st.just("create"), st.integers(0, 2), st.sampled_from(SERVICES)),
    st.tuples(st.just("attempt"), st.integers(0, 30), st.none()),
    st.tuples(st.just("finish"), st.integers(0, 30), st.sampled_from(ENDS)),
    st.tuples(st.just("pass"), st.integers(0, 4000), st.none()),
)


@settings(max_examples=150, deadline=None)
@given(
    st.builds(
        Guards,
        cooldown_s=st.sampled_from([0.0, 30.0, 900.0]),
        max_per_hour=st.integers(1, 3),
        max_replicas=st.integers(2, 5),
        min_replicas=st.integers(1, 2),
        blast_radius=st.sampled_from([0.1, 0.4, 1.0]),
        max_concurrent=st.integers(1, 3),
    ),
    st.integers(1, 4),
    st.builds(CircuitLimits, failures=st.integers(1, 3), reset_s=st.sampled_from([10.0, 3600.0])),
    st.lists(ACTIONS, max_size=60),
)
def test_limits_hold_in_every_history(
    guards: Guards, max_concurrent: int, circuit: CircuitLimits, actions: list
) -> None:
    world = World(guards, max_concurrent, circuit)
    for kind, number, what in actions:
        names = sorted(world.runs)
        if kind == "create":
            world.create(number, what)
        elif kind == "pass":
            world.now += number * S
        elif names:
            name = names[number % len(names)]
            world.attempt(name) if kind == "attempt" else world.finish(name, what)
        world.check_limits()
    world.check_times()


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 3))
def test_of_runs_created_together_one_goes_through_in_any_order_of_asking(order: list[int], gap: int) -> None:
    world = World(Guards(cooldown_s=0.0), 1, CircuitLimits())
    for _ in range(4):
        world.create(0, "cart")
        world.now += gap * S
    for i in order:
        world.attempt(f"run{i:03}")
    assert len(world.effects) <= 1
    assert world.runs["run000"].state is RunState.RUNNING, (
        "the oldest is never held back by younger ones without effect"
    )
