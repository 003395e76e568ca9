"""Which of several workloads of one name is the sick one: requests on both sides of each bound. How it goes on to a cluster is checked in
`tests/checks/targets`."""

from __future__ import annotations

import pytest

from contracts.claims import CHOSEN, CONTESTED, PARTS
from contracts.parts import Fared, Part, spelled_parts
from playbooks.guards import singled_out

USUAL = Fared(1000.0, 0.0, 1000.0, 0.0)


def part(name: str, *, asked: float = 100.0, failed: float = 0.0, pace: float = 0.0, always: float = 0.0) -> Part:
    """A workload asked so often lately; so many failed, and all together were slower by so many standard deviations. Before, a share
    `always` failed."""
    lately, before = Fared(asked, failed, asked, pace), Fared(USUAL.asked, USUAL.asked * always, USUAL.known, 0.0)
    return Part({"k8s.deployment.name": name}, {"k8s.pod.uid": f"{name}-1"}, lately, before.plus(lately))


def chosen(*parts: Part) -> str:
    """The workload that is singled out; "" where a person is asked, who is told of all."""
    found = singled_out({CONTESTED: "they differ", PARTS: spelled_parts(parts)})
    if CHOSEN in found:
        assert CONTESTED not in found
        return found["k8s.deployment.name"]
    assert all(p.words in found[CONTESTED] for p in parts)
    return ""


@pytest.mark.parametrize(
    ("sick", "others", "alone"),
    [
        # Its mean request from one standard deviation slower, and five of chance.
        (150.0, (0.0,), True),
        (99.0, (0.0,), False),
        (100.0, (0.0,), True),
        # The others' from half of one.
        (250.0, (49.0,), True),
        (250.0, (50.0,), False),
        # From four fifths of all that is slower.
        (160.0, (40.0,), True),
        (156.0, (40.0,), False),
        (160.0, (20.0, 20.0), True),
        (156.0, (20.0, 20.0), False),
        (150.0, (-400.0, 37.0), True),  # one that is quicker makes up for nothing
        (150.0, (-400.0, 38.0), False),
        (150.0, (150.0,), False),
    ],
)
def test_the_slow_one_accounts_for_nearly_all_that_is_slower(
    sick: float, others: tuple[float, ...], alone: bool
) -> None:
    parts = [part("cart", pace=sick), *(part(f"other-{i}", pace=pace) for i, pace in enumerate(others))]
    assert chosen(*parts) == ("cart" if alone else "")
    assert chosen(*parts[::-1]) == ("cart" if alone else "")


@pytest.mark.parametrize(
    ("failed", "always", "others", "alone"),
    [
        (6.1, 0.0, (0.0,), True),  # of a hundred requests one may fail, and five more
        (5.9, 0.0, (0.0,), False),
        (24.9, 0.1, (0.0,), False),
        (25.0, 0.1, (0.0,), True),  # five standard deviations beyond one of ten
        (40.0, 0.0, (3.9,), True),  # 2.9 standard deviations: by chance
        (40.0, 0.0, (4.0,), False),
        (6.5, 0.0, (1.5,), True),  # four fifths of all that fail
        (6.5, 0.0, (1.7,), False),
        (6.5, 0.0, (0.8, 0.8), True),
        (6.5, 0.0, (0.9, 0.9), False),
        (40.0, 0.0, (40.0,), False),
    ],
)
def test_the_failing_one_accounts_for_nearly_all_that_fails(
    failed: float, always: float, others: tuple[float, ...], alone: bool
) -> None:
    parts = [part("cart", failed=failed, always=always)]
    parts += [part(f"other-{i}", failed=one) for i, one in enumerate(others)]
    assert chosen(*parts) == ("cart" if alone else "")


@pytest.mark.parametrize(("asked", "alone"), [(19.0, False), (20.0, True)])
def test_so_many_requests_it_takes_to_tell(asked: float, alone: bool) -> None:
    assert chosen(part("cart", asked=asked, failed=asked), part("other")) == ("cart" if alone else "")
    assert chosen(part("cart", asked=asked, pace=3 * asked), part("other")) == ("cart" if alone else "")
    # Of one that was hardly asked for anything it is not wanted that it is well.
    beside = part("other", asked=asked, failed=0.1 * asked)
    assert chosen(part("cart", asked=1000.0, failed=500.0), beside) == ("" if alone else "cart")


def test_one_that_fails_as_ever_is_not_what_changed() -> None:
    assert chosen(part("cart", failed=60.0), part("worker", failed=20.0, always=0.2)) == "cart"
    assert chosen(part("cart", failed=22.0), part("worker", failed=20.0, always=0.2)) == "", "not far enough apart"


def test_of_one_workload_there_is_nothing_to_tell_apart() -> None:
    for said in ({PARTS: spelled_parts([part("cart", failed=60.0), part("other")])}, {CONTESTED: "they differ"}):
        assert singled_out(said) == said
    alone = {CONTESTED: "they differ", PARTS: spelled_parts([part("cart", failed=60.0)])}
    assert singled_out(alone) == alone
