"""Workers of one group killed, added and restarted, and Kafka killed under them: nothing is lost, nothing counts twice, nothing is done
twice, and features go on. `python -m tests.services.chaos --cycles 200` is the long run."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Final

import pytest

from tests.services.chaos.story import PATIENCE_S, Report, Story
from tests.services.servers.kafka import kafka

CYCLES: Final = 14
"""At least two of each kind of event."""
AGAIN_S: Final = 10.0
KINDS: Final = {"kill", "add", "restart", "kafka"}


async def _played(folder: Path, cycles: int) -> Report:
    async with kafka(folder / "kafka") as server:
        (folder / "story").mkdir()
        report = await Story(server, folder / "story").play(cycles, traces_per_s=30)
    told = "\n".join(report.lines())
    assert sum(report.events.values()) == cycles
    assert report.events.keys() == KINDS
    assert (report.lost, report.doubled, report.dead, report.wrong) == (0, 0, [], []), told
    assert not report.tracebacks, report.tracebacks
    assert max(s for _, s in report.away_s) < PATIENCE_S, told
    return report


@pytest.mark.timed
@pytest.mark.timeout(900)
async def test_nothing_is_lost_or_done_twice_and_features_go_on(tmp_path: Path) -> None:
    """The median of each kind of event: one cycle may meet a busy machine. Where all is slow, three times what a start takes meanwhile is
    allowed."""
    report = await _played(tmp_path, CYCLES)
    told = "\n".join(report.lines())
    assert report.sent > 5_000, told
    assert report.effects > 20, told
    allowed_s = max(AGAIN_S, 3 * statistics.median(report.starts_s))
    away = {kind: [s for event, s in report.away_s if event == kind] for kind in KINDS - {"kafka"}}
    assert {kind: statistics.median(s) < allowed_s for kind, s in away.items()} == dict.fromkeys(away, True), (
        allowed_s,
        away,
    )
