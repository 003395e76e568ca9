"""Settings of topics of one's own: what is wrong is said with its place."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.encodings.sources import TRANSLATIONS, Incoming, decode_as
from contracts.errors import InvalidSettings, UndecodableTelemetry, UnknownName
from contracts.settings import ENCODINGS, load
from contracts.topics import TOPICS


def test_an_encoding_alone_stands_for_itself() -> None:
    found = load(
        {"ingest": {"topics": {"a": "jaeger_proto", "b": {"encoding": "raw", "service": "cart"}}}}
    ).ingest.topics
    assert (found["a"].encoding, found["b"].encoding, found["b"].service) == ("jaeger_proto", "raw", "cart")


def test_on_the_command_line_and_in_the_environment() -> None:
    environ = {"HOMEOSTAT_INGEST__TOPICS": '{"our.spans": "zipkin_json"}'}
    assert load(environ=environ).ingest.topics["our.spans"].encoding == "zipkin_json"


@pytest.mark.parametrize(
    ("topics", "words"),
    [
        ({"a": "zipkin_thrift"}, "zipkin_json"),
        ({"a": {"encoding": "raw", "servce": "x"}}, "servce"),
        ({"a b": "raw"}, "no name of a topic"),
        ({"..": "raw"}, "no name of a topic"),
        ({"": "raw"}, "no name of a topic"),
        *(({name: "raw"}, "Homeostat's own") for name in ("otlp_spans", "telemetry.raw", "autonomous.actions")),
    ],
)
def test_what_is_wrong_is_said(topics: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        load({"ingest": {"topics": topics}})
    assert "ingest.topics" in str(refused.value)
    assert words in str(refused.value)


def test_every_encoding_that_may_be_named_is_read() -> None:
    assert {*TRANSLATIONS, "otlp_proto", "otlp_json"} == set(ENCODINGS)
    for encoding in ENCODINGS:
        with pytest.raises(UndecodableTelemetry):
            decode_as(encoding, Incoming(b""))
    with pytest.raises(UnknownName):
        decode_as("zipkin_thrift", Incoming(b"x"))


def test_no_topic_of_the_table_is_taken() -> None:
    for name in TOPICS:
        with pytest.raises(InvalidSettings):
            load({"ingest": {"topics": {name: "otlp_proto"}}})
