"""Time that passes in one step: up to ten seconds silence in it is told of, beyond that nobody has observed it."""

from __future__ import annotations

import pytest

from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.collect import Receipt
from streams.windows.merge import FeatureMerger
from streams.windows.partials import PartialBuilder
from streams.windows.rows import Origin
from streams.windows.rows import frame as partial
from tests.unit.streams.windows.support import MS, T0, decoded
from tests.unit.streams.windows.test_merging import request

SETTINGS = IngestSettings()


class Held:
    """A merger with two sources, of which one holds time back at second 10 until it falls silent."""

    def __init__(self) -> None:
        self.merger, self.builder = FeatureMerger("prod", "spans", SETTINGS), PartialBuilder("otlp/0", SETTINGS, 1)
        self.sent, self.windows = 0, set[int]()
        for second in range(10):
            end = T0 + second * SECOND + 500 * MS
            self.builder.add(decoded([request("cart", end)]), Receipt(end, end), second)
            for _, _, frame in self.builder.flush(tells_time=False).partials:
                if frame.signal == "spans":
                    self.merger.add(frame, end)
            self.tell("otlp/1", T0 + (second + 1) * SECOND, end)
            self.look(end)

    def tell(self, source: str, watermark_ns: int, now_ns: int) -> None:
        self.sent += 1
        self.merger.add(partial(Origin("prod", source, (1 << 20) + self.sent, watermark_ns), "spans", {}), now_ns)

    def look(self, now_ns: int) -> None:
        for frame in self.merger.advance(now_ns):
            self.windows.add((frame.window_ns - T0) // SECOND)


@pytest.mark.parametrize(("more_ns", "told"), [(0, True), (1, False)])
def test_silence_in_a_step_of_ten_seconds_is_told_of_and_in_a_longer_one_it_is_not(more_ns: int, told: bool) -> None:
    held = Held()
    ahead = T0 + 20 * SECOND + more_ns
    for tick in range(50, 150):  # both are heard of; one of them stands still
        now = T0 + tick * SECOND // 5
        held.tell("otlp/0", min(now, ahead), now)
        held.tell("otlp/1", T0 + 10 * SECOND, now)
        held.look(now)
    assert held.merger.watermarks.merged == T0 + 10 * SECOND
    for tick in range(150, 200):
        now = T0 + tick * SECOND // 5
        held.tell("otlp/0", max(ahead, now - 12 * SECOND), now)
        held.look(now)
    assert held.windows >= set(range(10))
    assert (set(range(10, 18)) <= held.windows) is told
    assert bool(set(range(11, 18)) & held.windows) is told
    assert {22, 25} <= held.windows, "time goes on"
