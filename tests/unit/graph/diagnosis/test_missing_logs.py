"""Statements of logs that don't come any more though those before them do: missed; less traffic, another mix, a new version are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
import pytest

from contracts.features import BY_SIGNAL, Signal
from contracts.frames import EvidenceFrame, Presence
from contracts.mix import Mix, mix_of
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND
from graph.diagnosis import DiagnosisEngine
from graph.evidence.missing_logs import TemplateSums, missing_logs, missing_template
from graph.evidence.situation import Edge, MissingTemplate, Node, Shift, Situation
from graph.world.log_templates import SLOTS, TemplateStore
from graph.world.world import World
from tests.unit.graph.diagnosis.shop import START

ONSET = 90
SECONDS = 120
TEXTS = {
    2**64 - 1: "last of all hashes",
    1: "order received",
    2: "price computed",
    3: "order stored",
    4: "quote received",
    5: "heartbeat",
}
Told = Mapping[int, int]


def frame(signal: Signal, second: int, count: int, told: Told, version: str = "", lost: bool = False) -> EvidenceFrame:
    """One service's row of a second."""
    n = len(BY_SIGNAL[signal])
    blank = np.zeros((1, n))
    return EvidenceFrame(
        environment="prod",
        signal=signal.value,
        partition=0,
        window_ns=START + second * SECOND,
        width_ns=SECOND,
        services=("shop",),
        peers=(),
        versions=(version,),
        attributes=("",),
        features=BY_SIGNAL[signal],
        values=np.full((1, n), float(count)),
        counts=np.array([count], np.int64),
        score=blank,
        low=blank,
        high=blank,
        p_value=np.ones(1),
        state=("healthy",),
        notes=("",),
        presence=np.array([Presence.MISSING if lost else Presence.OBSERVED], np.int8),
        template_row=np.zeros(len(told), np.int32),
        template_hash=np.array(list(told), np.uint64),
        template_count=np.array(list(told.values()), np.int64),
        template_text=tuple(TEXTS.get(t, f"statement {t}") for t in told),
    )


def world_of(logged: Callable[[int, int], Told], version: Callable[[int], str] = lambda s: "") -> World:
    """A world that saw `logged(second, orders)` of a shop with four to eight orders a second."""
    world, rng = World("prod"), np.random.default_rng(5)
    for second in range(SECONDS):
        orders = int(rng.integers(4, 9))
        told = {t: n for t, n in logged(second, orders).items() if n}
        world.take(frame(Signal.LOGS, second, sum(told.values()), told, version(second)))
        world.take(frame(Signal.SPANS, second, told.get(1, 0) + told.get(4, 0), {}, version(second)))
    return world


def missing(world: World) -> MissingTemplate | None:
    return world.situation(["shop"], START + ONSET * SECOND).nodes["shop"].missing


def steps(orders: int, stored: float = 1.0, quotes: int = 0) -> Told:
    return {1: orders, 2: orders + quotes, 3: round(stored * orders), 4: quotes, 5: 1}


def test_a_statement_that_always_followed_and_does_not_is_missed() -> None:
    found = missing(world_of(lambda s, n: steps(n, 0.0 if s >= ONSET else 1.0)))
    assert found is not None
    assert (found.text, found.seen) == ("order stored", 0)
    assert found.after in ("order received", "price computed", "")
    assert found.expected == pytest.approx(6 * (SECONDS - ONSET), rel=0.2)
    assert found.sigmas > 4


def test_one_that_comes_in_half_of_the_requests_is_missed_less() -> None:
    whole, half = (missing(world_of(lambda s, n, k=k: steps(n, k if s >= ONSET else 1.0))) for k in (0.0, 0.5))
    assert whole is not None
    assert half is not None
    assert half.sigmas < whole.sigmas


HARMLESS: dict[str, tuple[Callable[[int, int], Told], Callable[[int], str]]] = {
    "all is as ever": (lambda s, n: steps(n), lambda s: ""),
    "less is asked for": (lambda s, n: steps(n // 4 if s >= ONSET else n), lambda s: ""),
    "nothing is asked for": (lambda s, n: {5: 1} if s >= ONSET else steps(n), lambda s: ""),
    "nothing is written any more": (lambda s, n: {} if s >= ONSET else steps(n), lambda s: ""),
    "other things are asked for": (
        lambda s, n: steps(1, quotes=n) if s >= ONSET else steps(n, quotes=2),
        lambda s: "",
    ),
    "a new version writes other things": (lambda s, n: steps(n, 0.0 if s >= 80 else 1.0), lambda s: f"v{s // 80}"),
    "it was never surely there": (lambda s, n: steps(n, 0.0) | ({3: 1} if s in (7, 40) else {}), lambda s: ""),
}


@pytest.mark.parametrize(("logged", "version"), HARMLESS.values(), ids=list(HARMLESS))
def test_nothing_is_missed_where_the_path_is_the_same(logged, version) -> None:
    found = missing(world_of(logged, version))
    assert found is None or found.sigmas * (1 - found.seen / found.expected) < 1


def test_what_was_lost_is_not_missing() -> None:
    world = world_of(lambda s, n: steps(n))
    for second in range(ONSET, SECONDS):
        world.take(frame(Signal.LOGS, second, 0, {}, lost=True))
    assert missing(world) is None


def test_a_row_that_comes_again_replaces_what_it_said() -> None:
    world = world_of(lambda s, n: steps(n, 0.0 if s >= ONSET else 1.0))
    for second in range(ONSET, SECONDS):
        world.take(frame(Signal.LOGS, second, 18, steps(6)))
    assert missing(world) is None


def test_an_open_incident_teaches_nothing_and_what_comes_after_it_does() -> None:
    world = World("prod")
    for second in range(600):
        ill = 60 <= second < 400
        world.take(frame(Signal.LOGS, second, 10, steps(5, 0.0 if ill else 1.0)))
        world.take(frame(Signal.SPANS, second, 5, {}))
        if second == 62:
            world.freeze(["shop"], START + 60 * SECOND)
        if second == 400:
            world.thaw(["shop"])
    sums = world.log_templates.since("shop", START // SECOND + 590)
    assert sums is not None
    stored = sums.texts.index("order stored")
    assert sums.before[stored] == pytest.approx(sums.before[sums.texts.index("order received")], rel=0.02)


def test_of_too_many_statements_the_rare_give_way() -> None:
    store = TemplateStore()
    for second in range(40):
        rare = {100 + second: 1}
        store.take(frame(Signal.LOGS, second, 9, {1: 4, 2: 4, **rare}))
    assert len(store.slots[0]) == SLOTS - 1
    assert {1, 2, 139} <= store.slots[0].keys()
    sums = store.since("shop", START // SECOND + 30)
    assert sums is not None
    assert sums.since[sums.texts.index("order received")] == 40


def test_services_that_write_nothing_take_no_room() -> None:
    store = TemplateStore()
    store.take(frame(Signal.LOGS, 0, 3, {}))
    store.take(frame(Signal.SPANS, 0, 3, {}))
    assert store.names == []
    store.take(frame(Signal.LOGS, 1, 3, {2**64 - 1: 3}))
    assert store.names == ["shop"]


def test_a_snapshot_goes_on_the_same_and_one_of_before_begins_anew() -> None:
    engine = DiagnosisEngine("prod", DiagnoseSettings())
    for second in range(30):
        engine.evidence(frame(Signal.LOGS, second, 10, steps(5)), START)
    again = DiagnosisEngine("prod", DiagnoseSettings())
    again.restore(engine.snapshot())
    for one in (engine, again):
        for second in range(30, 60):
            one.evidence(frame(Signal.LOGS, second, 10, steps(5)), START)
    mine, theirs = (e.world.log_templates.since("shop", START // SECOND + 50) for e in (engine, again))
    assert mine is not None
    assert theirs is not None
    assert mine.texts == theirs.texts
    np.testing.assert_array_equal(mine.products, theirs.products)

    old = msgspec.msgpack.decode(engine.snapshot())
    del old["world"]["log_templates"]
    fresh = DiagnosisEngine("prod", DiagnoseSettings())
    fresh.restore(msgspec.msgpack.encode(old))
    assert fresh.world.log_templates.since("shop", START // SECOND) is None


def gone(sigmas: float = 5.0, seen: float = 0.0) -> MissingTemplate:
    return MissingTemplate("order stored", "order received", 40.0, seen, sigmas, 4.0, seen / 10)


def shift(name: str, before: float, after: float) -> Shift:
    return Shift(name, before, after, (after - before) / max(before, 0.01), 9.0, 60.0, 600.0)


def told(nodes: list[Node], edges: list[Edge]) -> dict[str, tuple[float, str]]:
    situation = Situation("prod", 0, 0, {n.name: n for n in nodes}, {(e.caller, e.callee): e for e in edges})
    return {x.service: (x.strength, x.explained_by) for x in missing_logs(situation, {})}


def test_who_misses_a_statement_is_told_and_a_caller_less() -> None:
    found = told([Node("gate", missing=gone()), Node("shop", missing=gone())], [Edge("gate", "shop")])
    assert found["shop"][0] > found["gate"][0] > 0


def test_a_caller_whose_callee_fails_has_nothing_to_store() -> None:
    failing = {"call_error_rate": shift("call_error_rate", 0.0, 0.9)}
    alone = told([Node("gate", missing=gone())], [])["gate"]
    found = told([Node("gate", missing=gone()), Node("bank")], [Edge("gate", "bank", failing)])["gate"]
    assert found[0] < 0.2 * alone[0]
    assert found[1] == "bank"


def test_where_as_much_less_is_asked_for_nothing_is_told() -> None:
    few = {"request_rate": shift("request_rate", 40.0, 4.0)}
    assert told([Node("shop", missing=gone(seen=4.0), shifts=few)], []) == {}


def test_few_records_of_two_statements_keep_no_step_that_is_worth_much() -> None:
    """Two rare routes, of which each seems to follow the other: with many more records it would be surer."""
    few, many = (missing_template(sums_of(n)) for n in (1, 20))
    assert many is not None
    assert few is None or few.sigmas < 0.7 * many.sigmas


def sums_of(times: int) -> TemplateSums:
    """Of ten blocks in which two statements came about alike, and since the onset the one came four times, and the other never."""
    blocks = times * np.array([(0, 2, 2), (0, 0, 1), (0, 2, 1), (0, 1, 1), (0, 1, 1), (0, 0, 0)] * 2, float)
    since = times * np.array([0.0, 0.0, 4.0])
    return TemplateSums(
        blocks.sum(axis=0), blocks.T @ blocks, since, (120.0, 40.0), ("", "quote stored", "order stored")
    )


def by_routes(quotes: int, mix: Mix) -> MissingTemplate | None:
    """A shop that serves so many quotes instead of orders since the onset, of which its routes tell."""
    world = world_of(lambda s, n: {1: n, 3: n} if s < ONSET else {1: n - quotes, 3: 0, 4: quotes})
    otherwise = ("shop",) if mix.otherwise else ()
    return world.log_templates.missing(["shop"], START // SECOND + ONSET, otherwise).get("shop")


def test_requests_of_other_routes_owe_no_statement_of_those_before() -> None:
    as_before, otherwise = np.array([90.0, 540.0, 540.0, 0.0, 0.0]), np.array([30.0, 180.0, 180.0, 0.0, 0.0])
    faster = otherwise + np.array([0.0, 0.0, 0.0, -180.0, 0.0])
    assert not mix_of(as_before, otherwise).otherwise
    assert mix_of(as_before, faster).otherwise
    missed = by_routes(4, mix_of(as_before, otherwise))
    assert missed is not None
    assert missed.after == ""
    excused = by_routes(4, mix_of(as_before, faster))
    assert excused is None or excused.after != ""
