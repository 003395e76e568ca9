"""Event time is believed as far as the receiver's clock confirms it: no sender, environment or snapshot leads it astray."""

from __future__ import annotations

import random
from typing import Any

import pytest

from contracts.errors import UnreadableEvent
from contracts.frames import PartialFrame, SpanFrame, unpack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import OTLP_SPANS, PARTIALS, SPANS
from contracts.units import SECOND
from streams.stage import Emit
from streams.stages.edges import EdgeStage
from streams.stages.features import FeatureStage
from streams.stages.ingest import IngestStage
from streams.windows.collect import Receipt
from streams.windows.sequence import CatchUp
from streams.windows.state import dump, load
from tests.unit.streams.windows.support import MS, SERVER, T0, Cluster, Span, otlp, rows_of

_ids = iter(range(1, 1 << 40))


def request(service: str, end: int) -> Span:
    number = next(_ids)
    return Span(service, number, number, 0, SERVER, end - 10 * MS, end)


def message(environment: str, *spans: Span) -> bytes:
    return otlp(list(spans)).replace(b"prod", environment.encode())


def watermarks(outputs: list[Any], topic: str) -> set[int]:
    kind = PartialFrame if topic == PARTIALS else SpanFrame
    return {unpack(kind, o.value).watermark_ns for o in outputs if isinstance(o, Emit) and o.topic == topic}


def run(disturb: Any, seconds: int = 60, environment: str = "evil") -> Cluster:
    """A minute of one request a second each of two services on every partition, and what `disturb(second)` sends besides."""
    cluster = Cluster(partitions=2, workers=1, seed=1)
    for second in range(seconds):
        now = T0 + second * SECOND
        for partition in range(2):
            cluster.send(partition, message("prod", request("shop", now), request("stock", now - 40 * MS)), now)
        for span in disturb(second):
            for partition in range(2):
                cluster.send(partition, message(environment, span), now)
        for step in range(10):
            cluster.work(now + step * 100 * MS, 100_000)
            cluster.tick(now + step * 100 * MS)
    return cluster


def creeping(second: int) -> list[Span]:
    """160 messages in 16 seconds, each 85 s ahead of the last."""
    if not 20 <= second < 36:
        return []
    first = (second - 20) * 10
    return [request("stranger", T0 + second * SECOND + 85 * SECOND * (first + n + 1)) for n in range(10)]


def in_prod(cluster: Cluster) -> dict[Any, Any]:
    return rows_of([f for f in cluster.frames if f.environment == "prod"])


@pytest.mark.parametrize("environment", ["evil", "prod"])
def test_a_clock_that_creeps_ahead_makes_nothing_late(environment: str) -> None:
    clean, disturbed = run(lambda _: []), run(creeping, environment=environment)
    assert disturbed.counters["future"] >= 150
    assert disturbed.counters["late"] == 0
    theirs = {k: v for k, v in in_prod(disturbed).items() if k[2] != "stranger"}
    assert theirs == in_prod(clean)


@pytest.mark.parametrize("ahead_s", [1, 30, 85])
def test_a_clock_ahead_moves_event_time_no_further_than_the_clock_of_the_receiver(ahead_s: int) -> None:
    stage = IngestStage(OTLP_SPANS, 0, Settings(), 1)
    for second in range(5):
        now = T0 + second * SECOND
        payload = message("prod", request("shop", now + ahead_s * SECOND))
        sent = stage.handle(Record(OTLP_SPANS, 0, second, None, payload, (), now // MS), now)
        sent += stage.tick(now)
        assert max(watermarks(sent, PARTIALS) | watermarks(sent, SPANS)) <= now


@pytest.mark.parametrize("written_s", [3600, 86_400 * 365])
def test_neither_does_a_producer_that_writes_a_time_ahead_into_the_log(written_s: int) -> None:
    stage = IngestStage(OTLP_SPANS, 0, Settings(), 1)
    payload = message("prod", request("shop", T0 + 60 * SECOND))
    stage.handle(Record(OTLP_SPANS, 0, 0, None, payload, (), T0 // MS + written_s * 1000), T0)
    assert watermarks(stage.tick(T0), PARTIALS) == {T0}


def test_in_a_backlog_time_goes_on_as_the_log_was_written() -> None:
    stage = IngestStage(OTLP_SPANS, 0, Settings(), 1)
    now = T0 + 3600 * SECOND
    for second in range(5):
        payload = message("prod", request("shop", T0 + second * SECOND), request("fast", T0 + (second + 60) * SECOND))
        stage.handle(Record(OTLP_SPANS, 0, second, None, payload, (), (T0 + second * SECOND) // MS), now)
        [reached] = watermarks(stage.tick(now), PARTIALS)
        assert T0 + second * SECOND <= reached < T0 + second * SECOND + MS
    assert stage.counters["future"] == 0


def test_who_sends_only_old_times_does_not_hold_up_the_others() -> None:
    """Alone on its partition, a sender whose clock is an hour behind."""

    def behind(second: int) -> list[Span]:
        return [request("slow", T0 + (second - 3600) * SECOND)]

    disturbed = run(behind, environment="prod")
    theirs = {k: v for k, v in in_prod(disturbed).items() if k[2] != "slow"}
    assert {k[1] for k in theirs} == {k[1] for k in in_prod(run(lambda _: []))}


def test_receipt_is_never_later_than_now() -> None:
    rng = random.Random(3)
    for _ in range(200):
        stamp, now = rng.choice([-1, 0, rng.randrange(1 << 62)]), rng.randrange(1, 1 << 62)
        assert 0 < Receipt.of(stamp // MS, now).time_ns <= now


@pytest.mark.parametrize(
    ("stamp_ms", "time_ns"),
    [
        (-1, T0),  # it has none: it came now
        (0, T0),
        (1, 1_999_999),  # the last moment of its millisecond
        (T0 // MS - 1, T0 - 1),
        (T0 // MS, T0),
        (T0 // MS + 1, T0),
    ],
)
def test_a_message_came_in_the_millisecond_the_log_says(stamp_ms: int, time_ns: int) -> None:
    assert Receipt.of(stamp_ms, T0) == Receipt(T0, time_ns)


@pytest.mark.parametrize(
    ("stamps_ms", "covered"),
    [
        ([-9, 0], [True, True]),
        ([-1, 1, -1], [True, False, False]),  # once it is past, it is past
        ([0, 0, 1], [True, True, False]),
        ([1], [False]),
        ([1000], [False]),
    ],
)
def test_what_was_read_before_a_restore_is_told_by_the_clock(stamps_ms: list[int], covered: list[bool]) -> None:
    """Records by their time, in milliseconds after the first of them is read; the clock goes on meanwhile."""
    catch_up, now = CatchUp(), T0 + 999_999
    records = [Record("otlp_spans", 0, i, b"", b"", (), T0 // MS + at) for i, at in enumerate(stamps_ms)]
    assert not any(catch_up.covers(r, now) for r in records), "nothing was restored"
    catch_up.restored()
    assert [catch_up.covers(r, now + i * SECOND) for i, r in enumerate(records)] == covered


def _poison(state: Any, ahead: int) -> Any:
    """Every time in a state that is now or later, further ahead."""
    if isinstance(state, dict):
        return {k: _poison(v, ahead) for k, v in state.items()}
    if isinstance(state, list):
        return [_poison(v, ahead) for v in state]
    return (
        state + ahead if isinstance(state, int) and not isinstance(state, bool) and state > T0 - 100 * SECOND else state
    )


@pytest.mark.parametrize("ahead_s", [600, 4 * 3600, 86_400 * 365])
def test_a_poisoned_snapshot_brings_no_poison_back(ahead_s: int) -> None:
    """As it was saved by a version that could be led astray: all times in it are ahead."""
    before = run(lambda _: [], 20)
    after = Cluster(partitions=2, workers=1, seed=1)
    for old, new in zip(before.members, after.members, strict=True):
        new.stage.restore(_poisoned(old.stage, ahead_s * SECOND))
    for second in range(20, 60):
        now = T0 + second * SECOND
        for partition in range(2):
            after.send(partition, message("prod", request("shop", now), request("stock", now - 40 * MS)), now)
        for step in range(10):
            after.work(now + step * 100 * MS, 100_000)
            after.tick(now + step * 100 * MS)
    assert after.counters["late"] == 0
    assert after.counters["time_mended"] > 0
    seen = {(k[1] - T0) // SECOND for k, v in in_prod(after).items() if k[2] == "shop" and v[0] == 2}
    assert set(range(22, 58)) <= seen


def _poisoned(stage: Any, ahead: int) -> bytes:
    if isinstance(stage, IngestStage):
        body = load("partials", 1, stage.snapshot())
        for part in ("spans", "logs", "metrics"):
            del body[part]["marks"]
            body[part] |= {"watermark": T0 + ahead, "flushed": T0 + ahead, "newest": {"prod": T0 + ahead}}
        return dump("partials", 1, body)
    kind = "edge_stage" if isinstance(stage, EdgeStage) else "feature_stage"
    body = load(kind, 1, stage.snapshot())
    inner = "joiners" if isinstance(stage, EdgeStage) else "mergers"
    body[inner] = [[*keys, _poisoned_inner(state, ahead)] for *keys, state in body[inner]]
    assert isinstance(stage, EdgeStage | FeatureStage)
    return dump(kind, 1, body)


def _poisoned_inner(state: bytes, ahead: int) -> bytes:
    for kind in ("edges", "features"):
        try:
            body = load(kind, 1, state)
        except UnreadableEvent:  # the other of the two
            continue
        body["watermarks"] = _poison(body["watermarks"], ahead)
        if "frontier" in body and body["frontier"] > 0:
            body["frontier"] += ahead // SECOND
        return dump(kind, 1, body)
    raise AssertionError("neither joiner nor merger")
