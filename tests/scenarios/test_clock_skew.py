"""A service whose clock is off and that fails: it is blamed for its failures, and nobody for the clock."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import pytest

from connectors.otlp.recording import latest_time_ns
from contracts.events import Incident, decode
from contracts.ports import Record
from contracts.settings import load
from contracts.topics import INCIDENTS, OTLP_SPANS, TOPICS
from contracts.verdicts import CauseKind
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline
from tests.patience import LONG_S
from tests.representatives import representatives
from tests.unit.streams.windows.support import MS
from tests.unit.streams.windows.test_clocks import PARTITIONS, Sender, Town


def incidents(messages: Iterable[tuple[int, bytes]]) -> list[Incident]:
    """What is found in messages, each received at its time."""
    found: list[Incident] = []

    def take(record: Record) -> None:
        if record.topic == INCIDENTS:
            found.append(decode(Incident, record.value))

    pipeline, now = MemoryPipeline(perceive_specs(load(), dict.fromkeys(TOPICS, PARTITIONS)), PARTITIONS, take), 0
    for number, (at, payload) in enumerate(messages):
        now = now or at
        while now + 100 * MS <= at:
            now += 100 * MS
            pipeline.tick(now)
        now = max(now, at)
        pipeline.feed(OTLP_SPANS, payload, now, partition=number % PARTITIONS)
    return found


def _in_order_of_arrival(file: Path) -> Iterable[tuple[int, bytes]]:
    """Lines of a recording as they came; the time is that of the furthest clock so far."""
    now = 0
    with gzip.open(file) as lines:
        for line in lines:
            now = max(now, latest_time_ns(line))
            yield now, line.strip()


def _blames_payment(found: list[Incident]) -> None:
    assert {i.id for i in found} == {found[0].id}, "one incident"
    for incident in found:
        assert (incident.candidates[0].service, incident.candidates[0].kind) == ("payment", CauseKind.ERRORS)
    assert any(i.settled for i in found)


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
def test_a_clock_behind_as_recorded(shared_data: Path) -> None:
    file = shared_data.parent / "field/inputs/F21-clock-30s-behind.jsonl.gz"
    if not file.is_file():
        pytest.skip("no inputs from the field beside the checkout (../shared/field)")
    _blames_payment(incidents(_in_order_of_arrival(file)))


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize("off_s", representatives([-45.0, 45.0], -45.0))
def test_a_clock_off_as_generated(off_s: float) -> None:
    _blames_payment(incidents(Town((Sender("payment", clock=lambda _: off_s),)).messages(60)))
