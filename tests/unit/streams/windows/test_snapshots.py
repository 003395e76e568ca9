"""Saved and restored at any point, everything goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import UnreadableEvent
from contracts.frames import pack
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.calls import CALLS
from streams.windows.collect import Receipt
from streams.windows.edges import EdgeJoiner
from streams.windows.merge import FeatureMerger
from streams.windows.partials import PartialBuilder
from tests.unit.streams.windows.support import MS, T0, decoded, logs, points, traffic

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
