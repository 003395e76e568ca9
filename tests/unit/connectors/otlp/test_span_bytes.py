"""Spans read in step from their bytes must be what protobuf's parser makes of them, whatever the bytes."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.otlp import span_bytes
from connectors.otlp.decode import decode
from contracts.errors import UndecodableTelemetry
from contracts.topics import OTLP_SPANS
from homeostat.bench.reading import span_message
from tests.unit.connectors.otlp.builders import MS, T0, descending, traces

_VALUES: tuple[Any, ...] = (
    "orders",
    "",
    "10.0.0.7:5432",
    "kafka",
    503,
    500,
    200,
    "503",
    1.5,
    True,
    ["a", "b"],
    "x" * 300,
)
_KEYS = (
    *("db.system.name", "db.system", "db.namespace", "db.name", "db.statement", "messaging.system", "peer.service"),
    *("messaging.destination.name", "messaging.message.id", "server.address", "net.peer.name", "service.peer.name"),
    *("http.response.status_code", "http.status_code", "http.route", "k", ""),
)


def _outcome(payload: bytes, fewest: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(span_bytes, "FEWEST", fewest)
    try:
        decoded = decode(OTLP_SPANS, payload)
    except UndecodableTelemetry as e:
        return e.reason, str(e)
    columns = {}
    if decoded.spans is not None:
        columns = {n: getattr(decoded.spans, n).tolist() for n in decoded.spans.__slots__}
        columns |= {f"{n}_type": getattr(decoded.spans, n).dtype for n in decoded.spans.__slots__}
    return decoded.strings, decoded.resources, columns, decoded.skipped


def _agree(payload: bytes) -> Any:
    with pytest.MonkeyPatch.context() as monkeypatch:
        plain = _outcome(payload, 0, monkeypatch)
        assert plain == _outcome(payload, 1 << 40, monkeypatch)
    return plain


def _span(rng: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = {
        "trace_id": rng.randbytes(rng.choice((16, 16, 16, 16, 0))),
        "span_id": rng.randbytes(rng.choice((8, 8, 8, 8, 0))),
        "parent_span_id": rng.randbytes(rng.choice((8, 0))),
        "kind": rng.randrange(6),
        "name": rng.choice(("GET /", "", "x" * 200, "ü")),
        "end_time_unix_nano": T0 + rng.choice((-1, 0, 5 * MS)),
        "attributes": {k: rng.choice(_VALUES) for k in rng.sample(_KEYS, rng.randrange(6))},
        "code": rng.choice((0, 0, 0, 1, 2)),
    }
    if rng.random() < 0.2:
        row |= {"dropped_attributes_count": rng.choice((1, 300, 70_000)), "flags": 257, "trace_state": "a=b"}
    if rng.random() < 0.1:
        row["events"] = [{"name": "exception", "time_unix_nano": T0}] * rng.randrange(1, 4)
    return row


def _payload(seed: int, spans: int = 12) -> bytes:
    rng = random.Random(seed)
    message = traces({"service.name": "shop"}, *(_span(rng) for _ in range(spans)))
    return message.SerializeToString() if rng.random() < 0.7 else descending(message)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32))
def test_both_ways_agree(seed: int) -> None:
    _agree(_payload(seed))


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 1 << 32), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_both_ways_agree_on_damaged_bytes(seed: int, damage: list[tuple[float, int]]) -> None:
    payload = bytearray(_payload(seed, 4))
    for place, byte in damage:
        payload[int(place * (len(payload) - 1))] = byte
    _agree(bytes(payload))


def test_both_ways_agree_on_what_is_cut_off() -> None:
    payload = _payload(7, 3)
    for size in range(len(payload)):
        _agree(payload[:size])


def test_the_quick_way_is_taken() -> None:
    """It reads realistic spans, so agreement is not for want of trying."""
    for encode in (lambda m: m.SerializeToString(), descending):
        message = span_message(400)
        spans = [
            s.SerializeToString() if encode is not descending else descending(s)
            for r in message.resource_spans
            for s in r.scope_spans[0].spans
        ]
        found = span_bytes.read(spans)
        assert found is not None
        assert len(found.span) == 400
        _, _, columns, _ = _agree(encode(message))
        assert np.count_nonzero(columns["peer"]) > 20
        assert sum(columns["error"]) > 0


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x0f" + bytes(15),  # a short id
        b"\x38\x05",  # the start as a varint
        b"\x39" + bytes(7),  # cut off
        b"\x4a\xff\xff\xff\x0f",  # a length beyond everything
        b"\x0b\x0c",  # a group
        b"\x85\x02" + bytes(4),  # a field of two bytes that is not `flags`
        b"\x70\x01" * 200,  # more fields than anybody sends
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(body: bytes) -> None:
    assert span_bytes.read([body]) is None


def test_the_last_of_a_repeated_field_counts() -> None:
    found = span_bytes.read([b"\x30\x02\x30\x03\x2a\x01a\x2a\x02bc", b""])
    assert found is not None
    assert found.kind.tolist() == [3, 0]
    names, which = found.names()
    assert [names[i] for i in which] == [b"bc", b""]
