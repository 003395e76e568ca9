"""A source: takes measurements that something else writes into an SQLite file, for services that can't be instrumented."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from pydantic import Field

from homeostat.api import Plugin, PluginSettings, SourceSettings, Telemetry, checks

SCHEMA = "CREATE TABLE IF NOT EXISTS measurements (id INTEGER PRIMARY KEY, measurement TEXT)"


class MeasurementsDbSettings(PluginSettings):
    file: Path = Field(
        description="SQLite file with the table `measurements` (id, measurement: JSON as for telemetry.raw)"
    )
    every_s: float = Field(1.0, gt=0, description="how often to look")


class MeasurementsDb:
    name = "measurements-db"

    def __init__(self, file: Path, every_s: float) -> None:
        self._file, self._every_s = file, every_s

    async def messages(self) -> AsyncGenerator[Telemetry]:
        while True:
            rows = await asyncio.to_thread(self._rows)
            for number, text in rows:
                yield Telemetry("telemetry.raw", text.encode())
                # Asked for the next one: the log has this one. What is deleted here would be lost any earlier.
                await asyncio.to_thread(self._taken, number)
            if not rows:
                await asyncio.sleep(self._every_s)

    async def close(self) -> None:
        """Nothing is kept open."""

    def _rows(self) -> list[tuple[int, str]]:
        with contextlib.closing(sqlite3.connect(self._file)) as db:
            db.execute(SCHEMA)
            return db.execute("SELECT id, measurement FROM measurements ORDER BY id LIMIT 100").fetchall()

    def _taken(self, number: int) -> None:
        with contextlib.closing(sqlite3.connect(self._file)) as db, db:
            db.execute("DELETE FROM measurements WHERE id = ?", (number,))


@contextlib.contextmanager
def subject(_: MeasurementsDbSettings, __: SourceSettings) -> Iterator[checks.source.SourceSubject]:
    """A file of its own for each check, with three measurements in it."""
    texts = [f'{{"service": "cart", "timestamp": {n}, "latencies_ms": [{n}]}}' for n in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "m.sqlite"
        with contextlib.closing(sqlite3.connect(file)) as db, db:
            db.execute(SCHEMA)
            db.executemany("INSERT INTO measurements (measurement) VALUES (?)", [(text,) for text in texts])
        messages = [Telemetry("telemetry.raw", text.encode()) for text in texts]
        yield checks.source.SourceSubject(lambda: MeasurementsDb(file, 0.05), messages)


PLUGIN: Plugin[SourceSettings, MeasurementsDb] = Plugin(
    lambda own, _: MeasurementsDb(own.file, own.every_s), settings=MeasurementsDbSettings, subject=subject
)
