"""Instances are counted of services that have several, and told of only while one fares otherwise than before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from contracts.claims import INSTANCES, parsed
from contracts.frames import Resource
from contracts.instance_parts import INSTANCE, Ailment, compared, name_of
from contracts.parts import Fared, parts_from
from contracts.settings import IngestSettings
from contracts.units import SECOND as S
from streams.windows.collect import Receipt
from streams.windows.instance_tallies import InstanceTallies
from streams.windows.names import Names
from streams.windows.partials import PartialBuilder
from tests.unit.streams.windows.support import MS, SERVER, T0, Span, decoded


def resource(instance: str, service: str = "cart", pod: str = "") -> Resource:
    told = (("k8s.pod.name", pod),) if pod else ()
    return Resource("prod", service, "1", instance, (("service.instance.id", instance), *told))


def sick(names: Names, number: int = 0) -> dict[str, Ailment]:
    return {name_of(p): a for p, a in compared(parts_from(parsed(names.attributes[number]).get(INSTANCES, ""))).sick}


def count(names: Names, second: int, failed: dict[str, float], *, per_s: float = 10.0) -> None:
    """A second of requests to instances, so many of which fail."""
    names.now_ns = T0 + second * S
    resources = tuple(resource(name, pod=f"pod-{name}") for name in failed)
    numbers = np.array([names.resource(r) for r in resources])
    if names.counts_parts:
        names.count_by_part(resources, numbers, np.array([[per_s, f, per_s, 0.0] for f in failed.values()]))


def test_the_sick_one_is_told_of_while_it_is_sick_and_then_no_more() -> None:
    names = Names("prod", 1, 10)
    for second in range(100):
        count(names, second, {"a": 0.0, "b": 0.0})
    assert INSTANCES not in names.attributes[0], "while all is as before there is nothing to tell"
    names.fresh.clear()
    for second in range(100, 112):
        count(names, second, {"a": 0.0, "b": 4.0})
    assert sick(names) == {"pod-b": Ailment.FAILING}
    assert 0 in names.fresh, "it is sent on"
    for second in range(112, 400):
        count(names, second, {"a": 0.0, "b": 0.0})
    assert INSTANCES not in names.attributes[0]


def test_of_a_service_with_one_instance_nothing_is_counted() -> None:
    names = Names("prod", 1, 10)
    names.now_ns = T0
    names.resource(resource("a"))
    names.resource(resource("x", "web"))
    assert not names.counts_parts
    names.resource(resource("b"))
    assert names.counts_parts
    assert not names.are_shared


def test_one_that_is_gone_is_forgotten_and_the_number_is_bounded() -> None:
    tallies = InstanceTallies()
    for i in range(2):
        tallies.learn(0, resource(str(i)))
    for i in range(60):
        tallies.count(0, resource(str(i)), Fared(100.0, 0.0, 100.0, 0.0), T0 + (i - 40) * S)
        tallies.count(0, resource(str(i)), Fared(10.0, 9.0, 10.0, 0.0), T0 + i * S)
    assert tallies.news(0, T0 + 60 * S)
    told = [p.attributes[INSTANCE] for p in parts_from(tallies.spelled(0, T0 + 60 * S))]
    assert len(told) == 16
    assert not tallies.news(0, T0 + 61 * S), "it was asked a moment ago"
    assert tallies.news(0, T0 + 160 * S), "that there is no more to tell is news"
    assert (tallies.spelled(0, T0 + 160 * S), tallies.news(0, T0 + 170 * S)) == ("", False)
    tallies.forget(0)
    assert not tallies.has(0)
    assert not tallies


def test_spans_are_counted_by_who_served_them_and_told_with_the_service() -> None:
    builder, both, texts = PartialBuilder("otlp_spans/0", IngestSettings(), 1), (resource("a"), resource("b")), []
    for second in range(60):
        at = T0 + second * S
        spans = [
            Span("cart", 100 * second + n, 100 * second + n, 0, SERVER, at - 10 * MS, at, second >= 45 and n % 2 == 1)
            for n in range(20)
        ]
        message = decoded(spans)
        assert message.spans is not None
        owner = np.arange(20, dtype=np.int32) % 2
        message = replace(message, resources=both, spans=replace(message.spans, resource=owner))
        builder.add(message, Receipt(at, at), second)
        texts += [t for _, _, f in builder.flush().partials if f.signal == "spans" for t in f.attributes if t]
    told = [compared(parts_from(parsed(t).get(INSTANCES, ""))).sick for t in texts]
    assert [(name_of(p), a) for p, a in told[-1]] == [("b", Ailment.FAILING)]
    assert told[0] == ()
