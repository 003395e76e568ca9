"""The journal against a model of it in ten lines: any calls, in any order, by any owner."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from connectors.journal.sqlite import SqliteJournal
from contracts.errors import Fenced
from contracts.ports import StepEntry
from contracts.verdicts import TERMINAL_RUN_STATES, RunState, StepPhase

DATA = st.dictionaries(
    st.text(max_size=5), st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5), max_size=3
)
DECISIONS = st.sampled_from(["d1", "d2", "d3"])


class Owners(RuleBasedStateMachine):
    """Two handles on one file, owners with every fence there ever was, and what should be there."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name) / "journal.sqlite"
        self.journals = [SqliteJournal(file), SqliteJournal(file)]
        self.fences: dict[str, int] = {}
        self.steps: dict[str, list[StepEntry]] = {}
        self.states: dict[str, RunState] = {}

    def teardown(self) -> None:
        for journal in self.journals:
            journal.close()
        self.folder.cleanup()

    @rule(decision=DECISIONS, by=st.integers(0, 1), definition=DATA)
    def create(self, decision: str, by: int, definition: dict[str, object]) -> None:
        entry = self.journals[by].create(
            run=f"run of {decision}",
            decision=decision,
            environment="e",
            target="t",
            playbook="p",
            definition=definition,
            now_ns=1,
        )
        assert (entry is None) == (decision in self.fences)
        if entry is not None:
            assert entry.definition == definition
            self.fences[decision], self.steps[decision] = entry.fence, []
            self.states[decision] = RunState.PENDING

    @precondition(lambda self: self.fences)
    @rule(data=st.data(), by=st.integers(0, 1))
    def claim(self, data: st.DataObject, by: int) -> None:
        decision = data.draw(st.sampled_from(sorted(self.fences)))
        entry = self.journals[by].claim(f"run of {decision}", 2)
        assert entry.fence > self.fences[decision]
        self.fences[decision] = entry.fence

    @precondition(lambda self: self.fences)
    @rule(data=st.data(), by=st.integers(0, 1), phase=st.sampled_from(StepPhase), fact=DATA)
    def step(self, data: st.DataObject, by: int, phase: StepPhase, fact: dict[str, object]) -> None:
        decision = data.draw(st.sampled_from(sorted(self.fences)))
        fence = data.draw(st.integers(0, self.fences[decision] + 1))
        line = StepEntry(f"run of {decision}", "s", phase, "k", 3, fact)
        try:
            self.journals[by].step(line, fence)
        except Fenced:
            assert fence != self.fences[decision]
        else:
            assert fence == self.fences[decision]
            self.steps[decision].append(line)

    @precondition(lambda self: self.fences)
    @rule(data=st.data(), by=st.integers(0, 1), state=st.sampled_from(RunState))
    def set_state(self, data: st.DataObject, by: int, state: RunState) -> None:
        decision = data.draw(st.sampled_from(sorted(self.fences)))
        fence = data.draw(st.integers(0, self.fences[decision] + 1))
        try:
            self.journals[by].set_state(f"run of {decision}", fence, state, 4)
        except Fenced:
            assert fence != self.fences[decision]
        else:
            assert fence == self.fences[decision]
            self.states[decision] = state

    @invariant()
    def both_see_what_was_accepted(self) -> None:
        for journal in self.journals:
            entries = {e.decision: e for e in journal.history("e")}
            assert {d: e.fence for d, e in entries.items()} == self.fences
            assert {d: list(e.steps) for d, e in entries.items()} == self.steps
            assert {d: e.state for d, e in entries.items()} == self.states
            still = {e.decision for e in journal.open_runs()}
            assert still == {d for d, s in self.states.items() if s not in TERMINAL_RUN_STATES}


TestOwners = Owners.TestCase
TestOwners.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
