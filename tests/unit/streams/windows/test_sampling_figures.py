"""From how many traces on a sample is one, what each then stands for, and how many roots speak for their traces."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.frames.decoded import U64
from streams.windows.sampling import NOT_SAID, RANDOM_ID, Sampling, TraceSample, _even, _is_whole, _places, _share_of

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


def test_eight_ids_close_to_one_end_are_looked_at_though_others_of_late_were_all_over() -> None:
    """None of them is as near the end as one alone would have to be, and before them came the whole range."""
    others = np.linspace(0.0, 0.99, 40)
    near = np.array([0.014, 0.015, 0.0165, 0.018, 0.019, 0.0205, 0.022, 0.0145])
    found = _share_of(np.concatenate([others, [0.5], near]), trusted=True)
    assert found == pytest.approx(0.022 * 9 / 8)
    assert _share_of(np.concatenate([others, [0.5], near[:-1], [0.0139]]), trusted=True) < 1.0
    assert _share_of(np.concatenate([others, [0.5], 1.1 * near]), trusted=True) == 1.0


def test_what_share_ids_lie_in_is_told_where_it_is_neither_all_nor_next_to_nothing() -> None:
    def share(of: float, count: int = 256, *, trusted: bool = True) -> float:
        return _share_of(of * (np.arange(count) * 0.618 % 1.0) * count / (count + 1), trusted=trusted)

    assert share(0.3) == pytest.approx(0.3, rel=0.01)
    assert share(0.88) == pytest.approx(0.88, rel=0.01)
    assert share(0.93) == share(0.0008) == 1.0
    assert share(0.002) == pytest.approx(0.002, rel=0.01)
    assert share(0.5) == pytest.approx(0.5, rel=0.01)
    assert share(0.5, trusted=False) == share(0.25, trusted=False) == share(0.52, trusted=False) == 1.0, "a bit less"
    assert share(0.47, trusted=False) == pytest.approx(0.47, rel=0.01)
    assert _share_of(np.empty(0), trusted=True) == 1.0
    assert _share_of(np.full(60, 0.3), trusted=True) == 1.0, "they are not spread over it"


@pytest.mark.parametrize(("apart", "even"), [(0.19, True), (0.2, False)])
def test_ids_are_spread_evenly_up_to_a_distance_that_chance_explains(apart: float, even: bool) -> None:
    """Of a hundred: 1.95 tenths."""
    places = (np.arange(100) + 0.5) / 100
    places[:50] = np.clip(places[:50] + apart, 0.0, 0.69)
    moved = float(np.abs(np.sort(places) - (np.arange(100) + 0.5) / 100).max())
    assert moved == pytest.approx(apart)
    assert _even(places) is even


def test_the_whole_range_was_seen_in_sixty_four_ids_up_to_its_end() -> None:
    places = (np.arange(64) + 0.5) / 64
    assert _is_whole(places)
    assert not _is_whole(places[:63])
    assert not _is_whole(places * 0.9)
    assert _is_whole(places * 0.91)
    assert not _is_whole(np.append(np.full(63, 0.1), 0.95))


def test_ids_lie_where_samplers_look() -> None:
    top = 2**64
    of = np.array([0, top // 4, top // 2, top - 1, 2**55], np.uint64)
    low, signed, high = _places(of)
    assert low.tolist() == pytest.approx([0.0, 0.25, 0.5, 1.0, 2**-9])
    assert signed.tolist() == pytest.approx([0.0, 0.5, 1.0, 0.0, 2**-8])
    assert high.tolist() == pytest.approx([1.0, 1.0, 1.0, 2**-56, 0.5])


def test_the_latest_traces_are_known_once_each() -> None:
    sample = TraceSample()
    sample.take(np.arange(600, dtype=np.uint64) * np.uint64(3), random=False)
    assert sample.traces.tolist() == [3 * n for n in range(344, 600)], "256 of the 512 that are looked at"
    sample.take(np.array([1797, 5, 5, 7], np.uint64), random=False)
    assert sample.traces[-3:].tolist() == [1797, 5, 7]
    assert len(sample.traces) == 256
    sample.take_roots(np.arange(40, dtype=np.int32))
    assert sample.declared.tolist() == list(range(8, 40))
    assert Sampling().state() == {}


def test_a_root_that_declares_stands_for_itself_until_it_is_known_that_the_rest_of_traces_says_nothing() -> None:
    def weigh_all(said: list[int], parent: list[int]) -> list[int]:
        """After a root that declared."""
        sampling = Sampling()
        sampling.weights(ENV, np.array([4000], np.int32), np.array([1], np.uint64), np.array([0], np.uint64))
        traces = np.arange(1, len(said) + 1, dtype=np.uint64)
        return sampling.weights(ENV, np.array(said, np.int32), traces, np.array(parent, np.uint64)).tolist()

    assert weigh_all([4000, 0], [0, 9]) == [1000, 1000], "it may be only roots that tell"
    assert weigh_all([4000, 0, 2000], [0, 9, 9]) == [4000, 1000, 2000], "others tell, too"
    assert weigh_all([4000, 2000], [0, 9]) == [4000, 2000]
    assert weigh_all([0, 0], [0, 9]) == [1000, 1000]
