"""A sink: keeps incidents and the audit trail in an SQLite file, for reports. What comes twice is kept once."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from pydantic import Field

from homeostat.api import Plugin, PluginSettings, Published, Retryable, SinkSettings, checks

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS events (place INTEGER PRIMARY KEY, id TEXT UNIQUE, topic TEXT, key TEXT, event TEXT)"
)


class EventsDbSettings(PluginSettings):
    file: Path = Field(Path("events.sqlite"), description="SQLite file with the table `events`")


class EventsDb:
    name = "events-db"
    topics = frozenset({"telemetry.incidents", "autonomous.actions"})

    def __init__(self, file: Path) -> None:
        self._file = file

    async def deliver(self, events: Sequence[Published]) -> None:
        rows = [(e.id, e.topic, e.key, e.value.decode()) for e in events]
        try:
            await asyncio.to_thread(_insert, self._file, rows)  # a disk can be slow: not on the loop
        except sqlite3.OperationalError as e:
            raise Retryable(f"{self._file}: {e}") from e

    async def close(self) -> None:
        """Nothing is kept open."""


def _insert(file: Path, rows: Sequence[tuple[str, str, str, str]]) -> None:
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        db.execute(SCHEMA)
        db.executemany("INSERT OR IGNORE INTO events (id, topic, key, event) VALUES (?, ?, ?, ?)", rows)


@contextlib.contextmanager
def subject(_: EventsDbSettings, __: SinkSettings) -> Iterator[checks.sink.SinkSubject]:
    """A file of its own for each check."""
    with tempfile.TemporaryDirectory() as base:
        folder, gone = Path(base) / "db", Path(base) / "gone"
        folder.mkdir()

        def received() -> list[str]:
            with contextlib.closing(sqlite3.connect(folder / "e.sqlite")) as db:
                db.execute(SCHEMA)
                return [row[0] for row in db.execute("SELECT id FROM events ORDER BY place")]

        @contextlib.asynccontextmanager
        async def away() -> AsyncIterator[None]:
            folder.rename(gone)
            yield
            gone.rename(folder)

        yield checks.sink.SinkSubject(lambda: EventsDb(folder / "e.sqlite"), received, away)


PLUGIN: Plugin[SinkSettings, EventsDb] = Plugin(
    lambda own, _: EventsDb(own.file), settings=EventsDbSettings, subject=subject
)
