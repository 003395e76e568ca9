"""Which windows are opened as time goes on: from the first data on all that it passes."""

from __future__ import annotations

from contracts.frames import Presence
from contracts.units import SECOND
from tests.unit.streams.windows.support import T0
from tests.unit.streams.windows.test_merging import Bench, windows


def test_from_the_first_data_on_each_window_has_a_row() -> None:
    """Of data that came in one message, before time was told."""
    bench = Bench()
    for second in (0.5, 4.5, 5.9):
        bench.now = T0 + round(second * SECOND)
        bench.requests("a", second)
    bench.at(9.0)
    assert [w for w, _, _ in windows(bench.frames, "a")][:6] == [0, 1, 2, 3, 4, 5]
    rows = {(f.window_ns - T0) // SECOND: f for f in bench.frames if f.revision == 0}
    assert [bool(len(rows[n].presence)) for n in (0, 4)] == [False, False]
    assert all(rows[n].presence.tolist()[0] != Presence.OBSERVED for n in (1, 2, 3))
