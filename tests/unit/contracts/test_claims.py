"""What telemetry claims a service is, and whether it agrees."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.claims import (
    CONTESTED,
    HORIZON_NS,
    MOST,
    PODS,
    TARGET_KEYS,
    WORKLOAD_KEYS,
    Claims,
    ClaimsHeard,
    parsed,
    spelled,
)
from contracts.units import SECOND

NOW = 1_700_000_000_000_000_000
NAMESPACE, DEPLOYMENT = "k8s.namespace.name", "k8s.deployment.name"
CART = {NAMESPACE: "shop", DEPLOYMENT: "cart", "cloud.region": "eu"}
OTHER = {NAMESPACE: "kube-system", DEPLOYMENT: "coredns"}


def heard(*said: tuple[str, dict[str, str], int]) -> Claims:
    claims = Claims()
    for origin, attributes, after_s in said:
        claims.hear(origin, attributes, NOW + after_s * SECOND)
    return claims


def test_the_last_word_does_not_win() -> None:
    claims = heard(*(("a", CART, i) for i in range(9)), ("b", OTHER, 9))
    merged = claims.merged(NOW + 10_000_000_000)
    assert (merged[NAMESPACE], merged[DEPLOYMENT]) == ("shop", "cart")
    assert merged[CONTESTED] == (
        "k8s.namespace.name is shop (90%) or kube-system (10%); k8s.deployment.name is cart (90%) or coredns (10%)"
    )


def test_who_says_less_contradicts_nobody() -> None:
    claims = heard(("a", CART, 0), ("b", {NAMESPACE: "shop"}, 1), ("c", {"cloud.region": "us"}, 2), ("d", {}, 3))
    assert claims.merged(NOW + 4_000_000_000) == CART | {"cloud.region": "us"}


def test_parts_of_rival_claims_are_never_put_together() -> None:
    claims = heard(("a", {DEPLOYMENT: "cart"}, 0), ("a", {DEPLOYMENT: "cart"}, 1), ("b", OTHER, 2))
    merged = claims.merged(NOW + 3_000_000_000)
    assert (merged.get(NAMESPACE), merged[DEPLOYMENT]) == (None, "cart")
    assert CONTESTED in merged


def test_a_claim_that_is_not_repeated_is_over() -> None:
    claims = heard(("a", OTHER, 0), ("b", CART, 500))
    assert CONTESTED in claims.merged(NOW + HORIZON_NS - 1)
    assert claims.merged(NOW + HORIZON_NS) == CART


def test_a_doubt_that_was_found_before_is_passed_on() -> None:
    merged = heard(("spans", {**CART, CONTESTED: "so or so"}, 0), ("logs", CART, 0)).merged(NOW)
    assert merged == {**CART, CONTESTED: "so or so"}


def test_signals_are_heard_separately() -> None:
    both = ClaimsHeard()
    for signal, attributes in (("spans", CART), ("logs", OTHER)):
        both.take(signal, ("cart", "web"), (spelled(attributes), ""), NOW)
    assert both.of("cart")[DEPLOYMENT] in {"cart", "coredns"}
    assert CONTESTED in both.of("cart")
    assert both.of("web") == both.of("nobody") == {}
    both.take("logs", ("cart",), (spelled(CART),), NOW + 1)
    assert both.of("cart") == CART


def test_what_is_no_object_says_nothing() -> None:
    assert [parsed(t) for t in ("", "[1]", "{", '{"a": 1}')] == [{}, {}, {}, {"a": "1"}]


places = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from("xyz") for key in ("k8s.cluster.name", "k8s.namespace.name")}
)
workloads = st.just({}) | st.builds(
    lambda key, name: {key: name}, st.sampled_from((*WORKLOAD_KEYS, PODS)), st.sampled_from("xyz")
)
claims_of = st.lists(
    st.tuples(st.sampled_from("abc"), st.builds(lambda a, b: a | b, places, workloads), st.integers(0, 900)),
    max_size=12,
)


def workload_of(attributes: dict[str, str]) -> set[tuple[str, str]]:
    return {(k, v) for k, v in attributes.items() if k in (*WORKLOAD_KEYS, PODS)}


@given(claims_of, st.integers(0, 1600))
def test_either_all_agree_or_it_says_so(said: list[Any], after_s: int) -> None:
    claims = heard(*said)
    now_ns = NOW + after_s * SECOND
    merged = claims.merged(now_ns)
    alive = [c.attributes for c in claims.by.values() if now_ns - c.last_ns < HORIZON_NS]
    named = {v for a in alive for k, v in workload_of(a) if k != PODS}
    alive = [{k: v for k, v in a.items() if k != PODS or v not in named} for a in alive]
    rivals = any(len({a[k] for a in alive if k in a}) > 1 for k in TARGET_KEYS)
    rivals |= len(set().union(*(workload_of(a) for a in alive))) > 1
    assert (CONTESTED in merged) == rivals
    found = {k: v for k, v in merged.items() if k in TARGET_KEYS}
    if rivals:
        assert found in alive, "what is taken is what somebody claims, whole"
    else:
        assert all(a.items() <= found.items() for a in alive)
    again = Claims.of(json.loads(json.dumps(claims.state())))
    assert again.merged(now_ns) == merged


def test_nobody_can_make_us_keep_more_than_a_few() -> None:
    claims = heard(("a", CART, 0), *((str(i), {DEPLOYMENT: f"d{i}"}, i) for i in range(100)))
    assert len(claims.by) == MOST
    assert CONTESTED in claims.merged(NOW + 100_000_000_000)
