"""An action from a plugin in one file (the example load_shedding.py), through the whole loop: playbook, decision, guards and policy,
the effect, its audit, a verification that fails, and the way back. Real parts, embedded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.kafka.client import KafkaBroker
from contracts.events import ActionRecord, Change, Decision, Feedback, decode
from contracts.settings import BrokerSettings, Settings, load
from contracts.topics import ACTIONS, CHANGES
from contracts.verdicts import TERMINAL_RUN_STATES, DecisionVerdict, Outcome, RunState
from homeostat.runtime import Runtime
from playbooks.audit import verify_chain
from tests.patience import LONG_S, PATIENCE_S
from tests.plugin_dist import install
from tests.scenarios.story import Story, listening, until
from tests.scenarios.town import CALLS, FLUSH_MS, PARTITIONS, town

SOURCE = Path(__file__).parents[2] / "docs" / "examples" / "acme-homeostat" / "acme_homeostat" / "load_shedding.py"
PLAYBOOK = """
apiVersion: homeostat.io/v1
kind: Playbook
metadata: {name: relieve, version: "1", description: Turn half of the requests away at the door.}
trigger: {match: {cause: [errors, latency, saturation, bad_release, crash, hang, leak, dependency, network, unknown]}}
tier: 1
value: 5
guards: {cooldown: 1h, blastRadius: 1}
steps:
  - {name: shed, action: shed, with: {admit: "${{ double(ready) / 4.0 }}"}}
verify: {checks: [{feature: error_rate}], for: 1s, within: 6s}
rollback:
  - {name: open, action: shed, with: {admit: before}}
"""

ACTED = """
MATCH (i:Incident {id: $incident})<-[:RESPONDS_TO]-(a:Action)-[:ACTED_ON]->(s:Service)
RETURN a.playbook AS playbook, a.state AS state, s.service AS service
"""


def _settings(data: Path) -> Settings:
    (data / "doors.json").write_text(
        json.dumps({s: {"admit": 1.0, "replicas": 2, "ready": 2, "behind": ["orders"]} for s in CALLS})
    )
    (data / "relieve.yaml").write_text(PLAYBOOK)
    return load(
        {
            "data_dir": data / "data",
            "receivers": {"grpc_port": 0, "http_port": 0},
            "api": {"port": 0},
            "broker": {"partitions": PARTITIONS},
            "ingest": {"flush_ms": FLUSH_MS},
            "detect": {"warmup_windows": 8, "stale_s": PATIENCE_S},
            "decide": {"learn_s": 0},
            "act": {
                "actuators": ["door"],
                "environments": {"prod": {}},
                "playbooks": [data / "relieve.yaml"],
                "library": False,
                "decision_expiry_s": PATIENCE_S,
                "audit_ack_s": PATIENCE_S,
            },
            "plugins": {"door": {"file": str(data / "doors.json")}},
        }
    )


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
async def test_it_is_decided_done_audited_and_taken_back_as_it_does_not_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        monkeypatch,
        tmp_path,
        "load-shedding",
        SOURCE.read_text("utf-8"),
        {"action.shed": ":SHED", "actuator.door": ":DOOR"},
    )
    runtime = Runtime(_settings(tmp_path))
    await runtime.start()
    try:
        async with listening(runtime.broker.bootstrap) as story, town(runtime.endpoints.otlp_http) as life:
            await until(lambda: [v[-1] for v in story.states.values()] == ["healthy"] * len(CALLS))
            life.broken.add("stock")
            decision = await story.want(Decision, lambda d: d.verdict is DecisionVerdict.ACT)
            assert (decision.chosen.playbook, decision.chosen.target) == ("relieve", "stock")
            end = await story.want(ActionRecord, lambda r: r.state in TERMINAL_RUN_STATES)
            assert end.state is RunState.ROLLED_BACK, end.text
            feedback = await story.want(Feedback)
            assert feedback.outcome in {Outcome.SAME, Outcome.WORSE}
            _audited(story)
            await _told(runtime.broker.bootstrap)
            doors = json.loads((tmp_path / "doors.json").read_text())
            assert doors["stock"]["admit"] == 1.0
            assert len(doors["stock"]["keys"]) == 2
            assert [d["admit"] for d in doors.values()] == [1.0] * len(CALLS)
            await until(lambda: len(runtime.graph) == 0)
            rows = runtime.store.query(ACTED, {"incident": decision.incident})
            assert [(r["playbook"], r["state"], r["service"]) for r in rows] == [("relieve", "rolled_back", "stock")]
    finally:
        await runtime.stop()


def _audited(story: Story) -> None:
    """Each effect is announced in the action's own words before it is had, in one unbroken chain."""
    records = story.all(ActionRecord)
    intents = [r for r in records if r.type == "io.homeostat.step.intent"]
    assert [(r.step, r.text) for r in intents] == [
        ("shed", "admit 50% of the requests of stock"),
        ("rollback/open", "admit 100% of the requests of stock"),
    ]
    assert intents[0].data["action"] == "shed"
    assert intents[0].data["actuator"] == "door"
    assert intents[0].data["argument.admit"] == 0.5
    story_of_run = [r.type.removeprefix("io.homeostat.") for r in records]
    wanted = ["step.intent", "step.applied", "run.verifying", "run.rolling_back", "step.intent", "step.applied"]
    assert [t for t in story_of_run if t in wanted] == wanted
    verify_chain(r.value for r in story.records if r.topic == ACTIONS).require()


async def _told(bootstrap: str) -> None:
    """The rest of the loop hears of both effects as changes, with the level before and after."""
    broker = KafkaBroker(BrokerSettings(url=f"kafka://{bootstrap}"))
    changes = [decode(Change, r.value) async for r in broker.read([CHANGES])]
    own = [(c.kind, c.service, c.before, c.after) for c in changes if c.actor == "homeostat"]
    assert own == [("shed", "stock", "1.0", "0.5"), ("shed", "stock", "0.5", "1.0")]
