"""Span links join consumers with producers, and services at the edge with who called them, in every encoding."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from connectors.otlp.decode import decode
from contracts.topics import OTLP_SPANS
from contracts.units import SECOND
from tests.checks.field.test_meshes import told
from tests.unit.connectors.otlp.builders import as_json, traces
from tests.unit.streams.windows.support import CLIENT, CONSUMER, INTERNAL, MS, PRODUCER, SERVER, T0

Link = tuple[int, int]


def message(service: str, trace: int, span: int, kind: int, *links: Link, parent: int = 0, many: bool = False) -> Any:
    """A message of one span with links, among others without."""
    at = T0 + (trace % 1000) * SECOND // 10
    fields = {
        "trace_id": (1 << 100 | trace).to_bytes(16, "big"),
        "span_id": span.to_bytes(8, "big"),
        "parent_span_id": parent.to_bytes(8, "big") if parent else b"",
        "kind": kind,
        "start_time_unix_nano": at,
        "end_time_unix_nano": at + 10 * MS,
    }
    rest = [fields | {"span_id": (1 << 40 | i).to_bytes(8, "big"), "kind": INTERNAL} for i in range(200 if many else 0)]
    built = traces({"service.name": service, "deployment.environment.name": "prod"}, fields, *rest)
    for linked, at_span in links:
        built.resource_spans[0].scope_spans[0].spans[0].links.add(
            trace_id=(1 << 100 | linked).to_bytes(16, "big"), span_id=at_span.to_bytes(8, "big")
        )
    return built


def linked(payload: bytes) -> list[tuple[int, int]]:
    """Traces and spans that a message links to."""
    batch = decode(OTLP_SPANS, payload).linked
    return [] if batch is None else list(zip(batch.trace.tolist(), batch.parent.tolist(), strict=True))


CASES = [
    # kind, parent, links, what counts
    (CONSUMER, 0, [(7, 70)], [(7, 70)]),
    (CONSUMER, 5, [(7, 70)], [(7, 70)]),
    (CONSUMER, 0, [(7, 70), (8, 80), (9, 90)], [(7, 70), (8, 80), (9, 90)]),
    (SERVER, 0, [(7, 70)], [(7, 70)]),
    (INTERNAL, 0, [(7, 70)], [(7, 70)]),
    (SERVER, 5, [(7, 70)], []),
    (CLIENT, 5, [(7, 70)], []),
    (CONSUMER, 0, [], []),
    (CONSUMER, 70, [(3, 70)], []),  # to its own parent
    (CONSUMER, 0, [(7, 0)], []),
    (CONSUMER, 0, [(7, n) for n in range(1, 100)], [(7, n) for n in range(1, 33)]),
]


@pytest.mark.parametrize(("kind", "parent", "links", "expected"), CASES)
@pytest.mark.parametrize("many", [False, True])
def test_links_that_may_be_calls_are_read(
    kind: int, parent: int, links: list[Link], expected: list[Link], many: bool
) -> None:
    built = message("worker", 3, 30, kind, *links, parent=parent, many=many)
    assert linked(built.SerializeToString()) == expected
    assert linked(as_json(built)) == expected


def test_a_link_that_is_none_costs_nothing_else() -> None:
    body = json.loads(as_json(message("worker", 3, 30, CONSUMER, (7, 70))))
    span = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    for broken in (None, [], [{}], "x", [{"traceId": "zz", "spanId": "1"}], {"a": 1}, [{"traceId": None}]):
        span["links"] = broken
        decoded = decode(OTLP_SPANS, json.dumps(body).encode())
        assert decoded.spans is not None
        assert (len(decoded.spans), decoded.linked) == (1, None)


def calls(*messages: Any) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """What features have of it, a message each tenth of a second."""
    return told(*([m.SerializeToString()] for m in messages))


def test_producers_and_consumers_of_different_traces_are_joined() -> None:
    built = []
    for n in range(1, 40, 4):
        built += [message("shop", n + i, 10 * (n + i), PRODUCER) for i in range(3)]
        built.append(message("worker", n + 3, 10 * n + 35, CONSUMER, *((n + i, 10 * (n + i)) for i in range(3))))
    served, edges = calls(*built)
    assert edges == {("shop", "worker"): 30}
    assert served["worker"] == 10, "links are no requests"


def test_links_in_whichever_order_they_come_and_however_often() -> None:
    built = []
    for n in range(1, 20, 2):
        consumer = message("worker", n + 1, 10 * n + 5, CONSUMER, (n, 10 * n))
        built += [consumer, message("shop", n, 10 * n, PRODUCER), consumer]
    served, edges = calls(*built)
    assert edges == {("shop", "worker"): 10}
    assert served["worker"] == 10


def test_a_new_trace_at_a_boundary_is_a_call() -> None:
    built = []
    for n in range(1, 20, 2):
        built += [message("web", n, 10 * n, CLIENT), message("api", n + 1, 10 * n + 5, SERVER, (n, 10 * n))]
    assert calls(*built)[1] == {("web", "api"): 10}
