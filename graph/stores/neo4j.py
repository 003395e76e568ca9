"""The graph store for production: Neo4j over Bolt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import neo4j
from neo4j import exceptions, graph

from contracts.errors import Forbidden, GraphUnavailable, HomeostatError, InvalidQuery, InvalidSettings
from graph.cypher import statement
from graph.stores.guard import check_read_only
from graph.stores.migrations import pending
from graph.stores.packing import parameters
from graph.stores.values import argument, plain, properties

_CONNECT_S: Final = 5.0
_RETRY_S: Final = 5.0
_REACH: Final = "is it running there, and is graph.url right?"

#: Driver exception -> the error it becomes; the nearest base class decides. A test walks all of the driver's classes.
ERRORS: Final[Mapping[type[Exception], type[HomeostatError]]] = {
    exceptions.AuthError: Forbidden,
    exceptions.Forbidden: Forbidden,
    exceptions.ClientError: InvalidQuery,
    exceptions.DatabaseUnavailable: GraphUnavailable,
    exceptions.NotALeader: GraphUnavailable,
    exceptions.ForbiddenOnReadOnlyDatabase: GraphUnavailable,
    exceptions.TransientError: GraphUnavailable,
    exceptions.DatabaseError: GraphUnavailable,
    exceptions.Neo4jError: GraphUnavailable,
    exceptions.ResultError: InvalidQuery,
    exceptions.BrokenRecordError: InvalidQuery,
    exceptions.ConfigurationError: InvalidSettings,
    exceptions.DriverError: GraphUnavailable,
    exceptions.GqlError: GraphUnavailable,
}


def explain(error: Exception, url: str = "Neo4j") -> HomeostatError:
    """The error of the exception tree that a driver exception stands for."""
    code = getattr(error, "code", None) or ""
    # The driver's own errors keep their words in `args`; their `message` is a placeholder of the GQL standard.
    message = (error.message if isinstance(error, exceptions.Neo4jError) else None) or str(error)
    mapped = next(ERRORS[base] for base in type(error).__mro__ if base in ERRORS)
    if "AccessMode" in code:
        return InvalidQuery("the graph is only read here", reason="not_read_only")
    if "TransactionTimedOut" in code:
        return InvalidQuery("the question took too long and was stopped", reason="timeout", fix="add LIMIT or a filter")
    if mapped is Forbidden:
        return Forbidden(f"Neo4j at {url} refused: {message}", fix="check graph.user and graph.password")
    if mapped is GraphUnavailable:
        return GraphUnavailable(f"Neo4j at {url}: {' '.join(message.split())}", fix=_REACH)
    if mapped is InvalidSettings:
        return InvalidSettings(f"Neo4j at {url}: {message}", fix="check graph.url")
    return mapped(message)


class Neo4jStore:
    """`GraphStore` in a Neo4j database. Threads may share it; sessions are one per call."""

    def __init__(
        self, url: str, user: str, password: str, database: str = "neo4j", *, query_timeout_s: float = 30.0
    ) -> None:
        """Connect. Without a password no credentials are sent (a server without authentication).

        Raises:
            GraphUnavailable: nobody answers at `url`.
            Forbidden: the credentials are wrong.
        """
        self._url, self._database, self._timeout_s = url, database, query_timeout_s
        with self._explained():
            self._driver = neo4j.GraphDatabase.driver(
                url,
                auth=(user, password) if password else None,
                connection_timeout=_CONNECT_S,
                connection_acquisition_timeout=_CONNECT_S,
                max_transaction_retry_time=_RETRY_S,
                notifications_min_severity="OFF",
            )
            try:
                self._driver.verify_connectivity()
            except BaseException:
                self._driver.close()
                raise

    def migrate(self) -> None:
        """Create the constraints and indexes that are missing; safe with several workers at once.

        Raises:
            Permanent: the database was written by a later release (reason newer_schema).
        """
        rows = self.query("MATCH (v:SchemaVersion) RETURN max(v.version) AS version")
        for step in pending("neo4j", rows[0]["version"] or 0):
            for ddl in step.statements:
                self.query(ddl, read_only=False)
            self.query("MERGE (:SchemaVersion {version: $version})", {"version": step.version}, read_only=False)

    def write(self, statement_name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a named write for all `rows` in one transaction; what the server calls transient is retried briefly."""
        write = statement(statement_name)
        bound = write.bind(rows)
        if not bound:
            return

        parts, given = parameters(write, bound)

        if len(parts) == 1:  # a transaction of one statement needs no opening and no closing message
            self._run(parts[0], {"rows": given}, neo4j.WRITE_ACCESS)
            return

        @neo4j.unit_of_work(timeout=self._timeout_s)
        def work(tx: neo4j.ManagedTransaction) -> None:
            for part in parts:
                tx.run(part, rows=given).consume()

        with self._session(neo4j.WRITE_ACCESS) as session:
            session.execute_write(work)

    def query(
        self, cypher: str, parameters: Mapping[str, Any] | None = None, *, read_only: bool = True
    ) -> list[dict[str, Any]]:
        """Rows of a Cypher text; InvalidQuery if it would do more than read while `read_only`."""
        arguments = {name: argument(value) for name, value in (parameters or {}).items()}
        if read_only:
            check_read_only(cypher)
            return self._run(cypher, arguments, neo4j.READ_ACCESS)
        return self._managed(cypher, arguments, neo4j.WRITE_ACCESS)

    def _run(self, cypher: str, arguments: dict[str, Any], mode: str) -> list[dict[str, Any]]:
        """One statement in one round trip; after a failure that the driver calls passing, once more with its retries.

        Only for what may run twice: it isn't known whether a statement whose answer was lost has run.
        """
        with self._session(mode) as session:
            try:
                return _rows(session.run(neo4j.Query(cypher, timeout=self._timeout_s), arguments))
            except (exceptions.Neo4jError, exceptions.DriverError) as e:
                if not e.is_retryable():
                    raise
        return self._managed(cypher, arguments, mode)

    def _managed(self, cypher: str, arguments: dict[str, Any], mode: str) -> list[dict[str, Any]]:
        @neo4j.unit_of_work(timeout=self._timeout_s)
        def work(tx: neo4j.ManagedTransaction) -> list[dict[str, Any]]:
            return _rows(tx.run(cypher, arguments))

        with self._session(mode) as session:
            return session.execute_read(work) if mode == neo4j.READ_ACCESS else session.execute_write(work)

    def close(self) -> None:
        """Close all connections."""
        self._driver.close()

    @contextmanager
    def _session(self, mode: str) -> Iterator[neo4j.Session]:
        with self._explained(), self._driver.session(database=self._database, default_access_mode=mode) as session:
            yield session

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (exceptions.Neo4jError, exceptions.DriverError) as e:
            raise explain(e, self._url) from e
        except (ValueError, TypeError, OverflowError, OSError) as e:
            raise GraphUnavailable(f"Neo4j at {self._url}: {e}", fix=_REACH) from e


def _rows(result: neo4j.Result) -> list[dict[str, Any]]:
    names = result.keys()
    return [dict(zip(names, map(_value, record), strict=True)) for record in result]


def _value(value: Any) -> Any:
    match value:
        case graph.Path():
            return {
                "nodes": [_value(n) for n in value.nodes],
                "relationships": [_value(r) for r in value.relationships],
            }
        case graph.Node() | graph.Relationship():
            return properties(dict(value.items()))
        case list():
            return [_value(item) for item in value]
        case dict():
            return {key: _value(item) for key, item in value.items()}
        case _:
            # The driver's own dates and durations say iso_format where Python's say isoformat.
            return plain(value.iso_format() if hasattr(value, "iso_format") else value)
