"""Whose duration is no latency, and how many a span stands for, is known by what spans say, in every encoding and however many there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.otlp import span_bytes
from connectors.otlp.decode import decode
from connectors.otlp.marks import MOST, RANDOM_ID, UNIT, weight_of, weight_of_state
from contracts.topics import OTLP_SPANS
from tests.unit.connectors.otlp.builders import traces
from tests.unit.connectors.otlp.test_streaming import ENCODINGS

SHOP = {"service.name": "orders"}
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
MB = 1 << 20


def said(kind: int = SERVER, name: str = "work", **attributes: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "attributes": {k.replace("__", "."): v for k, v in attributes.items()}}


UNTIMED: dict[str, dict[str, Any]] = {
    "receives by type": said(CONSUMER, messaging__operation__type="receive"),
    "receives, before types": said(CONSUMER, messaging__operation="receive"),
    "receives by its own name": said(CONSUMER, messaging__operation__name="poll"),
    "a client that receives": said(CLIENT, messaging__operation__type="receive"),
    "receives, by name, old order": said(CONSUMER, "orders receive"),
    "receives, by name, new order": said(CONSUMER, "receive orders"),
    "polls, by name": said(CONSUMER, "poll orders"),
    "waits for a queue of AWS": said(CLIENT, "SQS.ReceiveMessage"),
    "waits for a queue of AWS, by Go": said(CLIENT, "SQS/ReceiveMessage"),
    "pops, blocking": said(CLIENT, "BLPOP"),
    "pops, blocking, with a key": said(CLIENT, "BRPOP jobs"),
    "pops the least, by its command": said(CLIENT, "redis", db__operation__name="BZPOPMIN"),
    "subscribes, before 1.25": said(CLIENT, "redis", db__operation="SUBSCRIBE"),
    "waits for a statement": said(CLIENT, "WAITFOR"),
    "a batch": said(CONSUMER, "orders process", messaging__batch__message_count=50),
    "a batch, as text": said(CONSUMER, "orders process", messaging__batch__message_count="12"),
    "a function on a timer": said(SERVER, faas__trigger="timer"),
    "a function with its timetable": said(1, faas__cron="0/5 * * * ? *"),
    "a job of a scheduler": said(1, job__system="quartz"),
    "an upload": said(SERVER, "POST /files", http__request__body__size=8 * MB),
    "an upload, before 1.21": said(SERVER, "POST /files", http__request_content_length=300 * MB),
    "a download": said(SERVER, "GET /files", http__response__body__size=MB),
    "a download, before 1.21": said(CLIENT, "GET /files", http__response_content_length=2 * MB),
    "a download, unpacked": said(SERVER, "GET /files", http__response_content_length_uncompressed=64 * MB),
    "an upload, as text": said(SERVER, "PUT /files", http__request__body__size=str(9 * MB)),
}
TIMED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a page": said(SERVER, "GET /poll"),
    "a page called receive": said(SERVER, "receive"),
    "one message": said(CONSUMER, "orders process", messaging__operation__type="process"),
    "a batch of one": said(CONSUMER, "orders process", messaging__batch__message_count=1),
    "a plain pop": said(CLIENT, "LPOP"),
    "a statement": said(CLIENT, "SELECT orders", db__operation__name="SELECT"),
    "sends": said(PRODUCER, "orders publish", messaging__operation__type="publish"),
    "a server that is asked to receive": said(SERVER, "SQS.ReceiveMessage"),
    "a small body": said(SERVER, http__request__body__size=20_000, http__response__body__size=900_000),
    "no size": said(SERVER, http__request__body__size="many"),
    "a function behind HTTP": said(SERVER, faas__trigger="http"),
    "a count that is none": said(CONSUMER, "orders process", messaging__batch__message_count="several"),
}
WEIGHTS: dict[str, tuple[dict[str, Any], float]] = {
    "all": ({"trace_state": "ot=th:0"}, 1),
    "half": ({"trace_state": "ot=th:8"}, 2),
    "a quarter": ({"trace_state": "ot=th:c"}, 4),
    "a tenth": ({"trace_state": "ot=th:e6666666666666"}, 10),
    "a tenth, short": ({"trace_state": "ot=th:e666"}, 10),
    "with a random value": ({"trace_state": "ot=rv:0123456789abcd;th:c"}, 4),
    "after others": ({"trace_state": "rojo=00f067, ot=th:c;rv:0123456789abcd"}, 4),
    "an exponent": ({"trace_state": "ot=p:3;r:5"}, 8),
    "an exponent of none": ({"trace_state": "ot=p:0"}, 1),
    "Jaeger": ({"attributes": {"sampler.type": "probabilistic", "sampler.param": 0.01}}, 100),
    "Jaeger, as text": ({"attributes": {"sampler.type": "probabilistic", "sampler.param": "0.25"}}, 4),
    "Jaeger, always": ({"attributes": {"sampler.type": "const", "sampler.param": True}}, 0),
    "Jaeger, so many a second": ({"attributes": {"sampler.type": "ratelimiting", "sampler.param": 2.0}}, 0),
    "a rate": ({"attributes": {"SampleRate": 20}}, 20),
    "a rule's rate": ({"attributes": {"meta.refinery.sample_rate": 5}}, 5),
    "a rule's share": ({"attributes": {"_dd.rule_psr": 0.5}}, 2),
    "tracestate before attributes": ({"trace_state": "ot=th:8", "attributes": {"SampleRate": 20}}, 2),
    "nothing": ({}, 0),
    "somebody else": ({"trace_state": "dd=s:2;p:3"}, 0),
    "no hexadecimal": ({"trace_state": "ot=th:xyz"}, 0),
    "too long": ({"trace_state": "ot=th:123456789abcdef"}, 0),
    "none of them": ({"trace_state": "ot=th:ffffffffffffff"}, 0),
    "a probability of zero": ({"trace_state": "ot=p:63"}, 0),
    "a share beyond sense": ({"attributes": {"_dd.rule_psr": 3.0}}, 0),
    "random ids": ({"flags": 0x303}, RANDOM_ID / UNIT),
    "random ids, sampled": ({"flags": 0x303, "trace_state": "ot=th:8"}, 2),
    "ids of any kind": ({"flags": 0x301}, 0),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
def test_what_waits_is_told_from_what_works(encode: Any, many: bool) -> None:
    kinds = [*UNTIMED.values(), *TIMED.values()]
    times = span_bytes.FEWEST // len(kinds) + 1 if many else 1
    batch = decode(OTLP_SPANS, encode(traces(SHOP, *(kinds * times)))).spans
    assert batch is not None
    names = [*UNTIMED, *TIMED] * times
    told = {name for name, untimed in zip(names, batch.untimed.tolist(), strict=True) if untimed}
    assert told == set(UNTIMED)


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
def test_what_a_span_stands_for(encode: Any, many: bool) -> None:
    kinds = [span for span, _ in WEIGHTS.values()]
    times = span_bytes.FEWEST // len(kinds) + 1 if many else 1
    batch = decode(OTLP_SPANS, encode(traces(SHOP, *(kinds * times)))).spans
    assert batch is not None
    told = dict(zip([*WEIGHTS] * times, (batch.weight / UNIT).tolist(), strict=True))
    assert told == pytest.approx({name: weight for name, (_, weight) in WEIGHTS.items()}, rel=1e-3)


@pytest.mark.parametrize("key", ["k8s.cronjob.name", "k8s.job.name"])
def test_the_runs_of_a_job_are_no_latency_and_what_they_call_is(key: str) -> None:
    run, call = said(1, "nightly"), {**said(CLIENT, "GET"), "parent_span_id": b"\1" * 8}
    batch = decode(OTLP_SPANS, traces({key: "nightly"}, run, call).SerializeToString()).spans
    assert batch is not None
    assert batch.untimed.tolist() == [True, False]


@given(st.integers(0, (1 << 56) - 1))
def test_every_threshold_is_read_as_the_specification_has_it(threshold: int) -> None:
    text = f"{threshold:014x}".rstrip("0") or "0"
    weight = (1 << 56) / ((1 << 56) - threshold)
    expected = weight if weight <= MOST else 0
    assert weight_of_state(f"ot=th:{text}") == pytest.approx(expected * UNIT, abs=0.51)


@given(st.text())
def test_no_tracestate_is_too_strange(state: str) -> None:
    assert 0 <= weight_of_state(state) <= MOST * UNIT
    assert 0 <= weight_of_state(f"ot={state}") <= MOST * UNIT


@given(
    st.dictionaries(
        st.sampled_from(["sampler.type", "sampler.param", "SampleRate", "_dd.rule_psr", "_sample_rate"]),
        st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.just("probabilistic"), st.none()),
    )
)
def test_no_attribute_is_too_strange(attributes: dict[str, Any]) -> None:
    assert 0 <= weight_of(attributes) <= np.int64(MOST) * UNIT
