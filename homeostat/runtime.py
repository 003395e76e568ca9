"""A running Homeostat: the parts in the order they start, and the reverse in which they stop, losing nothing.

`homeostat up` and `homeostat worker` are the same `Runtime` with other settings.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any, Final

from connectors.journal.sqlite import SqliteJournal
from connectors.kafka.client import KafkaBroker
from connectors.kafka.embedded import FETCH_WAIT_MS, EmbeddedBroker, is_embedded, open_broker
from connectors.otlp.receivers import OtlpReceivers
from contracts.ports import Clock, GraphStore, Journal, StateStore, SystemClock
from contracts.retry import Pauses, Until, retrying, within
from contracts.secrets import masked
from contracts.settings import Settings
from contracts.supervision import crashes, tasks
from contracts.topics import CONTROL
from graph.stores import open_store
from homeostat import data_folder, explanation
from homeostat.acting import Acting
from homeostat.checkup import BEHIND_S, STAGE_ERRORS, Checkup, Lacks, Rising
from homeostat.cluster import ClusterWatch
from homeostat.endpoints import Endpoints, publish, withdraw
from homeostat.exchange import Sinks, Sources
from homeostat.graph_writer import GraphWriter
from homeostat.health import Vitals
from homeostat.heartbeat import Heartbeat
from homeostat.implementations import open_journal, open_state, topology_writes
from homeostat.installation import named
from homeostat.metrics import Sample, registry
from homeostat.release import age_s
from homeostat.spreading import Spreading
from homeostat.strictness_told import document
from homeostat.switchboard import begin_in
from homeostat.web.server import WebServer
from homeostat.wiring import act_specs, recorded_specs, spread_of
from models.detectors import warm_up
from models.series.forecasting.forecasters import check
from streams.worker import Worker, WorkerWiring, handlers_of

log = logging.getLogger(__name__)
PAUSES: Final = Pauses(first_s=0.5, longest_s=10.0)
"""Between attempts to reach what a start needs."""
BRIEF_S = 5.0
"""A former process may still be ending; for longer, somebody else really has it."""
DRAIN_S = 3.0
"""At the end the embedded log is read empty, for at most this long: it ends with the process."""


class Runtime:
    """All parts of one process. `start` returns when it is ready; `stop` is graceful and idempotent."""

    broker: KafkaBroker
    store: GraphStore
    graph: GraphWriter
    journal: Journal
    acting: Acting
    cluster: ClusterWatch
    sinks: Sinks
    sources: Sources
    worker: Worker
    api: WebServer
    endpoints: Endpoints

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.node = f"{os.uname().nodename}-{uuid.uuid4().hex[:8]}"
        self._stack = AsyncExitStack()
        self._opened: GraphStore | None = None
        self._waiting_for, self._stopping = "broker", False
        self._lacks, self._errors = Lacks(), Rising()
        self._checkup = Checkup({}, self.clock)
        self.receivers: OtlpReceivers | None = None

    async def start(self) -> None:
        """Start everything. What cannot be reached is retried for `retry_s`, then a HomeostatError says what to do."""
        try:
            await asyncio.to_thread(data_folder.prepare, self.settings.data_dir)
            self._claim_folder()
            await self._start_api()
            await self._open_log()
            self._waiting_for = "graph"
            await self._open_stores()
            self._waiting_for = "detectors"
            await asyncio.to_thread(warm_up, self.settings.detect, self.settings.plugins)
            await asyncio.to_thread(check, self.settings.series)
            self._waiting_for = "consumer group"
            await self._start_loop()
            await self._start_checkup()
            self._waiting_for = "receivers"
            await self._start_endpoints()
            self._waiting_for = ""
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything, last started first. It says that it is stopping, on its API, until the end."""
        self._stopping, self._opened = True, None
        await self._stack.aclose()

    def _claim_folder(self) -> None:
        """Before all else: two embedded processes on one folder are a mistake, which is said at once. Workers may share one."""
        if is_embedded(self.settings.broker):
            claim = data_folder.FolderLock(self.settings.data_dir)
            claim.take()
            self._stack.callback(claim.release)

    async def _start_api(self) -> None:
        """Before all else: who waits for a broker must be able to say so."""
        s = self.settings
        self.api = WebServer(
            s.api,
            registry(self._samples),
            self.status,
            self.vitals,
            lambda: self._opened,
            self.services,
            lambda wanted: explanation.answer(self.broker if self._opened is not None else None, wanted),
        )
        self._stack.push_async_callback(self.api.stop)
        await self.api.start()

    async def _open_log(self) -> None:
        s = self.settings.broker
        self.broker = open_broker(s)
        self._stack.push_async_callback(self.broker.stop)
        await retrying(self.broker.start, within(s.retry_s), pauses=PAUSES)
        self.partitions: Mapping[str, int] = await retrying(
            lambda: self.broker.ensure_topics(s.partitions, self.settings.ingest.topics),
            within(s.retry_s),
            pauses=PAUSES,
        )

        self.settings = await retrying(lambda: named(self.settings, self.broker), within(s.retry_s), pauses=PAUSES)

    async def _open_stores(self) -> None:
        s = self.settings
        self.store = await retrying(
            lambda: asyncio.to_thread(open_store, s.graph, s.data_dir, s.plugins),
            _store_opened(s.graph.retry_s),
            pauses=PAUSES,
        )
        self._stack.callback(self.store.close)
        self._opened = self.store
        self.graph = GraphWriter(self.store, s.graph.queue)
        self.graph.start()
        self._stack.push_async_callback(self.graph.stop)
        for write in topology_writes(s, self.clock.now_ns()):
            self.graph.put(write)
        self.journal = open_journal(s, self.broker, self.partitions, self.node)
        self._stack.callback(self.journal.close)
        self.sinks = Sinks(s, self.broker)  # stopped after what publishes, so that they get all of it
        self._stack.push_async_callback(self.sinks.stop)
        self.sinks.start()

    async def _start_loop(self) -> None:
        s, embedded = self.settings, isinstance(self.broker, EmbeddedBroker)
        log_id = uuid.uuid4().hex if embedded else ""
        if embedded:
            fresh = not isinstance(self.journal, SqliteJournal) or self.journal.fresh
            begin_in(s.data_dir, self.journal, self.clock.now_ns(), fresh=fresh)
        self.acting = Acting(s, self.broker, self.partitions, self.journal, self.graph.put, self.clock, log_id)
        self._stack.push_async_callback(self.acting.stop)
        await retrying(self.acting.start, within(s.broker.retry_s), pauses=PAUSES)
        state: StateStore = open_state(s, self.broker)
        self._stack.push_async_callback(state.close)
        spread = {**self.partitions, **spread_of(s)}
        self.cluster = ClusterWatch(s, self.broker, spread, state, self.graph.put, self.clock)
        self._stack.push_async_callback(self.cluster.stop)
        self.worker = Worker(
            WorkerWiring(
                settings=s,
                broker=self.broker,
                partitions=self.partitions,
                state=state,
                clock=self.clock,
                specs=recorded_specs(s, self.partitions, self.acting.playbooks),
                graph=self.graph.put,
                log_id=log_id,
                handlers=handlers_of(act_specs(self.acting, self.cluster)),
                on_assigned=self._on_assigned,
                on_revoked=self.acting.on_revoked,
                before_ack=self.acting.ownership.settled,
                before_send=self.acting.before_send,
                fetch_wait_ms=FETCH_WAIT_MS if embedded else s.broker.fetch_wait_ms,
                drain_s=DRAIN_S if embedded else 0.0,
            )
        )
        self._stack.push_async_callback(self.worker.stop)
        await self.worker.start()

    async def _on_assigned(self, assigned: frozenset[tuple[str, int]]) -> None:
        await self.acting.on_assigned(assigned)
        await self.cluster.on_assigned(assigned)

    async def _start_endpoints(self) -> None:
        s = self.settings
        grpc = http = ""
        embedded = isinstance(self.broker, EmbeddedBroker)
        send = Spreading(self.broker, self.partitions, self.clock).send if embedded else self.broker.send
        self.sources = Sources(s, send)
        self._stack.push_async_callback(self.sources.stop)
        self.sources.start()
        if s.receivers.enabled:
            self.receivers = OtlpReceivers(s.receivers, send)
            self._stack.push_async_callback(self.receivers.stop)
            await self.receivers.start()
            grpc, http = self.receivers.grpc_address, self.receivers.http_address
        self.endpoints = Endpoints(
            pid=os.getpid(), broker=self.broker.bootstrap, api=self.api.address, otlp_grpc=grpc, otlp_http=http
        )
        publish(s.data_dir, self.endpoints)
        self._stack.callback(withdraw, s.data_dir)
        nodes = Heartbeat(self.node, self.broker, self.worker, self.acting, self.vitals, self.clock)
        self._stack.push_async_callback(nodes.stop)
        await nodes.start()

    async def _start_checkup(self) -> None:
        probes = {
            "data": self._ask_data,
            "log": self._ask_log,
            "graph": self._ask_graph,
            "policy": self.acting.ask_policy,
            "stages": self._ask_stages,
        }
        self._checkup = Checkup(probes, self.clock)
        self._stack.push_async_callback(self._checkup.stop)
        self._checkup.start()

    async def _ask_data(self) -> str:
        where = self.settings.data_dir
        found = await asyncio.to_thread(data_folder.unwritable, where)
        free = data_folder.free_bytes(where)
        if found:
            return f"nothing can be written in {where}: {found}"
        return (
            f"{free / 1e6:.0f} MB are left where {where} is"
            if free is not None and free < data_folder.LEAST_BYTES
            else ""
        )

    async def _ask_log(self) -> str:
        await self.broker.ends([CONTROL])
        return ""

    async def _ask_graph(self) -> str:
        await asyncio.to_thread(self.store.query, "RETURN 1 AS n")
        return self.graph.trouble and f"{len(self.graph)} writes wait: {self.graph.trouble}"

    async def _ask_stages(self) -> str:
        counted = {f"{s} {what}": n for (s, what), n in self.worker.host.totals().items() if what in STAGE_ERRORS}
        rose = self._errors.rising(counted, self.clock.now_ns())
        return f"{', '.join(rose)} in the last minute: the log has the reasons" if rose else ""

    def _lacking(self) -> dict[str, str]:
        failing = sorted({f"{t.name} {t.detail}".rstrip() + f" ({t.why})" for t in tasks() if t.failing})
        behind, waiting = self.worker.behind_s, sum(self.worker.lag.values())
        late = f"{behind:.0f} s behind, {waiting} messages wait" if behind > BEHIND_S else ""
        return {
            **self._checkup.found,
            **self.acting.lacking(),
            **self.sinks.lacking(),
            **self.sources.lacking(),
            "pace": late,
            "background": f"{', '.join(failing)} crashed and began again" if failing else "",
            "cluster": "; ".join(self.cluster.status().get("trouble", ())),
        }

    def services(self) -> list[dict[str, Any]]:
        """What /services shows: each service of the environments that this process acts for."""
        return [] if self._waiting_for or self._stopping else self.acting.services.rows(self.clock.now_ns())

    def vitals(self) -> Vitals:
        """How it is: what /livez, /healthz and /readyz answer from."""
        if self._waiting_for or self._stopping:
            return Vitals(waiting_for=self._waiting_for, stopping=self._stopping)
        w = self.worker
        return Vitals(
            member=w.member,
            partitions=len(w.assigned),
            recovering=w.recovering,
            loop_age_s=w.loop_age_s,
            crashed=w.crashed,
            lacks=self._lacks.of(self._lacking(), self.clock.now_ns()),
        )

    def status(self) -> dict[str, Any]:
        """What /status shows."""
        vitals = self.vitals()
        own = {"node": self.node, "uptime_s": round(age_s(), 1), "ready": vitals.ready, **vitals.report()}
        if self._waiting_for or self._stopping:
            return own
        events: dict[str, dict[str, int]] = {}
        for (stage, what), n in sorted(self.worker.host.totals().items()):
            events.setdefault(stage, {})[what] = n
        return {
            **own,
            "broker": self.broker.bootstrap,
            "partitions": sorted(f"{t}/{p}" for t, p in self.worker.assigned),
            "lag": self.worker.lag,
            "behind_s": round(self.worker.behind_s, 1),
            "services": self.acting.services.counts(self.clock.now_ns()),
            "strictness": [document(word) for word in self.acting.strictness.words()],
            "stages": events,
            "graph": {"queue": len(self.graph), "dropped": self.graph.dropped, "failed": self.graph.failed},
            "acting": self.acting.status(),
            "cluster": self.cluster.status(),
            "sinks": self.sinks.status(),
            "sources": self.sources.status(),
            "background": [asdict(t) | {"why": masked(t.why)} for t in tasks()],
        }

    def _samples(self) -> Iterator[Sample]:
        vitals = self.vitals()
        yield "live", (), float(vitals.live)
        yield "healthy", (), float(vitals.healthy)
        for lack in vitals.lacks:
            yield "lacks", (lack.what,), 1.0
        yield "ready", (), float(vitals.ready)
        yield "data_free_bytes", (), float(data_folder.free_bytes(self.settings.data_dir) or 0)
        for name, n in crashes().items():
            yield "background_crashes", (name,), n
        failing = Counter(t.name for t in tasks() if t.failing)
        for name in {t.name for t in tasks()}:
            yield "background_failing", (name,), failing[name]
        if not (self._waiting_for or self._stopping):
            yield from self._samples_of_parts()

    def _samples_of_parts(self) -> Iterator[Sample]:
        for (stage, what), n in self.worker.host.totals().items():
            yield "stage_events", (stage, what), n
        for topic, n in self.worker.lag.items():
            yield "lag_messages", (topic,), n
        yield "behind_seconds", (), self.worker.behind_s
        for environment, states in self.acting.services.counts(self.clock.now_ns()).items():
            for state, n in states.items():
                yield "services", (environment, state), n
        yield "unacknowledged_messages", (), self.worker.unacknowledged
        yield "loop_age_seconds", (), self.worker.loop_age_s
        for result in ("written", "failed", "dropped"):
            yield "graph_writes", (result,), getattr(self.graph, result)
        yield "graph_queue", (), len(self.graph)
        for what, n in (self.receivers.counters() if self.receivers else {}).items():
            yield "receiver_messages", (what,), n
        yield "assigned_partitions", (), len(self.worker.assigned)
        yield from self.acting.samples()
        yield from self.cluster.samples()
        yield from self.sinks.samples()
        yield from self.sources.samples()


def _store_opened(patience_s: float) -> Until:
    """Give up after `patience_s`; a lock, which seldom goes away by itself, is waited for no longer than BRIEF_S."""
    return within(
        lambda error: min(patience_s, BRIEF_S) if getattr(error, "reason", "") == "graph_locked" else patience_s
    )
