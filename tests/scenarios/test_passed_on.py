"""A proxy that sends no spans passes calls on, from OTLP bytes to who is blamed: for what it does itself, and for nothing that others do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from contracts.events import Change, encode
from contracts.settings import Settings
from contracts.topics import CHANGES, OTLP_METRICS, OTLP_SPANS
from contracts.verdicts import CauseKind
from tests.representatives import representatives
from tests.scenarios.traffic import (
    CLIENT,
    END_S,
    INSIDE,
    MS,
    ONSET_S,
    T0,
    Found,
    Plan,
    Route,
    S,
    Shop,
    Trouble,
    messages,
    through,
    value,
)

SETTINGS = Settings(detect={"detectors": ("bank",)})
ROUTES = (Route("GET /", 8, 4, {"catalog": 1.0}), Route("POST /buy", 8, 4, {"checkout": 1.0}))
PROXY = "b"
TAKES_NS = 6 * MS
HANGS, SLOW = Trouble(hangs=True), Trouble(slower=40)


@dataclass(frozen=True)
class Passed(Plan):
    """What goes to `behind` goes through whoever is at the address `host`, who tells of its processor alone."""

    usual: tuple[Route, ...] = ROUTES
    behind: str = "checkout"
    host: str = PROXY
    proxy: Trouble = field(default_factory=Trouble)
    released: bool = False
    """Whether there was a release of whoever serves behind it, shortly before."""


class Proxied(Shop):
    """A shop with a proxy."""

    def __init__(self, plan: Passed, seed: int) -> None:
        super().__init__(plan, seed)
        self._passed = plan

    def _call(self, caller: str, callee: str, at: int, trace: str, parent: str, ill: bool) -> tuple[int, bool]:
        plan = self._passed
        if callee != plan.behind:
            return super()._call(caller, callee, at, trace, parent, ill)
        trouble, me = plan.proxy if ill else Trouble(), self._id(16)
        own = int(TAKES_NS * self._rng.lognormvariate(0, 0.25) * trouble.slower)
        end, failed = at + MS + own, self._rng.random() < trouble.fails
        if not failed:
            answer = self._serve(callee, INSIDE[callee], at + MS + own // 2, trace, me, ill)
            end, failed = (at + int(plan.timeout_s * S), True) if answer is None else (answer[0] + own // 2, answer[1])
        self._span(caller, "call", CLIENT, (trace, me, parent), at, end + MS, failed, {"server.address": plan.host})
        return end + MS, failed


def processor(service: str, second: int, used: float) -> bytes:
    point = {"timeUnixNano": str(T0 + second * S), "asDouble": used}
    metric = {"name": "k8s.pod.cpu_limit_utilization", "gauge": {"dataPoints": [point]}}
    resource = {"attributes": [{"key": "service.name", "value": value(service)}]}
    return json.dumps({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]}).encode()


def lived(plan: Passed, seed: int) -> Iterator[tuple[int, bytes, str]]:
    """All that comes of it, with when and on which topic: of the proxy a reading every two seconds."""
    sent = [(at, payload, OTLP_SPANS) for at, payload in messages(Proxied(plan, seed).spans_by_end(), T0 + END_S * S)]
    sent += [(T0 + s * S + 1, processor(PROXY, s, 0.2 + 0.01 * (s % 3)), OTLP_METRICS) for s in range(0, END_S, 2)]
    if plan.released:
        at = T0 + (ONSET_S - 20) * S
        about = {"environment": "default", "service": plan.behind, "kind": "deploy", "time_ns": at, "text": "v2"}
        sent.append((at, encode(Change(actor="cd", before="v1", after="v2", **about)), CHANGES))
    yield from sorted(sent, key=lambda m: m[0])


def watch(plan: Passed, seed: int) -> Found:
    return through(lived(plan, seed), SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "released"), representatives([(1, True), (2, False), (3, False)], (1, True)))
def test_a_proxy_that_is_slow_is_blamed_and_whoever_serves_behind_it_is_not_touched(seed: int, released: bool):
    found = watch(Passed(proxy=Trouble(slower=40), released=released), seed)
    assert found.blamed == {PROXY}, found.told()
    assert {i.candidates[0].kind for i in found.incidents if i.settled} == {CauseKind.LATENCY}, found.told()
    assert found.touched == found.offered == {PROXY}, found.told()


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "released"), representatives([(1, True), (2, False), (3, False)], (1, True)))
def test_a_proxy_that_fails_is_blamed_and_a_person_asked_as_those_behind_it_get_fewer_calls(seed: int, released: bool):
    found = watch(Passed(proxy=Trouble(fails=0.4), released=released), seed)
    assert found.blamed == {PROXY}, found.told()
    assert {i.candidates[0].kind for i in found.incidents if i.settled} == {CauseKind.ERRORS}, found.told()
    assert found.offered == {PROXY}, found.told()
    assert not found.touched, found.told()


@pytest.mark.slow
@pytest.mark.parametrize(
    "plan",
    representatives(
        [{"trouble": {"checkout": HANGS}}, {"proxy": Trouble(fails=1.0)}], {"trouble": {"checkout": HANGS}}
    ),
)
def test_who_of_both_does_not_answer_nobody_can_see_and_a_person_is_asked(plan: dict[str, Any]):
    found = watch(Passed(**plan), 1)
    suspects = {c.service for i in found.incidents for c in i.candidates if c.probability > 0.05}
    assert suspects == {PROXY, "checkout"}, found.told()
    assert not found.touched, found.told()
    assert found.offered, found.told()


@pytest.mark.slow
@pytest.mark.parametrize(
    "trouble", representatives([Trouble(slower=40), Trouble(fails=0.4)], Trouble(fails=0.4)), ids=["slow", "fails"]
)
def test_who_serves_behind_a_proxy_is_blamed_for_what_it_does(trouble: Trouble):
    found = watch(Passed(trouble={"checkout": trouble}), 1)
    assert found.blamed == {"checkout"}, found.told()
    assert found.touched | found.offered == {"checkout"}, found.told()


@pytest.mark.slow
@pytest.mark.parametrize("plan", representatives([{}, {"proxy": SLOW}], {"proxy": SLOW}), ids=["well", "slow"])
def test_an_alias_of_whoever_serves_is_nobody_in_between(plan: dict[str, Trouble]):
    """The address is nobody else's: as if there were no other name for it."""
    alias, named = (watch(Passed(host=host, **plan), 1) for host in ("checkout-proxy", "checkout"))
    assert [(i.candidates[0].service, i.candidates[0].kind) for i in alias.incidents] == [
        (i.candidates[0].service, i.candidates[0].kind) for i in named.incidents
    ]
    assert PROXY not in alias.blamed | alias.touched | alias.offered
    assert bool(alias.incidents) == bool(plan)
