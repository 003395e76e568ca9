"""What deciding is told is recorded as it changes, and said again in the same order."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Handling, decode
from contracts.ports import RunEntry, StepEntry, TargetState
from contracts.verdicts import RunState, StepPhase
from streams.replay.lookups import RecalledFacts, RecordedFacts
from streams.replay.player import Answers
from streams.replay.recorder import Recorder

RUN = RunEntry("r", "d", "prod", "cart", "restart", RunState.RUNNING, 1, 2, 3, {"big": 1})
STATES = list(RunState)


class Facts:
    """Says what it is set to."""

    def __init__(self) -> None:
        self.runs: list[RunEntry] = []
        self.state: TargetState | None = None
        self.services: list[str] = []

    def target_state(self, environment: str, service: str) -> TargetState | None:
        return self.state

    def history(self, environment: str) -> list[RunEntry]:
        return self.runs

    def known_services(self, environment: str) -> list[str]:
        return self.services

    def actions(self, environment: str) -> frozenset[str] | None:
        return frozenset({"scale", "restart"})


def said(facts: RecordedFacts | RecalledFacts) -> list[object]:
    return [
        tuple(facts.history("prod")),
        facts.target_state("prod", "cart"),
        tuple(facts.known_services("prod")),
        facts.actions("prod"),
        tuple(facts.history("prod")),
    ]


WORLDS = st.lists(
    st.tuples(st.permutations(range(4)).flatmap(lambda p: st.just(p[:3])), st.sampled_from(STATES), st.integers(0, 2)),
    max_size=8,
)


@given(WORLDS, st.sets(st.integers(0, 8)))
def test_the_same_questions_get_the_same_answers(worlds: list[tuple[list[int], RunState, int]], sent: set[int]) -> None:
    facts, recorder = Facts(), Recorder("decide", "t", 0, "m")
    recorded, heard, messages, asked = RecordedFacts(facts, recorder), [], [], [0]
    for i, (runs, state, replicas) in enumerate(worlds):
        facts.runs = [replace(RUN, run=f"r{r}", state=state if r else RunState.RUNNING) for r in runs]
        facts.state = TargetState(replicas, replicas, detail={"a": "b"}) if replicas else None
        facts.services = [f"s{r}" for r in runs]
        heard.append(said(recorded))
        asked[-1] += 1
        if i in sent:
            messages.append(decode(Handling, recorder.message().value))
            asked.append(0)
    messages.append(decode(Handling, recorder.message().value))
    answers, again = Answers(), []
    recalled = RecalledFacts(answers)
    for message, times in zip(messages, asked, strict=True):
        answers.load(message.lookups)
        again += [said(recalled) for _ in range(times)]
    assert again == heard


def test_only_what_changed_is_recorded() -> None:
    facts, recorder = Facts(), Recorder("decide", "t", 0, "m")
    recorded = RecordedFacts(facts, recorder)
    facts.runs = [replace(RUN, run=f"r{i}") for i in range(50)]
    recorded.history("prod")
    recorder.message()
    step = StepEntry("r7", "restart", StepPhase.INTENT, "key", 5)
    facts.runs[7] = replace(facts.runs[7], steps=(step,))
    assert recorded.history("prod")[7].steps == (step,)
    recorded.history("prod")
    (lookup,) = decode(Handling, recorder.message().value).lookups
    assert [r["run"] for r in lookup.answer["runs"]] == ["r7"]
    assert lookup.answer["order"] is None
    assert lookup.answer["runs"][0]["definition"] == {}
