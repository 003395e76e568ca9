"""Whatever is written where a name, a number or a code belongs: the message is read or refused, and nothing of it grows beyond measure."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest

from connectors.otlp.decode import decode
from connectors.otlp.log_bodies import severity_of
from connectors.otlp.values import cached
from contracts.errors import UndecodableTelemetry
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS
from tests.unit.connectors.otlp.builders import T0, as_json, fill, histogram, logs, metrics, traces

LONG = 1_000_000
VALUES: tuple[Any, ...] = (
    *("1" * 5000, "0012" + "3" * 5000, "-1", "1e400", "nan", "-inf", "\u0663", "\u00b2", "", "\x00", "a" * 5000),
    *("{" * 3000, '{"a":' * 500, "http://[::1", "://", "\n", "%zz", "a|b|c|", "outbound||||", "0x10", "1_000", "+5"),
    *("ot=th:", "ot=p:99999999999", "<999999999999>1", "2026-13-45T99:99:99Z", "level=", "5.", "1e999"),
    *(True, 0, -1, 2**63 - 1, -(2**63), float("nan"), float("inf"), 1e308, [], [""], ["1" * 5000], ["a", "b"]),
)
KEYS = (
    *("service.name", "service.namespace", "k8s.pod.name", "k8s.namespace.name", "service.instance.id", "host.name"),
    *(
        "http.status_code",
        "rpc.grpc.status_code",
        "grpc.status_code",
        "http.route",
        "url.full",
        "http.url",
        "db.system",
    ),
    *("db.name", "db.statement", "peer.service", "server.address", "net.peer.name", "server.port", "component"),
    *("upstream_cluster", "upstream_cluster.name", "response_flags", "messaging.system", "messaging.destination.name"),
    *("messaging.batch.message_count", "aws.queue.url", "sampling.probability", "sampler.param", "error", "error.type"),
    *("http.response.body.size", "http.response.header.content-type", "level", "severity", "exception.message"),
    *("istio.canonical_service", "istio.mesh_id", "pod", "namespace", "le", "quantile", "state", "direction", "cpu"),
)


def hostile(rng: random.Random) -> list[tuple[str, Any]]:
    """One message of each signal."""

    def some(n: int) -> dict[str, Any]:
        return {rng.choice(KEYS): rng.choice(VALUES) for _ in range(rng.randrange(n))}

    def text() -> str:
        return str(rng.choice(VALUES))

    sender = {"service.name": "s", **some(4)}
    rows = [
        {
            "kind": rng.randrange(6),
            "name": text(),
            "code": rng.randrange(3),
            "attributes": some(6),
            "trace_state": text().encode("ascii", "replace").decode(),
        }
        for _ in range(rng.choice((1, 3, 40)))
    ]
    told = logs(sender, *({"body": text(), "severity_text": text()} for _ in range(2)))
    for record in told.resource_logs[0].scope_logs[0].log_records:
        fill(record, some(5))
    sent, scope = metrics(sender)
    for name in ("container.cpu.usage", "http.server.requests", text()):
        fill(scope.metrics.add(name=name, unit="1").gauge.data_points.add(time_unix_nano=T0, as_double=1.0), some(5))
    histogram(scope, "http.server.request.duration", [1, 1], [0.1], unit="s")
    fill(scope.metrics[-1].histogram.data_points[0], some(5))
    return [(OTLP_SPANS, traces(sender, *rows)), (OTLP_LOGS, told), (OTLP_METRICS, sent)]


@pytest.mark.parametrize("seed", range(4))
def test_a_hostile_value_costs_nobody_a_message(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        for topic, message in hostile(rng):
            for payload in (message.SerializeToString(), as_json(message)):
                with contextlib.suppress(UndecodableTelemetry):
                    decode(topic, payload)


@pytest.mark.parametrize("text", ["0012" + "3" * 5000, "00123", "25", "0", "-1", "1" * 4301, "\u0661"])
def test_a_severity_is_one_of_24(text: str) -> None:
    assert severity_of(text) == 0


@pytest.mark.parametrize(
    "level", ['"\u00b2"', "1" + "0" * 400, "1e400", "NaN", '"\u0663"', '"' + "1" * 5000 + '"', "[50]", "-1"]
)
def test_a_level_in_a_body_costs_no_message(level: str) -> None:
    payload = logs({"service.name": "s"}, {"body": f'{{"level":{level},"msg":"no"}}'}).SerializeToString()
    assert decode(OTLP_LOGS, payload).logs is not None


@pytest.mark.parametrize("name", [["istio-proxy"], ["a", "b"], [], 5, True])
def test_a_name_that_is_no_text(name: Any) -> None:
    sender = {"service.name": name, "k8s.deployment.name": "shop"}
    message = traces(sender, {"kind": 2, "attributes": {"component": "proxy"}})
    assert decode(OTLP_SPANS, message.SerializeToString()).spans is not None


def long(what: str) -> Any:
    """A message with a million characters somewhere."""
    text = "x" * LONG
    if what in ("name", "state", "status"):
        message = traces({"service.name": "s"}, {"kind": 2, "name": text if what == "name" else "GET /"})
        (span,) = message.resource_spans[0].scope_spans[0].spans
        if what == "state":
            span.trace_state = text
        elif what == "status":
            span.status.message = text
        return message
    if what.startswith("span:"):
        return traces({"service.name": "s"}, {"kind": 3, "attributes": {"db.system": "pg", what[5:]: text}})
    return traces({"service.name": "s", what: text}, {"kind": 2})


@pytest.mark.parametrize(
    "what",
    [
        *("service.name", "service.namespace", "deployment.environment.name", "service.version", "k8s.pod.name"),
        *("k8s.deployment.name", "service.instance.id", "host.name", "foo", "name", "state", "status"),
        *("span:peer.service", "span:server.address", "span:db.name", "span:db.statement", "span:url.full"),
    ],
)
def test_of_long_texts_little_is_kept(what: str) -> None:
    payload = long(what).SerializeToString()
    for found in (decode(OTLP_SPANS, payload), decode(OTLP_SPANS, as_json(long(what)))):
        (sender,) = found.resources
        kept = [sender.service, sender.environment, sender.version, sender.instance, *found.strings]
        assert max(map(len, [*kept, *(v for _, v in sender.attributes)])) <= 1024


@pytest.mark.parametrize("where", ["name", "unit", "label", "topic"])
def test_of_long_texts_of_metrics_little_is_kept(where: str) -> None:
    text = "x" * LONG
    sent, scope = metrics({"service.name": "s"})
    name, unit = (text if where == "name" else "kafka.consumer_group.lag"), text if where == "unit" else "1"
    point = scope.metrics.add(name=name, unit=unit).gauge.data_points.add(time_unix_nano=T0, as_double=1.0)
    fill(point, {"topic": text if where == "topic" else "t", "group": text if where == "label" else "g"})
    for payload in (sent.SerializeToString(), as_json(sent)):
        found = decode(OTLP_METRICS, payload)
        kept = [t for r in found.resources for t in (r.service, r.instance, *(v for _, v in r.attributes))]
        assert max(map(len, [*kept, *(metric for _, metric, _ in found.unread)])) <= 1024


def test_a_cache_of_what_senders_wrote_keeps_nothing_long() -> None:
    asked: list[str] = []

    @cached(8, 3)
    def told(text: str) -> int:
        asked.append(text)
        return len(text)

    assert [told(text) for text in ("abc", "abc", "abcd", "abcd")] == [3, 3, 4, 4]
    assert asked == ["abc", "abcd", "abcd"]
