"""Groups of events, sums and distinct values: as plain dictionaries have them."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.frames.latency import BASE, BUCKETS, GAMMA
from contracts.units import SECOND
from streams.windows.grouping import APART, aggregate, bucket_of_ns, dense, run_starts, sum_by

EVENT = st.tuples(
    st.integers(0, 3) | st.integers(2**50, 2**50 + 1), st.sampled_from([0, 1, 700, APART]), st.integers(-5, 5)
)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@given(st.lists(st.tuples(EVENT, st.integers(1, 4)), max_size=25), st.booleans())
def test_events_are_grouped_by_key_and_bucket(events: list[tuple[tuple[int, int, int], int]], weighed: bool) -> None:
    keys, bucket, value = (ints(*(e[i] for e, _ in events)) for i in range(3))
    each = ints(*(n for _, n in events))
    found = aggregate(keys, bucket.astype(np.int32), (value, 2 * value), each if weighed else None)
    rows, total, cells = Counter[int](), defaultdict[int, int](int), Counter[tuple[int, int]]()
    for (key, at, amount), times in events:
        rows[key] += 1
        total[key] += amount
        cells[key, at] += times if weighed else 1
    listed = sorted(rows)
    assert (found.keys.tolist(), found.count.tolist()) == (listed, [rows[k] for k in listed])
    assert [s.tolist() for s in found.sums] == [[n * total[k] for k in listed] for n in (1, 2)]
    of_cells = [(listed[r], b) for r, b in zip(found.hist_row.tolist(), found.hist_bucket.tolist(), strict=True)]
    assert of_cells == sorted(cells)
    assert found.hist_count.tolist() == [cells[c] for c in sorted(cells)]
    again, (sums,) = sum_by(keys, (value,))
    assert (again.tolist(), sums.tolist()) == (listed, [total[k] for k in listed])


VALUES = st.lists(st.integers(-3, 3) | st.sampled_from([65_532, 65_533, 65_534, 2**40, -(2**40)]), max_size=12)


@given(VALUES)
def test_distinct_values_and_where_each_is_among_them(values: list[int]) -> None:
    listed, place = dense(ints(*values))
    assert listed.tolist() == sorted(set(values))
    assert [sorted(set(values))[i] for i in place.tolist()] == values
    assert place.dtype == np.int64


@pytest.mark.parametrize("below", [7, 65_536, 65_537])
def test_distinct_values_below_a_limit(below: int) -> None:
    values = [below - 1, 0, 3, 0, below - 1]
    listed, place = dense(ints(*values), below)
    assert (listed.tolist(), place.tolist()) == ([0, 3, below - 1], [2, 0, 1, 0, 2])


def test_runs_begin_where_another_value_does() -> None:
    assert run_starts(ints()).tolist() == []
    assert run_starts(ints(4, 4, 5, 4, 4, 4)).tolist() == [0, 2, 3]


def test_each_bucket_begins_at_its_edge() -> None:
    edges = [round(float(e)) for e in np.ceil(BASE * GAMMA ** np.arange(1, BUCKETS) * SECOND)]
    for at in (1, 2, 50, 300, BUCKETS - 2, BUCKETS - 1):
        first = edges[at - 1]
        assert bucket_of_ns(ints(first - 1, first)).tolist() == [at - 1, at]
    assert bucket_of_ns(ints(0, 1, 10**18)).tolist() == [0, 0, BUCKETS - 1]
