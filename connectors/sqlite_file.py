"""SQLite as the journal and the state store use it: durable, one writer at a time, several processes on one file."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from contracts.errors import HomeostatError, Permanent, Retryable
from contracts.file_modes import private_file, private_folder

#: How long a writer waits for another process's transaction.
BUSY_S: Final = 10.0
_AGAIN_S: Final = 0.01
#: A write-ahead log of this size is put into its database, by whoever waits for the disk anyway.
_CHECKPOINT_BYTES: Final = 4 << 20

#: SQLite's primary result code -> (error, reason, what to do). https://sqlite.org/rescode.html; a test lists them all.
_BUSY: Final = "another process holds it for too long: is one stuck?"
_DISK: Final = "check the disk, and that the data folder is local and writable"
_DAMAGED: Final = "restore the file from a backup, or move it away to start anew"
_DEFECT: Final = "please report this"
ERRORS: Final[Mapping[int, tuple[type[HomeostatError], str, str]]] = {
    sqlite3.SQLITE_BUSY: (Retryable, "store_busy", _BUSY),
    sqlite3.SQLITE_LOCKED: (Retryable, "store_busy", _BUSY),
    sqlite3.SQLITE_FULL: (Retryable, "disk_full", "free disk space"),
    sqlite3.SQLITE_IOERR: (Retryable, "store_unavailable", _DISK),
    sqlite3.SQLITE_CANTOPEN: (Retryable, "store_unavailable", _DISK),
    sqlite3.SQLITE_READONLY: (Retryable, "store_unavailable", _DISK),
    sqlite3.SQLITE_PERM: (Retryable, "store_unavailable", _DISK),
    sqlite3.SQLITE_AUTH: (Retryable, "store_unavailable", _DISK),
    sqlite3.SQLITE_NOLFS: (Retryable, "store_unavailable", _DISK),
    sqlite3.SQLITE_PROTOCOL: (Retryable, "store_busy", _BUSY),
    sqlite3.SQLITE_INTERRUPT: (Retryable, "store_unavailable", _DISK),
    sqlite3.SQLITE_NOMEM: (Retryable, "store_unavailable", "free memory"),
    sqlite3.SQLITE_SCHEMA: (Retryable, "store_unavailable", _DISK),
    sqlite3.SQLITE_CORRUPT: (Permanent, "store_damaged", _DAMAGED),
    sqlite3.SQLITE_NOTADB: (Permanent, "store_damaged", _DAMAGED),
    sqlite3.SQLITE_FORMAT: (Permanent, "store_damaged", _DAMAGED),
    sqlite3.SQLITE_EMPTY: (Permanent, "store_damaged", _DAMAGED),
    sqlite3.SQLITE_NOTFOUND: (Permanent, "store_defect", _DEFECT),
    sqlite3.SQLITE_ERROR: (Permanent, "store_defect", _DEFECT),
    sqlite3.SQLITE_INTERNAL: (Permanent, "store_defect", _DEFECT),
    sqlite3.SQLITE_ABORT: (Permanent, "store_defect", _DEFECT),
    sqlite3.SQLITE_TOOBIG: (Permanent, "too_large", "SQLite keeps values of up to 1 GB"),
    sqlite3.SQLITE_CONSTRAINT: (Permanent, "store_defect", _DEFECT),
    sqlite3.SQLITE_MISMATCH: (Permanent, "store_defect", _DEFECT),
    sqlite3.SQLITE_MISUSE: (Permanent, "store_defect", _DEFECT),
    sqlite3.SQLITE_RANGE: (Permanent, "store_defect", _DEFECT),
}


def explain(error: sqlite3.Error, file: str) -> HomeostatError:
    """The error of the exception tree that an SQLite error stands for."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        # Python's own, without a code: the connection is closed, or a value has no SQLite form.
        return Permanent(f"{file}: {error}", reason="store_closed" if "closed" in str(error) else "store_defect")
    kind, reason, fix = ERRORS.get(code & 0xFF, (Permanent, "store_defect", _DEFECT))
    return kind(f"{file}: {error}", reason=reason, fix=fix)


@dataclass(frozen=True, slots=True)
class Schema:
    """The migrations of a kind of file: `<number>_<name>.sql` in a package, applied once each, in order."""

    package: str

    def steps(self) -> list[tuple[int, str]]:
        """(version, SQL) in order."""
        folder = resources.files(self.package)
        files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
        return [(int(f.name[:4]), f.read_text("utf-8")) for f in files]


class Database:
    """One SQLite file with a write-ahead log. Threads share it, one at a time.

    A transaction is on disk when its block ends (synchronous=FULL); or, `behind`, once `sync` has returned: then a block
    does not wait for the disk, and an event loop can use it (see `_checkpoint` for the one moment in thousands of writes when it may). Transactions stay in order either way: what a crash of the
    machine leaves is all of them up to one, as each frame of the log carries the checksum of those before it
    (https://sqlite.org/fileformat2.html#walformat).

    Errors: Retryable (busy, disk) and Permanent (damaged, closed, newer_schema), mapped here for all users.
    """

    def __init__(self, path: Path | None, schema: Schema, *, behind: bool = False) -> None:
        """Open or create the file and bring its schema up to date; without a path it is in memory, and ends with this.

        Raises:
            Retryable: it can't be opened now.
            Permanent: it is no SQLite file, or one of a later release.
        """
        self._file = ":memory:" if path is None else str(path)
        self._behind = behind and path is not None
        self._turn, self._syncing = threading.RLock(), threading.Lock()
        self._written = self._synced = 0
        self._failed: HomeostatError | None = None
        self._connection: sqlite3.Connection | None = None
        self.fresh = True
        """Whether the file was made just now."""
        if path is not None:
            _make_private(path)
        with self._explained():
            self._connection = sqlite3.connect(
                self._file, timeout=BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            try:
                self._configure()
                self._migrate(schema)
            except BaseException:
                self.close()
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state of the file."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the file's write lock from its start. Within another one it is a part of that."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @property
    def unsynced(self) -> bool:
        """Whether something was written that may not be on disk yet."""
        return self._behind and self._synced < self._written

    def sync(self) -> None:
        """All that was written before is on disk when this returns. Blocks for the disk, and keeps nobody from writing.

        Raises:
            Permanent: the disk failed to take something, now or before. What it has of that nobody can know: the kernel
                may call the next attempt a success without having written the same pages again.
        """
        wanted = self._written
        with self._syncing:
            if self._failed is not None:
                raise self._failed
            if self._synced >= wanted:
                return
            reached = self._written
            try:
                if _flush(f"{self._file}-wal") > _CHECKPOINT_BYTES:
                    self._checkpoint()
            except OSError as e:
                self._failed = Permanent(f"{self._file}: {e.strerror}", reason="store_unavailable", fix=_DISK)
                raise self._failed from e
            self._synced = reached

    def _checkpoint(self) -> None:
        """Put what is in the log into the database, by a connection of its own: writers go on meanwhile.

        Who writes first after that begins the log anew, and SQLite waits for the disk to have its header before anything follows
        (or a crash could leave an old header before new frames). So this writes first, from its thread. Once per
        `_CHECKPOINT_BYTES` a writer that comes at that very moment waits for one small sync; nothing else ever does.
        """
        with self._explained():
            connection = sqlite3.connect(self._file, timeout=BUSY_S, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                connection.execute("UPDATE schema_version SET version = version")
            finally:
                connection.close()

    def close(self) -> None:
        """Close the file; all is on disk then. Idempotent."""
        if self._connection is not None and self._failed is None and self.unsynced:
            self.sync()
        with self._turn, self._explained():
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._turn, self._explained():
            connection = self._connection
            if connection is None:
                raise Permanent(f"{self._file} is closed", reason="store_closed")
            within = connection.in_transaction  # of this thread: others wait for their turn
            if within:
                yield connection
                return
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
                self._written += begin != "BEGIN"  # it is in the log now, where `sync` finds it
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as e:
            raise explain(e, self._file) from e

    def _configure(self) -> None:
        assert self._connection is not None
        mode = _into_wal(self._connection)
        if mode not in {"wal", "memory"}:
            raise Permanent(
                f"{self._file}: no write-ahead log there", reason="store_unavailable", fix="use a local disk"
            )
        self._connection.execute(f"PRAGMA synchronous={'NORMAL' if self._behind else 'FULL'}")
        if self._behind:
            self._connection.execute("PRAGMA wal_autocheckpoint=0")
        self._connection.execute("PRAGMA foreign_keys=ON")

    def _migrate(self, schema: Schema) -> None:
        with self.writing() as db:
            db.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY) STRICT")
            at = db.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()[0]
            self.fresh = not at
            steps = schema.steps()
            if at > steps[-1][0]:
                raise Permanent(
                    f"{self._file} has schema version {at}, this release knows up to {steps[-1][0]}",
                    reason="newer_schema",
                    fix="upgrade Homeostat, or give it another data folder",
                )
            for version, sql in steps:
                if version > at:
                    _run_all(db, sql)
                    db.execute("INSERT INTO schema_version VALUES (?)", (version,))


def _into_wal(connection: sqlite3.Connection) -> str:
    """The journal mode after the switch.

    SQLite does not wait for others by itself here: each holds a read lock on a new file while it asks for the exclusive
    one, so waiting could only deadlock (https://sqlite.org/c3ref/busy_handler.html). Letting go and asking again can't.
    """
    until = time.monotonic() + BUSY_S
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            return str(mode)
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(_AGAIN_S)


def _flush(file: str) -> int:
    """Have the disk take all of a file; its size. None is needed where there is no such file."""
    try:
        opened = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return 0
    try:
        os.fsync(opened)
        return os.fstat(opened).st_size
    finally:
        os.close(opened)


def _make_private(path: Path) -> None:
    """SQLite gives what it keeps beside the file the same rights."""
    try:
        if not path.parent.exists():
            private_folder(path.parent)
        private_file(path)
    except OSError as e:
        raise Retryable(f"{path.parent}: {e.strerror}", reason="store_unavailable", fix=_DISK) from e


def _run_all(db: sqlite3.Connection, sql: str) -> None:
    """All statements of a script, within the transaction (`executescript` would commit it)."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
