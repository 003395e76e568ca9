"""Generated names are folded, and those that people gave are left alone."""

from __future__ import annotations

import json
import random
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.otlp.decode import decode
from connectors.otlp.folding import fold
from contracts.topics import OTLP_SPANS

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def made_up(rng: random.Random) -> list[str]:
    """Names as machines make them, each kind twice."""

    def safe(n: int) -> str:
        return "".join(rng.choices(ALPHABET, k=n - 1)) + str(rng.choice("2456789"))

    return [
        f"payment-{safe(10)}-{safe(5)}",
        f"payment-{safe(9)}-{safe(5)}",
        f"job-{uuid.UUID(int=rng.getrandbits(128), version=4)}",
        f"orders/{rng.getrandbits(128) | 0xA << 124:032x}/1a2b3c4d5e",
        f"run-{rng.randrange(10**9, 10**13)}",
        f"amq.gen-J{rng.getrandbits(96):x}",
        f"spring.gen-{rng.getrandbits(100):x}0A",
    ]


def test_generated_names_of_one_kind_are_one() -> None:
    rng = random.Random(2)
    kinds = [{fold(name) for name in kind} for kind in zip(*(made_up(rng) for _ in range(200)), strict=True)]
    assert kinds == [{"payment"}, {"payment"}, {"job-*"}, {"orders/*/*"}, {"run-*"}, {"amq.gen-*"}, {"spring.gen-*"}]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "payment",
            "shop/cart",
            "db:postgresql/orders",
            "api-v2",
            "cart-2",
            "app-20240101",
            "s3.eu-central-1.amazonaws.com",
        ),
        *(
            "deadbeef",
            "facade",
            "feed-backfeed",
            "checkout-service-canary",
            "oauth2",
            "k8s",
            "orders.dlq",
            "ip-10-0-0-1",
        ),
        *("temporary-store", "bus-station", "my-frontend-blue-green", "x" * 300, "", "naïve", "12345678", "e2e-tests"),
    ],
)
def test_names_that_people_gave_are_left_alone(name: str) -> None:
    assert fold(name) == name


@given(st.text(max_size=80))
def test_folding_again_changes_nothing(name: str) -> None:
    assert fold(fold(name)) == fold(name)


def _span(name: str, **flags: bool) -> bytes:
    attributes: list[dict[str, Any]] = [
        {"key": "messaging.system", "value": {"stringValue": "rabbitmq"}},
        {"key": "messaging.destination.name", "value": {"stringValue": name}},
    ]
    attributes += [{"key": f"messaging.destination.{k}", "value": {"boolValue": v}} for k, v in flags.items()]
    span = {"traceId": "1" * 32, "spanId": "2" * 16, "kind": 5, "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    scope = {"spans": [{**span, "attributes": attributes}]}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "cart-5d9f8b6c5d-x2x4z"}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}).encode()


@pytest.mark.parametrize(
    ("payload", "peer"),
    [
        (_span("amq.gen-JzTY20BRgKO-HjmUJj0wLg"), "messaging:rabbitmq/amq.gen-*"),
        (_span("answers", temporary=True), "messaging:rabbitmq/*"),
        (_span("answers", anonymous=True, temporary=False), "messaging:rabbitmq/*"),
        (_span("answers", temporary=False), "messaging:rabbitmq/answers"),
    ],
)
def test_queues_and_pods_in_telemetry(payload: bytes, peer: str) -> None:
    decoded = decode(OTLP_SPANS, payload)
    assert decoded.spans is not None
    assert [decoded.strings[i] for i in decoded.spans.peer] == [peer]
    assert [r.service for r in decoded.resources] == ["cart"]


@pytest.mark.shared_data
def test_generated_queues_from_the_field(shared_data: Path) -> None:
    file = shared_data.parent / "field/inputs/F12-generated-queue-names.jsonl"
    if not file.is_file():
        pytest.skip("no inputs from the field beside the checkout (../shared/field)")
    batches = [decode(OTLP_SPANS, line) for line in file.read_bytes().splitlines() if line.strip()]
    peers = {d.strings[i] for d in batches if d.spans is not None for i in d.spans.peer}
    assert len(peers) == 1
