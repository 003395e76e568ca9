"""What share of traces is kept is seen in their ids, as soon as there can be no doubt, and never where ids are merely odd."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.frames.decoded import U64
from streams.windows.sampling import NOT_SAID, RANDOM_ID, Sampling

ENV = "prod"
Keeps = Callable[[U64], np.ndarray]


def ids(rng: np.random.Generator, n: int, bits: int = 64) -> U64:
    return (
        rng.integers(0, 1 << bits, n, np.uint64, endpoint=False) if bits < 64 else rng.integers(0, 2**64, n, np.uint64)
    )


def weights(sampling: Sampling, traces: U64, said: int = NOT_SAID) -> np.ndarray:
    n = len(traces)
    return sampling.weights(ENV, np.full(n, said, np.int32), traces, np.zeros(n, np.uint64)) / 1000


KEEPS: dict[str, Callable[[float], Keeps]] = {
    "low 64 bits": lambda p: lambda t: t < np.uint64(int(p * 2.0**64)),
    "their absolute value": lambda p: lambda t: np.abs(t.astype(np.int64).astype(float)) < p * 2.0**63,
    "low 56 bits, the high ones": lambda p: lambda t: (t & np.uint64((1 << 56) - 1)) >= np.uint64(int((1 - p) * 2**56)),
}


@pytest.mark.parametrize("share", [0.02, 0.1, 0.25, 0.5, 0.7])
@pytest.mark.parametrize("name", KEEPS)
def test_a_sampler_that_begins_is_seen_and_one_that_ends(name: str, share: float):
    rng, sampling = np.random.default_rng(3), Sampling()
    for _ in range(30):
        assert (weights(sampling, ids(rng, 20)) == 1).all()
    keeps = KEEPS[name](share)
    for _ in range(60):
        found = ids(rng, 400)
        last = weights(sampling, found[keeps(found)][:20])
    assert last == pytest.approx(1 / share, rel=0.05)
    for _ in range(20):
        last = weights(sampling, ids(rng, 20))
    assert (last == 1).all()


def test_a_tenth_is_seen_from_a_dozen_traces():
    rng, sampling = np.random.default_rng(4), Sampling()
    for _ in range(30):
        weights(sampling, ids(rng, 20))
    found = ids(rng, 1000)
    kept = found[found < np.uint64(2**64 // 10)]
    seen = next(i for i in range(1, len(kept)) if weights(sampling, kept[i - 1 : i]).max() > 1)
    assert seen <= 16


def test_traces_that_are_kept_whatever_their_id_stand_for_themselves():
    rng, sampling = np.random.default_rng(5), Sampling()
    for _ in range(30):
        weights(sampling, ids(rng, 20))
    for round_ in range(40):
        found = ids(rng, 500)
        kept = found[found < np.uint64(2**64 // 10)][:30]
        forced = np.array([3 * 2**61 + round_], np.uint64)
        last = weights(sampling, np.concatenate([kept, forced] if round_ > 20 and round_ % 2 else [kept]))
    assert last[0] == pytest.approx(10, rel=0.1)
    assert last[-1] == 1


@pytest.mark.parametrize("bits", [63, 62, 56, 53, 48, 32, 31])
def test_ids_of_fewer_bits_are_not_taken_for_samples(bits: int):
    rng, sampling = np.random.default_rng(6), Sampling()
    for _ in range(100):
        assert (weights(sampling, ids(rng, 20, bits)) == 1).all()


def test_numbered_ids_are_not_taken_for_samples():
    sampling = Sampling()
    for first in range(0, 4000, 20):
        assert (weights(sampling, np.arange(first + 1, first + 21, dtype=np.uint64)) == 1).all()
    for first in range(2**63, 2**63 + 4000, 20):
        assert (weights(sampling, np.arange(first, first + 20, dtype=np.uint64)) == 1).all()


def test_half_of_all_is_believed_of_ids_that_are_said_to_be_random():
    rng, plain, told = np.random.default_rng(7), Sampling(), Sampling()
    for _ in range(50):
        found = ids(rng, 20, 63)
        last = weights(plain, found), weights(told, found, RANDOM_ID)
    assert (last[0] == 1).all()
    assert last[1] == pytest.approx(2, rel=0.02)


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_without_a_sampler_nothing_is_weighed(seed: int, each: int):
    rng, sampling = np.random.default_rng(seed), Sampling()
    assert all((weights(sampling, ids(rng, each)) == 1).all() for _ in range(20))


def test_what_roots_declare_holds_for_their_traces_and_a_snapshot_keeps_it():
    rng, sampling = np.random.default_rng(8), Sampling()
    for _ in range(40):
        found = ids(rng, 2)
        said, parent = np.array([10_000, NOT_SAID], np.int32), np.array([0, 5], np.uint64)
        last = sampling.weights(ENV, said, found, parent)
    assert last.tolist() == [10_000, 10_000]
    again = Sampling()
    again.load(sampling.state())
    assert again.weights(ENV, said, found, parent).tolist() == [10_000, 10_000]


def test_until_it_is_known_that_roots_speak_for_their_traces_requests_and_calls_are_weighed_alike():
    """Roots alone that count ten times would look as if requests made hardly any calls."""
    rng, sampling = np.random.default_rng(9), Sampling()
    parent = np.array([0, 5], np.uint64)
    for second in range(60):
        said = np.array([10_000 if second >= 40 else NOT_SAID, NOT_SAID], np.int32)
        root, call = sampling.weights(ENV, said, ids(rng, 2), parent).tolist()
        assert root == call, second
    assert root == 10_000


def test_where_only_some_roots_declare_they_speak_for_themselves():
    rng, sampling = np.random.default_rng(10), Sampling()
    parent = np.array([0, 5], np.uint64)
    for i in range(60):
        said = np.array([10_000 if i % 2 else NOT_SAID, NOT_SAID], np.int32)
        last = sampling.weights(ENV, said, ids(rng, 2), parent)
    assert last.tolist() == [10_000, 1000]
