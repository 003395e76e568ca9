"""Did a scene end as it should? Each answer with the number behind it."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.verdicts import DecisionVerdict
from homeostat.demo.clients import Suffering
from homeostat.demo.scenes import Scene
from homeostat.demo.watching import EventsSeen

DETECT_S, REPAIR_S = 5.0, 30.0


class SceneAnswer(msgspec.Struct, frozen=True):
    """One question about a scene."""

    question: str
    answer: str
    passed: bool


class SceneReport(msgspec.Struct, frozen=True):
    """All questions, and the measured seconds after the fault."""

    name: str
    judgements: list[SceneAnswer]
    seconds: dict[str, float | None]

    @property
    def passed(self) -> bool:
        """Whether everything was as it should be."""
        return all(j.passed for j in self.judgements)


def judge(scene: Scene, heard: EventsSeen, clients: Suffering) -> SceneReport:
    """The report on one scene."""
    detected, decided, verified = heard.detected(), heard.decided(), heard.verified()
    decision = decided[1] if decided else None
    seconds = {
        "felt": clients.felt_s,
        "detected": detected[0] if detected else None,
        "decided": decided[0] if decided else None,
        "verified": verified[0] if verified else None,
        "well": clients.well_s,
    }
    judgements = [
        _within("noticed", seconds["detected"], DETECT_S),
        SceneAnswer(
            "culprit ranked first",
            f"{decision.cause_service} ({decision.cause.value}, {decision.cause_probability:.0%})"
            if decision
            else "none",
            decision is not None and decision.cause_service == scene.culprit and decision.cause in scene.causes,
        ),
        SceneAnswer(
            f"decision: {scene.verdict.value}",
            f"{decision.verdict.value}: {decision.chosen.playbook}" if decision else "none",
            decision is not None and decision.verdict is scene.verdict,
        ),
        _untouched(scene, heard),
    ]
    if scene.verdict is DecisionVerdict.ACT:
        done = heard.actions()
        judgements += [
            SceneAnswer(f"action: {scene.action}", ", then ".join(done) or "none", done == [scene.action]),
            _within("repair verified", seconds["verified"], REPAIR_S),
            _within("customers well again", clients.well_s, REPAIR_S),
        ]
    return SceneReport(scene.name, judgements, seconds)


def _within(what: str, seconds: float | None, limit: float) -> SceneAnswer:
    answer = "never" if seconds is None else f"after {seconds:.1f} s"
    return SceneAnswer(what, answer, seconds is not None and seconds <= limit)


def _untouched(scene: Scene, heard: EventsSeen) -> SceneAnswer:
    allowed: set[Any] = {scene.culprit} if scene.verdict is DecisionVerdict.ACT else set()
    wrong = sorted(heard.touched() - allowed)
    return SceneAnswer("no act on a healthy service", f"touched {', '.join(wrong)}" if wrong else "none", not wrong)
