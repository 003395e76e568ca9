"""What strangers make up without end has a limit at every stage, and what is there or comes later is not forgotten for it."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import numpy as np
import pytest

from contracts.checks import graph_rows as rows
from contracts.frames import EvidenceFrame, FeatureFrame, PartialFrame, unpack
from contracts.ports import GraphWrite, Record
from contracts.settings import DiagnoseSettings, Settings, load
from contracts.topics import EVIDENCE, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, TOPICS
from contracts.units import SECOND
from graph.diagnosis import DiagnosisEngine
from graph.stores.ladybug import LadybugStore
from graph.world import world as worlds
from graph.world.aliases import MOST_WAITING, Aliases
from graph.world.topology import Topology
from homeostat.wiring import perceive_specs
from models import engine_state as detected
from models.engine import DetectEngine
from playbooks.decision import views
from streams.in_memory import MemoryPipeline
from streams.stage import Emit
from streams.stages.ingest import IngestStage
from streams.windows import series, templates
from streams.windows.liveness import Liveness
from streams.windows.names import Names
from streams.windows.state import dump
from streams.windows.state import load as read_state
from tests.patience import LONG_S
from tests.unit.connectors.otlp import builders
from tests.unit.streams.windows.support import CLIENT, MS, SERVER, T0, Span, otlp

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_S)]
DAY = 86_400 * SECOND
SETTINGS = {"ingest": {"max_services": 40, "max_environments": 5}, "detect": {"detectors": ["bank"]}}
_ids = iter(range(1, 1 << 40))


def request(service: str, end: int) -> Span:
    number = next(_ids)
    return Span(service, number, number, 0, SERVER, end - 10 * MS, end)


def call(caller: str, callee: str, end: int) -> list[Span]:
    trace, one, other = next(_ids), next(_ids), next(_ids)
    return [
        Span(caller, trace, one, 0, CLIENT, end - 20 * MS, end, peer=f"db:postgresql/{caller}"),
        Span(callee, trace, other, one, SERVER, end - 15 * MS, end - 5 * MS),
    ]


def asks(caller: str, callee: str, end: int) -> list[Span]:
    trace, one, other = next(_ids), next(_ids), next(_ids)
    return [
        Span(caller, trace, one, 0, CLIENT, end - 20 * MS, end),
        Span(callee, trace, other, one, SERVER, end - 15 * MS, end - 5 * MS),
    ]


class Pipeline:
    """The stages that look, on a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = T0
        self.rows: Counter[tuple[str, str, str]] = Counter()
        """Requests by environment, signal and service."""
        specs = perceive_specs(load(SETTINGS), dict.fromkeys(TOPICS, 1))
        self.memory = MemoryPipeline(specs, 1, self._take)

    def _take(self, record: Record) -> None:
        if record.topic == EVIDENCE:
            frame = unpack(EvidenceFrame, record.value)
            for service, count in zip(frame.services, frame.counts.tolist(), strict=True):
                self.rows[frame.environment, frame.signal, service] += count

    def send(self, *spans: Span, environment: str = "prod") -> None:
        payload = otlp(list(spans))
        self.memory.feed(OTLP_SPANS, payload.replace(b"\x12\x06\n\x04prod", _text(environment)), self.now)

    def pass_by(self, seconds: float, step: float = 1.0) -> None:
        for _ in range(int(seconds / step)):
            self.now += int(step * SECOND)
            self.memory.tick(self.now)

    @property
    def counters(self) -> Counter[tuple[str, str]]:
        return self.memory.host.totals()


def _text(environment: str) -> bytes:
    """An attribute's value as protobuf; lengths of what holds it must stay the same, so it has to be as long as `prod`."""
    assert len(environment) == 4
    return b"\x12\x06\n\x04" + environment.encode()


def test_three_days_after_a_flood_of_names_new_services_are_taken_in() -> None:
    """21,000 short-lived names, at a limit of 40 services; then the names that come are seen by every stage."""
    pipeline = Pipeline()
    for n in range(21_000 // 300):
        pipeline.send(*(request(f"job-{n}-{i}", pipeline.now) for i in range(300)))
        pipeline.pass_by(1)
    assert pipeline.counters["ingest", "service_limit"] > 0
    pipeline.now += 3 * DAY
    pipeline.pass_by(5)
    for _ in range(60):
        pipeline.send(request("newcomer", pipeline.now), *call("caller", "callee", pipeline.now))
        pipeline.pass_by(1)
    pipeline.pass_by(5)
    for name in ("newcomer", "callee"):
        assert pipeline.rows["prod", "spans", name] >= 50
    assert pipeline.rows["prod", "edges", "caller"] >= 100


def test_during_a_flood_those_who_were_there_stay() -> None:
    pipeline = Pipeline()
    for second in range(120):
        pipeline.send(request("steady", pipeline.now), *call("caller", "callee", pipeline.now))
        if second > 20:
            pipeline.send(*(request(f"job-{second}-{i}", pipeline.now) for i in range(20)))
        pipeline.pass_by(1)
    pipeline.pass_by(10)
    assert pipeline.rows["prod", "spans", "steady"] == 120
    assert pipeline.rows["prod", "spans", "callee"] == 120
    assert pipeline.rows["prod", "edges", "caller"] == 240
    for stage, what in (("ingest", "names_left"), ("ingest", "service_limit"), ("features", "service_left")):
        assert pipeline.counters[stage, what] > 0, (stage, what)


def test_services_that_are_asked_no_more_leave_whole() -> None:
    """Generations of services of which an entrance asks nothing any more, at a limit of 6: their spans fall short until they leave."""
    now = T0
    specs = perceive_specs(load({"ingest": {"max_services": 6}}), dict.fromkeys(TOPICS, 1))
    memory = MemoryPipeline([s for s in specs if s.name in {"ingest", "edges", "features"}], 1, lambda _: None)
    short: list[set[str]] = []
    for generation in range(4):
        names = [f"{generation}-{n}" for n in range(3)]
        for second in range(50):
            now += SECOND
            asked = [s for name in names for _ in range(25) for s in asks("front", name, now)] if second < 28 else []
            memory.feed(OTLP_SPANS, otlp([request("front", now), *asked]), now)
            memory.tick(now)
        (features,) = (h.stage for h in memory.host.instances.values() if h.spec.name == "features")
        kept = read_state("feature_stage", 1, features.snapshot())["kept"]["prod"]
        short.append({*kept["leapt"], *kept["held"], *kept["short"]})
    assert memory.host.totals()["features", "service_left"] >= 4
    assert short[0] == {f"0-{n}" for n in range(3)}
    assert all(len(names) <= 6 for names in short), short


def test_environments_are_bounded_at_every_stage() -> None:
    pipeline = Pipeline()
    for second in range(330):
        pipeline.send(request("steady", pipeline.now))
        pipeline.send(request("other", pipeline.now), environment=f"{second:04d}")
        pipeline.pass_by(1)
    for instance in pipeline.memory.host.instances.values():
        stage: Any = instance.stage
        held = [getattr(stage, name, {}) for name in ("_joiners", "_engines", "_mergers", "_liveness", "_losses")]
        if hasattr(stage, "engine"):
            held.append(stage.engine.environments)
            held += [t.keys() and {e for e, _ in t} for d in stage.engine.detectors for t in [d._tracks]]
        if isinstance(stage, IngestStage):
            held += [c.names for c in stage._builder._collectors]
        assert all(len(h) <= 5 for h in held), instance.key
    pipeline.pass_by(10)
    assert pipeline.rows["prod", "spans", "steady"] == 330
    counters = pipeline.counters
    assert counters["ingest", "environment_limit"] > 0
    for stage in ("ingest", "edges", "features", "detect", "diagnose"):
        assert counters[stage, "environment_left"] > 0, stage
    assert counters["ingest", "spans"] + counters["ingest", "environment_limit"] == 660


def test_what_reached_a_limit_is_said_and_not_said_all_the_time(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = Pipeline()
    with caplog.at_level(logging.WARNING):
        for n in range(60):
            pipeline.send(*(request(f"job-{n}-{i}", pipeline.now) for i in range(100)))
            pipeline.pass_by(1)
    said = [r.getMessage() for r in caplog.records if "ingest: no room for more services" in r.getMessage()]
    assert len(said) == 1


def test_what_a_name_is_is_told_again_to_those_who_forgot() -> None:
    stage = IngestStage(OTLP_SPANS, 0, Settings(), 1)
    told = []
    for minute in range(12):
        now = T0 + minute * 60 * SECOND
        payload = otlp([request("shop", now)])
        outputs = stage.handle(Record(OTLP_SPANS, 0, minute, None, payload, (), now // MS), now) + stage.tick(now)
        frames = [
            unpack(PartialFrame, o.value) for o in outputs if isinstance(o, Emit) and o.topic == "telemetry.partials"
        ]
        told.append(any(a for f in frames for a in f.attributes))
    assert told[0]
    assert all(any(told[n : n + 6]) for n in range(7))


def test_numbers_in_use_are_not_given_to_others() -> None:
    names = Names("prod", 1, 10)
    for n in range(10):
        names.now_ns = T0 + n * SECOND
        names.number(f"name-{n}")
    names.now_ns = T0 + 1000 * SECOND
    left = names.make_room(60 * SECOND, lambda: np.array([0, 1]))
    assert left == 2
    fresh = [names.number(f"fresh-{n}") for n in range(3)]
    assert fresh[:2] != [0, 1]
    assert fresh[2] == -1
    assert [names.text[n] for n in (0, 1)] == ["name-0", "name-1"]
    again = Names("prod", 1, 10)
    again.load(names.state())
    assert again.state() == names.state()
    assert again.number("fresh-0") == fresh[0]


def test_templates_that_did_not_come_for_long_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_MOST_PER_SERVICE", 100)
    monkeypatch.setattr(templates, "_MOST_TEXTS", 150)
    book = templates.TemplateBook()
    for n in range(300):
        book.see(1, n, n // 10)
        book.tell(n, f"text {n}")
    assert book.over_limit == 200
    assert len(book.texts) <= 150
    book.see(1, 7, 700)
    book.see(1, 1000, 701)
    assert book.fresh(1, 701) == [1000]
    assert book.left == 10
    book.see(1, 7, 702)
    assert book.fresh(1, 702) == [], "what comes again and again is known"
    again = templates.TemplateBook()
    again.load(book.state())
    assert dump("templates", 1, again.state()) == dump("templates", 1, book.state())


def test_series_of_metrics_are_bounded() -> None:
    book = series.SeriesBook(90 * SECOND, 100, Counter())
    for n in range(50):
        points = np.zeros(20, series.POINT)
        points["series"], points["time"] = np.arange(20) + 20 * n, T0 + n * 11 * SECOND
        points["mode"], points["value"] = series.CUMULATIVE, 1.0
        book.parts(points)
        book.expire(T0 + n * 11 * SECOND - 900 * SECOND)
        assert len(book._slot) <= 120
    assert book.counters["series_left"] > 800


@pytest.mark.parametrize("topic", [OTLP_SPANS, OTLP_LOGS, OTLP_METRICS])
def test_environments_of_every_signal_are_counted(topic: str) -> None:
    stage = IngestStage(topic, 0, load({"ingest": {"max_environments": 1}}), 1)
    for n, environment in enumerate(("prod", "test")):
        resource = {"service.name": "shop", "deployment.environment.name": environment}
        message: Any = builders.logs(resource, {"time_unix_nano": T0, "body": "x"}) if topic == OTLP_LOGS else None
        if topic == OTLP_METRICS:
            message, scope = builders.metrics(resource)
            builders.gauge(scope, "process.cpu.utilization", 0.5, "1", T0)
        payload = otlp([request("shop", T0)]) if message is None else message.SerializeToString()
        if topic == OTLP_SPANS and n:
            payload = payload.replace(b"\x12\x06\n\x04prod", _text(environment))
        stage.handle(Record(topic, 0, n, None, payload, (), T0 // MS), T0)
    stage.tick(T0)
    assert stage.counters["environment_limit"] == 1
    assert sum(stage.counters[n] for n in ("spans", "log_records", "points")) == 1


def _frame(kind: type[Any], window: int, services: tuple[str, ...]) -> Any:
    rows = len(services)
    body: dict[str, Any] = {
        "environment": "prod",
        "signal": "spans",
        "partition": 0,
        "window_ns": T0 + window * SECOND,
        "width_ns": SECOND,
        "services": services,
        "peers": (),
        "versions": ("1",) * rows,
        "attributes": ("{}",) * rows,
        "features": ("request_rate",),
        "values": np.ones((rows, 1)),
        "counts": np.ones(rows, np.int64),
        "notes": (),
    }
    if kind is FeatureFrame:
        return FeatureFrame(revision=0, **body)
    zeros = {n: np.zeros((rows, 1)) for n in ("score", "low", "high")}
    return EvidenceFrame(p_value=np.ones(rows), state=("healthy",) * rows, **zeros, **body)


def test_detection_forgets_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detected, "MOST_SERVICES", 50)
    engine = DetectEngine(0, load(SETTINGS).detect)
    for n in range(300):
        engine.observe(_frame(FeatureFrame, n, ("steady", f"job-{n}")), T0 + n * SECOND)
        engine.make_room()
        assert len(engine.states("prod")) <= 51
    assert "steady" in engine.states("prod")


def test_diagnosis_forgets_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "MAX_SERVICES", 100)
    engine = DiagnosisEngine("prod", DiagnoseSettings())
    for n in range(600):
        engine.evidence(_frame(EvidenceFrame, n, ("steady", f"job-{n}")), T0 + n * SECOND)
        engine.tick(T0 + n * SECOND)
    known = engine.world.topology.services
    assert len(known) <= 170
    assert {"steady", "job-599"} <= set(known)
    store = engine.world.series
    assert all(len(s.keys) <= 170 for s in store.values())
    spans = next(s for s in store.values() if s.keys)
    assert [spans.index[k] for k in spans.keys] == list(range(len(spans.keys)))
    assert engine.counters["services_left"] > 400
    again = DiagnosisEngine("prod", DiagnoseSettings())
    again.restore(engine.snapshot())
    assert set(again.world.topology.services) == set(known)


def test_names_of_silence_and_callers_names_are_forgotten() -> None:
    """21,000 that live for a moment; after three days new ones are as well known as ever."""
    liveness = Liveness(SECOND, 60 * SECOND, 2000, {})
    aliases = Aliases(Topology())
    for n in range(21_000):
        now = T0 + n * SECOND // 10
        liveness._number(f"job-{n}", now)
        aliases.resolve("web", f"external:job-{n}", now)
    assert len(liveness._names) <= 2000
    assert liveness.counters["liveness_left"] > 10_000
    assert len(aliases._first_ns) <= MOST_WAITING
    assert aliases.left > 0
    later = T0 + 3 * DAY
    before = liveness.counters["liveness_limit"]
    numbers = [liveness._number(f"new-{n}", later + n * SECOND) for n in range(1500)]
    assert len(set(numbers)) == 1500
    assert min(numbers) >= 0
    assert liveness.counters["liveness_limit"] == before
    again = Liveness(SECOND, 60 * SECOND, 2000, {})
    again.load(liveness.state())
    assert again._names == liveness._names
    assert again._number("one-more", later + 2 * DAY) not in (again._names[n] for n in again._names if n != "one-more")


def test_the_stored_graph_forgets_who_left_and_keeps_what_it_tells_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "MAX_SERVICES", 100)
    engine, store = DiagnosisEngine("prod", DiagnoseSettings()), LadybugStore()
    store.migrate()
    store.write(
        "upsert_anomalies", [rows.anomaly("a1", "job-3") | {"service_key": "prod|job-3", "environment": "prod"}]
    )
    for n in range(600):
        engine.evidence(_frame(EvidenceFrame, n, ("steady", f"job-{n}")), T0 + n * SECOND)
        for write in engine.tick(T0 + n * SECOND):
            if isinstance(write, GraphWrite):
                store.write(write.statement, write.rows)
    names = {row["s"] for row in store.query("MATCH (s:Service) RETURN s.service AS s")}
    store.close()
    assert len(names) <= 171
    assert {"steady", "job-599", "job-3"} <= names


def test_views_of_decisions_forget_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MOST_SERVICES", 50)
    view = views.Views()
    for n in range(300):
        view.take(_frame(EvidenceFrame, n, ("steady", f"job-{n}")))
        assert len(view._versions) <= views.KEPT + 1
        assert len(view._latest["spans"]) <= views.KEPT + 1
    assert view.view("steady").version == "1"
