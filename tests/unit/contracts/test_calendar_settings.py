"""Calendars in settings: what is wrong is told with its place and the nearest name."""

from __future__ import annotations

import pytest

from contracts.errors import InvalidSettings
from contracts.settings import load


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"timezone": "Europe/Berln"}, "did you mean 'Europe/Berlin'"),
        ({"timezone": "../etc/passwd"}, "no time zone"),
        ({"holidays": ["2026-02-30"]}, "'2026-02-30' is neither a date"),
        ({"holidays": ["13-01"]}, "'13-01' is neither"),
    ],
)
def test_a_mistake_is_told_with_its_place(given: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidSettings, match=r"series\.calendars\.prod") as e:
        load({"series": {"calendars": {"prod": given}}})
    assert told in str(e.value)


def test_days_of_one_year_and_of_every_year_are_taken() -> None:
    found = load({"series": {"calendars": {"*": {"timezone": "Asia/Kolkata", "holidays": ["2026-03-04", "02-29"]}}}})
    assert found.series.calendars["*"].holidays == ("2026-03-04", "02-29")
