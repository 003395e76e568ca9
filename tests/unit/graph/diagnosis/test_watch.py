"""Looks at the whole environment: what lasts beyond the usual opens, echoes and dense traffic do not."""

from __future__ import annotations

from contracts.units import SECOND
from graph.diagnosis.watch import LEAST, MATURE, PAUSE_NS, Watch
from graph.world import World
from tests.unit.graph.diagnosis.shop import play


def test_a_level_teaches_until_mature_then_stands_out() -> None:
    watch = Watch(levels={"cart": 2 * LEAST})
    assert not watch._unusual("cart")
    watch.busy = MATURE
    assert not watch._unusual("cart")  # as high as in quiet times
    watch.levels["cart"] = 3 * LEAST
    assert watch._unusual("cart")


def test_shortly_after_an_incident_only_much_more_opens_another() -> None:
    watch = Watch()
    watch.noted("cart", 1000 * SECOND)
    assert not watch._free(1010 * SECOND, LEAST)
    assert watch._free(1010 * SECOND, 2 * LEAST)
    assert watch._free(1000 * SECOND + PAUSE_NS, LEAST)


def test_a_window_counts_once_and_an_idle_environment_is_not_looked_at() -> None:
    watch, world = Watch(), World("shop")
    for window in (1, 1, 2):
        watch.heard(window * SECOND)
    assert watch.busy == 2
    world.time_ns = 1000 * SECOND
    watch.busy = MATURE
    assert not watch.due(world)


def test_services_with_much_traffic_are_left_to_detection() -> None:
    watch, world = Watch(busy=MATURE), World("shop")
    for _, events in play({}, faulty_s=0):
        for event in events:
            if hasattr(event, "signal"):
                world.take(event)
    assert watch.look(world, ()) == []
    assert watch.levels == {}
