"""How the requests of workloads fare that share a name: counted by who sent them, told every two seconds, and of nobody else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.claims import PARTS, parsed
from contracts.frames import Resource
from contracts.parts import parts_from
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.collect import Receipt
from streams.windows.names import Names
from streams.windows.partials import PartialBuilder
from tests.unit.streams.windows.support import CLIENT, CONSUMER, INTERNAL, MS, SERVER, T0, Span, decoded


def resource(service: str, deployment: str, pod: str = "") -> Resource:
    told = {"k8s.deployment.name": deployment} | ({"k8s.pod.name": pod} if pod else {})
    return Resource("prod", service, "1", attributes=tuple(sorted(told.items())))


BLUE, GREEN, ALONE = resource("cart", "blue", "blue-1"), resource("cart", "green"), resource("web", "web")
Fares = dict[str, tuple[float, ...]]


def told(text: str) -> Fares:
    """By workload: requests, failed ones, those of known routes, and their pace, of the last moments."""
    parts = parts_from(parsed(text).get(PARTS, ""))
    found = {p.attributes["k8s.deployment.name"]: p.lately for p in parts}
    return {name: (p.asked, p.failed, p.known, p.pace) for name, p in found.items()}


def test_sums_are_those_of_each_workload_and_are_told_every_two_seconds() -> None:
    names = Names("prod", 1, 10)
    names.now_ns = T0
    resources = (BLUE, GREEN, ALONE, resource("more", "more"))
    numbers = np.array([names.resource(r) for r in resources[:3]] + [-1])
    assert names.are_shared
    sums = np.array([[10.0, 1.0, 4.0, 2.0], [20.0, 0.0, 20.0, -3.0], [5.0, 5.0, 5.0, 5.0], [7.0, 7.0, 7.0, 7.0]])
    names.count_by_part(resources, numbers, sums)
    names.count_by_part(resources, numbers, np.where(np.arange(4)[:, None] == 1, 0.0, sums))
    assert told(names.attributes[0]) == {}, "they were told a moment ago"
    names.now_ns = T0 + 2 * SECOND - 1
    names.resource(BLUE)
    assert told(names.attributes[0]) == {}
    names.now_ns += 1
    names.resource(BLUE)
    fades = 0.5 ** (2 / 15)
    expected = {"blue": (20.0, 2.0, 8.0, 4.0), "green": (20.0, 0.0, 20.0, -3.0)}
    assert told(names.attributes[0]) == {
        name: pytest.approx(tuple(fades * n for n in row), abs=0.06) for name, row in expected.items()
    }
    assert told(names.attributes[1]) == {}
    (blue,) = [
        p for p in parts_from(parsed(names.attributes[0])[PARTS]) if p.attributes["k8s.deployment.name"] == "blue"
    ]
    assert blue.pod == {"k8s.pod.name": "blue-1"}


@pytest.mark.parametrize(
    ("kind", "parent", "failed", "asked"),
    [
        (SERVER, 7, False, (3.0, 0.0)),
        (SERVER, 0, True, (3.0, 3.0)),
        (CONSUMER, 7, True, (3.0, 3.0)),
        (INTERNAL, 0, False, (3.0, 0.0)),
        (INTERNAL, 7, True, None),
        (CLIENT, 7, True, None),
    ],
)
def test_requests_are_counted_by_who_sent_them(
    kind: int, parent: int, failed: bool, asked: tuple[float, float] | None
) -> None:
    """Of the blue ones; the green serve one request each time."""
    builder, both = PartialBuilder("otlp_spans/0", IngestSettings(), 1), (BLUE, GREEN)
    for second in range(31):
        at = T0 + second * SECOND
        spans = [
            Span("cart", 9 * second + n, 9 * second + n, parent, kind, at - 10 * MS, at, failed, name="GET /")
            for n in (1, 2, 3)
        ]
        spans.append(Span("cart", 9 * second + 5, 9 * second + 5, 0, SERVER, at - 10 * MS, at, name="GET /x"))
        message = decoded(spans)
        assert message.spans is not None
        owner = np.array([0, 0, 0, 1], np.int32)
        message = replace(message, resources=both, spans=replace(message.spans, resource=owner))
        builder.add(message, Receipt(at, at), second)
        frames = [f for _, _, f in builder.flush().partials if f.signal == "spans"]
    texts = [t for f in frames for t in f.attributes if t]
    (found,) = [told(t) for t in texts if PARTS in parsed(t)]
    lately = sum(0.5 ** ((30 - second) / 15) for second in range(1, 30))
    assert found["green"][:2] == pytest.approx((lately, 0.0), rel=0.15)
    if asked is None:
        assert "blue" not in found
        return
    assert found["blue"][0] == pytest.approx(3 * found["green"][0], rel=0.1)
    assert found["blue"][1] == pytest.approx(found["blue"][0] if failed else 0.0)
    assert found["green"][2] > 0, "its routes are known by now"
