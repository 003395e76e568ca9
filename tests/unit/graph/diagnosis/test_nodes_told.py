"""Where services run reaches diagnosis: taken out of their attributes, kept with when that was, and in snapshots."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from contracts.claims import NODES, parsed, spelled
from contracts.nodes import Ground, HeardNode, spelled_nodes
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND as S
from graph.diagnosis import DiagnosisEngine
from graph.world.nodes_told import NodesTold
from tests.unit.graph.diagnosis.test_instances_apart import frame
from tests.unit.graph.diagnosis.test_whose_doing import ONSET


def said(second: int, *nodes: str, zone: str = "") -> str:
    heard = [HeardNode(n, zone, ONSET // S + second) for n in nodes]
    return spelled({"service.name": "cart", NODES: spelled_nodes(heard)})


def test_what_is_told_of_nodes_is_taken_out_of_the_attributes() -> None:
    store = NodesTold()
    seen = store.take(frame(0, said(0, "n1", "n2", zone="a")))
    assert parsed(seen.attributes[0]) == {"service.name": "cart"}
    assert store.at("cart", ONSET) == (Ground("n1", "a"), Ground("n2", "a"))
    assert store.at("web", ONSET) == ()
    plain = frame(1, spelled({"service.name": "cart"}))
    assert store.take(plain) is plain


def test_where_it_ran_at_a_time_is_known_after_it_moved() -> None:
    store = NodesTold()
    store.take(frame(-60, said(-60, "n1")))
    store.take(frame(0, said(0, "n1")))
    assert not store.moved_since("cart", ONSET)
    store.take(frame(20, said(20, "n2")))
    assert store.at("cart", ONSET + 5 * S) == (Ground("n1"),)
    assert store.moved_since("cart", ONSET + 5 * S)
    for second in range(80, 400, 60):
        store.take(frame(second, said(second, "n2")))
    assert store.at("cart", ONSET + 380 * S) == (Ground("n2"),)
    store.forget({"cart"})
    assert store.at("cart", ONSET) == ()


def test_nodes_are_in_snapshots_and_an_older_one_has_none() -> None:
    engine = DiagnosisEngine("shop", DiagnoseSettings())
    engine.evidence(replace(frame(0, said(0, "n1")), environment="shop"), ONSET)
    state = engine.snapshot()
    again = DiagnosisEngine("shop", DiagnoseSettings())
    again.restore(state)
    assert again.world.nodes_told.at("cart", ONSET) == (Ground("n1"),)
    old = msgspec.msgpack.decode(state)
    del old["world"]["nodes_told"]
    before = DiagnosisEngine("shop", DiagnoseSettings())
    before.restore(msgspec.msgpack.encode(old))
    assert before.world.nodes_told.by == {}
