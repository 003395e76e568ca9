"""Log records on their way: which are errors, how often each template came, and that its text is told once to each partition."""

from __future__ import annotations

from collections import Counter

import pytest

from contracts.frames import PartialFrame
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows import collect_logs
from streams.windows.collect import Receipt
from streams.windows.collect_logs import LogCollector
from streams.windows.rows import Origin
from tests.unit.streams.windows.support import T0, logs

NOW = Receipt(T0 + SECOND, T0 + SECOND)
Line = tuple[str, int, int, str]
Told = dict[tuple[str, int, str], tuple[int, int]]


def collector(*lines: Line, partitions: int = 1) -> LogCollector:
    found = LogCollector(IngestSettings(), partitions, Counter())
    found.add(logs(list(lines)), NOW)
    return found


def flush(collected: LogCollector, number: int = 1) -> list[PartialFrame]:
    return [f for _, _, f in collected.flush(Origin("", "otlp/0", number, 0, False))]


def rows(frames: list[PartialFrame]) -> dict[tuple[str, int], tuple[int, int, dict[int, int]]]:
    """By service and second: records, errors, and how many of each template are no errors."""
    found = {}
    for f in frames:
        for i, service in enumerate(f.service.tolist()):
            mine = f.template_row == i
            templates = dict(zip(f.template_hash[mine].tolist(), f.template_count[mine].tolist(), strict=True))
            key = f.services[service], (int(f.window_ns[i]) - T0) // SECOND
            found[key] = int(f.count[i]), int(f.errors[i]), templates
    return found


def texts(frames: list[PartialFrame]) -> list[str]:
    return sorted(text for f in frames for text in f.template_text if text)


def test_records_are_counted_by_service_second_and_template_of_which_errors_are_none() -> None:
    lines = [
        ("cart", 0, 16, "a"),
        ("cart", 0, 17, "b"),
        ("cart", 0, 17, "b"),
        ("web", 0, 9, "a"),
        ("cart", -1, 24, "a"),
    ]
    a, b = ord("a"), ord("b")
    found = rows(flush(collector(*((s, T0 + t * SECOND, severity, text) for s, t, severity, text in lines))))
    assert found == {("cart", 0): (3, 2, {a: 1, b: 0}), ("web", 0): (1, 0, {a: 1}), ("cart", -1): (1, 1, {a: 0})}


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_text_is_told_once_to_each_partition(partitions: int) -> None:
    services = [f"s{n}" for n in range(12)]
    collected = collector(*((s, T0, 9, "a") for s in services), ("s0", T0, 9, "b"), partitions=partitions)
    first = flush(collected)
    assert texts(first) == ["a"] * len(first) + ["b"]
    collected.add(logs([(s, T0, 9, text) for s in services for text in ("a", "c")]), NOW)
    again = LogCollector(IngestSettings(), partitions, Counter())
    again.load(collected.state())
    for one in (collected, again):
        assert texts(flush(one, 2)) == ["c"] * partitions
    assert collected.counters["log_records"] == 13 + 24


def test_where_too_many_are_known_all_are_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect_logs, "_MOST_TEXTS", 2)
    collected = collector(("cart", T0, 9, "a"), ("cart", T0, 9, "b"))
    assert texts(flush(collected)) == ["a", "b"]
    collected.make_room()
    collected.add(logs([("cart", T0, 9, "a"), ("cart", T0, 9, "c")]), NOW)
    assert texts(flush(collected)) == ["c"]
    collected.make_room()
    assert collected.counters["templates_left"] == 3
    collected.add(logs([("cart", T0, 9, "a")]), NOW)
    assert texts(flush(collected)) == ["a"]


def test_an_environment_that_is_gone_is_told_everything_again() -> None:
    collected = collector(("cart", T0, 9, "a"))
    assert texts(flush(collected)) == ["a"]
    collected.forget("prod")
    collected.add(logs([("cart", T0, 9, "a")]), NOW)
    assert texts(flush(collected)) == ["a"]
