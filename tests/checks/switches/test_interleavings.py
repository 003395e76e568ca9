"""A thousand interleavings of stops, permissions, forgeries, clocks, deaths and deafness: nothing after a confirmed stop.

`TEST_INTERLEAVINGS=1000 pytest tests/checks/switches` tries as many.
"""

from __future__ import annotations

import logging
import os

import pytest

from tests.checks.switches.world import Story
from tests.patience import LONG_S

COUNT = int(os.environ.get("TEST_INTERLEAVINGS", "150"))


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
async def test_nothing_begins_after_a_stop_that_was_confirmed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    effects = confirmed = 0
    for seed in range(COUNT):
        story = Story(seed)
        await story.tell()
        assert story.wrong == [], seed
        effects += story.effects
        confirmed += story.confirmations
    print(f"{COUNT} interleavings: {effects} effects, {confirmed} stops confirmed, 0 effects after one")
    assert effects > COUNT / 2, "hardly anything was done at all"
    assert confirmed > COUNT / 2, "hardly any stop was confirmed"
