"""Saved and restored at any point, everything goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import UnreadableEvent
from contracts.frames import Decoded, Resource, pack
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.calls import CALLS
from streams.windows.collect import Receipt
from streams.windows.collect_metrics import METRIC_CALLS
from streams.windows.edges import EdgeJoiner
from streams.windows.merge import FeatureMerger, liveness_of
from streams.windows.partials import PartialBuilder
from streams.windows.series import CUMULATIVE, GAUGE
from tests.unit.streams.windows.support import CLIENT, MS, SERVER, T0, Span, decoded, histograms, logs, points, traffic

GOLDEN = Path(__file__).parents[3] / "golden"
SETTINGS = IngestSettings(max_delay_s=10)
SPANS = traffic(seed=5, seconds=8, per_second=4)


def _messages() -> list[Any]:
    found: list[Any] = []
    for i in range(0, len(SPANS), 20):
        some = SPANS[i : i + 20]
        at = some[0].end
        found.append(decoded(some))
        found.append(logs([("orders", at, 17 if i % 3 else 9, f"line {i % 7}"), ("stock", at, 9, "ok")]))
        found.append(points([("orders", 2, 9, 1, T0, at, float(i)), ("stock", 1, 8, 0, 0, at, 0.5)]))
    return found


MESSAGES = _messages()


def _chain(restore: Callable[[int], bool]) -> list[bytes]:
    """All frames that come out; before step i every part is saved and made anew where `restore(i)` says so."""
    out: list[bytes] = []
    builder, joiner = PartialBuilder("otlp_spans/0", SETTINGS, 2), EdgeJoiner("prod", SETTINGS, 2)
    mergers = {
        (s, t): FeatureMerger("prod", s, SETTINGS, t) for s in ("spans", "edges", "logs", "metrics") for t in (0, 1)
    }
    for i in range(len(MESSAGES) + 100):
        now = T0 + i * 150 * MS
        if restore(i):
            builder = _again(builder, PartialBuilder("otlp_spans/0", SETTINGS, 2))
            joiner = _again(joiner, EdgeJoiner("prod", SETTINGS, 2))
            mergers = {k: _again(m, FeatureMerger("prod", k[0], SETTINGS, k[1])) for k, m in mergers.items()}
        if i < len(MESSAGES):
            builder.add(MESSAGES[i], Receipt(now, now), i)
        flushed = builder.flush() if i % 3 == 2 else None
        for _, _, frame in flushed.spans if flushed else ():
            joiner.add(frame, now)
        partials = [*(flushed.partials if flushed else ()), *joiner.flush("telemetry.spans/0", i, now)]
        for _, target, partial in partials:
            out.append(pack(partial))
            if partial.signal != CALLS:
                mergers[partial.signal, target].add(partial, now)
        out += [pack(f) for m in mergers.values() for f in m.advance(now)]
    return out


def _again(old: Any, new: Any) -> Any:
    new.restore(old.snapshot())
    assert new.snapshot() == old.snapshot()
    return new


def _used(seed: int) -> tuple[PartialBuilder, EdgeJoiner, list[FeatureMerger]]:
    """Parts that have all kinds of telemetry of two environments in them, some of it pending."""
    builder, joiner = PartialBuilder("otlp_spans/0", SETTINGS, 1), EdgeJoiner("prod", SETTINGS, 1)
    liveness: dict[str, FeatureMerger] = {}
    judge = liveness_of(SETTINGS, liveness)
    for signal in ("spans", "edges", "logs", "metrics", METRIC_CALLS):
        liveness[signal] = FeatureMerger("prod", signal, SETTINGS, 0, judge)
    names = [f"{name}-{seed}" for name in ("web", "cart", "shop")]
    offset = 0
    for second in range(6):
        now = T0 + (seed * 50 + second) * SECOND
        for message in _kinds(names, now, seed * 1000 + second * 10):
            builder.add(message, Receipt(now, now), offset)
            offset += 1
        if second == 5:
            break
        flushed = builder.flush()
        for e, _, spans in flushed.spans:
            if e == "prod":
                joiner.add(spans, now)
        for e, _, partial in [*flushed.partials, *joiner.flush("telemetry.spans/0", second, now)]:
            if e == "prod" and partial.signal == CALLS:
                judge.add(partial, now)
            elif e == "prod" and partial.signal in liveness:
                liveness[partial.signal].add(partial, now)
        for merger in liveness.values():
            merger.advance(now)
    return builder, joiner, [*liveness.values()]


def _kinds(names: list[str], now: int, number: int) -> list[Decoded]:
    """Messages of a second: calls over an address, one of which fails and one of which is cut off, logs, metrics and calls by metrics."""
    web, cart, shop = names
    client = Span(
        web, number + 1, 2, 1, CLIENT, now - 40 * MS, now - 20 * MS, True, peer=f"external:{cart}", name="GET /x"
    )
    spans = [
        Span(web, number + 1, 1, 0, SERVER, now - 50 * MS, now - 10 * MS, True, name="GET /"),
        client,
        Span(cart, number + 1, 3, 2, SERVER, now - 39 * MS, now - 21 * MS, name=f"GET /{number % 7}"),
        Span(shop, number + 2, 9, 8, SERVER, now - 39 * MS, now - 21 * MS, name="POST /"),
    ]
    said = decoded(spans)
    assert said.spans is not None
    of = [Resource("prod", r.service, "1.0", attributes=(("host.name", f"node-{r.service}"),)) for r in said.resources]
    said = replace(
        said, resources=tuple(of), linked=replace(said.spans, parent=said.spans.span), unread=((of[0], "m", 2),)
    )
    hist = histograms([(cart, 7, CUMULATIVE, now - 60 * SECOND, now, False, {400: number + 5, 500: number})])
    assert hist.histograms is not None
    ranked = replace(hist.histograms, rank=np.array([2], np.int8))
    ahead = decoded([Span("fast", number + 3, 1, 0, SERVER, now + 4 * SECOND, now + 5 * SECOND)], f"stage-{web}")
    counted = points(
        [(cart, 2, 9, CUMULATIVE, now - 60 * SECOND, now, float(number)), (shop, 1, 8, GAUGE, 0, now, 0.5)]
    )
    return [
        said,
        ahead,
        logs([(cart, now, 17, f"line {number}"), (shop, now, 9, "ok")]),
        counted,
        replace(hist, histograms=ranked),
    ]


def test_a_snapshot_takes_the_place_of_all_that_was_there() -> None:
    """Whatever a part has in it when the state of another is loaded, nothing of that is left."""
    (builder, joiner, mergers), (other, others, more) = _used(1), _used(2)
    for old, new in ((builder, other), (joiner, others), *zip(mergers, more, strict=True)):
        state = old.snapshot()
        assert new.snapshot() != state
        new.restore(state)
        assert new.snapshot() == state, type(old)
    first, again = builder.flush(), other.flush()
    assert [pack(f) for _, _, f in first.partials] == [pack(f) for _, _, f in again.partials]
    assert {f.signal for _, _, f in first.partials} >= {"spans", "edges", "logs", "metrics"}
    now = T0 + 57 * SECOND
    for a, b in zip(mergers, more, strict=True):
        assert [pack(f) for f in a.advance(now)] == [pack(f) for f in b.advance(now)]


EXPECTED = _chain(lambda _: False)


@settings(max_examples=6, deadline=None)
@given(st.sets(st.integers(0, len(MESSAGES) + 30), max_size=4))
def test_restoring_changes_nothing(at: set[int]) -> None:
    assert _chain(lambda i: i in at) == EXPECTED


def test_there_was_something_to_lose() -> None:
    assert len(EXPECTED) > 100


@pytest.mark.parametrize(
    "make",
    [
        lambda: PartialBuilder("otlp_spans/0", SETTINGS, 2),
        lambda: EdgeJoiner("prod", SETTINGS, 2),
        lambda: FeatureMerger("prod", "spans", SETTINGS),
    ],
)
def test_another_state_is_refused(make: Callable[[], Any]) -> None:
    others = [
        b"",
        b"\x93",
        PartialBuilder("x", SETTINGS, 1).snapshot(),
        FeatureMerger("e", "logs", SETTINGS).snapshot(),
    ]
    part = make()
    refused = 0
    for state in others:
        try:
            part.restore(state)
        except UnreadableEvent:
            refused += 1
    assert refused >= 3
    assert SECOND == 1_000 * MS


def test_states_from_before_clocks_were_in_question_go_on() -> None:
    """As the version before wrote them: the second half of some traces was pending, the first was waiting to be joined."""
    known, now = IngestSettings(), T0 + 8 * SECOND
    parts: dict[str, Any] = {
        "partials": PartialBuilder("otlp_spans/0", known, 1),
        "edges": EdgeJoiner("prod", known, 1),
        "features": FeatureMerger("prod", "spans", known),
    }
    for name, part in parts.items():
        part.restore((GOLDEN / "states" / f"{name}.before-clocks.state").read_bytes())
        part.restore(part.snapshot())
    flushed = parts["partials"].flush()
    for _, _, frame in flushed.spans:
        parts["edges"].add(frame, now)
    parts["edges"].flush("telemetry.spans/0", 3, now)
    for _, _, partial in flushed.partials:
        if partial.signal == "spans":
            parts["features"].add(partial, now)
    rows = [f for step in range(30) for f in parts["features"].advance(now + step * 100 * MS)]
    assert {s for f in rows for s in f.services} >= {"gateway", "orders", "stock"}
    assert parts["edges"].counters["calls"] > 4
    assert sum(p.count.sum() for _, _, p in flushed.partials if p.signal == "logs") == 1
