"""The state machine of a run as Mermaid diagrams, made from its table: for docs/architecture.md (`python -m tools.docs write`)."""

from __future__ import annotations

from collections.abc import Iterable

from playbooks.runs.events import MachineFault
from playbooks.runs.machine import TABLE, MachineState, Transition

_STEP = (MachineState.RUNNING, MachineState.PAUSED, MachineState.IN_DOUBT, MachineState.NOT_APPLIED)


def run_states() -> str:
    """Which event takes a run from which of its public states to which."""
    rows = [t for t in _shown() if t.state.run_state is not t.to.run_state]
    ends = sorted({t.to.run_state.value for t in TABLE if t.to.terminal})
    arrows = _arrows((t.state.run_state.value, t.to.run_state.value, _label(t)) for t in rows)
    return _mermaid(["[*] --> pending", *arrows, *(f"{end} --> [*]" for end in ends)])


def step_states() -> str:
    """What happens to one step while its run is `running`; `rolling_back` has the same states for its steps."""
    rows = [t for t in _shown() if t.state in _STEP and t.to in _STEP]
    arrows = _arrows((t.state.value, t.to.value, f"{_label(t)} / {_words(t.commands.__name__)}") for t in rows)
    return _mermaid(["[*] --> running", *arrows])


def _shown() -> list[Transition]:
    """All but the ends by a fault, which there is one of from each state."""
    return [t for t in TABLE if t.event is not MachineFault]


def _label(row: Transition) -> str:
    return f"{row.event.__name__} [{row.guard.text}]" if row.guard.text else row.event.__name__


def _words(name: str) -> str:
    return name.replace("_", " ")


def _arrows(rows: Iterable[tuple[str, str, str]]) -> list[str]:
    """One arrow per pair of states, with all that is written on it, in the order of the table."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for before, after, label in rows:
        found.setdefault((before, after), {})[label] = None
    return [f"{before} --> {after} : {'<br/>'.join(labels)}" for (before, after), labels in found.items()]


def _mermaid(lines: Iterable[str]) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f"```mermaid\nstateDiagram-v2\n{body}\n```\n"
