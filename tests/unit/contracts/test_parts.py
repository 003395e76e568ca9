"""How workloads that share a name fare, over time and summed over origins."""

from __future__ import annotations

from contracts.parts import LATELY_NS, MOST_PARTS, Fared, Part, parts_from, spelled_parts, together
from contracts.units import SECOND

NOW = 1_700_000_000 * SECOND


def part(name: str, failed: float = 0.0, time_ns: int = NOW) -> Part:
    fared = Fared(100.0, failed, 80.0, 8.0)
    return Part({"k8s.deployment.name": name}, {"k8s.pod.uid": f"{name}-1"}, fared, fared, time_ns)


def test_who_is_asked_no_more_fades() -> None:
    (found,) = together([[part("cart", 60.0)]], NOW + LATELY_NS)
    assert (found.lately.asked, found.lately.failed) == (50.0, 30.0)
    assert found.before.asked > 40.0
    assert found.time_ns == NOW + LATELY_NS


def test_what_several_tell_is_summed_as_of_the_newest() -> None:
    told = [[part("cart", 60.0), part("web")], [part("cart", 20.0, NOW + LATELY_NS)]]
    found = {p.attributes["k8s.deployment.name"]: p for p in together(told)}
    assert found["cart"].lately.failed == 50.0
    assert found["web"].lately.asked == 50.0


def test_parts_go_as_text_and_what_is_none_says_nothing() -> None:
    assert parts_from(spelled_parts([part("cart", 1.0)])) == [part("cart", 1.0)]
    assert parts_from("") == parts_from("{") == parts_from('[{"lately": 1}]') == []


def test_only_the_busiest_are_told() -> None:
    assert len(together([[part(f"c{i}") for i in range(50)]])) == MOST_PARTS
