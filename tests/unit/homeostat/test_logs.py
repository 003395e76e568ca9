"""Libraries that repeat themselves are heard once in a while, with how often they did."""

from __future__ import annotations

import logging

from homeostat.logs import Repeats


def heard(repeats: Repeats, name: str, text: str, at: float, level: int = logging.ERROR) -> str | None:
    record = logging.LogRecord(name, level, __file__, 1, text, ("node 1",), None)
    record.created = at
    return record.getMessage() if repeats.filter(record) else None


def test_a_library_that_repeats_itself() -> None:
    repeats = Repeats()
    said = [heard(repeats, "aiokafka", "cannot connect to %s", 1000 + second / 10) for second in range(250)]
    assert [s for s in said if s] == [
        "cannot connect to node 1",
        "cannot connect to node 1 (and 99 times more since)",
        "cannot connect to node 1 (and 99 times more since)",
    ]


def test_other_words_and_our_own_are_all_heard() -> None:
    repeats = Repeats()
    assert heard(repeats, "aiokafka", "cannot connect to %s", 1.0)
    assert heard(repeats, "aiokafka", "lost %s", 1.0)
    assert heard(repeats, "aiokafka.producer", "cannot connect to %s", 1.0)
    assert all(heard(repeats, "streams.worker", "trying %s again", 1.0) for _ in range(3))
    assert all(heard(repeats, "aiokafka", "about %s", 1.0, logging.DEBUG) for _ in range(3))
