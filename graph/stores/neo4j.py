"""The graph store for production: Neo4j over Bolt."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import neo4j
from neo4j import exceptions, graph

from contracts.errors import Forbidden, GraphUnavailable, HomeostatError, InvalidQuery, InvalidSettings
from contracts.tls import trusting
from graph.cypher import statement
from graph.stores.guard import check_read_only
from graph.stores.migrations import pending
from graph.stores.packing import parameters
from graph.stores.values import argument, plain, properties

_CONNECT_S: Final = 5.0
_RETRY_S: Final = 5.0
_REACH: Final = "is it running there, and is graph.url right?"
_TLS: Final = "does Neo4j speak TLS there? bolt+s:// and neo4j+s:// need it"
_TRUST: Final = "set graph.ca_file to the authority that signed it, and use the host name it was made for"

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
    if mapped is GraphUnavailable and (broken := tls_error(error)) is not None:
        return _tls(broken, url)
    if mapped is GraphUnavailable:
        return GraphUnavailable(f"Neo4j at {url}: {' '.join(message.split())}", fix=_REACH)
    if mapped is InvalidSettings:
        return InvalidSettings(f"Neo4j at {url}: {message}", fix="check graph.url")
    return mapped(message)


def tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """Why a connection could not be made safe, from among what a driver exception came from."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        if isinstance(error, BaseExceptionGroup):  # all routers of a cluster were asked
            return next((found for e in error.exceptions if (found := tls_error(e)) is not None), None)
        error = error.__cause__ or error.__context__
    return None


def _tls(error: ssl.SSLError, url: str) -> GraphUnavailable:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"the certificate shown is not trusted: {error.verify_message}"
        return GraphUnavailable(f"Neo4j at {url}: {why}", reason="untrusted_certificate", fix=_TRUST)
    return GraphUnavailable(
        f"Neo4j at {url}: no TLS: {getattr(error, 'reason', None) or error}", reason="tls", fix=_TLS
    )


def secured(url: str, ca_file: Path | None) -> tuple[str, ssl.SSLContext | None]:
    """The address without its `+s`, and whom to trust: the driver takes an authority of one's own only in this form.

    `bolt+s` trusts `ca_file`, else the system's authorities; `bolt+ssc` any certificate. Likewise `neo4j+s` and `neo4j+ssc`.

    Raises:
        InvalidSettings: the authority can't be read, or the address would not use it.
    """
    scheme, _, rest = url.partition("://")
    protocol, _, kind = scheme.partition("+")
    if ca_file is not None and kind != "s":
        raise InvalidSettings(f"graph.ca_file is not used with graph.url {url}", fix="use bolt+s:// or neo4j+s://")
    if kind not in {"s", "ssc"}:
        return url, None
    trusted = trusting(ca_file, "graph.ca_file")
    if kind == "ssc":
        trusted.check_hostname, trusted.verify_mode = False, ssl.CERT_NONE
    return f"{protocol}://{rest}", trusted


class Neo4jStore:
    """`GraphStore` in a Neo4j database. Threads may share it; sessions are one per call."""

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        database: str = "neo4j",
        *,
        ca_file: Path | None = None,
        query_timeout_s: float = 30.0,
    ) -> None:
        """Connect. Without a password no credentials are sent (a server without authentication).

        Raises:
            GraphUnavailable: nobody answers at `url`.
            Forbidden: the credentials are wrong.
            InvalidSettings: the server's certificate is not trusted, or `ca_file` can't be read.
        """
        self._url, self._database, self._timeout_s = url, database, query_timeout_s
        address, trusted = secured(url, ca_file)
        with self._explained():
            self._driver = neo4j.GraphDatabase.driver(
                address,
                ssl_context=trusted,
                auth=(user, password) if password else None,
                connection_timeout=_CONNECT_S,
                connection_acquisition_timeout=_CONNECT_S,
                max_transaction_retry_time=_RETRY_S,
                notifications_min_severity="OFF",
            )
            try:
                self._verify()
            except BaseException:
                self._driver.close()
                raise

    def _verify(self) -> None:
        """A certificate that isn't trusted at the start won't be a moment later; while running it is waited for instead."""
        try:
            self._driver.verify_connectivity()
        except exceptions.DriverError as e:
            found = explain(e, self._url)
            if found.reason == "untrusted_certificate":
                raise InvalidSettings(found.message, reason=found.reason, fix=found.fix) from e
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
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        read_only: bool = True,
        most: int | None = None,
    ) -> list[dict[str, Any]]:
        """Rows of a Cypher text, the first `most`; InvalidQuery if it would do more than read while `read_only`."""
        arguments = {name: argument(value) for name, value in (parameters or {}).items()}
        if read_only:
            check_read_only(cypher)
            return self._run(cypher, arguments, neo4j.READ_ACCESS, most)
        return self._managed(cypher, arguments, neo4j.WRITE_ACCESS, most)

    def _run(self, cypher: str, arguments: dict[str, Any], mode: str, most: int | None = None) -> list[dict[str, Any]]:
        """One statement in one round trip; after a failure that the driver calls passing, once more with its retries.

        Only for what may run twice: it isn't known whether a statement whose answer was lost has run.
        """
        with self._session(mode) as session:
            try:
                return _rows(session.run(neo4j.Query(cypher, timeout=self._timeout_s), arguments), most)
            except (exceptions.Neo4jError, exceptions.DriverError) as e:
                if not e.is_retryable():
                    raise
        return self._managed(cypher, arguments, mode, most)

    def _managed(
        self, cypher: str, arguments: dict[str, Any], mode: str, most: int | None = None
    ) -> list[dict[str, Any]]:
        @neo4j.unit_of_work(timeout=self._timeout_s)
        def work(tx: neo4j.ManagedTransaction) -> list[dict[str, Any]]:
            return _rows(tx.run(cypher, arguments), most)

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


def _rows(result: neo4j.Result, most: int | None = None) -> list[dict[str, Any]]:
    """The rows of an answer, the first `most`: the others stay with the server."""
    names = result.keys()
    return [dict(zip(names, map(_value, record), strict=True)) for record in islice(result, most)]


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
