"""Snapshots in one SQLite file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from connectors.sqlite_file import Database, Schema

_SCHEMA: Final = Schema(f"{__package__}.migrations")


class SqliteStateStore:
    """`StateStore` in a file. Blocking work happens in threads. Errors: those of `connectors.sqlite_file`."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._db = Database(path, _SCHEMA)

    async def load(self, key: str) -> bytes | None:
        """The last saved state, or None."""
        return await asyncio.to_thread(self._load, key)

    async def save(self, key: str, value: bytes) -> None:
        """Replace the state; it is on disk on return."""
        await asyncio.to_thread(self._save, key, value)

    async def close(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._db.close)

    def _load(self, key: str) -> bytes | None:
        with self._db.reading() as db:
            row = db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def _save(self, key: str, value: bytes) -> None:
        with self._db.writing() as db:
            db.execute("INSERT INTO state VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value))
