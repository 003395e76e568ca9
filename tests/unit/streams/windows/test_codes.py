"""Codes that frames and snapshots carry: what an older release wrote must mean the same to this one."""

from __future__ import annotations

import numpy as np

from streams.windows import calls, collect_spans, facts, request_rows, sampling, series, shared_ids, span_partials
from streams.windows.containment import NONE
from streams.windows.failed_calls import UNKNOWN
from streams.windows.grouping import APART, aggregate
from streams.windows.rows import UNIT
from streams.windows.tables import mix
from streams.windows.window import Sums


def test_roles_and_modes_are_numbers_in_frames() -> None:
    assert (calls.ASKED, calls.ALONE, calls.SPOKE, calls.DUE, calls.BLAMED) == (0, 1, 2, 3, 4)
    assert (series.GAUGE, series.CUMULATIVE, series.DELTA, series.SHAPED) == (0, 1, 2, 3)
    assert (span_partials.SERVED, span_partials.ROOT) == (0, 1)
    assert (sampling.NOT_SAID, sampling.RANDOM_ID) == (0, -1)
    assert (UNIT, NONE, UNKNOWN) == (1000, -1, -1)


def test_facts_are_columns_of_frames() -> None:
    said = (facts.HEARD, facts.VERSIONLESS, facts.NAMESPACELESS, facts.INSTANCELESS, facts.WORKLOADLESS, facts.NAMELESS)
    kinds = (facts.SERVED, facts.ASKED, facts.PRODUCED, facts.OTHERS, facts.ROOTS, facts.UNNAMED)
    others = (facts.LOGS, facts.POINTS, facts.RESOURCE_POINTS, facts.UNREAD, facts.SHIFTED, facts.SHIFT_MS)
    joins = (facts.HIDDEN_CALLS, facts.HIDDEN_SERVES, facts.JOINED, facts.ORPHANS)
    assert (*said, *kinds, *others, *joins) == tuple(range(22))
    delays = (facts.SPAN_DELAYS, facts.LOG_DELAYS)
    assert ([(d.start, d.stop) for d in delays], facts.WIDTH) == ([(22, 33), (33, 44)], 44)


def test_marks_of_kinds_lie_above_all_kinds() -> None:
    assert (request_rows.STREAM, request_rows.UNTIMED) == (8, 16)
    rows = np.zeros(4, request_rows.SPAN)
    rows["kind"] = [3, 3 | 8, 5 | 16, 2 | 8 | 16]
    assert request_rows.kinds_of(rows).tolist() == [3, 3, 5, 2]


def test_keys_in_snapshots_are_found_again() -> None:
    found = mix(np.array([1, 2**64 - 1], np.uint64), np.array([2, 3], np.uint64))
    assert [hex(k) for k in found.tolist()] == ["0x1631f5f59ff9001a", "0x518cbe5fa1d0b0ab"]
    assert (hex(shared_ids.HALF), hex(collect_spans._SERVED_HALF)) == ("0x5deece66d1ce4e5b", "0x2545f4914f6cdd1d")


def test_cells_of_histograms_are_keys_of_eleven_bits_more() -> None:
    sums = Sums(1)
    sums.add_cells(np.array([5]), np.array([300]), np.array([7]))
    assert sums.state()[1][0][0].tolist() == [5 << 11 | 300]
    assert APART == 2047
    top = aggregate(np.array([5, 6]), np.array([APART, 0], np.int32), ())
    assert (top.keys.tolist(), top.hist_bucket.tolist()) == ([5, 6], [2047, 0])
