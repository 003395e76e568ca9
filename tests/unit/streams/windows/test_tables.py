"""The table of recent keys against a dictionary, and the group-by against counting by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frames.latency import bucket_of, quantiles
from streams.windows.edges import SPAN
from streams.windows.grouping import aggregate, bucket_of_ns
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


def test_old_slices_go() -> None:
    table = KeyTable(SPAN, 1, 10_000)
    for time in range(10):
        table.insert(*rows([time + 1]), time)
    assert table.expire(7) == 7
    assert table.contains(np.array([7, 8], np.uint64)).tolist() == [False, True]


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
