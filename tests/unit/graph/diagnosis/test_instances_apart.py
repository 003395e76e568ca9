"""One instance that is sick while its siblings are well: its service is the cause, and the candidate says which one it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts import features as f
from contracts.claims import INSTANCES, parsed, spelled
from contracts.events import Change
from contracts.features import CALL_ERROR_RATE, CALL_LATENCY_P95, ERROR_RATE, LATENCY_P95
from contracts.frames import EvidenceFrame
from contracts.instance_parts import INSTANCE, Ailment, ComparedInstances
from contracts.parts import Fared, Part, spelled_parts
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind, ServiceState
from graph.evidence.apart import instances_apart
from graph.evidence.situation import Node
from graph.world.instances_told import InstancesTold
from tests.unit.graph.diagnosis.test_whose_doing import ONSET, call, level, node, ranked, ratio, situation


def among(sick: Node, ailment: Ailment, *, of: int = 3, several: int = 1) -> Node:
    """So many of its instances have this."""
    parts = tuple((Part({INSTANCE: f"{sick.name}-{i}"}), ailment) for i in range(several))
    return replace(sick, instances=ComparedInstances(of, parts, alike=several == of))


def slow(name: str, after: float = 0.5) -> Node:
    return node(name, level(LATENCY_P95, 0.1, after))


def test_the_one_whose_instance_is_sick_is_blamed_before_one_that_is_slow_as_a_whole() -> None:
    """Both of two callees are slow by as much; of one only an instance is."""
    cart = among(slow("cart"), Ailment.SLOW)
    calls = tuple(call("web", n, level(CALL_LATENCY_P95, 0.1, 0.5)) for n in ("cart", "stock"))
    found = ranked(slow("web", 1.0), cart, slow("stock"), calls=calls)
    plain = ranked(slow("web", 1.0), slow("cart"), slow("stock"), calls=calls)
    assert next(iter(found)) == "cart"
    assert found["cart"].probability > plain["cart"].probability + 0.2
    assert found["cart"].kind is CauseKind.LATENCY
    assert "instance" in [x.channel for x in found["cart"].findings]


def test_an_instance_that_shows_first_what_a_callee_does_is_not_the_cause() -> None:
    """In the first seconds few requests tell of each instance; the store accounts for all that its service shows."""
    calls = (
        call("web", "cart", level(CALL_LATENCY_P95, 0.1, 0.5)),
        call("cart", "stock", level(CALL_LATENCY_P95, 0.05, 0.45)),
    )
    found = ranked(slow("web", 0.6), among(slow("cart"), Ailment.SLOW), slow("stock"), calls=calls)
    leader = next(iter(found.values()))
    assert leader.service == "stock"
    assert leader.probability > 2 * found["cart"].probability


@pytest.mark.parametrize(
    ("ailment", "kind"),
    [(Ailment.SLOW, CauseKind.LATENCY), (Ailment.FAILING, CauseKind.ERRORS), (Ailment.SILENT, CauseKind.HANG)],
)
def test_what_ails_it_says_what_kind_it_is(ailment: Ailment, kind: CauseKind) -> None:
    calls = (call("web", "cart", ratio(CALL_ERROR_RATE, 0.3)),)
    (found,) = instances_apart(situation(node("web"), among(node("cart"), ailment), calls=calls))
    assert (found.service, found.channel, found.kind) == ("cart", "instance", kind)
    assert "of 3 instances cart-0 alone is" in found.text


def test_where_all_are_sick_alike_no_instance_is_blamed() -> None:
    assert list(instances_apart(situation(among(slow("cart"), Ailment.SLOW, of=3, several=3)))) == []


def test_several_of_them_say_less_than_one_alone() -> None:
    (one,) = instances_apart(situation(among(slow("cart"), Ailment.SLOW)))
    (two,) = instances_apart(situation(among(slow("cart"), Ailment.SLOW, of=4, several=2)))
    assert 0 < two.strength < one.strength
    assert "cart-0, and 1 more are" in two.text


def test_one_that_is_silent_counts_only_if_it_is_missed_and_was_not_taken_away() -> None:
    gone = among(node("cart"), Ailment.SILENT)
    missed = (call("web", "cart", ratio(CALL_ERROR_RATE, 0.3)),)
    assert list(instances_apart(situation(node("web"), gone, calls=(call("web", "cart"),)))) == []
    assert len(list(instances_apart(situation(node("web"), gone, calls=missed)))) == 1
    scaled = Change(environment="shop", service="cart", kind="scale", time_ns=ONSET - 5 * S, actor="hpa")
    assert list(instances_apart(situation(node("web"), gone, calls=missed, changes=(scaled,)))) == []


def test_being_sick_harms_nobody_whose_users_feel_nothing() -> None:
    """A failure elsewhere is no reason to blame a service of which an instance is slow, and whose callers do not wait."""
    cart = among(node("cart", level(LATENCY_P95, 0.1, 0.11)), Ailment.SLOW)
    calls = (call("web", "cart"), call("web", "pay", ratio(CALL_ERROR_RATE, 0.4)))
    found = ranked(node("web", ratio(ERROR_RATE, 0.4)), cart, node("pay", ratio(ERROR_RATE, 0.4)), calls=calls)
    assert next(iter(found)) == "pay"


def frame(second: int, attributes: str) -> EvidenceFrame:
    values = np.ones((1, len(f.BY_SIGNAL[f.Signal.SPANS])))
    return EvidenceFrame(
        environment="shop",
        signal="spans",
        partition=0,
        window_ns=ONSET + second * S,
        width_ns=S,
        services=("cart",),
        peers=(),
        versions=("v1",),
        attributes=(attributes,),
        features=f.BY_SIGNAL[f.Signal.SPANS],
        values=values,
        score=values,
        low=values,
        high=values,
        counts=np.ones(1, np.int64),
        p_value=np.ones(1),
        state=(ServiceState.HEALTHY,),
        notes=(),
    )


def told() -> str:
    parts = []
    for name, failed in (("a", 0.0), ("b", 5.0)):
        part = Part({INSTANCE: name})
        for second in range(-100, 10):
            part.add(Fared(10.0, failed if second >= 0 else 0.0, 10.0, 0.0), ONSET + second * S)
        parts.append(part)
    return spelled({"service.name": "cart", INSTANCES: spelled_parts(parts)})


def test_what_is_told_of_instances_is_taken_out_of_the_attributes_and_grows_old() -> None:
    store = InstancesTold()
    seen = store.take(frame(10, told()))
    assert parsed(seen.attributes[0]) == {"service.name": "cart"}
    found = store.of("cart", ONSET + 11 * S)
    assert found is not None
    assert [p.attributes[INSTANCE] for p, _ in found.sick] == ["b"]
    assert store.of("web", ONSET + 11 * S) is None
    assert store.of("cart", ONSET + 120 * S) is None
    store.take(frame(12, ""))
    assert store.of("cart", ONSET + 13 * S) == found, "a frame that says nothing takes nothing back"
    store.take(frame(14, spelled({"service.name": "cart"})))
    assert store.of("cart", ONSET + 15 * S) is None
    store.take(frame(16, told()))
    store.forget({"cart"})
    assert store.of("cart", ONSET + 17 * S) is None
