"""Traces are sampled, or sampled otherwise than before: that is no change of traffic, and no burst of errors.

Each test sends the same minute of a shop whole, then keeps a part of its traces in a way that samplers do. What goes wrong meanwhile is
still found.
"""

from __future__ import annotations

import functools
import itertools

import pytest

from tests.representatives import representatives
from tests.scenarios.samplers import (
    Sampled,
    Sampler,
    at_share,
    by_ratio,
    by_route,
    by_signed_ratio,
    by_threshold,
    failed,
    failures_first,
    failures_only,
    in_steps,
    limited,
    policies,
    slow_first,
    slow_only,
    told_at_the_root,
    told_exponent,
    told_failures_first,
    told_threshold,
    unseen,
    watched,
)
from tests.scenarios.traffic import ONSET_S

SEED, ANOTHER = 21, 41
watched_once = functools.cache(functools.partial(watched, seed=SEED))


@pytest.mark.parametrize(
    "sampler",
    representatives(
        [by_ratio, by_signed_ratio, by_threshold, told_threshold, told_exponent, told_at_the_root],
        *(by_signed_ratio, told_exponent),
    ),
)
def test_keeping_a_tenth_is_no_change_of_traffic(sampler: Sampler):
    found = watched_once(Sampled("well", sampler))
    assert not found.incidents, found.told()


@pytest.mark.slow
@pytest.mark.parametrize("sampler", representatives([by_ratio, told_threshold], by_ratio))
def test_keeping_all_again_is_no_change_of_traffic(sampler: Sampler):
    found = watched_once(Sampled("well", sampler, since_s=0, until_s=ONSET_S))
    assert not found.incidents, found.told()


UNDECLARED = {
    "a tenth": unseen,
    "all that failed, and a tenth": failures_first,
    "only what failed": failures_only,
    "all that was slow, and a tenth": slow_first,
    "one route whole, a tenth of the other": by_route,
    "three a second": limited(3),
    "three a second, and all that failed": limited(3, failed),
    "one a second": limited(1),
}


@pytest.mark.parametrize(
    ("name", "metrics_s"),
    representatives(
        itertools.product(UNDECLARED, (0, 1, 15)),
        ("all that failed, and a tenth", 0),
        ("only what failed", 1),
        ("one route whole, a tenth of the other", 1),
        ("three a second", 0),
    ),
)
def test_what_nothing_declares_is_no_change_of_the_service(name: str, metrics_s: int):
    """A few requests fail, as ever. Its own metrics go on as before, where it has any."""
    found = watched_once(Sampled("always fails a little", UNDECLARED[name], metrics_s))
    assert not found.incidents, found.told()


@pytest.mark.parametrize(
    ("sampler", "metrics_s"),
    representatives([(failures_first, 1), (told_failures_first, 0)], (told_failures_first, 0)),
)
def test_keeping_what_failed_is_no_burst_of_failures(sampler: Sampler, metrics_s: int):
    """A few requests fail from then on, as many as nobody would tell if all were kept."""
    found = watched_once(Sampled("fails a little", sampler, metrics_s))
    assert not found.incidents, found.told()


@pytest.mark.parametrize(
    ("sampler", "metrics_s"),
    representatives(
        [
            (by_ratio, 0),
            (told_threshold, 0),
            (told_failures_first, 0),
            (unseen, 1),
            (failures_first, 1),
            (failures_first, 15),
        ],
        *((told_threshold, 0), (failures_first, 1)),
    ),
)
def test_what_fails_while_sampling_begins_is_found(sampler: Sampler, metrics_s: int):
    found = watched_once(Sampled("checkout fails", sampler, metrics_s))
    assert found.blamed == {"checkout"}, found.told()


SLOWNESS = {
    **UNDECLARED,
    "only what was slow": slow_only,
    "what failed, what was slow, a hundredth": policies,
    "a twentieth": at_share(0.05),
    "a half, then a twentieth": in_steps,
}


@pytest.mark.parametrize(
    ("name", "metrics_s"),
    representatives(
        itertools.product(SLOWNESS, (0, 1, 15)),
        ("only what was slow", 0),
        ("what failed, what was slow, a hundredth", 1),
    ),
)
def test_who_has_always_had_slow_requests_is_no_slower_where_the_others_are_left_out(name: str, metrics_s: int):
    """One request of twenty-five takes twelve times as long, as ever. Metrics, where there are any, say so."""
    found = watched(Sampled("has a long tail", SLOWNESS[name], metrics_s), ANOTHER)
    assert not found.incidents, found.told()


@pytest.mark.parametrize(
    ("plan", "name", "metrics_s"),
    representatives(
        itertools.product(
            ("checkout is slow", "checkout is slower"),
            (
                "a tenth",
                "all that was slow, and a tenth",
                "only what was slow",
                "what failed, what was slow, a hundredth",
                "a half, then a twentieth",
                "three a second",
            ),
            (1, 15),
        ),
        ("checkout is slow", "all that was slow, and a tenth", 15),
        ("checkout is slower", "a half, then a twentieth", 1),
    ),
)
def test_what_becomes_slow_while_sampling_begins_is_found(plan: str, name: str, metrics_s: int):
    found = watched(Sampled(plan, SLOWNESS[name], metrics_s), ANOTHER)
    assert "checkout" in found.blamed, found.told()
    assert not found.touched - {"checkout"}, found.told()


@pytest.mark.parametrize("sampler", representatives([unseen, slow_first, policies], policies))
def test_what_becomes_slow_is_found_by_the_spans_that_are_kept_alone(sampler: Sampler):
    found = watched(Sampled("checkout is slower", sampler), ANOTHER)
    assert "checkout" in found.blamed, found.told()
    assert not found.touched - {"checkout"}, found.told()
