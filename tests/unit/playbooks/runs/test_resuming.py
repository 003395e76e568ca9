"""A journal of the release before goes on as that release would have gone on, from whichever moment its process died at."""

from __future__ import annotations

import pytest

from tests.unit.playbooks.runs.recorded import PLAYBOOKS, read, resumed


@pytest.mark.parametrize("story", PLAYBOOKS)
async def test_a_recorded_journal_goes_on_as_before(story: str) -> None:
    moments, wanted = read(story)
    for n, expected in enumerate(wanted, start=1):
        assert await resumed(story, moments[:n]) == expected, f"{story}, after moment {n} of {len(moments)}"


def test_the_recordings_end_in_every_way_a_run_can_end() -> None:
    ends = {outcome["state"] for story in PLAYBOOKS for outcome in read(story)[1]}
    assert ends == {"succeeded", "rolled_back", "refused", "cancelled", "inconclusive", "unknown", "failed"}
