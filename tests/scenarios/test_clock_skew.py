"""A service whose clock is off and that fails: it is blamed for its failures, and nobody for the clock."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from connectors.otlp.recording import latest_time_ns
from contracts.events import Incident, decode
from contracts.ports import Record
from contracts.settings import Settings, load
from contracts.topics import INCIDENTS, OTLP_SPANS, TOPICS
from contracts.units import SECOND
from contracts.verdicts import CauseKind
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline
from tests.patience import LONG_S
from tests.representatives import representatives
from tests.scenarios.traffic import END_S, Plan, Shop, Trouble, messages, through
from tests.scenarios.traffic import T0 as START
from tests.unit.streams.windows.support import MS
from tests.unit.streams.windows.test_clocks import PARTITIONS, Clock, Sender, Town

SETTINGS = Settings(detect={"detectors": ("bank",)})
SpanAt = tuple[int, str, dict[str, Any]]


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


def step(by_s: float, at_s: float) -> Clock:
    """A clock that is set wrong at a second."""
    return lambda s: by_s if s >= at_s else 0.0


def pace(rate: float, since_s: float = 0.0) -> Clock:
    """A clock that goes at another pace from a second on."""
    return lambda s: (rate - 1.0) * max(0.0, s - since_s)


WRONG: dict[str, Clock] = {
    **{f"set by {by} s at {at}": step(by, at) for by in (-60, -20, -5, -2, 2, 5, 20, 60) for at in (30, 72)},
    **{f"at {rate} from {since}": pace(rate, since) for rate in (0.5, 0.9, 1.1, 2.0) for since in (0, 40, 70)},
    **{f"off by {off} s": (lambda s, off=off: off) for off in (-30.0, -1.5, -0.5, 0.5, 1.5, 30.0)},
    **{f"drifts {drift}": (lambda s, drift=drift: drift * s) for drift in (-0.02, 0.02)},
}
FAILS = Plan(trouble={"payment": Trouble(fails=0.5)})
FEW = [
    ("nothing", "catalog", "at 2.0 from 40"),
    ("payment", "checkout", "set by -20 s at 72"),
    ("payment", "checkout", "set by -5 s at 30"),
    ("payment", "checkout", "at 0.5 from 40"),
    ("payment", "checkout", "drifts -0.02"),
    ("payment", "catalog", "at 2.0 from 40"),
    ("payment", "payment", "at 0.5 from 40"),
]
"""(who fails, whose clock is wrong, how)"""
ALL = [
    (f, s, w) for w in WRONG for f, s in product(("nothing", "payment"), ("catalog", "checkout", "gateway", "payment"))
]


def clocked(spans: list[SpanAt], service: str, clock: Clock) -> list[SpanAt]:
    """The same spans; those of a service are timed by its own clock."""
    return [(end, s, {**span, **_timed(span, clock)} if s == service else span) for end, s, span in spans]


def _timed(span: dict[str, Any], clock: Clock) -> dict[str, str]:
    times = {name: int(span[name]) for name in ("startTimeUnixNano", "endTimeUnixNano")}
    return {name: str(at + int(clock((at - START) / SECOND) * SECOND)) for name, at in times.items()}


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize(
    ("fails", "whose", "wrong"), ALL if os.environ.get("TEST_CLOCKS") else representatives(FEW, FEW[1])
)
def test_nobody_is_blamed_for_a_clock_and_who_fails_is_found(fails: str, whose: str, wrong: str) -> None:
    spans = Shop(FAILS if fails == "payment" else Plan(), 1).spans_by_end()
    found = through(messages(clocked(spans, whose, WRONG[wrong]), START + END_S * SECOND), SETTINGS)
    wanted = {"payment"} if fails == "payment" else set()
    assert found.blamed == wanted, found.told()
    assert found.touched <= wanted, found.told()
    assert found.offered <= wanted, found.told()
