"""Zipkin's halves of one span, which share an id, are a caller's and a callee's; the same half again is a duplicate."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import pytest

from tests.checks.field.test_meshes import K8S, span, told
from tests.representatives import representatives
from tests.unit.connectors.otlp.builders import traces
from tests.unit.streams.windows.support import CLIENT, SERVER


def halves(number: int) -> dict[str, bytes]:
    """web serves and calls reviews, which calls ratings: each call's two halves have one id, and the caller's parent."""

    def of(service: str, *spans: dict[str, Any]) -> bytes:
        return traces({"service.name": service, **K8S}, *spans).SerializeToString()

    to_reviews, to_ratings = {"server__address": "reviews"}, {"server__address": "ratings"}
    return {
        "web": of("web", span(number, 1, 0, SERVER), span(number, 2, 1, CLIENT, **to_reviews)),
        "reviews": of("reviews", span(number, 2, 1, SERVER), span(number, 3, 2, CLIENT, **to_ratings)),
        "ratings": of("ratings", span(number, 3, 2, SERVER)),
    }


ORDERS = list(permutations(("web", "reviews", "ratings")))


@pytest.mark.parametrize(
    ("order", "again"),
    representatives(product(ORDERS, (False, True)), (ORDERS[0], False), (ORDERS[3], False), (ORDERS[5], True)),
)
def test_each_half_is_a_span_of_its_own(order: tuple[str, ...], again: bool) -> None:
    calls = [[halves(n)[service] for service in order] for n in range(120)]
    served, edges = told(*(c + c if again else c for c in calls))
    assert served == {"shop/web": 120, "shop/reviews": 120, "shop/ratings": 120}
    assert edges == {("shop/web", "shop/reviews"): 120, ("shop/reviews", "shop/ratings"): 120}
