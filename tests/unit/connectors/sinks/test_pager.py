"""What people are asked: once, with what they need to answer, and not after a repair."""

from __future__ import annotations

import json

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from connectors.sinks import open_sinks
from connectors.sinks.pager_questions import PagerQuestions
from contracts.errors import Permanent, Retryable
from contracts.events import ActionRecord, Decision, Event, Evidence, Incident, encode
from contracts.ports import Published
from contracts.settings import SinkSettings
from contracts.topics import DECISIONS, INCIDENTS
from contracts.verdicts import DecisionVerdict, IncidentPhase, RunState
from tests.unit.contracts.samples import EVENTS

DECISION: Decision = msgspec.structs.replace(EVENTS["Decision"], verdict=DecisionVerdict.ASK)
LEADING = msgspec.structs.replace(
    EVENTS["Incident"].candidates[0], service=DECISION.cause_service, kind=DECISION.cause,
    evidence=(Evidence(channel="errors", weight=1.0, text="half of its answers fail"),), path=("web", DECISION.cause_service),
)  # fmt: skip
INCIDENT: Incident = msgspec.structs.replace(
    EVENTS["Incident"], id=DECISION.incident, phase=IncidentPhase.OPENED, revision=1, candidates=(LEADING,)
)


def record(kind: str, state: RunState, **data: str) -> ActionRecord:
    return msgspec.structs.replace(
        EVENTS["ActionRecord"], type=kind, state=state, data=data, decision=DECISION.id, incident=DECISION.incident,
        time_ns=DECISION.time_ns + 5,
    )  # fmt: skip


def later(decision: Decision, number: int, **changes: object) -> Decision:
    changed = {"id": f"d{number}", "time_ns": decision.time_ns + number} | changes
    return msgspec.structs.replace(decision, **changed)


def test_a_question_has_what_an_answer_takes() -> None:
    asks = PagerQuestions()
    assert asks.take(INCIDENT) == []
    (page,) = asks.take(DECISION)
    assert page.body["status"] == "asked"
    assert page.body["summary"] == DECISION.text
    assert (page.body["path"], page.body["evidence"]) == (["web", DECISION.cause_service], ["half of its answers fail"])
    assert page.body["options"][0]["why"] == DECISION.options[0].why
    assert page.body["approve"] == f"homeostat approve {DECISION.id}"


def test_the_same_question_is_put_once_and_another_one_is_put() -> None:
    asks = PagerQuestions()
    assert len(asks.take(DECISION)) == 1
    assert asks.take(later(DECISION, 2)) == []
    assert len(asks.take(later(DECISION, 3, cause_service="another"))) == 1
    assert len(asks.take(later(DECISION, 4, incident="another"))) == 1
    assert asks.take(later(DECISION, 5, verdict=DecisionVerdict.ACT, cause_service="third")) == []


def test_nobody_is_asked_of_what_a_verified_repair_has_mended() -> None:
    asks = PagerQuestions()
    asks.take(record("io.homeostat.run.succeeded", RunState.SUCCEEDED, outcome="better"))
    assert asks.take(DECISION) == [], "decided before the repair was verified"
    assert len(asks.take(later(DECISION, 60))) == 1


def test_no_answer_is_escalated_and_what_is_over_is_withdrawn() -> None:
    asks = PagerQuestions()
    (asked,) = asks.take(DECISION)
    (late,) = asks.take(record("io.homeostat.run.refused", RunState.REFUSED, reason="approval_expired"))
    assert (late.body["status"], late.body["key"]) == ("escalated", asked.key)
    assert late.body["summary"].endswith(DECISION.text)
    assert asks.take(record("io.homeostat.run.refused", RunState.REFUSED, reason="approval")) == []
    over = msgspec.structs.replace(INCIDENT, phase=IncidentPhase.RESOLVED, revision=2)
    (gone,) = asks.take(over)
    assert (gone.body["status"], gone.body["key"]) == ("resolved", asked.key)
    assert asks.take(msgspec.structs.replace(over, revision=3)) == []


def published(topic: str, event: Event) -> Published:
    return Published(topic, "key", encode(event), event)


@pytest.mark.parametrize(("status", "error"), [(503, Retryable), (400, Permanent)])
async def test_what_was_not_taken_is_posted_again_and_nothing_twice(status: int, error: type[Exception]) -> None:
    got: list[tuple[str, str]] = []
    answers = [200, status, 200, 200, 200]

    async def take(request: web.Request) -> web.Response:
        answer = answers.pop(0)
        if answer == 200:
            body = json.loads(await request.text())
            got.append((request.headers["Idempotency-Key"], body["cause"]["service"]))
        return web.Response(status=answer)

    app = web.Application()
    app.router.add_post("/", take)
    async with TestServer(app) as server:
        (sink,) = open_sinks(SinkSettings(use=("pager",), pager=SecretStr(str(server.make_url("/")))))
        events = [
            published(INCIDENTS, INCIDENT),
            published(DECISIONS, DECISION),
            published(DECISIONS, later(DECISION, 2, cause_service="second")),
            published(DECISIONS, later(DECISION, 3, cause_service="third")),
        ]
        with pytest.raises(error):
            await sink.deliver(events)
        await sink.deliver(events)
        await sink.close()
    wanted = [DECISION.cause_service, "second", "third"] if error is Retryable else [DECISION.cause_service, "third"]
    assert [service for _, service in got] == wanted
    assert len({key for key, _ in got}) == len(got)
