"""From how many traces on a sample is one, what each then stands for, and how many roots speak for their traces."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.frames.decoded import U64
from streams.windows.sampling import NOT_SAID, RANDOM_ID, Sampling

ENV = "prod"
GOLDEN = 0x9E3779B97F4A7C15
"""Multiples of it lie evenly over all of 64 bits, however many there are."""


def kept(count: int, tenths: int) -> U64:
    """Ids evenly over so many tenths of their range, the first of them at its end."""
    spread = [(n * GOLDEN) % 2**64 for n in range(1, count)]
    return np.array([n * tenths // 10 for n in (2**64 - 2**50, *spread)], np.uint64)


def weigh(sampling: Sampling, traces: U64, said: int = RANDOM_ID, parent: int = 0) -> list[int]:
    n = len(traces)
    return sampling.weights(ENV, np.full(n, said, np.int32), traces, np.full(n, parent, np.uint64)).tolist()


@pytest.mark.parametrize(("tenths", "traces"), [(1, 14), (2, 19), (3, 25)])
@pytest.mark.parametrize("restored", [False, True])
def test_as_soon_as_chance_can_not_be_the_reason(tenths: int, traces: int, restored: bool) -> None:
    """A part to the power of as many traces is then less than exp(-30)."""
    sampling = Sampling()
    for n, trace in enumerate(kept(traces, tenths), 1):
        (found,) = weigh(sampling, np.array([trace]))
        share = tenths / 10 * (n + 1) / n
        assert found == (1000 if n < traces else pytest.approx(1000 / share, abs=2))
        if restored:
            again = Sampling()
            again.load(sampling.state())
            sampling = again
    weigh(sampling, np.array([trace]))
    assert weigh(sampling, np.array([trace]))[0] == found, "the same trace again teaches nothing"


@pytest.mark.parametrize(("forced", "sampled"), [(1, True), (4, True), (5, False)])
def test_a_few_that_are_kept_whatever_their_id_end_no_sample(forced: int, sampled: bool) -> None:
    sampling = Sampling()
    weigh(sampling, kept(100, 1))
    others = np.array([2**63 + n for n in range(forced)], np.uint64)
    assert weigh(sampling, others) == [1000] * forced
    (inside,) = weigh(sampling, np.array([2**40 + 77], np.uint64))
    assert (inside > 9000) == sampled
    assert inside >= 1000


@pytest.mark.parametrize(
    ("declared", "weight"),
    [
        ([10_000] * 7, 1000),
        ([10_000] * 8, 10_000),  # others before them declared none: there were none
        ([0] * 20 + [10_000] * 7, 1000),
        ([0] * 20 + [10_000] * 8, 10_000),
        ([0] * 20 + [10_000] * 4 + [5000] * 4, 1000),
        ([0] * 20 + [10_000] * 8 + [0], 1000),
        ([10_000] * 9 + [0] * 2 + [10_000] * 21, 10_000),  # thirty of thirty-two
        ([10_000] * 9 + [0] * 3 + [10_000] * 20, 1000),
        ([10_000] * 9 + [0] + [10_000] * 21, 1000),  # of thirty-one it is not known yet
        ([10_000] * 9 + [0] + [10_000] * 22, 10_000),
        ([10_000] * 9 + [0] * 2 + [10_000] * 20 + [0], 1000),
        ([0] * 9 + [10_000] * 9 + [0] * 2 + [10_000] * 21, 10_000),  # older ones are forgotten
    ],
)
def test_so_many_roots_alike_speak_for_their_traces(declared: list[int], weight: int) -> None:
    sampling, rng = Sampling(), np.random.default_rng(5)
    for said in declared:
        weigh(sampling, rng.integers(0, 2**63, 1).astype(np.uint64) * np.uint64(2), said)
    again = Sampling()
    again.load(sampling.state())
    assert weigh(again, np.array([12345], np.uint64), NOT_SAID, parent=9) == [weight]
    assert weigh(again, np.array([12345], np.uint64), 3000, parent=9) == [3000], "who declares is believed"


def test_an_environment_that_is_gone_is_not_remembered() -> None:
    sampling = Sampling()
    weigh(sampling, kept(100, 1))
    assert weigh(sampling, np.array([5], np.uint64))[0] > 9000
    sampling.forget(ENV)
    assert weigh(sampling, np.array([6], np.uint64)) == [1000]
