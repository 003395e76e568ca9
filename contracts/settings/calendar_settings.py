"""Settings of local time: when people work where an environment's users are."""

from __future__ import annotations

import re
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field, field_validator

from contracts.errors import suggest
from contracts.settings.section import Section

_EVERY_YEAR: Final = re.compile(r"\d\d-\d\d")
_A_LEAP_YEAR: Final = "2000-"


class CalendarSettings(Section):
    """The clock and the free days that an environment's load follows."""

    timezone: str = Field(
        "UTC", description="time zone of its users by its IANA name (`Europe/Berlin`): seasons follow its summer time"
    )
    holidays: tuple[str, ...] = Field(
        (),
        description="days off: dates (`2026-04-03`), or days of every year (`12-25`). They are expected to be as Sundays are",
    )

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as e:
            close = suggest(name, available_timezones())
            raise ValueError(f"no time zone {name!r}" + (f"; did you mean {close!r}?" if close else "")) from e
        return name

    @field_validator("holidays")
    @classmethod
    def _dates(cls, days: tuple[str, ...]) -> tuple[str, ...]:
        for day in days:
            try:
                date.fromisoformat(_A_LEAP_YEAR + day if _EVERY_YEAR.fullmatch(day) else day)
            except ValueError as e:
                raise ValueError(f"{day!r} is neither a date as '2026-04-03' nor a day of every year as '12-25'") from e
        return days
