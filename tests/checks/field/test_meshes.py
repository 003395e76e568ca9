"""A mesh's spans beside the applications' own: one service each, each request and call counted once, proxies' own answers seen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from connectors.otlp.decode import decode
from contracts.topics import OTLP_SPANS
from contracts.units import SECOND
from tests.unit.connectors.otlp.builders import as_json, traces
from tests.unit.streams.windows.support import CLIENT, MS, SERVER, T0, Cluster, rows_of

K8S = {"k8s.namespace.name": "shop", "deployment.environment.name": "prod"}
ISTIO = {"component": "proxy", "response_flags": "-", "http.status_code": "200", "istio.namespace": "shop"}


def span(number: int, span_id: int, parent: int, kind: int, **attributes: Any) -> dict[str, Any]:
    """A span of trace `number`; the deeper it lies, the shorter it is."""
    at, depth = T0 + number * SECOND // 10, span_id * MS
    return {
        "trace_id": (1 << 100 | number + 1).to_bytes(16, "big"),
        "span_id": (number * 100 + span_id).to_bytes(8, "big"),
        "parent_span_id": (number * 100 + parent).to_bytes(8, "big") if parent else b"",
        "kind": kind,
        "start_time_unix_nano": at + depth,
        "end_time_unix_nano": at + 60 * MS - depth,
        "attributes": {k.replace("__", "."): v for k, v in attributes.items()},
    }


def sidecar(service: str, **more: str) -> dict[str, Any]:
    """Tags of a span of the proxy of a service."""
    return {**ISTIO, "istio.canonical_service": service, **more}


REVIEWS = "outbound|9080||reviews.shop.svc.cluster.local"


def call(number: int, *, apps: bool = True, proxies: bool = True, flags: str = "-") -> list[bytes]:
    """A request of web to reviews: both applications and both proxies tell of it, or some of them."""
    found = []
    failed = {} if flags == "-" else {"response_flags": flags, "http.status_code": "503"}
    if apps:
        web = [span(number, 1, 0, SERVER), span(number, 2, 1, CLIENT, server__address="reviews", server__port=9080)]
        found.append(traces({"service.name": "web", **K8S}, *web))
    if proxies:
        out = span(number, 3, 2 if apps else 0, CLIENT) | {
            "attributes": sidecar("web", upstream_cluster=REVIEWS, **failed)
        }
        found.append(traces({"service.name": "web.shop", "deployment.environment.name": "prod"}, out))
        inward = span(number, 4, 3, SERVER) | {
            "attributes": sidecar("reviews", upstream_cluster="inbound|9080||", **failed)
        }
        found.append(traces({"service.name": "reviews.shop", "deployment.environment.name": "prod"}, inward))
    if apps and flags == "-":
        served = span(number, 5, 4 if proxies else 2, SERVER)
        found.append(traces({"service.name": "reviews", **K8S}, served))
    return [m.SerializeToString() if number % 2 else as_json(m) for m in found]


def told(*calls: list[bytes], seconds: int = 40) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Requests per service, and calls per caller and callee, as features have them."""
    cluster = Cluster(partitions=1, workers=1, seed=1)
    for number, messages in enumerate(calls):
        for message in messages:
            cluster.send(0, message, T0 + number * SECOND // 10)
        cluster.work(T0 + number * SECOND // 10, 50)
        cluster.tick(T0 + number * SECOND // 10)
    for second in range(len(calls) // 10, len(calls) // 10 + seconds):
        cluster.tick(T0 + second * SECOND)
        cluster.work(T0 + second * SECOND, 500)
    served: Counter[str] = Counter()
    edges: Counter[tuple[str, str]] = Counter()
    for (signal, _, service, peer), values in rows_of(cluster.frames).items():
        if signal == "spans":
            served[service] += int(values[0])
        elif signal == "edges":
            edges[service, peer] += int(values[0])
    return served, edges


def test_what_applications_and_proxies_tell_of_is_told_once() -> None:
    served, edges = told(*(call(n) for n in range(300)))
    assert served["shop/web"] == 300
    assert 300 <= served["shop/reviews"] <= 303, "until its own spans are known, the proxy's count"
    assert set(served) == {"shop/web", "shop/reviews"}
    assert edges == {("shop/web", "shop/reviews"): 300}


def test_proxies_alone_are_enough() -> None:
    served, edges = told(*(call(n, apps=False) for n in range(100)))
    assert served["shop/reviews"] == 100
    assert edges == {("shop/web", "shop/reviews"): 100}


@pytest.mark.parametrize("flags", ["UF", "UH", "UT", "DC"])
def test_proxies_go_on_to_be_enough_after_one_has_answered_itself(flags: str) -> None:
    calls = [call(n, apps=False, flags=flags if n in (20, 21) else "-") for n in range(100)]
    served, edges = told(*calls)
    assert served["shop/reviews"] == 100
    assert edges == {("shop/web", "shop/reviews"): 100}


def test_what_a_proxy_answers_itself_is_the_applications_failure() -> None:
    calls = [call(n, flags="UF" if n >= 50 else "-") for n in range(100)]
    served, edges = told(*calls)
    assert 100 <= served["shop/reviews"] <= 103
    assert edges == {("shop/web", "shop/reviews"): 100}


def test_the_same_spans_delivered_again_count_once() -> None:
    calls = [call(n, proxies=False) for n in range(50)]
    served, edges = told(*(c + c for c in calls), *calls[-5:])
    assert (served["shop/web"], served["shop/reviews"]) == (50, 50)
    assert edges == {("shop/web", "shop/reviews"): 50}


NAMED = [
    # resource, attributes of the span, the service that it is
    ({"service.name": "reviews.shop"}, sidecar("reviews"), "shop/reviews"),
    ({"service.name": "reviews.shop"}, {"component": "proxy"}, "shop/reviews"),
    ({"service.name": "istio-proxy"}, sidecar("reviews"), "shop/reviews"),
    (
        {"service.name": "istio-ingressgateway"},
        {**sidecar("gw"), "istio.namespace": "istio-system"},
        "istio-system/gw",
    ),
    ({"service.name": "front-proxy"}, {"component": "proxy"}, "front-proxy"),
    ({"service.name": "reviews.shop"}, {}, "reviews.shop"),
    ({"service.name": "reviews", "service.namespace": "books"}, sidecar("reviews"), "books/reviews"),
    ({"service.name": "linkerd-proxy", "k8s.deployment.name": "web", **K8S}, {}, "shop/web"),
    ({"service.name": "linkerd-proxy"}, {}, "linkerd-proxy"),
    ({"service.name": "envoy", "k8s.statefulset.name": "db", "k8s.container.name": "envoy", **K8S}, {}, "shop/db"),
    ({"service.name": "api.v2.shop"}, {"component": "proxy"}, "api.v2.shop"),
]


@pytest.mark.parametrize(("resource", "attributes", "service"), NAMED)
@pytest.mark.parametrize("many", [False, True])
def test_a_proxys_spans_are_of_the_service_that_it_stands_before(
    resource: dict[str, str], attributes: dict[str, str], service: str, many: bool
) -> None:
    spans = [span(n, 1, 0, SERVER) | {"attributes": attributes} for n in range(200 if many else 1)]
    message = traces(resource, *spans)
    for payload in (message.SerializeToString(), as_json(message)):
        decoded = decode(OTLP_SPANS, payload)
        assert decoded.spans is not None
        assert {decoded.resources[i].service for i in decoded.spans.resource.tolist()} == {service}
        passed = attributes.get("component") == "proxy" or resource["service.name"] in ("linkerd-proxy", "envoy")
        assert decoded.spans.proxy.tolist() == ([True] * len(spans) if passed else [])
