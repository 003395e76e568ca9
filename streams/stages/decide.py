"""Decide: incidents, outcomes, switches, telemetry and what whoever acts reports of whole environments -> decisions.

Colocated: one instance reads the same partition of its topics, so an environment has one owner. `autonomous.control` is keyed
by scope; a switch for all environments must be put on every partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from contracts.errors import UnreadableEvent
from contracts.events import Control, Decision, Feedback, Incident, TargetReport, decode, encode
from contracts.frames import EvidenceFrame, unpack
from contracts.ports import Record
from contracts.settings import MAX_ENVIRONMENTS, DecideSettings
from contracts.topics import CONTROL, DECISIONS, EVIDENCE, FEEDBACK, INCIDENTS, TARGETS
from playbooks.decision import DecisionLimits
from playbooks.decision.pending import PendingDecisions
from playbooks.language import Playbook
from playbooks.learning import Posteriors
from streams.environments import Environments
from streams.stage import Emit, Output, StageSpec

CONSUMES: Final = (INCIDENTS, FEEDBACK, EVIDENCE, TARGETS)
NAME: Final = "decide"


class DecideStage:
    """The environments of one partition."""

    def __init__(
        self,
        playbooks: Sequence[Playbook],
        settings: DecideSettings,
        limits: DecisionLimits,
        max_environments: int = MAX_ENVIRONMENTS,
    ) -> None:
        self._pending = PendingDecisions(playbooks, settings, limits)
        self._environments = Environments(max_environments, self._pending.forget)

    @property
    def counters(self) -> Counter[str]:
        """Decisions by verdict, looks, and what was ignored."""
        self._pending.counters.update(self._environments.counters)
        self._environments.counters.clear()
        return self._pending.counters

    @property
    def posteriors(self) -> Posteriors:
        """What was learnt so far."""
        return self._pending.posteriors

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Take one message in; the decisions that follow.

        Raises:
            UnreadableEvent: the value is not what its topic promises.
        """
        book = self._pending
        if record.topic == EVIDENCE:
            frame = unpack(EvidenceFrame, record.value)
            if self._environments.lets_in(frame.environment, now_ns, book.busy):
                book.evidence(frame, now_ns)
            return []
        if record.topic == TARGETS:
            report = decode(TargetReport, record.value)
            let_in = self._environments.lets_in(report.environment, now_ns, book.busy)
            return _emits(book.report(report, now_ns)) if let_in else []
        if record.topic == INCIDENTS:
            return _emits(book.incident(decode(Incident, record.value), now_ns))
        if record.topic == FEEDBACK:
            return _emits(book.feedback(decode(Feedback, record.value), now_ns))
        if record.topic == CONTROL:
            return _emits(book.control(decode(Control, record.value), now_ns))
        raise UnreadableEvent(f"decide does not read {record.topic}", reason="unknown_topic")

    def tick(self, now_ns: int) -> list[Output]:
        """Look again at incidents for which nothing is under way."""
        return _emits(self._pending.tick(now_ns))

    def snapshot(self) -> bytes:
        """The whole state."""
        return self._pending.snapshot()

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state. UnreadableEvent if it is something else."""
        self._pending.restore(state)
        self._environments.restored(self._pending.environments)


def _emits(decisions: list[Decision]) -> list[Output]:
    return [Emit(DECISIONS, d.incident, encode(d), route=d.environment) for d in decisions]


def spec(
    playbooks: Sequence[Playbook],
    settings: DecideSettings,
    limits: DecisionLimits,
    max_environments: int = MAX_ENVIRONMENTS,
) -> StageSpec:
    """The stage as the drivers run it."""
    return StageSpec(
        name=NAME,
        consumes=CONSUMES,
        produces=(DECISIONS,),
        make=lambda topic, partition: DecideStage(playbooks, settings, limits, max_environments),
        colocated=True,
        overhears=(CONTROL,),
    )
