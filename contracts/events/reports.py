"""What whoever acts tells deciding: how targets are, and what was done to them."""

from __future__ import annotations

import msgspec

from contracts.events.codec import Event
from contracts.targets import TargetState
from contracts.verdicts import RunState, StepPhase


class ReportedStep(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the journal about a step of a run."""

    step: str
    phase: StepPhase
    action: str
    time_ns: int


class ReportedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as far as guards count by it. `identities`: keys of what it acts on; empty where not known."""

    run: str
    decision: str
    target: str
    playbook: str
    state: RunState
    created_ns: int
    updated_ns: int
    steps: tuple[ReportedStep, ...] = ()
    identities: tuple[str, ...] = ()


class TargetReport(Event, frozen=True, kw_only=True):
    """What whoever acts for an environment knows of its targets and runs, as far as it changed since the report before.

    Reports with the same `taken_ns` and `account` are one account, `sequence` counts them from 0; it begins with everything, up to
    the first report without `more`. `taken_ns` is when the environment's journal was taken: the later owner is believed.
    `targets` are described anew, `unknown` are no longer known, `runs` are new or changed. What is not mentioned is at `time_ns`
    as it was told before. `actions` is what can be done in the environment.
    """

    environment: str
    time_ns: int
    taken_ns: int
    account: int
    sequence: int
    more: bool = False
    actions: tuple[str, ...] = ()
    targets: dict[str, TargetState] = {}
    unknown: tuple[str, ...] = ()
    runs: tuple[ReportedRun, ...] = ()
