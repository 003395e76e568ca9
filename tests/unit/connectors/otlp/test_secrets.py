"""Secrets in telemetry never get further than the decoder."""

from __future__ import annotations

import pytest

from connectors.otlp.decode import decode
from connectors.otlp.templates import MAX_TEXT, template_of
from contracts.topics import OTLP_LOGS, OTLP_SPANS
from tests.unit.connectors.otlp.builders import logs, traces
from tests.unit.contracts.test_secrets import LEAKS, WORD


@pytest.mark.parametrize(("text", "secret"), LEAKS)
def test_no_template_holds_one(text: str, secret: str) -> None:
    for body in (text, f"x {text}", f"{{{text}}}"):
        assert secret not in template_of(body).text


@pytest.mark.parametrize(("text", "secret"), LEAKS)
def test_nor_where_a_message_is_cut_off(text: str, secret: str) -> None:
    for cut in range(61):
        assert secret not in template_of("." * (MAX_TEXT - cut) + " " + text).text, cut


def test_what_a_field_named_like_a_secret_holds_is_in_no_template() -> None:
    body = f'{{"password":"{WORD} with spaces","user":"ann"}}'
    assert WORD not in template_of(body).text
    assert "spaces" not in template_of(body).text
    assert "ann" in template_of(body).text


def test_nothing_of_a_secret_is_in_what_is_decoded() -> None:
    message = logs({"service.name": "a"}, {"body": f"failed: postgres://u:{WORD}@db password={WORD}"})
    assert WORD not in repr(decode(OTLP_LOGS, message.SerializeToString()))
    span = {"kind": 3, "attributes": {"peer.service": f"https://u:{WORD}@pay.example"}}
    assert WORD not in repr(decode(OTLP_SPANS, traces({"service.name": "a"}, span).SerializeToString()))
    span = {"kind": 4, "attributes": {"messaging.system": "sqs", "messaging.destination.name": f"q?token={WORD}"}}
    assert WORD not in repr(decode(OTLP_SPANS, traces({"service.name": "a"}, span).SerializeToString()))
    resource = {"service.name": "a", "container.image.name": f"https://u:{WORD}@registry.example/x"}
    assert WORD not in repr(decode(OTLP_SPANS, traces(resource, {}).SerializeToString()))
