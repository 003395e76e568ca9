"""How runs end, counted from what is published."""

from __future__ import annotations

import msgspec

from contracts.events import ActionRecord, encode
from contracts.topics import ACTIONS, FEEDBACK
from contracts.verdicts import TERMINAL_RUN_STATES, RunState
from homeostat.run_metrics import RunMetrics
from tests.unit.contracts.samples import EVENTS

RECORD = next(s for s in EVENTS.values() if isinstance(s, ActionRecord))


def _event(state: RunState, kind: str, **data: str) -> bytes:
    return encode(msgspec.structs.replace(RECORD, state=state, type=kind, data=data))


def _counted(tally: RunMetrics) -> dict[tuple[str, ...], float]:
    return {(name, *labels): n for name, labels, n in tally.samples()}


def test_ends_of_runs_count_and_nothing_else_does() -> None:
    tally = RunMetrics()
    assert {label: n for (name, label), n in _counted(tally).items() if name == "runs_ended"} == {
        s.value: 0 for s in TERMINAL_RUN_STATES
    }
    tally.note(ACTIONS, _event(RunState.RUNNING, "io.homeostat.run.running"))
    tally.note(ACTIONS, _event(RunState.UNKNOWN, "io.homeostat.step.applied"))
    tally.note(FEEDBACK, b"not an action")
    assert not any(_counted(tally).values())
    tally.note(ACTIONS, _event(RunState.UNKNOWN, "io.homeostat.run.unknown"))
    assert _counted(tally)["runs_ended", "unknown"] == 1


def test_refusals_count_by_reason() -> None:
    tally = RunMetrics()
    tally.note(ACTIONS, _event(RunState.REFUSED, "io.homeostat.run.refused", reason="policy_unavailable"))
    assert {key for key, n in _counted(tally).items() if n} == {
        ("runs_ended", "refused"),
        ("runs_refused", "policy_unavailable"),
    }
