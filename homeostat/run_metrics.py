"""Counts how runs end, from the audit trail as it is published: a run that ended is no longer among the open ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from contracts.events import ActionRecord, decode
from contracts.topics import ACTIONS
from contracts.verdicts import TERMINAL_RUN_STATES, HeldReason, RunState
from homeostat.metrics import Sample

_RUN = "io.homeostat.run."


class RunMetrics:
    """Runs whose end this process published, by state; the refused ones also by reason."""

    def __init__(self) -> None:
        self._ended: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def note(self, topic: str, value: bytes) -> None:
        """Look at a published event; those that are no end of a run count nothing."""
        if topic != ACTIONS:
            return
        record = decode(ActionRecord, value)
        if record.type.startswith(_RUN) and record.state in TERMINAL_RUN_STATES:
            self._ended[record.state.value] += 1
            if record.state is RunState.REFUSED:
                self._refused[str(record.data.get("reason", ""))] += 1

    def samples(self) -> Iterator[Sample]:
        """Every terminal state and reason with its number. Those at 0 are there, too: a rise from nothing is not seen by `increase`."""
        for state in sorted(TERMINAL_RUN_STATES):
            yield "runs_ended", (state.value,), self._ended[state.value]
        for reason in HeldReason:
            yield "runs_refused", (reason.value,), self._refused[reason.value]
