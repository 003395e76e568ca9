"""What is drawn is well by itself: a system that its own retries melt down is drawn anew."""

from __future__ import annotations

from dataclasses import replace

from twin.configuration import CONFIGURATIONS, Split
from twin.soundness import draw_sound_system, is_sound
from twin.topology import draw_system


def test_a_system_is_well_and_one_with_a_tenth_of_its_threads_and_patience_is_not():
    split, configuration = Split.PROVING, CONFIGURATIONS[Split.PROVING]
    plan = draw_sound_system(split, configuration, 4, 15)
    assert is_sound(plan, configuration, split, 4)
    poor = tuple(replace(s, threads=1, cores=s.cores / 10) for s in plan.services)
    hasty = tuple(replace(c, timeout_s=0.01, retries=3) for c in plan.calls)
    assert not is_sound(replace(plan, services=poor, calls=hasty), configuration, split, 4)


def test_another_attempt_is_another_system_and_the_same_one_is_the_same():
    split, configuration = Split.TUNING, CONFIGURATIONS[Split.TUNING]
    first = draw_system(split, configuration, 9)
    assert draw_system(split, configuration, 9) == first
    assert draw_system(split, configuration, 9, attempt=1) != first
    assert draw_sound_system(split, configuration, 9) == draw_sound_system(split, configuration, 9)
