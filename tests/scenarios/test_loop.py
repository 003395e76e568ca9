"""The whole loop in one process on real parts: Faust over the embedded broker, the embedded graph, SQLite, HTTP.

Only the actuator is the dry one: it says what it would do, and the town mends itself when it hears that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contracts.events import ActionRecord, Anomaly, DeadLetter, Decision, Feedback, Incident
from contracts.settings import Settings, load
from contracts.topics import ACTIONS
from contracts.verdicts import AnomalyPhase, DecisionVerdict, HeldReason, IncidentPhase, Outcome, ServiceState
from homeostat.endpoints import running
from homeostat.runtime import Runtime
from playbooks.audit import from_cloudevent, verify_chain
from tests.patience import LONG_S, PATIENCE_S
from tests.scenarios.story import Story, homeostat, listening, until
from tests.scenarios.town import CALLS, FLUSH_MS, PARTITIONS, town

WARMUP = 8
ENVIRONMENT = "prod"
CAUSES = """
MATCH (i:Incident {id: $incident})-[c:CAUSED_BY]->(s:Service)
RETURN i.phase AS phase, s.service AS service, c.rank AS rank ORDER BY rank
"""
EFFECTS = ("io.homeostat.step.intent", "io.homeostat.step.applied")


def _settings(data: Path) -> Settings:
    return load(
        {
            "data_dir": data,
            "receivers": {"grpc_port": 0, "http_port": 0},
            "api": {"port": 0},
            "broker": {"partitions": PARTITIONS},
            "ingest": {"flush_ms": FLUSH_MS},
            "detect": {"warmup_windows": WARMUP, "stale_s": PATIENCE_S},
            "diagnose": {"resolve_s": 3},
            "decide": {"learn_s": 0},
            "act": {"actuators": ["dry-run"], "decision_expiry_s": PATIENCE_S, "audit_ack_s": PATIENCE_S},
        }
    )


@asynccontextmanager
async def _up(data: Path) -> AsyncIterator[Runtime]:
    runtime = Runtime(_settings(data))
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.stop()


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
async def test_a_fault_is_noticed_blamed_repaired_and_written_down_and_a_stopped_homeostat_touches_nothing(
    tmp_path: Path,
) -> None:
    async with _up(tmp_path) as runtime:
        async with listening(runtime.broker.bootstrap) as story, town(runtime.endpoints.otlp_http) as life:
            await _healthy(story)

            life.broken.add("stock")
            await _blamed(story, "stock")
            decision = await _decided(story, "stock")
            await story.want(ActionRecord, lambda r: r.type == "io.homeostat.step.applied")
            life.broken.clear()  # what a restart would have done
            await _repaired(story, decision)
            _audited(story)

            await homeostat(tmp_path, "stop-acting", "--reason", "a person takes over")
            since = len(story.events)
            life.broken.add("catalog")
            await _blamed(story, "catalog", since)
            held = await story.want(Decision, lambda d: d.cause_service == "catalog", since)
            assert held.verdict is not DecisionVerdict.ACT
            assert HeldReason.KILL_SWITCH in {o.held for o in held.options}
            windows = len(story.states["catalog"])
            await until(lambda: len(story.states["catalog"]) > windows + 4)
            assert not story.all(ActionRecord, lambda r: r.type in EFFECTS, since)
            assert not story.all(DeadLetter)

            await _graph(runtime, decision.incident)
            assert "catalog" in await homeostat(tmp_path, "why")
            await _endpoints(runtime)
            records = len(story.all(ActionRecord))
        spans = life.sent

    assert running(tmp_path) is None
    totals = runtime.worker.host.totals()
    assert totals["ingest", "spans"] == spans, "telemetry was taken and then forgotten"
    assert runtime.worker.unacknowledged == 0
    await _again(tmp_path, held.incident, records)


async def _healthy(story: Story) -> None:
    """Detection says of every service that it is well, and said before that it was still getting to know it."""
    await until(lambda: [v[-1] for v in story.states.values()] == [ServiceState.HEALTHY] * len(CALLS))
    assert all(v[0] == ServiceState.WARMING for v in story.states.values())
    assert not story.all(Anomaly)


async def _blamed(story: Story, culprit: str, since: int = 0) -> None:
    """An anomaly, then an incident with the culprit first and the path by which it is felt."""
    anomaly = await story.want(Anomaly, lambda a: a.phase is AnomalyPhase.OPENED, since)
    assert "error_rate" in {c.feature for c in anomaly.contributions}
    incident = await story.want(Incident, lambda i: i.settled and i.candidates[0].service == culprit, since)
    assert incident.environment == ENVIRONMENT
    assert anomaly.service in incident.services
    assert "gateway" in incident.blast_radius
    assert incident.candidates[0].path[0].service == "gateway"
    assert [s.service for s in incident.candidates[0].path][-1] == culprit
    assert all(c.ruled_out for c in incident.candidates[1:])


async def _decided(story: Story, culprit: str) -> Decision:
    decision = await story.want(Decision, lambda d: d.verdict is DecisionVerdict.ACT)
    assert decision.cause_service == decision.chosen.target == culprit
    assert {"do-nothing", "ask-a-person", decision.chosen.playbook} <= {o.playbook for o in decision.options}
    assert all(o.why for o in decision.options)
    return decision


async def _repaired(story: Story, decision: Decision) -> None:
    feedback = await story.want(Feedback)
    assert (feedback.decision, feedback.outcome, feedback.target) == (decision.id, Outcome.BETTER, "stock")
    assert feedback.measures
    await story.want(Incident, lambda i: i.id == decision.incident and i.phase is IncidentPhase.RESOLVED)


def _audited(story: Story) -> None:
    """The trail of the run: intent before effect, one unbroken chain, only the culprit touched."""
    trail = [r for r in story.records if r.topic == ACTIONS]
    records = [from_cloudevent(r.headers, r.value) for r in trail]
    verify_chain(r.value for r in trail).require()
    types = [r.type.removeprefix("io.homeostat.") for r in records]
    wanted = ["run.pending", "run.running", "step.intent", "step.applied", "run.verifying", "run.succeeded"]
    assert [t for t in types if t in wanted] == wanted
    assert {r.target for r in records if r.type in EFFECTS} == {"stock"}


async def _graph(runtime: Runtime, incident: str) -> None:
    """Services, calls, the incident, its cause and what was done, asked over HTTP."""
    await until(lambda: len(runtime.graph) == 0)
    calls = await _ask(
        runtime, "MATCH (a:Service)-[c:CALLS]->(b:Service) RETURN a.service AS a, b.service AS b, c.calls AS n"
    )
    assert {(r["a"], r["b"]) for r in calls} == {(a, b) for a, to in CALLS.items() for b in to}
    assert all(r["n"] > 100 for r in calls)
    causes = await _ask(runtime, CAUSES, incident=incident)
    assert causes[0]["service"] == "stock"
    assert causes[0]["phase"] == "resolved"


async def _ask(runtime: Runtime, cypher: str, **parameters: Any) -> list[dict[str, Any]]:
    body = {"cypher": cypher, "parameters": parameters}
    async with aiohttp.ClientSession() as session, session.post(_url(runtime, "/graph/query"), json=body) as response:
        answer = await response.json()
        assert response.status == 200, answer
        return list(answer["rows"])


def _url(runtime: Runtime, path: str) -> str:
    return runtime.endpoints.api + path


async def _endpoints(runtime: Runtime) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(_url(runtime, "/metrics")) as response:
            families = {f.name: f for f in text_string_to_metric_families(await response.text())}
        async with session.get(_url(runtime, "/readyz")) as response:
            ready = await response.json()
            assert (response.status, ready["ready"], ready["condition"]) == (200, True, "working")
        async with session.get(_url(runtime, "/status")) as response:
            status = await response.json()
    spans = [s.value for s in families["homeostat_stage_events"].samples if s.labels["what"] == "spans"]
    assert sum(spans) > 1000
    assert status["ready"]
    assert status["graph"]["dropped"] == status["graph"]["failed"] == 0
    assert status["acting"]["actuators"] == ["dry-run"]
    allowed = {s.labels["scope"]: s.value for s in families["homeostat_acting_allowed"].samples}
    assert allowed == {"*": 0.0}


async def _again(data: Path, incident: str, records: int) -> None:
    """Started again on the same folder it goes on: nothing warms up anew, the incident is the same one, the switch is
    still off, and the chain of the trail continues."""
    async with (
        _up(data) as runtime,
        listening(runtime.broker.bootstrap) as story,
        town(runtime.endpoints.otlp_http, "catalog") as life,
    ):
        await until(lambda: len(story.states.get("catalog", ())) > 1)
        assert ServiceState.WARMING not in {s for states in story.states.values() for s in states}
        await until(lambda: len(story.states["catalog"]) > 5)
        assert not story.all(ActionRecord, lambda r: r.type in EFFECTS)

        await homeostat(data, "resume")
        done = await story.want(ActionRecord, lambda r: r.type == "io.homeostat.step.applied")
        assert done.target == "catalog"
        life.broken.clear()
        assert (await story.want(Incident)).id == incident
        assert {i.id for i in story.all(Incident)} == {incident}, "nobody was called silent for the time it was away"
        trail = story.all(ActionRecord)
        assert [r.sequence for r in trail] == list(range(records + 1, records + 1 + len(trail)))
