"""What the process manager must not forget: every key it was given, and what each service should be. One SQLite file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from connectors.actuators.process.messages import DesiredState, Operation, OperationState, Order
from connectors.sqlite_file import Database, Schema
from contracts.ports import Clock, SystemClock

_SCHEMA: Final = Schema(f"{__package__}.migrations")
INTERRUPTED: Final = "the process manager ended while this was under way"


class OperationStore:
    """Operations by key and services by name. Calls block for a disk write; run them in a thread."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._db = Database(path, _SCHEMA)

    def begin_life(self) -> int:
        """The number of this start of the manager. What was under way when it last ended is unknown from now on."""
        now = self._clock.now_ns()
        with self._db.writing() as db:
            db.execute(
                "UPDATE operations SET state = 'unknown', text = ?, changed_ns = ? WHERE state = 'running'",
                (INTERRUPTED, now),
            )
            return int(db.execute("INSERT INTO starts (time_ns) VALUES (?)", (now,)).lastrowid or 0)

    def wanted(self, service: str, default: DesiredState) -> DesiredState:
        """What a service should be, from before; `default` for one that is new."""
        with self._db.reading() as db:
            row = db.execute(
                "SELECT replicas, version, previous_version, generation FROM services WHERE name = ?", (service,)
            ).fetchone()
        return DesiredState(*row) if row else default

    def find(self, key: str) -> Operation | None:
        """What became of a key; None if it was never seen."""
        with self._db.reading() as db:
            row = db.execute(
                "SELECT service, kind, arguments, state, text, result FROM operations WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        order = Order(key, row[0], row[1], json.loads(row[2]))
        return Operation(order, OperationState(row[3]), row[4], json.loads(row[5]))

    def begin(self, order: Order) -> None:
        """Remember that this is about to be done. A key that failed before, so without effect, begins again."""
        now = self._clock.now_ns()
        with self._db.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO operations VALUES (?, ?, ?, ?, 'running', '', '{}', ?, ?)",
                (order.key, order.service, order.kind, _text(order.arguments), now, now),
            )

    def finish(self, operation: Operation, wanted: DesiredState | None) -> None:
        """Remember what became of it and, where it changed, what the service should be: both or neither."""
        order = operation.order
        with self._db.writing() as db:
            db.execute(
                "UPDATE operations SET state = ?, text = ?, result = ?, changed_ns = ? WHERE key = ?",
                (operation.state.value, operation.text, _text(operation.result), self._clock.now_ns(), order.key),
            )
            if wanted is not None:
                db.execute(
                    "INSERT OR REPLACE INTO services VALUES (?, ?, ?, ?, ?)",
                    (order.service, wanted.replicas, wanted.version, wanted.previous_version, wanted.generation),
                )

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()


def _text(value: Any) -> str:
    return json.dumps(dict(value), sort_keys=True, separators=(",", ":"))
