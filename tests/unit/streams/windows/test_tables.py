"""The table of recent keys against a dictionary, and the group-by against counting by hand."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.frames.latency import bucket_of, quantiles
from streams.windows.grouping import aggregate, bucket_of_ns
from streams.windows.request_rows import SPAN
from streams.windows.tables import KeyTable
from streams.windows.window import Sums

batches = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=12, unique=True), max_size=12)


def rows(keys: list[int]) -> tuple[np.ndarray, np.ndarray]:
    sorted_keys = np.sort(np.array(keys, np.uint64))
    found = np.zeros(len(keys), SPAN)
    found["span"] = sorted_keys
    return sorted_keys, found


@settings(max_examples=60, deadline=None)
@given(batches, st.lists(st.integers(1, 40), unique=True), st.integers(1, 20))
def test_a_table_is_a_dictionary(inserted: list[list[int]], asked: list[int], step: int) -> None:
    table, known = KeyTable(SPAN, step, 10_000), Counter()
    for time, keys in enumerate(inserted):
        table.insert(*rows(keys), time)
        known.update(keys)
    wanted = np.sort(np.array(asked, np.uint64))
    assert table.contains(wanted).tolist() == [int(k) in known for k in wanted]
    at, found = table.find(wanted)
    assert Counter(found["span"].tolist()) == Counter(k for k in asked if k in known)
    assert (found["span"] == wanted[at]).all()
    again = KeyTable(SPAN, step, 10_000)
    again.load(table.state())
    for some in (table, again):
        at, taken = some.take(wanted)
        assert Counter(taken["span"].tolist()) == Counter({k: known[k] for k in asked if k in known})
        assert (taken["span"] == wanted[at]).all()
        assert len(some.take(wanted)[0]) == 0
        assert len(some) == sum(known.values()) - len(taken)


def test_keys_that_look_like_those_of_a_table_are_none_of_it() -> None:
    """Above and below all of them, and in between, and alike in their lowest bits."""
    table = KeyTable(SPAN, 1, 10_000)
    table.insert(*rows([5 << 20, 7 << 20, 9 << 20]), 1)
    others = np.array([1 << 20, 6 << 20, 10 << 20, 11 << 40], np.uint64)
    assert not table.contains(others).any()
    assert [len(found[0]) for found in (table.find(others), table.take(others))] == [0, 0]
    assert table.contains(np.array([5 << 20, 9 << 20], np.uint64)).all()


def test_old_slices_go() -> None:
    table = KeyTable(SPAN, 1, 10_000)
    for time in range(10):
        table.insert(*rows([time + 1]), time)
    assert table.expire(7) == 7
    assert table.contains(np.array([7, 8], np.uint64)).tolist() == [False, True]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=80), st.sampled_from([10_000, 64, 200]))
@example([32, 32, 1, 1], 64)
@example([1, 2, 4, 9], 10_000)
@settings(max_examples=60, deadline=None)
def test_slices_of_like_size_are_merged(sizes: list[int], slice_rows: int) -> None:
    """So a row is moved a logarithmic number of times, and few slices are looked into."""
    table, first = KeyTable(SPAN, 1 << 40, 1 << 40, slice_rows), 1
    for time, size in enumerate(sizes):
        table.insert(*rows(list(range(first, first + size))), time)
        first += size
        held = [len(s.keys) for s in table.slices]
        assert sum(held) == len(table) == first - 1
        for older, newer in itertools.pairwise(held):
            assert older > 2 * newer or older + newer > slice_rows
        assert all(n <= max(slice_rows, 50) for n in held)
    if slice_rows >= first:
        assert len(table.slices) <= math.log2(first) + 1


def test_the_oldest_slices_go_where_there_are_too_many_rows() -> None:
    table = KeyTable(SPAN, 1, 25)
    evicted = [table.insert(*rows(list(range(10 * time + 1, 10 * time + 11))), time) for time in range(4)]
    assert evicted == [0, 0, 10, 10]
    assert table.contains(np.array([1, 20, 21, 40], np.uint64)).tolist() == [False, False, True, True]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**13)), min_size=1, max_size=50))
def test_groups_and_quantiles(events: list[tuple[int, int]]) -> None:
    keys, duration = (np.array(c, np.int64) for c in zip(*events, strict=True))
    groups = aggregate(keys, bucket_of_ns(duration), (duration,))
    expected = Counter(keys.tolist())
    assert dict(zip(groups.keys.tolist(), groups.count.tolist(), strict=True)) == expected
    sums = Sums(1)
    sums.add(groups.keys, groups.sums)
    sums.add_cells(groups.keys[groups.hist_row], groups.hist_bucket.astype(np.int64), groups.hist_count)
    for key in range(5):
        mine = duration[keys == key]
        bucket, count = np.unique(bucket_of_ns(mine), return_counts=True)
        assert sums.of(np.array([key]))[0].tolist() == [int(mine.sum())]
        one = sums.quantiles(np.array([key]), (0.5, 0.99))[0]
        np.testing.assert_array_equal(one, quantiles(bucket, count, (0.5, 0.99)))


def test_buckets_are_those_of_the_grid() -> None:
    duration = np.random.default_rng(1).lognormal(17, 3, 20_000).astype(np.int64)
    assert (bucket_of_ns(duration) == bucket_of(duration / 1e9)).all()
