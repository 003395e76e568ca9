"""The embedded graph store: Ladybug, an in-process property graph with Cypher, in one file or in memory."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import ladybug

from contracts.errors import GraphUnavailable, HomeostatError, InvalidQuery
from graph.cypher import statement
from graph.stores.guard import check_parameters, check_read_only
from graph.stores.migrations import pending
from graph.stores.values import argument, plain, properties

# Address space that is reserved (not used) per open graph; Ladybug's own 8 TiB allow a process about 15 of them.
_ADDRESS_SPACE: Final = 1 << 38
_BUFFER_POOL: Final = 256 << 20
_THREADS: Final = 2

LOCKED: Final = "graph_locked"
DAMAGED: Final = "graph_damaged"
_INTERNAL: Final = frozenset({"_ID", "_LABEL", "_SRC", "_DST"})

#: What Ladybug says before the colon -> the error it becomes. A test compares this with the words in Ladybug's library.
ERRORS: Final[Mapping[str, type[HomeostatError]]] = {
    "Binder exception": InvalidQuery,
    "Catalog exception": InvalidQuery,
    "Conversion exception": InvalidQuery,
    "Copy exception": InvalidQuery,
    "Overflow exception": InvalidQuery,
    "Parser exception": InvalidQuery,
    "Runtime exception": InvalidQuery,
    "Buffer manager exception": GraphUnavailable,
    "Connection exception": GraphUnavailable,
    "IO exception": GraphUnavailable,
    "Storage exception": GraphUnavailable,
}
_LOCKED: Final = re.compile(r"Could not set lock on file.*?(?:held by PID (\d+))?\)", re.DOTALL)
_NOT_ITS_FAULT: Final = ("IO exception", "Buffer manager exception", "Connection exception")
# The grammar's list of what could have come instead: some hundred words.
_EXPECTING: Final = re.compile(r" expecting \{[^}]*\}")


def explain(error: Exception, where: str = "the graph") -> HomeostatError:
    """The error of the exception tree that a Ladybug exception stands for."""
    message = str(error).strip()
    if locked := _LOCKED.search(message):
        process = f"process {locked.group(1)}" if locked.group(1) else "another process"
        return GraphUnavailable(
            f"{where} is open in {process}",
            reason=LOCKED,
            fix="ask the running Homeostat (it answers POST /graph/query), stop it, or set another data_dir",
        )
    if message.startswith("Interrupted"):
        return InvalidQuery("the question took too long and was stopped", reason="timeout", fix="add LIMIT or a filter")
    if "read-only transaction" in message:
        return InvalidQuery("the graph is only read here", reason="not_read_only")
    kind, _, detail = message.partition(":")
    refused = ERRORS.get(kind, InvalidQuery)
    if refused is GraphUnavailable:
        return GraphUnavailable(f"{where}: {message}", fix="check that its folder is writable and the disk is not full")
    return refused(_EXPECTING.sub("", detail.strip() or message))


@contextmanager
def _explained(where: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError, TypeError, OverflowError) as e:
        raise explain(e, where) from e


@contextmanager
def opening(where: str) -> Iterator[None]:
    """What can't be opened is damaged, unless somebody else has it open, or the disk or the memory is to blame."""
    try:
        with _explained(where):
            yield
    except (HomeostatError, MemoryError) as e:
        external = isinstance(e, GraphUnavailable) and not isinstance(e.__cause__, RuntimeError)
        said = str(e.__cause__ or e)
        if external or getattr(e, "reason", "") in (LOCKED, "newer_schema") or said.startswith(_NOT_ITS_FAULT):
            raise
        raise GraphUnavailable(
            f"{where} is damaged: {said.strip()}",
            reason=DAMAGED,
            fix="it is history for questions: `homeostat up` sets it aside and begins anew",
        ) from e


class LadybugStore:
    """`GraphStore` in a file (or in memory without a path). One process at a time may open a file; threads may share it.

    Writes go one after the other; questions run beside them, each seeing the graph as of its start.
    """

    def __init__(
        self, path: Path | None = None, *, query_timeout_s: float = 30.0, on_close: Callable[[], None] = lambda: None
    ) -> None:
        """Open or create the graph. `on_close` is called once it is closed.

        Raises:
            GraphUnavailable: the file is open in another process (reason graph_locked), can't be used, or isn't a graph any more
                (graph_damaged).
        """
        self._on_close = on_close
        self._where = str(path) if path else "the graph in memory"
        self._timeout_ms = int(query_timeout_s * 1000)
        self._writing = threading.Lock()
        self._asking = threading.Lock()
        self._closed = False
        with opening(self._where):
            try:
                if path:
                    path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as e:
                raise GraphUnavailable(f"{self._where}: {e.strerror}", fix="set data_dir to a writable folder") from e
            self._database = ladybug.Database(
                str(path) if path else ":memory:",
                buffer_pool_size=_BUFFER_POOL,
                max_num_threads=_THREADS,
                max_db_size=_ADDRESS_SPACE,
            )
            self._writer = ladybug.Connection(self._database)

    def migrate(self) -> None:
        """Bring the schema up to date, each step in one transaction.

        Raises:
            Permanent: the file was written by a later release (reason newer_schema).
        """
        with self._write_turn():
            self._run("CREATE NODE TABLE IF NOT EXISTS SchemaVersion(version INT64 PRIMARY KEY)")
            rows = _rows(self._run("MATCH (v:SchemaVersion) RETURN max(v.version) AS version"))
            for step in pending("ladybug", rows[0]["version"] or 0):
                with self._transaction():
                    for ddl in step.statements:
                        self._run(ddl)
                    self._run("CREATE (:SchemaVersion {version: $version})", {"version": step.version})

    def write(self, statement_name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a named write for all `rows` in one transaction."""
        write = statement(statement_name)
        bound = write.bind(rows)
        if not bound:
            return
        with self._write_turn(), self._transaction():
            for part in write.parts:
                for batch in write.rounds(bound):
                    self._run(part, {"rows": batch})

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        read_only: bool = True,
        most: int | None = None,
    ) -> list[dict[str, Any]]:
        """Rows of a Cypher text, the first `most`; InvalidQuery if it would do more than read while `read_only`."""
        arguments = {name: argument(value) for name, value in (parameters or {}).items()}
        check_parameters(cypher, arguments)
        if not read_only:
            with self._write_turn():
                return _rows(self._run(cypher, arguments), most)
        check_read_only(cypher)
        return self._ask(cypher, arguments, most)

    def close(self) -> None:
        """Close the file, once questions and writes under way are done."""
        with self._writing, self._asking:
            if not self._closed:
                self._closed = True
                self._writer.close()
                self._database.close()
                self._on_close()

    def _ask(self, cypher: str, arguments: Mapping[str, Any], most: int | None) -> list[dict[str, Any]]:
        with self._asking, _explained(self._where):
            self._check_open()
            connection = ladybug.Connection(self._database, num_threads=1)
            try:
                connection.set_query_timeout(self._timeout_ms)
                connection.execute("BEGIN TRANSACTION READ ONLY")
                return _rows(connection.execute(cypher, dict(arguments)), most)
            finally:
                connection.close()  # also ends the transaction

    @contextmanager
    def _write_turn(self) -> Iterator[None]:
        with self._writing, _explained(self._where):
            self._check_open()
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._run("BEGIN TRANSACTION")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        try:
            self._run("ROLLBACK")
        except RuntimeError as e:
            # A statement that failed has rolled its transaction back already.
            if "No active transaction" not in str(e):
                raise

    def _run(self, cypher: str, arguments: Mapping[str, Any] | None = None) -> Any:
        return self._writer.execute(cypher, dict(arguments) if arguments else None)

    def _check_open(self) -> None:
        if self._closed:
            raise GraphUnavailable(f"{self._where} is closed", reason="graph_closed")


def _rows(answer: Any, most: int | None = None) -> list[dict[str, Any]]:
    """The rows of an answer, the first `most`; the last one's if the text was several statements."""
    result = answer[-1] if isinstance(answer, list) else answer
    names = result.get_column_names()
    rows = result.get_all() if most is None else result.get_n(min(most, result.get_num_tuples()))
    return [dict(zip(names, map(_value, row), strict=True)) for row in rows]


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        if "_NODES" in value and "_RELS" in value:
            return {"nodes": _value(value["_NODES"]), "relationships": _value(value["_RELS"])}
        if "_ID" in value and "_LABEL" in value:
            return properties({key: item for key, item in value.items() if key not in _INTERNAL})
        return {key: _value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item) for item in value]
    return plain(value)
