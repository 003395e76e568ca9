"""The informer against a server that speaks list and watch, with everything that can happen on the way."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kubernetes import informer as informers
from connectors.kubernetes.access import open_access
from connectors.kubernetes.cluster_api import ClusterApi
from connectors.kubernetes.informer import Informer, Pace, WatchSource, newer
from connectors.kubernetes.objects import ObjectKind, Thing, Workload
from connectors.kubernetes.read import reader
from connectors.kubernetes.request import resource_of
from contracts.errors import ClusterUnavailable, Forbidden
from tests.unit.connectors.kubernetes import objects as o
from tests.unit.connectors.kubernetes.conftest import until
from tests.unit.connectors.kubernetes.list_watch import ListWatchServer

PATH = "/apis/apps/v1/deployments"
SOURCE = WatchSource(ObjectKind.DEPLOYMENT, PATH)
FAST = Pace(longest_wait_s=0.05)


class Sink:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int | None, int | None]] = []

    def __call__(self, before: Thing | None, now: Thing | None) -> None:
        thing = now or before
        assert thing is not None
        self.told.append((thing.head.name, _replicas(before), _replicas(now)))


def _replicas(thing: Thing | None) -> int | None:
    return thing.replicas if isinstance(thing, Workload) else None


@asynccontextmanager
async def running(informer: Informer) -> AsyncIterator[Informer]:
    task = asyncio.create_task(informer.run())
    try:
        yield informer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def made(api: ClusterApi, sink: Sink, pace: Pace = FAST, **more: object) -> Informer:
    return Informer(SOURCE, api, reader(ObjectKind.DEPLOYMENT), sink, pace=pace, **more)  # type: ignore[arg-type]


def truth(server: ListWatchServer) -> dict[str, int]:
    return {t["metadata"]["name"]: t["spec"]["replicas"] for t in server.collections[PATH].things.values()}


def known(informer: Informer) -> dict[str, int | None]:
    return {t.head.name: _replicas(t) for t in informer.objects.values()}


async def test_lists_in_pages_and_follows(
    server: ListWatchServer, api: ClusterApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informers, "PAGE", 2)
    for i in range(5):
        server.put(PATH, o.deployment(f"d{i}"))
    sink = Sink()
    async with running(made(api, sink)) as informer:
        await informer.synced.wait()
        assert server.calls["list"] == 3
        assert [t[0] for t in sink.told] == [f"d{i}" for i in range(5)]
        server.put(PATH, o.deployment("d1", replicas=7))
        server.put(PATH, o.deployment("new"))
        server.delete(PATH, o.deployment("d2"))
        await until(lambda: known(informer) == truth(server))
    assert sink.told[5:] == [("d1", 2, 7), ("new", None, 2), ("d2", 2, None)]
    assert {q["authorization"] for q in server.queries} == {"Bearer t0ken"}


async def test_goes_on_after_a_disconnect_without_listing(server: ListWatchServer, api: ClusterApi) -> None:
    server.put(PATH, o.deployment("a"))
    sink = Sink()
    async with running(made(api, sink)) as informer:
        await informer.synced.wait()
        for n in range(3, 8):
            await until(lambda: server._cut, "a watch")
            server.disconnect()
            server.put(PATH, o.deployment("a", replicas=n))
            await until(lambda n=n: known(informer) == {"a": n})
    assert server.calls["list"] == 1
    assert [t[2] for t in sink.told] == [2, 3, 4, 5, 6, 7]


async def test_a_bookmark_moves_the_place_to_go_on_from(server: ListWatchServer, api: ClusterApi) -> None:
    server.put(PATH, o.deployment("a"))
    async with running(made(api, Sink())) as informer:
        await informer.synced.wait()
        await until(lambda: server._cut)
        server.bookmark(PATH)
        await until(lambda: informer.counters["seen"] == 1)
        server.compact()  # what was before the bookmark is forgotten
        server.disconnect()
        await until(lambda: server.calls["watch"] == 2)
        server.put(PATH, o.deployment("a", replicas=9))
        await until(lambda: known(informer) == {"a": 9})
    assert server.calls["list"] == 1
    assert server.queries[-1]["resourceVersion"] == str(server.version - 1)
    assert server.queries[-1]["allowWatchBookmarks"] == "true"


async def test_lists_again_when_its_version_is_gone_and_tells_what_it_missed(
    server: ListWatchServer, api: ClusterApi
) -> None:
    server.put(PATH, o.deployment("stays"))
    server.put(PATH, o.deployment("goes"))
    sink = Sink()
    async with running(made(api, sink)) as informer:
        await informer.synced.wait()
        await until(lambda: server._cut)
        del sink.told[:]
        server.refuse = 503
        server.disconnect()
        server.put(PATH, o.deployment("stays", replicas=4))
        server.put(PATH, o.deployment("comes"))
        server.delete(PATH, o.deployment("goes"))
        server.compact()
        server.refuse = 0
        await until(lambda: known(informer) == truth(server))
    assert informer.counters["expired"] >= 1
    assert sorted(sink.told) == [("comes", None, 2), ("goes", 2, None), ("stays", 2, 4)]


async def test_410_as_a_status_lists_again_too(server: ListWatchServer, api: ClusterApi) -> None:
    server.put(PATH, o.deployment("a"))
    async with running(made(api, Sink())) as informer:
        await informer.synced.wait()
        await until(lambda: server._cut)
        server.refuse = 410
        server.disconnect()
        await until(lambda: informer.counters["expired"] >= 1)
        server.refuse = 0
        await until(lambda: informer.counters["lists"] >= 2)
        server.put(PATH, o.deployment("a", replicas=4))
        await until(lambda: known(informer) == {"a": 4})


async def test_a_list_that_expires_between_pages_is_asked_for_whole(
    server: ListWatchServer, api: ClusterApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informers, "PAGE", 2)
    for i in range(5):
        server.put(PATH, o.deployment(f"d{i}"))
    server.expire_pages = 1
    async with running(made(api, Sink())) as informer:
        await informer.synced.wait()
        assert len(informer.objects) == 5
    lists = [q for q in server.queries if "watch" not in q]
    assert ["limit" in q for q in lists] == [True, True, False]


async def test_what_was_seen_before_or_is_late_changes_nothing(server: ListWatchServer, api: ClusterApi) -> None:
    server.put(PATH, o.deployment("a"))
    sink = Sink()
    async with running(made(api, sink)) as informer:
        await informer.synced.wait()
        for n in (3, 4, 5):
            server.put(PATH, o.deployment("a", replicas=n))
        server.repeat(PATH, 0)
        server.repeat(PATH, 2)
        server.put(PATH, o.deployment("a", replicas=6))
        await until(lambda: known(informer) == {"a": 6})
    assert [t[2] for t in sink.told] == [2, 3, 4, 5, 6]
    assert informer.counters["repeated"] == 2


async def test_what_can_not_be_read_is_counted_and_stops_nothing(
    server: ListWatchServer, api: ClusterApi, caplog: pytest.LogCaptureFixture
) -> None:
    server.put(PATH, o.deployment("good"))
    server.put(PATH, {"metadata": {"name": "bad", "uid": "bad"}, "spec": {"replicas": "many"}})
    sink = Sink()
    async with running(made(api, sink)) as informer:
        await informer.synced.wait()
        server.put(PATH, {"metadata": {"name": "bad", "uid": "bad2"}, "spec": 5})
        server.say(PATH, b"}{ no JSON")
        server.put(PATH, o.deployment("good", replicas=3))
        await until(lambda: known(informer) == {"good": 3})
        assert informer.counters["undecodable"] >= 3
    assert [r.message for r in caplog.records if "an object of deployments.apps can't be read" in r.message]


async def test_an_object_that_can_not_be_read_any_more_is_not_taken_for_gone(
    server: ListWatchServer, api: ClusterApi
) -> None:
    server.put(PATH, o.deployment("a"))
    sink = Sink()
    async with running(made(api, sink, Pace(resync_s=0.0, longest_wait_s=0.05))) as informer:
        await informer.synced.wait()
        broken = o.deployment("a")
        broken["spec"]["replicas"] = "many"
        server.put(PATH, broken)
        lists = informer.counters["lists"]
        await until(lambda: server._cut, "a watch")
        server.disconnect()
        await until(lambda: informer.counters["lists"] > lists)
    assert ("a", 2, None) not in sink.told


async def test_what_is_gone_is_gone_even_if_its_last_state_can_not_be_read(
    server: ListWatchServer, api: ClusterApi
) -> None:
    server.put(PATH, o.deployment("a"))
    sink = Sink()
    async with running(made(api, sink)) as informer:
        await informer.synced.wait()
        broken = o.deployment("a")
        broken["spec"]["replicas"] = "many"
        server.delete(PATH, broken)
        await until(lambda: not informer.objects, "its end")
    assert sink.told[-1] == ("a", 2, None)


async def test_what_is_read_otherwise_than_before_is_told(server: ListWatchServer, api: ClusterApi) -> None:
    raw = server.put(PATH, o.deployment("a"))
    read = reader(ObjectKind.DEPLOYMENT, ("another",))
    before = {t.head.uid: t for t in [read(json.dumps(raw | {"spec": {"replicas": 1}}).encode())]}
    sink = Sink()
    async with running(made(api, sink, known=before)) as informer:
        await informer.synced.wait()
    assert sink.told == [("a", 1, 2)]


async def test_what_another_worker_knew_is_compared_with_what_is(server: ListWatchServer, api: ClusterApi) -> None:
    read = reader(ObjectKind.DEPLOYMENT)
    before = {t.head.uid: t for n in ("a", "gone") if (t := read(json.dumps(o.deployment(n)).encode()))}
    server.put(PATH, o.deployment("a", replicas=8))
    sink = Sink()
    async with running(made(api, sink, known=before)) as informer:
        await informer.synced.wait()
    assert sorted(sink.told, key=str) == [("a", 2, 8), ("gone", 2, None)]


async def test_lists_again_from_time_to_time(server: ListWatchServer, api: ClusterApi) -> None:
    server.put(PATH, o.deployment("a"))
    sink = Sink()
    async with running(made(api, sink, Pace(resync_s=0.0, longest_wait_s=0.05))) as informer:
        await informer.synced.wait()
        await until(lambda: server._cut, "a watch")
        server.collections[PATH].things[o.deployment("a")["metadata"]["uid"]] = o.deployment("a", 999, replicas=5)
        server.disconnect()
        await until(lambda: known(informer) == {"a": 5}, "an event that was never sent")


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (401, "forbidden", "does not know us list deployments.apps: no list for you (its token is wrong or expired)"),
        (
            403,
            "forbidden",
            "does not let us list deployments.apps: no list for you (the role needs get, list, watch on",
        ),
        (404, "not_found", "knows no deployments.apps"),
        (503, "cluster_unavailable", "can't list deployments.apps now, 503: no list for you"),
        (429, "cluster_unavailable", "can't list deployments.apps now, 429"),
        (400, "refused", "refuses to list deployments.apps, 400"),
    ],
)
async def test_refusals_are_one_line_and_tried_again(
    server: ListWatchServer, api: ClusterApi, caplog: pytest.LogCaptureFixture, status: int, error: str, text: str
) -> None:
    caplog.set_level(logging.INFO, "connectors.kubernetes")
    server.refuse = status
    server.put(PATH, o.deployment("a"))
    async with running(made(api, Sink())) as informer:
        await until(lambda: informer.counters[error] >= 3)
        assert text in informer.trouble
        server.refuse = 0
        await informer.synced.wait()
        assert informer.trouble == ""
    said = [r.message for r in caplog.records if r.name.startswith("connectors")]
    assert said[1:] == ["deployments.apps can be read again"]
    assert text in said[0]


async def test_a_server_that_is_away_is_named_with_what_to_check(server: ListWatchServer, api: ClusterApi) -> None:
    server.drop_lists = 2
    server.put(PATH, o.deployment("a"))
    async with running(made(api, Sink())) as informer:
        await until(lambda: informer.trouble)
        assert "can't list deployments.apps at http://127.0.0.1" in informer.trouble
        assert "kubectl version" in informer.trouble
        await informer.synced.wait()


async def test_a_server_that_always_says_gone_is_not_stormed(server: ListWatchServer, api: ClusterApi) -> None:
    server.put(PATH, o.deployment("a"))
    waits: list[float] = []
    informer = made(api, Sink(), Pace(seed=1, longest_wait_s=0.4))
    next_s = informer._backoff.next_s
    informer._backoff.next_s = lambda: waits.append(next_s()) or waits[-1]  # type: ignore[method-assign,func-returns-value]
    async with running(informer):
        await informer.synced.wait()
        await until(lambda: server._cut)
        server.version += 1
        server.collections[PATH].compacted = 10**9
        server.disconnect()
        await until(lambda: len(waits) >= 4)
    assert waits[0] < 0.25
    assert min(waits[2:]) >= 0.2


def test_no_way_to_a_cluster_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterUnavailable, match=r"set kubernetes\.context to one of your kubeconfig"):
        open_access("nowhere")


async def test_errors_name_verb_and_resource(server: ListWatchServer, api: ClusterApi) -> None:
    server.refuse = 403
    with pytest.raises(Forbidden, match="watch pods in shop"):
        await anext(api.watch("/api/v1/namespaces/shop/pods", {"resourceVersion": "1", "watch": "1"}))
    assert resource_of("/apis/apps/v1/namespaces/shop/deployments") == "deployments.apps in shop"


@given(st.integers(0, 10**20), st.integers(0, 10**20))
def test_versions_are_compared_as_numbers(a: int, b: int) -> None:
    assert newer(str(a), str(b)) == (a > b)
    assert newer(f"x{a}", str(b))
