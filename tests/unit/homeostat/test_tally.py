"""How runs end, counted from what is published."""

from __future__ import annotations

import msgspec

from contracts.events import ActionRecord, encode
from contracts.topics import ACTIONS, FEEDBACK
from contracts.verdicts import TERMINAL_RUN_STATES, RunState
from homeostat.tally import RunTally
from tests.unit.contracts.samples import EVENTS

RECORD = next(s for s in EVENTS.values() if isinstance(s, ActionRecord))


def _event(state: RunState, kind: str) -> bytes:
    return encode(msgspec.structs.replace(RECORD, state=state, type=kind))


def test_ends_of_runs_count_and_nothing_else_does() -> None:
    tally = RunTally()
    assert dict(tally.samples()) == {s.value: 0 for s in TERMINAL_RUN_STATES}
    tally.note(ACTIONS, _event(RunState.RUNNING, "io.homeostat.run.running"))
    tally.note(ACTIONS, _event(RunState.UNKNOWN, "io.homeostat.step.applied"))
    tally.note(FEEDBACK, b"not an action")
    assert not any(n for _, n in tally.samples())
    tally.note(ACTIONS, _event(RunState.UNKNOWN, "io.homeostat.run.unknown"))
    assert dict(tally.samples())["unknown"] == 1
