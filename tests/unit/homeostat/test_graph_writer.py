"""Graph writes on their way to the embedded graph, and to one that is away: in order, batched, bounded, counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import GraphUnavailable, InvalidQuery
from contracts.ports import GraphStore, GraphWrite
from contracts.settings import GraphSettings
from graph.stores import open_store
from homeostat.graph_writer import BATCH_ROWS, GraphWriter
from tests.patience import PATIENCE_S


class Flaky:
    """A store in front of the embedded graph that is away, or refuses, as often as told; remembers what reached it."""

    def __init__(self, store: GraphStore) -> None:
        self.store, self.away, self.refuse = store, 0, 0
        self.written: list[tuple[str, int]] = []

    def write(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.away:
            self.away -= 1
            raise GraphUnavailable("away")
        if self.refuse:
            self.refuse -= 1
            raise InvalidQuery("not like this")
        self.store.write(statement, rows)
        self.written.append((statement, len(rows)))

    def migrate(self) -> None:
        self.store.migrate()

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        read_only: bool = True,
        most: int | None = None,
    ) -> Any:
        return self.store.query(cypher, parameters, read_only=read_only)

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Flaky]:
    found = Flaky(open_store(GraphSettings(), tmp_path))
    yield found
    found.close()


def anomalies(*ids: str, time: int = 1) -> GraphWrite:
    row = {"service_key": "prod|a", "environment": "prod", "phase": "opened", "onset": 1, "time": time, "text": ""}
    return GraphWrite("upsert_anomalies", tuple({"id": i, "p_value": 0.1, "decades": 1.0, **row} for i in ids))


def changes(*kinds: str) -> GraphWrite:
    row = {"service_key": "prod|a", "time": 1, "actor": "", "before": "", "after": "", "text": ""}
    return GraphWrite("upsert_changes", tuple({"id": f"c-{k}", "kind": k, **row} for k in kinds))


def known(store: Flaky) -> list[str]:
    return [r["id"] for r in store.query("MATCH (a:Anomaly) RETURN a.id AS id ORDER BY id")]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_runs_of_one_statement_are_written_together_and_in_order(store: Flaky) -> None:
    writer = GraphWriter(store, 100)
    for write in (
        anomalies("a"),
        anomalies("b", "c"),
        changes("deploy"),
        GraphWrite("upsert_changes", ()),
        anomalies("a"),
    ):
        writer.put(write)
    assert len(writer) == 4, "a write without rows is none"
    writer.start()
    await writer.stop()
    assert store.written == [("upsert_anomalies", 3), ("upsert_changes", 1), ("upsert_anomalies", 1)]
    assert known(store) == ["a", "b", "c"]
    assert (writer.written, writer.failed, writer.dropped, len(writer)) == (4, 0, 0, 0)


async def test_batches_are_bounded(store: Flaky) -> None:
    writer = GraphWriter(store, 100)
    for part in range(4):
        writer.put(anomalies(*(f"{part}-{n}" for n in range(BATCH_ROWS // 2))))
    writer.start()
    await writer.stop(30)
    assert [rows for _, rows in store.written] == [BATCH_ROWS, BATCH_ROWS]


async def test_while_the_store_is_away_writes_wait_and_the_oldest_beyond_the_bound_are_counted(store: Flaky) -> None:
    writer = GraphWriter(store, 3)
    for name in "abcde":
        writer.put(anomalies(name))
    assert (len(writer), writer.dropped) == (3, 2)
    store.away = 2
    writer.start()
    await until(lambda: writer.written == 3)
    assert known(store) == ["c", "d", "e"]
    await writer.stop()


async def test_what_the_store_refuses_is_counted_and_does_not_hold_up_the_rest(store: Flaky) -> None:
    writer = GraphWriter(store, 10)
    store.refuse = 1
    writer.put(changes("deploy"))
    writer.put(anomalies("a"))
    writer.start()
    await writer.stop()
    assert (writer.failed, writer.written, known(store)) == (1, 1, ["a"])


async def test_stopping_waits_only_so_long_and_counts_what_was_not_stored(store: Flaky) -> None:
    writer = GraphWriter(store, 10)
    store.away = 1000
    writer.put(changes("deploy"))
    writer.start()
    await until(lambda: store.away < 1000)
    for name in "abc":
        writer.put(anomalies(name))
    await writer.stop(0.3)
    assert writer.dropped == 4, "those that waited, and the one under way"
    assert known(store) == []
    await writer.stop()


async def test_one_bad_write_does_not_take_its_neighbours_along(store: Flaky) -> None:
    writer = GraphWriter(store, 10)
    for write in (anomalies("a"), GraphWrite("upsert_anomalies", ({"id": object()},)), anomalies("b")):
        writer.put(write)
    writer.start()
    await writer.stop()
    assert (writer.failed, writer.written, known(store)) == (1, 2, ["a", "b"])


async def test_an_error_nobody_thought_of_ends_nothing(store: Flaky, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = GraphWriter(store, 10)
    with monkeypatch.context() as patched:
        patched.setattr(store, "write", None)
        writer.put(anomalies("a"))
        writer.start()
        await until(lambda: writer.failed == 1)
    writer.put(anomalies("b"))
    await writer.stop()
    assert (writer.written, known(store)) == (1, ["b"])
