"""What is kept of resources: what identifies a workload, and one of its pods where nothing else does."""

from __future__ import annotations

import json

import numpy as np
import pytest

from contracts.claims import NODES, PODS
from contracts.frames import Resource
from contracts.topics import partition_of
from contracts.units import SECOND
from streams.windows.names import Names

POD = {"k8s.pod.uid": "u1", "k8s.pod.name": "cart-7d9f-a", "k8s.namespace.name": "shop"}


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (POD, POD | {PODS: "cart-7d9f-a"}),
        (POD | {"k8s.deployment.name": "cart"}, {"k8s.namespace.name": "shop", "k8s.deployment.name": "cart"}),
        ({"host.name": "h", "k8s.pod.uid": "u1"}, {"k8s.pod.uid": "u1"}),
        ({"service.instance.id": "i"}, {}),
    ],
)
def test_a_pod_is_kept_of_who_names_no_workload(told: dict[str, str], kept: dict[str, str]) -> None:
    names = Names("prod", 4, 10)
    number = names.resource(Resource("prod", "cart", "1", "i", tuple(sorted(told.items()))))
    assert {k: v for k, v in json.loads(names.attributes[number] or "{}").items() if k != NODES} == kept


def test_names_are_numbered_as_they_come_as_far_as_there_is_room() -> None:
    names = Names("prod", 4, 3)
    assert [names.number(n) for n in ("a", "b", "a", "c", "d", "c")] == [0, 1, 0, 2, -1, 2]
    assert (len(names), names.text) == (3, ["a", "b", "c"])
    assert names.targets().tolist() == [partition_of(f"prod/{n}", 4) for n in "abc"]
    assert names.resource(Resource("prod", "d", "1")) == -1


def used(*when: tuple[str, int], most: int = 10) -> Names:
    """Names that were used at some seconds."""
    names = Names("prod", 4, most)
    for name, second in when:
        names.now_ns = second * SECOND
        names.number(name)
    return names


def test_who_was_not_used_for_long_leaves_where_there_are_many_and_its_number_is_given_to_another() -> None:
    names = used(*((f"n{i}", 0) for i in range(8)), ("n0", 50), ("n8", 100))
    names.now_ns = 100 * SECOND
    assert names.make_room(60 * SECOND, lambda: np.array([3, 4])) == 1
    assert (names.left, names.number("n3"), names.number("n0")) == ([1], 3, 0)
    assert names.make_room(60 * SECOND) == 0, "there is room enough"
    assert [names.number(n) for n in ("new", "other", "more")] == [1, 9, -1]
    assert (names.text[1], names.version[1], names.attributes[1], len(names)) == ("new", "", "", 10)
    assert names.targets()[1] == partition_of("prod/new", 4)


@pytest.mark.parametrize(
    ("count", "after_s", "left"), [(8, 100, 0), (9, 100, 1), (10, 100, 2), (10, 60, 0), (10, 61, 2)]
)
def test_down_to_four_fifths_those_leave_that_were_quiet_for_long(count: int, after_s: int, left: int) -> None:
    names = used(*((f"n{i}", 0) for i in range(count)))
    names.now_ns = after_s * SECOND
    assert names.make_room(60 * SECOND) == left
    assert len(names.left) == left


def test_it_is_looked_for_room_once_a_second() -> None:
    names = used(*((f"n{i}", 0) for i in range(10)))
    left = []
    for now in (0.5, 1.0, 61.5, 61.9, 62.5):
        names.now_ns = round(now * SECOND)
        left.append(names.make_room(60 * SECOND))
        for i in range(len(names.left)):
            names.number(f"{now}-{i}")
    assert left == [0, 0, 2, 0, 2]


def test_what_is_known_of_who_leaves_says_nothing_of_who_gets_its_number() -> None:
    names = Names("prod", 4, 2)
    old = Resource("prod", "a", "1", attributes=(("k8s.deployment.name", "a"),))
    for other in (old, Resource("prod", "a", "1", attributes=(("k8s.deployment.name", "z"),))):
        names.resource(other)
    assert (names.are_shared, names.fresh) == (True, {0})
    names.now_ns = 100 * SECOND
    names.number("b")
    assert names.make_room(60 * SECOND) == 1
    assert (names.are_shared, names.fresh, names.number("c"), names.news(0)) == (False, set(), 0, "")
    names.now_ns = 200 * SECOND
    names.make_room(60 * SECOND)
    number = names.resource(old)
    assert (names.text[number], names.version[number]) == ("a", "1")
    assert json.loads(names.news(number)) == {"k8s.deployment.name": "a"}
    assert names.news(number) == "", "it is told once"


def test_a_version_is_the_last_that_was_told() -> None:
    names = Names("prod", 4, 9)
    seen = []
    for version in ("1", "2", "", "1", ""):
        names.resource(Resource("prod", "a", version))
        seen.append(names.version[0])
    assert seen == ["1", "2", "2", "1", "1"]


def test_a_snapshot_of_names_goes_on_as_they_did() -> None:
    names, again = used(*((f"n{i}", i) for i in range(9))), used(("z", 1))
    names.resource(Resource("prod", "n3", "7", attributes=(("k8s.deployment.name", "a"),)))
    names.now_ns = 100 * SECOND
    names.number("n8")
    names.make_room(60 * SECOND)
    again.load(names.state())
    assert again.state() == names.state()
    for one in (names, again):
        one.now_ns += 90 * SECOND
    steps = [
        (one.number("x"), one.number("n3"), one.number("y"), one.make_room(60 * SECOND), one.left)
        for one in (names, again)
    ]
    assert steps[0] == steps[1]
    assert again.targets().tolist() == names.targets().tolist()
    old = {k: v for k, v in names.state().items() if k in {"text", "version", "attributes", "fresh"}}
    again.load(old)
    assert again.state()["now"] == [0, 0], "it has looked for room at no time yet"
    assert (again.number("n5"), len(again), again.now_ns) == (5, len(names), 0)


def test_a_resource_whose_service_left_is_numbered_anew_and_others_are_as_they_were() -> None:
    names = Names("prod", 4, 2)
    old, kept = Resource("prod", "a", ""), Resource("prod", "b", "", attributes=(("k8s.deployment.name", "b"),))
    assert (names.resource(old), names.resource(kept)) == (0, 1)
    names.now_ns = 100 * SECOND
    names.resource(kept)
    assert (names.make_room(60 * SECOND), names.number("c"), names.resource(old)) == (1, 0, -1)
    assert (names.resource(kept), json.loads(names.attributes[1])) == (1, {"k8s.deployment.name": "b"})


def test_of_states_before_there_were_claims_what_was_said_last_is_one() -> None:
    names, again = Names("prod", 4, 9), Names("prod", 4, 9)
    for service in ("a", "b"):
        names.resource(Resource("prod", service, "1", attributes=(("k8s.deployment.name", service),)))
    again.load({k: v for k, v in names.state().items() if k != "claims"})
    again.resource(Resource("prod", "a", "1", attributes=(("k8s.deployment.name", "a"),)))
    assert not again.are_shared
    again.resource(Resource("prod", "b", "1", attributes=(("k8s.deployment.name", "z"),)))
    assert again.are_shared
