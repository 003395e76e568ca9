"""The journal in one SQLite file. Several processes may share it; each method is one transaction, on disk once settled."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from connectors.journal.changes import Image
from connectors.sqlite_file import Database, Schema
from contracts.errors import Conflict, Fenced, Retryable, UnknownName
from contracts.ports import RunEntry, StepEntry
from contracts.verdicts import TERMINAL_RUN_STATES, RunState, StepPhase

_SCHEMA: Final = Schema(f"{__package__}.migrations")
_RUN: Final = "run, decision, environment, target, playbook, state, created_ns, updated_ns, fence, definition"
_ADD_STEP: Final = "INSERT INTO steps (run, step, phase, key, time_ns, data) VALUES (?, ?, ?, ?, ?, ?)"
_TERMINAL: Final = msgspec.json.encode(sorted(TERMINAL_RUN_STATES)).decode()
_OPEN: Final = msgspec.json.encode(sorted(set(RunState) - TERMINAL_RUN_STATES)).decode()


class SqliteJournal:
    """`Journal` in a file. Errors besides the port's own: those of `connectors.sqlite_file`."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the journal; without a path it is in memory only."""
        self._db = Database(path, _SCHEMA, behind=True)

    @property
    def fresh(self) -> bool:
        """Whether the file was made by this: there was no journal before."""
        return self._db.fresh

    @contextmanager
    def together(self, environment: str) -> Iterator[None]:
        """What is written within the block is kept whole or not at all."""
        del environment
        with self._db.writing():
            yield

    def create(
        self,
        *,
        run: str,
        decision: str,
        environment: str,
        target: str,
        playbook: str,
        definition: Mapping[str, Any],
        now_ns: int,
    ) -> RunEntry | None:
        """Create and claim the run of a decision; None if that decision has a run already. Conflict if `run` is another's."""
        first = (
            run,
            decision,
            environment,
            target,
            playbook,
            RunState.PENDING.value,
            now_ns,
            now_ns,
            1,
            _dump(definition),
        )
        with self._db.writing() as db:
            if db.execute("SELECT 1 FROM runs WHERE decision = ?", (decision,)).fetchone():
                return None
            if db.execute("SELECT 1 FROM runs WHERE run = ?", (run,)).fetchone():
                raise Conflict(f"run {run!r} belongs to another decision")
            db.execute(f"INSERT INTO runs ({_RUN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", first)  # noqa: S608 (a constant)
            return _entry(first, ())

    def claim(self, run: str, now_ns: int) -> RunEntry:
        """Take a run over: the entry with a new fence. UnknownName if there is no such run."""
        with self._db.writing() as db:
            db.execute(
                "UPDATE runs SET fence = fence + 1, updated_ns = max(updated_ns, ?) WHERE run = ?", (now_ns, run)
            )
            entry = _load(db, run)
            if entry is None:
                raise _unknown(db, run)
            return entry

    def set_state(self, run: str, fence: int, state: RunState, now_ns: int) -> None:
        """Record a run's new state. Fenced if somebody else has claimed it, UnknownName if there is no such run."""
        with self._db.writing() as db:
            _check_fence(db, run, fence)
            db.execute("UPDATE runs SET state = ?, updated_ns = ? WHERE run = ?", (RunState(state).value, now_ns, run))

    def step(self, entry: StepEntry, fence: int) -> None:
        """Append one step line. Fenced if somebody else has claimed the run, UnknownName if there is no such run."""
        line = _step_row(entry)
        with self._db.writing() as db:
            _check_fence(db, entry.run, fence)
            db.execute(_ADD_STEP, line)
            db.execute("UPDATE runs SET updated_ns = max(updated_ns, ?) WHERE run = ?", (entry.time_ns, entry.run))

    def load(self, run: str) -> RunEntry | None:
        """The run with all its steps, or None."""
        with self._db.reading() as db:
            return _load(db, run)

    def open_runs(self, environment: str | None = None) -> list[RunEntry]:
        """Runs that are not in a terminal state, oldest first."""
        return self._select(
            "state IN (SELECT value FROM json_each(?)) AND (?2 IS NULL OR environment = ?2)",
            (_OPEN, environment),
        )

    def history(
        self, environment: str, *, since_ns: int = 0, target: str | None = None, playbook: str | None = None
    ) -> list[RunEntry]:
        """Runs created at or after `since_ns`, oldest first."""
        return self._select(
            "environment = ?1 AND created_ns >= ?2 AND (?3 IS NULL OR target = ?3) AND (?4 IS NULL OR playbook = ?4)",
            (environment, since_ns, target, playbook),
        )

    def put(self, key: str, value: Mapping[str, Any], environment: str = "") -> None:
        """Replace a fact. Whose it is does not matter: all who share the file see it."""
        with self._db.writing() as db:
            db.execute(
                "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, _dump(value))
            )

    def get(self, key: str) -> Mapping[str, Any] | None:
        """The fact last put, or None."""
        with self._db.reading() as db:
            row = db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        return None if row is None else _parse(row[0])

    def facts(self, prefix: str) -> dict[str, Mapping[str, Any]]:
        """All facts whose key starts with `prefix`, by key in order."""
        sql = "SELECT key, value FROM facts WHERE key >= ? AND key < ? ORDER BY key"
        with self._db.reading() as db:
            return {key: _known(value) for key, value in db.execute(sql, (prefix, prefix + _LAST))}

    def facts_of_runs(self, prefix: str, since_ns: int) -> dict[str, Mapping[str, Any]]:
        """The facts `prefix` + run of the runs created at or after `since_ns`, by run in order."""
        sql = "SELECT run, value FROM runs JOIN facts ON key = ? || run WHERE created_ns >= ?"
        with self._db.reading() as db:  # ordered here: SQLite would go through all runs in that order
            return {run: _known(value) for run, value in sorted(db.execute(sql, (prefix, since_ns)))}

    def forget(self, keys: Collection[str], environment: str = "") -> None:
        """Facts are as if they had never been put. Whose they are does not matter, as for `put`."""
        del environment
        with self._db.writing() as db:
            db.execute("DELETE FROM facts WHERE key IN (SELECT value FROM json_each(?))", (_names(keys),))

    def ended_runs(self, before_ns: int, most: int) -> list[RunEntry]:
        """Runs that ended and changed before `before_ns` for the last time: the `most` that did first, without their steps."""
        sql = (
            f"SELECT {_RUN} FROM runs WHERE state IN (SELECT value FROM json_each(?)) AND updated_ns < ? "  # noqa: S608 (a constant)
            "ORDER BY updated_ns, runs.rowid LIMIT ?"
        )
        with self._db.reading() as db:
            return [_entry(row, ()) for row in db.execute(sql, (_TERMINAL, before_ns, most))]

    def forget_runs(self, runs: Collection[str]) -> None:
        """Runs that ended are as if they had never been, with their steps. Conflict if one is open."""
        names = _names(runs)
        those = "run IN (SELECT value FROM json_each(?))"
        with self._db.writing() as db:
            open_ = f"SELECT run FROM runs WHERE {those} AND state NOT IN (SELECT value FROM json_each(?))"  # noqa: S608 (constants)
            row = db.execute(open_, (names, _TERMINAL)).fetchone()
            if row is not None:
                raise Conflict(f"run {row[0]!r} is open: it is not forgotten")
            db.execute(f"DELETE FROM steps WHERE {those}", (names,))  # noqa: S608 (a constant)
            db.execute(f"DELETE FROM runs WHERE {those}", (names,))  # noqa: S608 (a constant)

    def sizes(self) -> Mapping[str, int]:
        """How many runs and facts it holds."""
        with self._db.reading() as db:
            runs, facts = db.execute("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM facts)").fetchone()
        return {"runs": runs, "facts": facts}

    def append_audit(self, environment: str, record: bytes, sequence: int, published: bool = False) -> None:
        """Append an audit record under its sequence; Conflict if that number is taken."""
        sql = "INSERT INTO audit VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        with self._db.writing() as db:
            if not db.execute(sql, (environment, sequence, record, int(published))).rowcount:
                raise Conflict(f"audit record {sequence} of {environment!r} exists already", reason="audit_sequence")

    def audit(self, environment: str, *, after: int = 0, unpublished: bool = False) -> list[tuple[int, bytes]]:
        """Audit records with a sequence above `after`, in order; with `unpublished` only those not yet on the topic."""
        only = " AND published = 0" if unpublished else ""
        sql = f"SELECT sequence, record FROM audit WHERE environment = ? AND sequence > ?{only} ORDER BY sequence"  # noqa: S608 (a constant)
        with self._db.reading() as db:
            return [(sequence, bytes(record)) for sequence, record in db.execute(sql, (environment, after))]

    def mark_published(self, environment: str, sequence: int) -> None:
        """Note that the audit record is on the topic."""
        with self._db.writing() as db:
            db.execute("UPDATE audit SET published = 1 WHERE environment = ? AND sequence = ?", (environment, sequence))

    def forget_audit(self, environment: str, before: int) -> None:
        """Drop published audit records with a sequence below `before`."""
        with self._db.writing() as db:
            db.execute(
                "DELETE FROM audit WHERE environment = ? AND sequence < ? AND published = 1", (environment, before)
            )

    async def settled(self, environment: str, timeout_s: float) -> None:
        """The disk has all that was written. The waiting is a thread's: nothing else ever waits for the disk."""
        if not self._db.unsynced:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.to_thread(self._db.sync)
        except TimeoutError as e:
            text = f"the disk did not take the journal's changes within {timeout_s:g} s"
            raise Retryable(text, reason="store_unavailable", fix="is it overloaded, or about to fail?") from e

    def restore(self, image: Image) -> None:
        """Fill an empty journal."""
        runs = sorted(image.runs.values(), key=lambda r: (r.created_ns, r.run))
        steps = [image.steps[key] for key in sorted(image.steps) if key[0] in image.runs]
        with self._db.writing() as db:
            db.executemany(f"INSERT INTO runs ({_RUN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_run_row, runs))  # noqa: S608 (a constant)
            db.executemany(_ADD_STEP, map(_step_row, steps))
            db.executemany("INSERT INTO facts VALUES (?, ?)", [(k, _dump(v)) for k, v in image.facts.items()])
            db.executemany(
                "INSERT INTO audit VALUES (?, ?, ?, ?)",
                [(a.environment, a.sequence, a.record, int(a.published)) for a in image.audit],
            )

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()

    def _select(self, where: str, parameters: tuple[Any, ...]) -> list[RunEntry]:
        sql = f"SELECT {_RUN} FROM runs WHERE {where} ORDER BY created_ns, runs.rowid"  # noqa: S608 (constants of this class)
        with self._db.reading() as db:
            rows = db.execute(sql, parameters).fetchall()
            steps = _steps(db, [row[0] for row in rows])
        return [_entry(row, steps.get(row[0], ())) for row in rows]


def _check_fence(db: sqlite3.Connection, run: str, fence: int) -> None:
    row = db.execute("SELECT fence FROM runs WHERE run = ?", (run,)).fetchone()
    if row is None:
        raise _unknown(db, run)
    if row[0] != fence:
        raise Fenced(
            f"run {run!r} was claimed by another worker (fence {row[0]}, ours is {fence})", fix="stop working on it"
        )


def _unknown(db: sqlite3.Connection, run: str) -> UnknownName:
    recent = db.execute("SELECT run FROM runs ORDER BY created_ns DESC LIMIT 20").fetchall()
    return UnknownName("run", run, [row[0] for row in recent])


def _load(db: sqlite3.Connection, run: str) -> RunEntry | None:
    row = db.execute(f"SELECT {_RUN} FROM runs WHERE run = ?", (run,)).fetchone()  # noqa: S608 (a constant)
    return None if row is None else _entry(row, _steps(db, [run]).get(run, ()))


def _steps(db: sqlite3.Connection, runs: list[str]) -> dict[str, tuple[StepEntry, ...]]:
    """Step lines by run, in order."""
    sql = "SELECT run, step, phase, key, time_ns, data FROM steps WHERE run IN (SELECT value FROM json_each(?)) ORDER BY line"
    found: dict[str, list[StepEntry]] = {}
    for run, step, phase, key, time_ns, data in db.execute(sql, (msgspec.json.encode(runs).decode(),)):
        found.setdefault(run, []).append(StepEntry(run, step, StepPhase(phase), key, time_ns, _parse(data)))
    return {run: tuple(lines) for run, lines in found.items()}


def _entry(row: tuple[Any, ...], steps: tuple[StepEntry, ...]) -> RunEntry:
    run, decision, environment, target, playbook, state, created_ns, updated_ns, fence, definition = row
    return RunEntry(
        run=run,
        decision=decision,
        environment=environment,
        target=target,
        playbook=playbook,
        state=RunState(state),
        created_ns=created_ns,
        updated_ns=updated_ns,
        fence=fence,
        definition=_parse(definition),
        steps=steps,
    )


def _run_row(e: RunEntry) -> tuple[Any, ...]:
    first = (e.run, e.decision, e.environment, e.target, e.playbook, e.state.value, e.created_ns, e.updated_ns, e.fence)
    return (*first, _dump(e.definition))


def _step_row(e: StepEntry) -> tuple[Any, ...]:
    return e.run, e.step, StepPhase(e.phase).value, e.key, e.time_ns, _dump(e.data)


_LAST: Final = "\U0010ffff"
"""Sorts after whatever may follow a prefix; so that the index of keys is used."""


@functools.lru_cache(8192)
def _known(value: str) -> Mapping[str, Any]:
    """As `_parse`; facts are asked for again and again, and hardly any changes in between. Nobody may change what comes back."""
    return _parse(value)


def _names(of: Collection[str]) -> str:
    return msgspec.json.encode(sorted(of)).decode()


def _dump(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


def _parse(value: str) -> dict[str, Any]:
    return msgspec.json.decode(value, type=dict[str, Any])
