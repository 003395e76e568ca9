"""Libraries that repeat themselves are heard once in a while, with how often they did."""

from __future__ import annotations

import logging

from homeostat.logs import Repeats


def heard(repeats: Repeats, name: str, text: str, level: int = logging.ERROR, node: str = "node 1") -> str | None:
    record = logging.LogRecord(name, level, __file__, 1, text, (node,), None)
    return record.getMessage() if repeats.filter(record) else None


def test_a_library_that_repeats_itself() -> None:
    seconds = iter(range(10_000, 12_500))
    repeats = Repeats(lambda: next(seconds) / 10)
    said = [heard(repeats, "aiokafka.client", "cannot connect to %s") for _ in range(250)]
    assert [s for s in said if s] == [
        "cannot connect to node 1",
        "cannot connect to node 1 (and 99 times more since)",
        "cannot connect to node 1 (and 99 times more since)",
    ]


def test_other_words_and_our_own_are_all_heard() -> None:
    repeats = Repeats(lambda: 1.0)
    assert heard(repeats, "aiokafka", "cannot connect to %s")
    assert not heard(repeats, "aiokafka", "cannot connect to %s")
    assert heard(repeats, "aiokafka", "cannot connect to %s", node="node 2")
    assert heard(repeats, "aiokafka", "lost %s")
    assert heard(repeats, "aiokafka.producer", "cannot connect to %s")
    assert all(
        heard(repeats, name, "trying %s again") for name in ("streams.worker", "models.engine") for _ in range(3)
    )
    assert all(heard(repeats, "aiokafka", "about %s", logging.DEBUG) for _ in range(3))


def test_memory_is_bounded() -> None:
    repeats = Repeats(lambda: 1.0)
    assert all(heard(repeats, "asyncio", "task %s failed", node=str(n)) for n in range(1000))
    assert len(repeats._said) <= 200
