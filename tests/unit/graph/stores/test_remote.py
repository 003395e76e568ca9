"""The graph over HTTP gives what the graph gives."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from contracts.checks import graph_rows as rows
from contracts.errors import GraphUnavailable, InvalidQuery
from graph.stores import remote
from graph.stores.ladybug import LadybugStore
from graph.stores.remote import PATH, RemoteStore, answer


@pytest.fixture
def store() -> Iterator[LadybugStore]:
    store = LadybugStore()
    store.migrate()
    store.write("upsert_services", [rows.service("a"), rows.service("ü")])
    yield store
    store.close()


@pytest.fixture
def url(store: LadybugStore) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            status, body = answer(store, self.rfile.read(length)) if self.path == PATH else (404, [b"not here"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"".join(body))

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_same_answer(store: LadybugStore, url: str) -> None:
    remote = RemoteStore(url)
    cypher = "MATCH (s:Service) WHERE s.key STARTS WITH $p RETURN s, [1.5, null] AS l ORDER BY s.key"
    assert remote.query(cypher, {"p": "e|"}) == store.query(cypher, {"p": "e|"}) != []


def test_same_refusal(store: LadybugStore, url: str) -> None:
    remote = RemoteStore(url)
    for cypher in ("CREATE (s:Service {key: 'evil'})", "MATCH (", "RETURN $gone"):
        with pytest.raises(InvalidQuery) as here:
            store.query(cypher)
        with pytest.raises(InvalidQuery) as there:
            remote.query(cypher)
        assert (there.value.reason, str(there.value)) == (here.value.reason, str(here.value))


def test_only_reads(url: str) -> None:
    remote = RemoteStore(url)
    with pytest.raises(InvalidQuery, match="only read"):
        remote.write("upsert_services", [])
    with pytest.raises(InvalidQuery, match="only read"):
        remote.query("CREATE (s:Service {key: 'evil'})", read_only=False)


def test_closed_graph_is_unavailable(store: LadybugStore, url: str) -> None:
    store.close()
    with pytest.raises(GraphUnavailable, match="closed"):
        RemoteStore(url).query("RETURN 1")


def test_somebody_else_answers(url: str) -> None:
    with pytest.raises(GraphUnavailable, match=r"answered 404.*endpoint"):
        RemoteStore(url + "/elsewhere").query("RETURN 1")


@pytest.mark.parametrize("body", [b"", b"{}", b"not json", b'{"cypher": 1}', b'{"cypher": "RETURN 1", "write": true}'])
def test_bad_requests(store: LadybugStore, body: bytes) -> None:
    status, reply = answer(store, body)
    assert status == 400
    assert json.loads(b"".join(reply))["error"] == "bad_request"


def test_too_many_rows(store: LadybugStore) -> None:
    status, reply = answer(store, b'{"cypher": "UNWIND range(1, 11) AS i RETURN i"}', max_rows=10)
    assert (status, json.loads(b"".join(reply))["error"]) == (400, "too_many_rows")


class _Endless(LadybugStore):
    """Counts the rows that are read of it."""

    read = 0

    def query(self, cypher: str, *args: Any, most: int | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        found = super().query(cypher, *args, most=most, **kwargs)
        self.read += len(found)
        return found


def test_no_more_rows_are_read_than_one_too_many() -> None:
    store = _Endless()
    status, _ = answer(store, b'{"cypher": "UNWIND range(1, 5000) AS i RETURN i"}', max_rows=10)
    assert (status, store.read) == (400, 11)
    store.close()


def test_an_answer_of_many_rows_comes_in_pieces(store: LadybugStore) -> None:
    status, pieces = answer(store, b'{"cypher": "UNWIND range(1, 1000) AS i RETURN i"}')
    assert status == 200
    assert len(pieces) > 4
    assert [row["i"] for row in json.loads(b"".join(pieces))["rows"]] == list(range(1, 1001))
    assert json.loads(b"".join(answer(store, b'{"cypher": "UNWIND [] AS i RETURN i"}')[1])) == {"rows": []}


def test_an_answer_of_many_bytes_is_refused(store: LadybugStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_BYTES", 1000)
    status, pieces = answer(store, b'{"cypher": "UNWIND range(1, 1000) AS i RETURN i"}')
    assert (status, json.loads(b"".join(pieces))["error"]) == (400, "too_large")
