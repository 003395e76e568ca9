"""Instances of a service compared: one that is sick among others that are well, all sick alike, and what can't be said yet."""

from __future__ import annotations

import pytest

from contracts.instance_parts import INSTANCE, Ailment, compared, name_of, otherwise
from contracts.parts import Fared, Part, parts_from, spelled_parts, together
from contracts.units import SECOND as S

START = 1_780_000_000 * S
HEALTHY_S, ILL_S = 200, 12


def part(
    name: str,
    *,
    rate: float = 10.0,
    fails: float = 0.0,
    slower: float = 0.0,
    until_s: float = ILL_S,
    since_s: float = -HEALTHY_S,
) -> Part:
    """An instance that was well since `since_s`, and from second 0 to `until_s` fails or is slower."""
    found = Part({INSTANCE: name}, {"k8s.pod.name": f"pod-{name}"} if name == "b" else {})
    for second in range(int(since_s), int(until_s)):
        ill = second >= 0
        found.add(Fared(rate, rate * fails * ill, rate, rate * slower * ill), START + second * S)
    return found


def sick(*parts: Part) -> dict[str, Ailment]:
    return {p.attributes[INSTANCE]: a for p, a in compared(parts).sick}


@pytest.mark.parametrize(
    ("ill", "ailment"),
    [
        ({"fails": 0.3}, Ailment.FAILING),
        ({"slower": 2.0}, Ailment.SLOW),
        ({"until_s": 1.0}, Ailment.SILENT),
    ],
)
def test_one_that_is_sick_stands_apart(ill: dict[str, float], ailment: Ailment) -> None:
    parts = [part("a"), part("b", **ill), part("c")]
    found = compared(parts)
    assert (found.known, found.alike, sick(*parts)) == (3, False, {"b": ailment})
    assert found.apart is not None
    assert name_of(found.apart[0]) == "pod-b"
    assert otherwise(p.at(START + ILL_S * S) for p in parts)


@pytest.mark.parametrize("ill", [{"fails": 0.3}, {"slower": 2.0}])
def test_all_that_are_sick_alike_share_what_ails_them(ill: dict[str, float]) -> None:
    found = compared([part(n, **ill) for n in "abc"])
    assert (found.known, len(found.sick), found.alike, found.apart) == (3, 3, True, None)


def test_all_that_are_sick_by_far_not_alike_are_not_called_so() -> None:
    found = compared([part("a", fails=0.9), part("b", fails=0.2)])
    assert (len(found.sick), found.alike) == (2, False)
    assert [p.attributes[INSTANCE] for p, _ in found.sick] == ["a", "b"], "the sickest first"


def test_while_one_is_between_well_and_sick_nothing_is_said() -> None:
    between = part("b", slower=0.6, rate=40.0)
    assert 0.2 < between.lately.pace / between.lately.known < 0.4
    found = compared([part("a", slower=4.0, rate=40.0), between])
    assert (found.known, found.sick) == (2, ())


@pytest.mark.parametrize("more", [1, 4])
def test_one_that_is_slow_as_it_alone_is_asked_for_more_has_no_trouble_of_its_own(more: int) -> None:
    """A hot key sends its requests to one instance: that is no reason to restart it."""
    hot = part("b", slower=2.0, until_s=0)
    for second in range(ILL_S):
        for _ in range(more):
            hot.add(Fared(10.0, 0.0, 10.0, 20.0), START + second * S)
    assert sick(part("a"), hot, part("c")) == ({"b": Ailment.SLOW} if more == 1 else {})


def test_a_few_requests_say_nothing() -> None:
    assert compared([part("a", rate=0.2, fails=1.0), part("b", rate=0.2)]).sick == ()
    assert not otherwise([part("a", rate=10.0), part("b", rate=10.0)])
    assert compared([]) == compared([part("a", fails=0.5)]).__class__(0)


def test_one_alone_is_compared_with_nobody() -> None:
    found = compared([part("a", fails=0.5)])
    assert (found.known, found.sick, found.apart) == (1, (), None)


def test_those_that_were_replaced_are_not_silent_and_new_ones_not_slow() -> None:
    new = part("new", since_s=3.0, slower=3.0)
    found = compared([part("a"), part("gone", until_s=2.0), new])
    assert (found.known, found.sick) == (1, ()), "the new one warms up, and stands in for the one that is gone"


def test_all_who_fall_silent_have_no_users() -> None:
    assert sick(part("a", until_s=1.0), part("b", until_s=1.0), part("c", rate=0.5)) == {}


def test_one_that_is_gone_is_not_ill_for_ever() -> None:
    gone = part("b", fails=0.5, until_s=2.0)
    assert sick(part("a", rate=0.1), gone) == {}
    late = [part("a", until_s=30), part("b", fails=0.5, until_s=2.0), part("new", since_s=4, until_s=30)]
    assert sick(*late) == {}, "what it did before it went is past"


def test_it_travels_as_text_and_adds_up() -> None:
    whole = [part("a", rate=20.0), part("b", rate=20.0, fails=0.3)]
    halves = [part("a"), part("b", fails=0.3)]
    text = spelled_parts(together([halves, halves], START + ILL_S * S, 16))
    assert sick(*parts_from(text)) == sick(*whole) == {"b": Ailment.FAILING}
    assert len(parts_from(spelled_parts(together([[part(str(i)) for i in range(30)]], 0, 16)))) == 16


def test_one_that_began_amid_the_trouble_is_not_well_by_its_own_sick_past() -> None:
    """It replaces one of them, and is as sick as the others: what it had before is of after the trouble began."""
    others = [part(n, slower=2.0, until_s=90) for n in "abc"]
    new = part("d", slower=2.0, since_s=20, until_s=90)
    found = compared([*others, new])
    assert (found.known, found.alike) == (3, True)
    assert found.sickest is not None
    assert name_of(found.sickest) == "a"
