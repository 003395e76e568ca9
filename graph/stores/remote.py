"""The graph over HTTP: how a second process asks while the first holds the embedded graph's file.

`answer` is the server's side (whoever serves HTTP mounts it), `RemoteStore` the client's. Questions only.

    POST /graph/query
    {"cypher": "MATCH (s:Service) RETURN s.key AS key LIMIT $n", "parameters": {"n": 10}}
    200 {"rows": [{"key": "shop|cart"}]}
    400 {"error": "invalid_query", "message": "…", "fix": "…"}       the question
    503 {"error": "graph_unavailable", "message": "…", "fix": "…"}   the graph
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from contracts.errors import GraphUnavailable, HomeostatError, InvalidQuery, Retryable
from contracts.ports import GraphStore

PATH: Final = "/graph/query"
MAX_ROWS: Final = 10_000
MAX_BYTES: Final = 32 * 1024 * 1024
_ROWS_AT_ONCE: Final = 256


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request."""

    cypher: str
    parameters: dict[str, Any] = {}


class Answer(msgspec.Struct, frozen=True):
    """The body of a reply that worked."""

    rows: list[dict[str, Any]]


class Refusal(msgspec.Struct, frozen=True):
    """The body of a reply that didn't. `error` is the error's reason."""

    error: str
    message: str
    fix: str = ""


def answer(store: GraphStore, body: bytes, *, max_rows: int = MAX_ROWS) -> tuple[int, list[bytes]]:
    """Status and JSON body, in pieces, for a request's body. It blocks while the store works: call it in a thread. Whatever the
    question, no more than `max_rows` rows and about `MAX_BYTES` are ever held."""
    try:
        question = msgspec.json.decode(body, type=Question)
        return 200, _pieces(store.query(question.cypher, question.parameters, most=max_rows + 1), max_rows)
    except msgspec.MsgspecError as e:
        fix = '{"cypher": "…", "parameters": {…}}'
        return 400, [msgspec.json.encode(Refusal("bad_request", f"the request can't be read: {e}", fix))]
    except HomeostatError as e:
        return refuse(e)


def _pieces(rows: list[dict[str, Any]], max_rows: int) -> list[bytes]:
    """An `Answer` of the rows, encoded some at a time. It takes them out of the list: each is held once, as a row or as text."""
    if len(rows) > max_rows:
        raise InvalidQuery(
            f"more than {max_rows} rows, which is all that is sent", reason="too_many_rows", fix="add LIMIT"
        )
    rows.reverse()
    pieces, size = [b'{"rows":['], 0
    while rows:
        some = [rows.pop() for _ in range(min(_ROWS_AT_ONCE, len(rows)))]
        pieces.append(msgspec.json.encode(some)[1:-1] + (b"," if rows else b""))
        size += len(pieces[-1])
        if size > MAX_BYTES:
            raise InvalidQuery(
                f"more than {MAX_BYTES} bytes, which is all that is sent",
                reason="too_large",
                fix="ask for fewer rows or fields",
            )
    return [*pieces, b"]}"]


def refuse(error: HomeostatError) -> tuple[int, list[bytes]]:
    """Status and JSON body that say why there is no answer."""
    status = 503 if isinstance(error, Retryable) else 400
    return status, [msgspec.json.encode(Refusal(error.reason, error.message, error.fix))]


class RemoteStore:
    """The reading half of `GraphStore`, asking a running Homeostat."""

    def __init__(self, url: str, *, timeout_s: float = 35.0) -> None:
        """`url` is Homeostat's own endpoint (http://host:port)."""
        if not url.startswith(("http://", "https://")):
            raise GraphUnavailable(f"{url!r} is no http(s) address", fix="check api.host and api.port")
        self._url, self._timeout_s = url.rstrip("/"), timeout_s

    def migrate(self) -> None:
        """Nothing: the process that holds the graph has done it."""

    def write(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Refused: only the process that holds the graph writes."""
        raise InvalidQuery(f"{statement}: the graph of a running Homeostat is only read", reason="not_read_only")

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        read_only: bool = True,
        most: int | None = None,
    ) -> list[dict[str, Any]]:
        """Rows of a Cypher text, as the running Homeostat's store gives them, the first `most`."""
        if not read_only:
            raise InvalidQuery("the graph of a running Homeostat is only read", reason="not_read_only")
        status, body = self._post(msgspec.json.encode(Question(cypher, dict(parameters or {}))))
        if status == 200:
            return msgspec.json.decode(body, type=Answer).rows[:most]
        raise self._refused(status, body)

    def close(self) -> None:
        """Nothing is held."""

    def _post(self, body: bytes) -> tuple[int, bytes]:
        request = urllib.request.Request(  # noqa: S310 (the scheme is checked in __init__)
            self._url + PATH, data=body, headers={"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as reply:  # noqa: S310
                return reply.status, reply.read()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read()
        except (OSError, http.client.HTTPException) as e:
            why = getattr(e, "reason", None) or e
            raise GraphUnavailable(
                f"no answer from Homeostat at {self._url}: {why}",
                fix="is `homeostat up` running? check api.host and api.port",
            ) from e

    def _refused(self, status: int, body: bytes) -> HomeostatError:
        try:
            refusal = msgspec.json.decode(body, type=Refusal)
        except msgspec.MsgspecError:
            return GraphUnavailable(f"{self._url}{PATH} answered {status}", fix="is that Homeostat's endpoint?")
        kind = GraphUnavailable if status >= 500 else InvalidQuery
        return kind(refusal.message, reason=refusal.error, fix=refusal.fix)
