"""The diagrams of a run's states show what the table has: each arrow once, with all that is written on it."""

from __future__ import annotations

from collections import defaultdict

from playbooks.runs import diagram
from playbooks.runs.events import MachineFault
from playbooks.runs.machine import TABLE, MachineState, Transition

STEP = {"running", "paused", "in_doubt", "not_applied"}


def read(text: str) -> tuple[set[str], set[str], dict[tuple[str, str], list[str]]]:
    """Where a diagram begins, where it ends, and what is written on each arrow."""
    first, kind, *lines, last, end = text.split("\n")
    assert (first, kind, last, end) == ("```mermaid", "stateDiagram-v2", "```", "")
    arrows: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        assert line.startswith("    ")
        pair, _, words = line.strip().partition(" : ")
        before, after = pair.split(" --> ")
        assert (before, after) not in arrows, "one arrow for a pair of states"
        arrows[before, after] = words.split("<br/>")
    begins = {after for before, after in arrows if before == "[*]"}
    ends = {before for before, after in arrows if after == "[*]"}
    return begins, ends, {pair: words for pair, words in arrows.items() if "[*]" not in pair}


def event(row: Transition) -> str:
    return row.event.__name__ + (f" [{row.guard.text}]" if row.guard.text else "")


def test_public_states_and_the_events_that_lead_from_one_to_another() -> None:
    expected = defaultdict[tuple[str, str], list[str]](list)
    for row in TABLE:
        before, after = row.state.run_state.value, row.to.run_state.value
        if before != after and row.event is not MachineFault and event(row) not in expected[before, after]:
            expected[before, after].append(event(row))
    begins, ends, arrows = read(diagram.run_states())
    assert arrows == {pair: words for pair, words in expected.items() if words}
    assert begins == {"pending"}
    assert (
        ends == {row.to.run_state.value for row in TABLE if row.to.terminal} < {state.value for state in MachineState}
    )
    assert any("[" in word for words in arrows.values() for word in words), "guards are told"


def test_states_of_a_step_with_what_is_done_on_the_way() -> None:
    expected = defaultdict[tuple[str, str], list[str]](list)
    for row in TABLE:
        if {row.state.value, row.to.value} <= STEP and row.event is not MachineFault:
            words = f"{event(row)} / {row.commands.__name__.replace('_', ' ')}"
            if words not in expected[row.state.value, row.to.value]:
                expected[row.state.value, row.to.value].append(words)
    begins, ends, arrows = read(diagram.step_states())
    assert (begins, ends, arrows) == ({"running"}, set(), expected)
