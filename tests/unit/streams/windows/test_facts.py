"""What telemetry says of itself, counted as it comes in: what was sent, what was left unsaid, how late it came, and whom it was sent to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.frames import Resource
from contracts.settings import IngestSettings
from contracts.units import MINUTE
from contracts.units import SECOND as S
from streams.windows import facts as f
from streams.windows.clocks import Tag, Tags
from streams.windows.collect import Receipt
from streams.windows.partials import PartialBuilder
from streams.windows.rows import Origin, frame
from tests.unit.streams.windows.support import (
    CLIENT,
    CONSUMER,
    INTERNAL,
    MS,
    PRODUCER,
    SERVER,
    T0,
    Span,
    decoded,
    histograms,
    logs,
    points,
)

NO_CLOCKS = Tags(np.full(9, -1, np.int32), ())


def counted(message, *, late_s: float = 0.0, tags: Tags = NO_CLOCKS, environments: tuple[str, ...] = ("prod",)):
    """What one message tells, by environment; it came so long after T0."""
    found = {name: f.Facts() for name in environments}
    for known in found.values():
        known.at(T0)
    f.count(message, Receipt(T0 + 100 * S, T0 + round(late_s * S)), tags, found)
    return found


def said(message, service: str = "cart", **more: object) -> np.ndarray:
    return counted(message, **more)["prod"].of(service)  # type: ignore[arg-type]


def span(kind: int, parent: int = 1, peer: str = "", service: str = "cart") -> Span:
    return Span(service, 5, 6, parent, kind, T0 - 10 * MS, T0, peer=peer)


def test_spans_are_counted_by_what_they_are() -> None:
    kinds = {SERVER: 1, CONSUMER: 2, CLIENT: 4, PRODUCER: 8, INTERNAL: 16, 0: 32}
    row = said(decoded([span(kind, peer="external:a.b") for kind, n in kinds.items() for _ in range(n)]))
    assert row[[f.SERVED, f.ASKED, f.PRODUCED, f.OTHERS, f.ROOTS, f.UNNAMED]].tolist() == [3, 4, 8, 48, 0, 0]
    roots = [span(kind, parent=0) for kind, n in kinds.items() for _ in range(n)]
    row = said(decoded(roots))
    assert row[f.ROOTS] == 4 + 8 + 16 + 32, "requests served have callers outside"
    assert row[f.UNNAMED] == 4 + 8, "calls that name nobody"


@pytest.mark.parametrize(
    ("late_s", "bucket"),
    [
        (30.0, 8),
        (60.0, 9),
        (60.1, 10),
        (3600.0, 10),
        (-1.0, 0),
        (0.25, 0),
        (0.26, 1),
        (0.5, 1),
        (1.0, 2),
        (2.0, 3),
        (3.0, 4),
        (5.0, 5),
        (5.01, 6),
        (8.0, 6),
        (8.5, 7),
        (15.0, 7),
    ],
)
def test_how_late_spans_and_log_records_come(late_s: float, bucket: int) -> None:
    row = said(decoded([span(SERVER), span(CLIENT)]), late_s=late_s)
    assert row[f.SPAN_DELAYS].tolist() == [2 * (n == bucket) for n in range(11)]
    assert not row[f.LOG_DELAYS].any()
    row = said(logs([("cart", T0, 9, "hello"), ("web", T0, 9, "hello")]), late_s=late_s)
    assert row[f.LOG_DELAYS].tolist() == [1 * (n == bucket) for n in range(11)]
    assert not row[f.SPAN_DELAYS].any()


def test_log_records_and_points_are_counted_and_those_of_cpu_and_memory() -> None:
    assert said(logs([("cart", T0, 9, "a"), ("cart", T0, 9, "b"), ("web", T0, 9, "c")]))[f.LOGS] == 2
    of_metrics = list(f.BY_SIGNAL[f.Signal.METRICS])
    named = [of_metrics.index(name) for name in (f.CPU, f.MEMORY, f.CPU_CORES, f.MEMORY_BYTES)]
    other = next(n for n in range(len(of_metrics)) if n not in named)
    row = said(points([("cart", feature, 1, 0, 0, T0, 1.0) for feature in (*named, other, other)]))
    assert (row[f.POINTS], row[f.RESOURCE_POINTS]) == (6, 4)
    row = said(histograms([("cart", 1, 0, 0, T0, False, {1: 2}), ("cart", 2, 0, 0, T0, False, {1: 2})]))
    assert (row[f.POINTS], row[f.RESOURCE_POINTS]) == (2, 0)


@pytest.mark.parametrize(
    ("resource", "unsaid"),
    [
        (Resource("prod", "cart"), {f.VERSIONLESS, f.NAMESPACELESS, f.INSTANCELESS}),
        (Resource("prod", "shop/cart", "1", "i"), set()),
        (Resource("prod", "cart", "1", "i", (("service.namespace", "shop"),)), set()),
        (Resource("prod", "cart", "1", "i", (("k8s.namespace.name", "shop"),)), set()),
        (Resource("prod", "shop/cart", "1", "i", (("k8s.pod.name", "p"),)), {f.WORKLOADLESS}),
        (Resource("prod", "shop/cart", "1", "i", (("k8s.pod.uid", "u"), ("k8s.job.name", "j"))), set()),
        (Resource("prod", "shop/unknown_service:java", "1", "i", ()), {f.NAMELESS}),
        (Resource("prod", "unknown_service", "1", "i", (("service.namespace", "shop"),)), {f.NAMELESS}),
    ],
)
def test_what_a_resource_leaves_unsaid(resource: Resource, unsaid: set[int]) -> None:
    message = replace(decoded([span(SERVER)]), resources=(resource,))
    row = said(message, resource.service)
    assert row[f.HEARD] == 1
    assert {n for n in range(f.HEARD + 1, f.NAMELESS + 1) if row[n]} == unsaid
    metrics = replace(points([("cart", 0, 1, 0, 0, T0, 1.0)]), resources=(resource,))
    assert not said(metrics, resource.service)[: f.NAMELESS + 1].any(), "metrics come from elsewhere, and say less"
    of_logs = replace(logs([("cart", T0, 9, "a")]), resources=(resource,))
    assert said(of_logs, resource.service)[f.HEARD] == 1


def test_nodes_that_send_nothing_themselves_are_not_counted() -> None:
    for node in ("db:postgresql/stock", "messaging:kafka/orders", "external:api.example.com"):
        assert not said(decoded([span(SERVER, service=node)]), node).any()


@pytest.mark.parametrize(("shift_ns", "told"), [(2 * S, (0, 0)), (2 * S + 1, (1, 2000)), (-3 * S, (1, -3000))])
def test_clocks_that_are_far_off_are_told_of(shift_ns: int, told: tuple[int, int]) -> None:
    tags = Tags(np.array([0], np.int32), (Tag("cart", shift_ns, 0),))
    row = said(decoded([span(SERVER)]), tags=tags)
    assert (row[f.SHIFTED], row[f.SHIFT_MS]) == told


def news(known: f.Facts, partitions: int = 1) -> list[str]:
    return [text for _, _, sent in ride(known, partitions=partitions) for text in sent.told]


def ride(known: f.Facts, targets: tuple[int, ...] = (0,), environment: str = "prod", partitions: int = 1):
    origin = Origin("prod", "otlp/0", 1, T0)
    none = frame(origin, "spans", {})
    return known.ride("prod", [(environment, target, none) for target in targets], partitions)


@pytest.mark.parametrize(
    ("peer", "names"),
    [
        ("external:payment", ["payment"]),
        ("external:payment.shop.svc", ["payment.shop.svc", "payment", "shop/payment"]),
        ("external:10.0.0.7", []),
        ("external:fe80::1", []),
        ("db:postgresql/stock", []),
        ("", []),
    ],
)
def test_whom_clients_name_may_be_a_service(peer: str, names: list[str]) -> None:
    found = counted(decoded([span(CLIENT, peer=peer)]))["prod"]
    found.at(T0 + 100 * S)
    assert news(found) == [f"called\t{name}" for name in names]
    served = counted(decoded([span(SERVER, peer=peer), span(PRODUCER, peer=peer)]))["prod"]
    served.at(T0 + 100 * S)
    assert news(served) == []


def test_names_are_told_in_the_environment_of_who_asks() -> None:
    both = decoded([span(CLIENT, peer="external:a"), span(CLIENT, peer="external:b", service="web")])
    message = replace(both, resources=(Resource("prod", "cart"), Resource("test", "web")))
    found = counted(message, environments=("prod", "test"))
    assert [known.of("cart")[f.ASKED] for known in found.values()] == [1, 0]
    assert [known.of("web")[f.ASKED] for known in found.values()] == [0, 1]
    for name, known in found.items():
        known.at(T0 + 100 * S)
        assert news(known) == [f"called\t{'a' if name == 'prod' else 'b'}"]


def test_metrics_that_nobody_reads_are_counted_and_named() -> None:
    cart, node = Resource("prod", "cart"), Resource("prod", "db:redis")
    message = replace(decoded([span(SERVER)]), unread=((cart, "queue.depth", 3), (cart, "x", 4), (node, "y", 5)))
    found = counted(message)["prod"]
    assert found.of("cart")[f.UNREAD] == 7
    found.at(T0 + 100 * S)
    assert news(found) == ["unread\tcart\tqueue.depth", "unread\tcart\tx"]


def test_what_comes_in_is_counted_unless_somebody_measured_it_by_hand() -> None:
    def told(source: str) -> dict[str, int]:
        builder = PartialBuilder(source, IngestSettings(), 1)
        builder.add(decoded([span(SERVER), span(SERVER), span(CLIENT, service="web")]), Receipt(T0, T0), 0)
        sent = [frame for _, _, frame in builder.flush().partials]
        return {s: int(row[f.SERVED]) for one in sent for s, row in zip(one.facts_of, one.facts, strict=True)}

    assert told("otlp_spans/0") == {"cart": 2, "web": 0}
    assert told("telemetry.raw/0") == {}


# --- on the way -----------------------------------------------------------------------------------------------------


def facts_at(now_ns: int = T0) -> f.Facts:
    known = f.Facts()
    known.at(now_ns)
    return known


def test_what_was_counted_rides_on_the_next_frame_once() -> None:
    known = facts_at()
    known.of("cart")[f.SERVED] += 3
    known.add(["cart", "web", "cart"], np.arange(3 * f.WIDTH).reshape(3, -1))
    ((_, _, first), (_, _, second)) = ride(known, (0, 0))
    assert first.facts_of == ("cart", "web")
    assert first.facts[0].tolist() == [2 * n + 2 * f.WIDTH + 3 * (n == f.SERVED) for n in range(f.WIDTH)]
    assert first.facts[1].tolist() == [n + f.WIDTH for n in range(f.WIDTH)]
    assert second.facts_of == ()
    known.at(T0 + 10 * S)
    assert ride(known)[0][2].facts_of == ()


def test_facts_go_on_every_two_seconds_or_when_the_clock_was_set_back() -> None:
    known = facts_at()
    known.of("cart")[f.SERVED] += 1
    assert ride(known)[0][2].facts_of == ("cart",)
    for later_ns, sent in ((2 * S - 1, ()), (2 * S, ("cart",))):
        known.at(T0 + later_ns)
        known.of("cart")[f.SERVED] = 1
        assert ride(known)[0][2].facts_of == sent


def test_each_partition_is_told_of_its_own_services_and_what_has_no_frame_waits() -> None:
    names = [f"s{n}" for n in range(40)]
    mine = {t: {name for name in names if f.target_of("prod", name, 3) == t} for t in range(3)}
    known = facts_at()
    known.add(names, np.ones((40, f.WIDTH), np.int64))
    assert {t: set(sent.facts_of) for _, t, sent in ride(known, (0, 2), partitions=3)} == {0: mine[0], 2: mine[2]}
    known.at(T0 + 5 * S)
    assert {t: set(sent.facts_of) for _, t, sent in ride(known, (0, 1), partitions=3)} == {0: set(), 1: mine[1]}
    other = facts_at()
    other.of("cart")[f.SERVED] += 1
    assert ride(other, environment="test")[0][2].facts_of == (), "another environment's frame"


def test_what_all_are_to_know_waits_until_all_have_frames() -> None:
    known = facts_at()
    known.tell("called\tcart")
    assert [sent.told for _, _, sent in ride(known, (0, 2), partitions=3)] == [(), ()]
    assert [sent.told for _, _, sent in ride(known, (0, 1, 2), partitions=3)] == [("called\tcart",)] * 3


def test_what_is_said_again_is_told_every_five_minutes() -> None:
    known = facts_at()
    told = []
    for minute in range(11):
        known.at(T0 + minute * MINUTE)
        known.tell("called\tcart")
        told += [minute for _ in news(known)]
    assert told == [0, 5, 10]


def test_a_snapshot_has_what_was_not_sent_and_what_was_said() -> None:
    known, again = facts_at(), f.Facts()
    known.add(["cart", "web"], np.array([np.arange(f.WIDTH), np.ones(f.WIDTH)], np.int64))
    known.tell("called\tcart")
    state = known.state()
    again.load(state)
    again.tell("called\tcart")
    ((_, _, sent),) = ride(again)
    assert (sent.facts_of, sent.told) == (("cart", "web"), ("called\tcart",))
    assert sent.facts.tolist() == [list(range(f.WIDTH)), [1] * f.WIDTH]
    older = f.Facts()
    older.load([{"cart": np.ones(f.WIDTH - 1, np.int64), "web": np.ones(f.WIDTH, np.int64)}, *state[1:]])
    assert ride(older)[0][2].facts_of == ("web",), "of before there were as many"


def test_facts_go_out_every_two_seconds_and_at_once_where_time_has_gone_back() -> None:
    found = counted(decoded([span(SERVER)]))["prod"]
    told = []
    for second in (100.0, 100.0, 101.9, 102.0, 50.0, 50.0):
        found._now_ns = T0 + round(second * S)
        found.of("cart")[f.SERVED] += 1
        told.append(sum(int(row[f.SERVED]) for _, _, sent in ride(found) for row in sent.facts))
    assert told == [2, 0, 0, 3, 1, 0]
