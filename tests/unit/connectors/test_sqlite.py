"""The file beneath journal and state store: durable settings, schema steps, and every error by name."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connectors.journal.sqlite import SqliteJournal
from connectors.sqlite_file import ERRORS, Database, Schema, explain
from connectors.state.sqlite import SqliteStateStore
from contracts.errors import Permanent, Retryable
from tests.patience import PATIENCE_S

SCHEMA = Schema("connectors.journal.migrations")


def test_every_result_code_is_mapped() -> None:
    """Errors are the primary codes 1 to 26 (https://sqlite.org/rescode.html); above are notices, and rows."""
    assert set(ERRORS) == set(range(sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB + 1))


def test_durable_settings(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite", SCHEMA)
    with database.reading() as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    database.close()


def test_who_writes_behind_never_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs holds up `sync` alone, and what was written meanwhile is waited for by the next one."""
    hangs, flushed = threading.Event(), list[int]()

    def flush(file: int) -> None:
        assert hangs.wait(PATIENCE_S)
        flushed.append(file)

    database = Database(tmp_path / "x.sqlite", SCHEMA, behind=True)
    monkeypatch.setattr("connectors.sqlite_file.os.fsync", flush)
    with database.reading() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (1,)  # NORMAL: a commit does not sync
        assert db.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)  # nor does one in a thousand
    put(database, "a")
    waiting = threading.Thread(target=database.sync)
    waiting.start()
    for n in range(50):
        put(database, f"b{n}")
    assert (flushed, database.unsynced, waiting.is_alive()) == ([], True, True)
    hangs.set()
    waiting.join()
    assert database.unsynced, "what came while the disk was at work is not known to be on it"
    database.sync()
    database.sync()
    assert (len(flushed), database.unsynced) == (2, False)
    database.close()


def test_what_a_disk_failed_to_take_once_is_never_said_to_be_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync Linux marks the pages as clean: the next one "succeeds" (Rebello et al., ATC 2020)."""
    database = Database(tmp_path / "x.sqlite", SCHEMA, behind=True)
    put(database, "a")
    with monkeypatch.context() as broken:
        broken.setattr(
            "connectors.sqlite_file.os.fsync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error"))
        )
        with pytest.raises(Permanent, match="Input/output"):
            database.sync()
    with pytest.raises(Permanent, match="Input/output"):
        database.sync()
    database.close()


def test_a_log_is_put_into_its_database_by_who_waits(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite", SCHEMA, behind=True)
    for n in range(60):
        put(database, f"{n}", "x" * 100_000)
    size = (tmp_path / "x.sqlite").stat().st_size
    database.sync()
    assert (tmp_path / "x.sqlite").stat().st_size > size + 4_000_000
    database.close()


def put(database: Database, key: str, text: str = "") -> None:
    with database.writing() as db:
        db.execute("INSERT INTO facts VALUES (?, ?)", (key, f'{{"text": "{text}"}}'))


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        database = Database(tmp_path / "x.sqlite", SCHEMA)
        with database.reading() as db:
            versions = db.execute("SELECT version FROM schema_version").fetchall()
        database.close()
        assert versions == [(version,) for version, _ in SCHEMA.steps()]


def test_a_file_of_a_later_release(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite", SCHEMA)
    with database.writing() as db:
        db.execute("INSERT INTO schema_version VALUES (999)")
    database.close()
    with pytest.raises(Permanent, match=r"schema version 999.*upgrade") as caught:
        SqliteJournal(tmp_path / "x.sqlite")
    assert caught.value.reason == "newer_schema"


@pytest.mark.parametrize("store", [SqliteJournal, SqliteStateStore])
def test_not_a_database(tmp_path: Path, store: type) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"not a database, but long enough to have a header" * 40)
    with pytest.raises(Permanent, match=r"x\.sqlite.*not a database.*backup") as caught:
        store(tmp_path / "x.sqlite")
    assert caught.value.reason == "store_damaged"


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(Retryable, match="data"):
        SqliteJournal(tmp_path / "data" / "x.sqlite")
    with pytest.raises(Retryable, match="unable to open"):
        SqliteJournal(tmp_path)


def write_nothing(database: Database) -> None:
    with database.writing():
        pass


def test_busy_is_retryable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.sqlite_file.BUSY_S", 0.05)
    one, two = Database(tmp_path / "x.sqlite", SCHEMA), Database(tmp_path / "x.sqlite", SCHEMA)
    with one.writing(), pytest.raises(Retryable) as caught:
        write_nothing(two)
    assert caught.value.reason == "store_busy"
    write_nothing(two)
    one.close()
    two.close()


def test_a_new_file_that_another_is_making(tmp_path: Path) -> None:
    """The switch to a write-ahead log waits for who holds the file, as all else does, though SQLite itself doesn't."""
    other = sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE theirs (x)")
    letting_go = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    letting_go.start()
    Database(tmp_path / "x.sqlite", SCHEMA).close()
    letting_go.join()
    other.close()


def test_a_new_file_opened_by_many_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as many:
        for attempt in range(20):
            start = threading.Barrier(8)

            def opened(file: Path, start: threading.Barrier = start) -> None:
                start.wait()
                Database(file, SCHEMA).close()

            for done in [many.submit(opened, tmp_path / f"{attempt}.sqlite") for _ in range(8)]:
                done.result()


def half_done(database: Database) -> None:
    with database.writing() as db:
        db.execute("INSERT INTO facts VALUES ('a', '{}')")
        raise RuntimeError("mine")


def test_a_block_that_raises_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite", SCHEMA)
    with pytest.raises(RuntimeError, match="mine"):
        half_done(database)
    with database.reading() as db:
        assert db.execute("SELECT count(*) FROM facts").fetchone() == (0,)
    database.close()


def test_an_error_without_a_code() -> None:
    assert explain(sqlite3.ProgrammingError("Cannot operate on a closed database."), "x").reason == "store_closed"
