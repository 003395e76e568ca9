"""Whose spans are silent while others of its signals come: for how long metrics may pause, and what that says of its logs."""

from __future__ import annotations

import pytest

from contracts.features import Signal
from streams.windows.calls import ASKED
from tests.unit.streams.windows.test_liveness import FIRST, LAST, LATE, MISSING, NEXT, QUIET, SERVICES, Measured, Street


@pytest.mark.parametrize(
    ("pauses", "silent", "late"), [(0.0, 1, QUIET), (0.0, 2, MISSING), (3.0, 6, QUIET), (3.0, 7, MISSING)]
)
def test_metrics_go_on_for_half_as_long_again_as_they_pause(pauses: float, silent: int, late: int) -> None:
    """Those of who is measured, and never counts requests, at the first second of a silence."""
    street = Measured()
    street.measure(NEXT, ("zero", "one"))
    metrics = street.mergers[Signal.METRICS].entities
    metrics.gaps[metrics.find(("one", ""))] = pauses
    assert street.judged("one", LAST + silent, LATE) == late


@pytest.mark.parametrize(("service", "late"), [("one", QUIET), ("two", MISSING)])
def test_logs_of_who_is_measured_are_quiet_unless_its_spans_are_lost_too(service: str, late: int) -> None:
    street = Measured()
    street.measure(NEXT, SERVICES)
    assert street.judged(service, NEXT, LATE, Signal.LOGS) == late


def test_what_calls_say_counts_once_however_often_it_comes() -> None:
    street, pair = Street(), [("caller", "two")]
    for sequence, asked in ((0, 3), (0, 3), (1, 6), (0, 6), (1, 6), (2, 9)):
        street.told = 10_000 + sequence
        street.say(NEXT, "caller", "two", ASKED, 3)
        assert street.liveness.asked(pair, FIRST + NEXT)[0, 0] == asked
