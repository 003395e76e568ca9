"""Durations and times of the week."""

from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from playbooks.language import durations, windows


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("1.5s", 1.5), ("5m", 300), ("1h30m", 5400), ("2d", 172_800), ("1m500ms", 60.5)],
)
def test_durations(text: str, seconds: float):
    assert durations.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 m", "m5", "30m1h", "-5s", "5min", "1.5h", "٣s", "5m\n", "9" * 50 + "s"])
def test_what_is_no_duration(text: str):
    assert durations.parse(text) is None


@given(st.integers(0, 10**10))
def test_spelling_is_the_inverse_of_parsing(milliseconds: int):
    assert durations.parse(durations.spell(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        ("Mon-Fri 08:00-18:00", "2026-11-20T17:59", "2026-11-20T18:00"),  # a Friday
        ("Mon-Fri 08:00-18:00", "2026-11-20T08:00", "2026-11-21T08:00"),
        ("Fri 22:00-06:00", "2026-11-21T05:59", "2026-11-20T05:59"),
        ("Sat-Mon 00:00-24:00", "2026-11-23T23:59", "2026-11-24T00:00"),
        ("12:00-13:00", "2026-11-18T12:30", "2026-11-18T13:00"),
    ],
)
def test_windows(window: str, inside: str, outside: str):
    assert windows.is_open((window,), at(inside))
    assert not windows.is_open((window,), at(outside))


def test_no_window_means_always_and_an_unreadable_one_never():
    assert windows.is_open((), 0)
    assert not windows.is_open(("whenever",), 0)


@pytest.mark.parametrize(
    "text", ["8:00-18:00", "08:00-08:00", "Mon 08:00", "mon 08:00-09:00", "Mon-Fri 08:00-25:00", "Mon-Fri  08:00-09:00"]
)
def test_what_is_no_window(text: str):
    assert windows.parse(text) is None
