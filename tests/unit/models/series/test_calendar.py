"""Seasons by local time: summer time, days off, and an office that opens, or doesn't."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from contracts.frames.decoded import F64
from models.series.alarms import bar
from models.series.calendar import DAY_BINS, UNIVERSAL, Calendar
from models.series.scorer import SeriesScorer
from models.series.season import Season

BERLIN = ZoneInfo("Europe/Berlin")
HOLIDAY, MISSING = date(2026, 10, 21), date(2026, 10, 29)
"""A Wednesday, and the Thursday after summer time ended."""
FIRST, STEP_S, OFFICES = datetime(2026, 10, 5, tzinfo=BERLIN), 900, 6


def bins(calendar: Calendar, at: datetime) -> tuple[int, int]:
    day, hour = calendar.bins(np.array([at.timestamp()]))
    return int(day[0]), int(hour[0])


@pytest.mark.parametrize(
    ("zone", "at", "half_hour", "hour"),
    [
        ("Europe/Berlin", datetime(2026, 10, 23, 6, 30, tzinfo=UTC), 17, 4 * 24 + 8),  # Friday 8:30, summer time
        ("Europe/Berlin", datetime(2026, 10, 26, 7, 30, tzinfo=UTC), 17, 8),  # Monday 8:30, winter time
        ("Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), DAY_BINS + 5, 6 * 24 + 2),  # Sunday 2:30
        ("Europe/Berlin", datetime(2026, 10, 25, 1, 30, tzinfo=UTC), DAY_BINS + 5, 6 * 24 + 2),  # and once more
        ("Asia/Kathmandu", datetime(2026, 10, 25, 18, 15, tzinfo=UTC), 0, 0),  # Monday 0:00
        ("America/New_York", datetime(2026, 12, 25, 15, 0, tzinfo=UTC), DAY_BINS + 20, 6 * 24 + 10),  # of every year
        ("America/New_York", datetime(2026, 7, 3, 15, 0, tzinfo=UTC), DAY_BINS + 22, 6 * 24 + 11),  # of this year
        (
            "America/New_York",
            datetime(2026, 7, 4, 3, 0, tzinfo=UTC),
            DAY_BINS + 46,
            6 * 24 + 23,
        ),  # still the third there
        ("America/New_York", datetime(2027, 7, 2, 15, 0, tzinfo=UTC), 22, 4 * 24 + 11),
    ],
)
def test_bins_are_those_of_local_time_and_a_holiday_is_a_sunday(
    zone: str, at: datetime, half_hour: int, hour: int
) -> None:
    assert bins(Calendar(zone, ("12-25", "2026-07-03")), at) == (half_hour, hour)


def test_without_a_calendar_all_days_are_alike_in_utc() -> None:
    for day in range(8):
        at = datetime(2026, 10, 19, 9, 30, tzinfo=UTC) + timedelta(days=day)
        assert bins(UNIVERSAL, at) == (19, at.weekday() * 24 + 9)


def test_a_snapshot_of_before_days_off_were_told_apart_is_read() -> None:
    old = Season(3).arrays()
    old["day"], old["days"] = np.full((3, DAY_BINS), 7.0), np.ones((3, DAY_BINS))
    season = Season(3, Calendar("UTC"))
    season.load(old)
    weekday, sunday = (np.full(3, datetime(2026, 10, day, 9, tzinfo=UTC).timestamp()) for day in (23, 25))
    rows = np.arange(3)
    assert season.expected(rows, weekday, np.zeros(3))[0].tolist() == [7.0] * 3
    assert not season.expected(rows, sunday, np.zeros(3))[1].any()


def offices() -> list[tuple[datetime, F64]]:
    """Four weeks of requests of some offices: they open about half past eight, each day a little earlier or later."""
    rng, found = np.random.default_rng(11), []
    until = datetime(2026, 10, 31, tzinfo=BERLIN).timestamp()
    late, busy = rng.normal(0.0, 0.07, (32, OFFICES)), rng.normal(1.0, 0.05, (32, OFFICES))
    for at_s in np.arange(FIRST.timestamp(), until, STEP_S).tolist():
        at = datetime.fromtimestamp(at_s, BERLIN)
        hour, day = at.hour + at.minute / 60 + late[at.day], busy[at.day]
        works = at.weekday() < 5 and at.date() not in (HOLIDAY, MISSING)
        rate = 20 + works * 300 * day / (1 + np.exp(-6 * (hour - 8.5))) / (1 + np.exp(4 * (hour - 17.5)))
        found.append((at, rng.poisson(rate).astype(float)))
    return found


def loudest(calendar: Calendar) -> dict[date, F64]:
    """The most evidence of each day, by office."""
    scorer, rows = SeriesScorer(OFFICES, calendar), np.arange(OFFICES)
    found: dict[date, F64] = defaultdict(lambda: np.zeros(OFFICES))
    for at, values in offices():
        said = scorer.step(rows, np.full(OFFICES, at.timestamp()), values)
        found[at.date()] = np.maximum(found[at.date()], said.evidence)
    return found


def test_an_office_opens_without_a_word_from_the_second_day_on_and_a_morning_without_it_is_evidence() -> None:
    calendar, none = loudest(Calendar("Europe/Berlin", (HOLIDAY.isoformat(),))), loudest(UNIVERSAL)
    told = bar(1, 1.0)
    usual = [said for day, said in calendar.items() if day < MISSING]
    assert (np.array(usual) < told).all(), "neither weekend, holiday nor the end of summer time is told"
    assert (calendar[MISSING] > told).all()
    assert (none[MISSING] < told).all(), "which no profile of all days alike tells"
