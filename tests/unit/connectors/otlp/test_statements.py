"""What kinds of statements calls to databases are, by all the ways in which that is written, and that nothing else of a text is kept."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.otlp.decode import decode
from contracts.frames.decoded import KIND_CLIENT, KIND_SERVER
from contracts.topics import OTLP_SPANS
from tests.unit.connectors.otlp.builders import as_json, descending, traces

MANY = 200
PG, OLD_PG = {"db.system.name": "postgresql", "db.namespace": "shop"}, {"db.system": "postgresql", "db.name": "shop"}
REDIS, MONGO = {"db.system": "redis"}, {"db.system.name": "mongodb", "db.namespace": "shop"}

TOLD: list[tuple[dict[str, Any], str]] = [
    (PG | {"db.query.summary": "SELECT orders", "db.query.text": "SELECT 1"}, "SELECT orders"),
    (PG | {"db.operation.name": "SELECT", "db.collection.name": "orders"}, "SELECT orders"),
    (OLD_PG | {"db.operation": "select", "db.sql.table": "public.orders"}, "SELECT public.orders"),
    (OLD_PG | {"db.operation": "SELECT", "db.statement": "SELECT a FROM orders WHERE id = 7"}, "SELECT orders"),
    (PG | {"db.query.text": "select * from `orders` o where o.note = 'a FROM b'"}, "SELECT orders"),
    (PG | {"db.query.text": '/* by x */ INSERT INTO "shop"."orders" (a) VALUES ($1)'}, "INSERT shop.orders"),
    (PG | {"db.query.text": "-- FROM nowhere\n(SELECT 'x FROM hunter' FROM orders)"}, "SELECT orders"),
    (PG | {"db.query.text": "UPDATE ONLY orders SET a = 1"}, "UPDATE orders"),
    (PG | {"db.query.text": "WITH a AS (SELECT 1 FROM carts) SELECT * FROM a"}, "WITH carts"),
    (PG | {"db.query.text": "COMMIT"}, "COMMIT"),
    (PG | {"db.operation.name": "BATCH INSERT", "db.collection.name": "orders"}, "BATCH INSERT orders"),
    (REDIS | {"db.statement": "HGETALL cart:17"}, "HGETALL"),
    (REDIS | {"db.operation": "HGETALL", "db.statement": "HGETALL cart:17"}, "HGETALL"),
    (MONGO | {"db.operation.name": "find", "db.collection.name": "users"}, "find users"),
    (
        {"db.system": "mongodb", "db.name": "s", "db.operation": "find", "db.mongodb.collection": "users"},
        "find users",
    ),
    (
        {"rpc.system": "aws-api", "rpc.service": "DynamoDB", "rpc.method": "GetItem"}
        | {"aws.dynamodb.table_names": ["carts"]},
        "GetItem carts",
    ),
    ({"db.system": "dynamodb", "db.operation": "Query", "aws.dynamodb.table_names": ["carts"]}, "Query carts"),
    (PG | {"db.operation.name": "SELECT", "db.collection.name": "p_0f8fad5b-d9cb-469f-a165-70867728950e"}, "SELECT"),
    (PG, ""),
    (PG | {"db.query.text": "{'find': 'hunter2'}"}, ""),
    ({"server.address": "api.bank.example", "db.operation.name": "SELECT"}, ""),
]
SECRETS: list[dict[str, Any]] = [
    REDIS | {"db.statement": "AUTH default hunter2"},
    PG | {"db.query.text": "ALTER USER app WITH PASSWORD 'hunter2'"},
    PG | {"db.query.text": "SELECT login('bob', $q$x FROM hunter2$q$)"},
    PG | {"db.query.text": 'SELECT 1 WHERE a = "said FROM hunter2 today"'},
    PG | {"db.query.text": "SELECT 'it''s FROM hunter2'"},
    PG | {"db.query.text": "SELECT 'never ended FROM hunter2"},
    PG | {"db.query.summary": "SELECT 'hunter2' FROM x"},
    PG | {"db.operation.name": "SELECT * FROM a WHERE p = 'hunter2'"},
    PG | {"db.operation.name": "'hunter2'", "db.collection.name": "password=hunter2"},
    MONGO | {"db.query.text": '{"password": "hunter2"}'},
]


def asked(attributes: dict[str, Any], kind: int = KIND_CLIENT) -> str:
    """The statement of a span with these attributes, however its message is encoded and read."""
    rest = [{"name": "query", "kind": KIND_SERVER}] * (MANY - 1)
    one = {"name": "query", "kind": kind, "attributes": attributes}
    few, many = traces({"service.name": "shop"}, one), traces({"service.name": "shop"}, one, *rest)
    said = set()
    for payload in (few.SerializeToString(), descending(few), as_json(few), many.SerializeToString()):
        found = decode(OTLP_SPANS, payload)
        assert found.spans is not None
        said.add(found.strings[found.spans.statement[0]] if len(found.spans.statement) else "")
    assert len(said) == 1, said
    return said.pop()


@pytest.mark.parametrize(("attributes", "statement"), TOLD)
def test_a_kind_of_statement_is_told_in_old_and_new_words(attributes: dict[str, Any], statement: str):
    assert asked(attributes) == statement


@pytest.mark.parametrize("attributes", SECRETS)
def test_nothing_else_of_a_statement_is_kept(attributes: dict[str, Any]):
    one = {"name": "query", "kind": KIND_CLIENT, "attributes": attributes}
    for payload in (
        traces({"service.name": "shop"}, one).SerializeToString(),
        traces({"service.name": "shop"}, *[one] * MANY).SerializeToString(),
    ):
        assert not [text for text in decode(OTLP_SPANS, payload).strings if "hunter2" in text]


def test_who_serves_says_nothing_of_what_it_asks():
    assert asked(PG | {"db.query.summary": "SELECT orders"}, KIND_SERVER) == ""
