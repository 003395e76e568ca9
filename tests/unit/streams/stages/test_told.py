"""Deciding is told what is done by events alone: whatever their order, their delays, redeliveries, kills and old snapshots, it decides
nothing twice, lets nothing run beside what is under way, and is the same again from the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import Candidate, Decision, Feedback, Handling, Incident, decode, encode
from contracts.frames import pack
from contracts.ports import Record, TargetState
from contracts.settings import ActSettings, DecideSettings, DetectSettings
from contracts.topics import DECISIONS, EVIDENCE, FEEDBACK, HANDLING, INCIDENTS, TARGETS
from contracts.units import SECOND as S
from contracts.verdicts import (
    TERMINAL_RUN_STATES,
    CauseKind,
    DecisionVerdict,
    IncidentPhase,
    Outcome,
    RunState,
    Severity,
)
from playbooks.decision import limits_of
from playbooks.language import library
from streams.host import StageHost
from streams.replay.player import lives, play
from streams.replay.recorder import recorded
from streams.stage import Emit, Output
from streams.stages import decide
from tests.acting_half import ActingHalf
from tests.unit.playbooks.decision.test_pending import frame

T0 = 1_800_000_000 * S
LIMITS = limits_of(ActSettings(), DetectSettings())
PLAYBOOKS = library()
TOPICS = (INCIDENTS, FEEDBACK, EVIDENCE, TARGETS)
ENDS = (RunState.SUCCEEDED, RunState.ROLLED_BACK, RunState.REFUSED)


class Town:
    """One environment with two hung services: its log, the deciding half (killed at will), the acting half (its journal outlives kills)."""

    def __init__(self) -> None:
        self.now, self.log = T0, {topic: list[bytes]() for topic in (*TOPICS, DECISIONS, HANDLING)}
        self.half = ActingHalf({s: TargetState(2, 1, "v2", "v1") for s in ("cart", "web")})
        self.revisions, self.taken = Counter[str](), 0
        self.saved: bytes | None = None
        self.offsets = dict.fromkeys(TOPICS, 0)
        self.noted: dict[str, bytes] = {}
        self.before: set[str] = set()
        """Decisions of which the journal had runs when this life began."""
        self.decided: set[str] = set()
        """Decisions to act of this life."""
        self.begin()

    def begin(self) -> None:
        """A process begins, with the last snapshot and the journal as they are."""
        spec = recorded(decide.spec(PLAYBOOKS, DecideSettings(learn_s=0), LIMITS), "m")
        self.host = StageHost([spec], lambda _: self.saved, "log")
        self.position = dict(self.offsets)
        self.before, self.decided = set(self.half.runs), set()
        self.half.take(self.now)

    # --- what can happen

    def incident(self, name: str) -> None:
        self.revisions[name] += 1
        service = {"one": "cart", "two": "web"}[name]
        cause = Candidate(service=service, kind=CauseKind.HANG, probability=0.95, evidence=(), path=())
        found = Incident(
            id=name, environment="prod", phase=IncidentPhase.UPDATED, severity=Severity.CRITICAL, onset_ns=T0, time_ns=self.now,
            revision=self.revisions[name], anomalies=(), services=(service,), blast_radius=(), confidence=1.0, settled=True,
            text="", candidates=(cause,),
        )  # fmt: skip
        self.log[INCIDENTS].append(encode(found))

    def report(self) -> None:
        self.log[TARGETS].append(encode(self.half.report(self.now)))

    def deliver(self, topic: str) -> None:
        """Deciding takes the next message of a topic, if there is one."""
        at = self.position[topic]
        if at < len(self.log[topic]):
            self.position[topic] = at + 1
            self._sent(self.host.handle(Record(topic, 0, at, b"k", self.log[topic][at]), self.now))

    def again(self, topic: str) -> None:
        """Its last two messages come again."""
        self.position[topic] = max(self.position[topic] - 2, self.offsets[topic])

    def tick(self) -> None:
        self.now += S
        self.log[EVIDENCE].append(pack(frame(self.now - S)))
        self._sent(self.host.tick(self.now))

    def snapshot(self) -> None:
        """What is saved is what was acknowledged."""
        for instance in self.host.instances.values():
            self.saved, self.offsets = instance.snapshot("log"), dict(self.position)

    def act(self) -> None:
        """The acting half takes the next decision: it begins a run, or refuses what its guards hold."""
        if self.taken == len(self.log[DECISIONS]):
            return
        payload = self.log[DECISIONS][self.taken]
        self.taken += 1
        decision = decode(Decision, payload)
        if decision.verdict is not DecisionVerdict.ACT or self.noted[decision.id] != payload:
            return
        if decision.id not in self.half.runs:
            state = RunState.REFUSED if self.open else RunState.RUNNING
            self.half.journal(decision, state, self.now)

    def end(self, state: RunState) -> None:
        """A run under way ends; if anything was done, learning hears of it."""
        for name in self.open[:1]:
            decision = decode(Decision, self.noted[name])
            self.half.journal(decision, state, self.now)
            if state is not RunState.REFUSED:
                outcome = Outcome.BETTER if state is RunState.SUCCEEDED else Outcome.WORSE
                chosen = decision.chosen
                said = Feedback(
                    run="run-" + name, decision=name, incident=decision.incident, environment="prod", playbook=chosen.playbook,
                    cause=decision.cause, target=chosen.target, outcome=outcome, time_ns=self.now, measures=(), text="",
                )  # fmt: skip
                self.log[FEEDBACK].append(encode(said))

    def kill(self) -> None:
        """The process dies and another begins; what was decided and not taken yet is still in the log."""
        self.now += S
        self.begin()

    # --- what must hold

    @property
    def open(self) -> list[str]:
        return [name for name, run in self.half.runs.items() if run.state not in TERMINAL_RUN_STATES]

    def _sent(self, outputs: list[Output]) -> None:
        for output in outputs:
            assert isinstance(output, Emit)
            self.log[output.topic].append(output.value)
            if output.topic == DECISIONS:
                self._decided(decode(Decision, output.value), output.value)

    def _decided(self, decision: Decision, payload: bytes) -> None:
        if decision.verdict is DecisionVerdict.ACT:
            mine = {d for d in self.decided if d not in self.half.runs or d in self.open}
            assert not mine, f"{decision.id} beside {mine}, which this life decided"
            others = set(self.open) & self.before
            assert not others, f"{decision.id} beside {others}, which were under way when this life began"
            self.decided.add(decision.id)
        assert decision.id not in self.before, f"{decision.id} was decided, and has had its run, in another life"
        self.noted[decision.id] = payload

    def replayed(self) -> Iterator[bytes]:
        """What the recorded lives come to again."""
        whole, broken = lives(decode(Handling, value) for value in self.log[HANDLING])
        assert not broken
        records = {
            (topic, 0, n): Record(topic, 0, n, b"k", value)
            for topic in TOPICS
            for n, value in enumerate(self.log[topic])
        }
        for life in whole:
            stage = decide.spec(PLAYBOOKS, DecideSettings(learn_s=0), LIMITS).make(life.messages[0].topic, 0)
            yield from (emit.value for _, emit in play(life, stage, records))


STEPS = st.one_of(
    st.tuples(st.just("incident"), st.sampled_from(["one", "two"])),
    st.tuples(st.sampled_from(["deliver", "again"]), st.sampled_from(TOPICS)),
    st.tuples(st.just("end"), st.sampled_from(ENDS)),
    st.tuples(st.sampled_from(["report", "tick", "tick", "act", "snapshot", "kill", "flow"])),
)


def happen(town: Town, step: tuple[object, ...]) -> None:
    """One step; `flow`: everything that is on its way arrives, as it does when all is well."""
    name, *arguments = step
    if name != "flow":
        getattr(town, str(name))(*arguments)
        return
    town.tick()
    town.report()
    for topic in (EVIDENCE, TARGETS, INCIDENTS, FEEDBACK):
        while town.position[topic] < len(town.log[topic]):
            town.deliver(topic)


@given(st.lists(STEPS, max_size=60))
def test_nothing_is_decided_twice_or_beside_what_is_under_way(steps: list[tuple[object, ...]]) -> None:
    town = Town()
    for step in steps:
        happen(town, step)
    decided = [encode(decode(Decision, value)) for value in town.log[DECISIONS]]
    assert sorted(town.replayed()) == sorted(decided), "the same again from the log"


@settings(max_examples=30)
@given(st.lists(STEPS, max_size=40))
def test_it_goes_on_whatever_happened(steps: list[tuple[object, ...]]) -> None:
    town = Town()
    for step in steps:
        happen(town, step)
    town.incident("one")
    for _ in range(250):  # what was lost with a process lapses
        if not town.open and any(decode(Decision, d).incident == "one" for d in town.log[DECISIONS]):
            break
        happen(town, ("flow",))
        while town.taken < len(town.log[DECISIONS]):
            town.act()
        town.end(RunState.ROLLED_BACK)
    assert not town.open
    assert any(decode(Decision, d).incident == "one" for d in town.log[DECISIONS]), (
        "somebody is asked, or something done"
    )


def test_without_reports_it_waits_and_then_asks() -> None:
    town = Town()
    town.incident("one")
    for topic in (EVIDENCE, INCIDENTS):
        town.deliver(topic)
    for second in range(40):
        town.tick()
        town.deliver(EVIDENCE)
        assert second > 29 or not town.log[DECISIONS], "nothing is decided before stale_s have passed"
    town.tick()
    decision = decode(Decision, town.log[DECISIONS][0])
    assert decision.verdict is DecisionVerdict.ASK
    assert any(o.held == "journal_unavailable" for o in decision.options)
    assert "has not been told for" in decision.text


def test_what_was_told_before_a_start_is_not_believed_after_it() -> None:
    town = Town()
    happen(town, ("flow",))
    town.snapshot()
    town.incident("one")
    happen(town, ("flow",))
    assert len(town.log[DECISIONS]) == 1
    town.act()
    town.report()
    town.kill()
    for _ in range(4):  # the report of before, too
        for topic in (EVIDENCE, TARGETS, INCIDENTS):
            town.deliver(topic)
    town.tick()
    assert len(town.log[DECISIONS]) == 1, "nobody has told since it began"
    happen(town, ("flow",))
    happen(town, ("flow",))
    assert len(town.log[DECISIONS]) == 1, "a run of its own that it did not know of is under way"
    town.end(RunState.ROLLED_BACK)
    for _ in range(16):  # until it asks, as what was tried leaves in doubt
        happen(town, ("flow",))
    assert decode(Decision, town.log[DECISIONS][-1]).id == "one-d2", "it counts on from there"


def test_an_own_decision_that_no_report_tells_of_yet_is_under_way() -> None:
    town = Town()
    town.incident("one")
    happen(town, ("flow",))
    town.incident("two")
    happen(town, ("flow",))
    first, second = (decode(Decision, value) for value in town.log[DECISIONS])
    assert (first.verdict, second.verdict) == (DecisionVerdict.ACT, DecisionVerdict.NOTHING)
    assert "under way" in second.text
    town.act()
    town.end(RunState.SUCCEEDED)
    for _ in range(6):
        happen(town, ("flow",))
    third = decode(Decision, town.log[DECISIONS][-1])
    assert (third.incident, third.verdict) == ("two", DecisionVerdict.ACT)
