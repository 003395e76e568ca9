"""Which nodes are heard of, and what runs on them: told once, by the first frame of each environment for each target."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.frames import Decoded, Resource
from contracts.settings import IngestSettings
from streams.windows import places
from streams.windows.collect import Receipt
from streams.windows.partials import PartialBuilder
from streams.windows.places import Places
from tests.unit.streams.windows.support import MS, SERVER, T0, Span, decoded, logs


def at(service: str, **said: str) -> Resource:
    return Resource("prod", service, attributes=tuple((k.replace("_", "."), v) for k, v in sorted(said.items())))


@pytest.mark.parametrize(
    ("said", "node"),
    [
        ({"k8s_node_name": "n1", "host_name": "h1", "host_id": "i1"}, "n1"),
        ({"host_name": "h1", "host_id": "i1"}, "h1"),
        ({"host_id": "i1"}, "i1"),
        ({"k8s_node_name": "", "host_name": "h1"}, "h1"),
    ],
)
def test_a_node_goes_by_its_best_name(said: dict[str, str], node: str) -> None:
    known = Places()
    known.note(at("cart", **said))
    assert known.news() == ((node,), (f"cart\t{node}",))


def test_who_says_nothing_of_where_it_runs_is_nowhere() -> None:
    known = Places()
    known.note(at("cart", service_version="1"))
    assert known.news() == ((), ())


def test_a_node_is_told_whenever_it_was_heard_of_and_what_runs_there_once() -> None:
    known = Places()
    for service, node in (("cart", "b"), ("web", "a"), ("cart", "b"), ("cart", "a")):
        known.note(at(service, host_name=node))
    assert known.news() == (("a", "b"), ("cart\tb", "web\ta", "cart\ta"))
    assert known.news() == ((), ())
    known.note(at("cart", host_name="b"))
    known.note(at("cart", host_name="c"))
    again = Places()
    again.note(at("other", host_name="z"))
    again.load(known.state())
    assert again.state() == known.state()
    assert again.news() == known.news() == (("b", "c"), ("cart\tc",))
    again.note(at("cart", host_name="b"))
    assert again.news() == (("b",), ())


def test_where_too_much_is_known_it_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_MOST_PLACES", 3)
    known = Places()
    for n in (1, 2, 3, 4, 1, 4):
        known.note(at("cart", host_name=f"n{n}"))
    assert known.news()[1] == ("cart\tn1", "cart\tn2", "cart\tn3", "cart\tn4", "cart\tn1")


def message(service: str, node: str, environment: str = "prod", *, number: int = 1) -> Decoded:
    resource = replace(at(service, host_name=node), environment=environment)
    return replace(decoded([Span(service, number, number, 0, SERVER, T0 - 9 * MS, T0)]), resources=(resource,))


def test_the_first_frame_for_each_target_tells_of_its_environment() -> None:
    settings = IngestSettings(max_environments=2)
    builder = PartialBuilder("otlp_spans/0", settings, 2)
    sent = [message("cart", "n1"), message("web", "n2", number=2), message("cart", "n3", "stage", number=3)]
    sent.append(message("cart", "n4", "refused", number=4))
    sent.append(replace(logs([("web", T0, 9, "a")]), resources=(at("web", host_name="n5"),)))
    for offset, one in enumerate(sent):
        builder.add(one, Receipt(T0, T0), offset)
    told: dict[tuple[str, int], list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for environment, target, frame in builder.flush().partials:
        told.setdefault((environment, target), []).append((frame.heard, frame.placed))
    prod, stage = ("n1", "n2", "n5"), ("n3",)
    assert {key: found[0] for key, found in told.items()} == {
        ("prod", 0): (prod, ("cart\tn1", "web\tn2", "web\tn5")),
        ("prod", 1): (prod, ("cart\tn1", "web\tn2", "web\tn5")),
        ("stage", 0): (stage, ("cart\tn3",)),
        ("stage", 1): (stage, ("cart\tn3",)),
    }
    assert all(later == ((), ()) for found in told.values() for later in found[1:])
    assert sum(map(len, told.values())) > len(told)
    assert builder.counters["environment_limit"] == 1
