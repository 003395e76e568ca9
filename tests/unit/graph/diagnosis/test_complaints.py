"""Who tells of itself by logs alone, and complains of somebody who has fallen silent."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contracts.events import Incident
from contracts.features import BY_SIGNAL, LOG_ERROR_RATE, LOG_RATE, REQUEST_RATE, Signal
from contracts.frames import EvidenceFrame, Presence
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND
from contracts.verdicts import CauseKind, ServiceState, Severity
from graph.diagnosis.engine import DiagnosisEngine
from graph.evidence.complaints import complained_of, named_in
from graph.evidence.situation import Edge, Node, Shift, Situation
from tests.unit.graph.diagnosis.test_told_by_metrics import Shop

ONSET = 1_700_000_000 * SECOND
TEXT = "GET /account failed: users does not answer: TimeoutError"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("users does not answer", ["shop/users"]),
        ("dial tcp: lookup users.shop.svc.cluster.local: no such host", ["shop/users"]),
        ("http://users:8080/me refused", ["shop/users"]),
        ("USERS timed out; cart is fine", ["shop/users", "shop/cart"]),
        ("superusers and users2 were denied", []),
        ("web itself is tired", []),
        ("mail was not sent", []),
    ],
)
def test_a_text_names_services_by_whole_words(text: str, named: list[str]) -> None:
    services = ["shop/web", "shop/users", "other/users", "shop/cart", "a/mail", "b/mail"]
    assert list(named_in([text], "shop/web", services)) == named


def silent(**of_target: Any) -> Situation:
    """`web` writes fifteen error records that name `users`, of which nothing has come for eight seconds."""
    shifts = {
        LOG_ERROR_RATE: Shift(LOG_ERROR_RATE, 0.0, 0.15, 9.0, 8.0, 100.0, 900.0),
        LOG_RATE: Shift(LOG_RATE, 10.0, 10.0, 0.0, 0.0, 10.0, 60.0),
    }
    web = Node("web", shifts=shifts, complaints={"users": TEXT})
    users = replace(Node("users", known_ns=ONSET - SECOND, late_ns=SECOND), **of_target)
    nodes = {n.name: n for n in (web, users, Node("cart"))}
    return Situation("prod", ONSET, ONSET + 7 * SECOND, nodes, {})


def rate(after: float, windows: float) -> dict[str, Shift]:
    return {REQUEST_RATE: Shift(REQUEST_RATE, 10.0, after, 0.0, 0.0, windows, 60.0)}


def test_who_is_complained_of_and_silent_hangs() -> None:
    (found,) = complained_of(silent())
    assert (found.service, found.channel, found.kind, found.peer) == ("users", "silence", CauseKind.HANG, "web")
    assert "15 error records more" in found.text


def test_who_refuses_has_crashed() -> None:
    told = silent()
    web = replace(told.nodes["web"], complaints={"users": "connect to users: connection refused"})
    (found,) = complained_of(replace(told, nodes={**told.nodes, "web": web}))
    assert found.kind is CauseKind.CRASH


@pytest.mark.parametrize(
    "target",
    [
        {"shifts": rate(10.0, 8.0)},
        {"shifts": rate(5.0, 8.0)},
        {"shifts": rate(10.0, 2.0), "known_ns": ONSET + 2 * SECOND, "late_ns": 5 * SECOND},
        {"known_ns": 0},
        {"known_ns": ONSET + SECOND},
        {"late_ns": 6 * SECOND},
        {"own": False},
    ],
)
def test_nobody_is_silent_who_serves_or_is_merely_late(target: dict[str, Any]) -> None:
    assert not list(complained_of(silent(**target)))


def test_who_answers_others_is_not_silent() -> None:
    edges = {("cart", "users"): Edge("cart", "users", observed=12.0)}
    assert not list(complained_of(replace(silent(), edges=edges)))


def test_who_came_back_a_moment_ago_was_silent() -> None:
    assert list(complained_of(silent(shifts=rate(9.0, 1.0), known_ns=ONSET + 7 * SECOND)))


def logs(rows: dict[str, float], window_ns: int, notes: tuple[str, ...]) -> EvidenceFrame:
    names, n = BY_SIGNAL[Signal.LOGS], len(rows)
    given = [{LOG_RATE: 20.0, LOG_ERROR_RATE: share} for share in rows.values()]
    values = np.array([[v.get(name, np.nan) for name in names] for v in given])
    return EvidenceFrame(
        environment="prod", signal="logs", partition=0, window_ns=window_ns, width_ns=SECOND, services=tuple(rows), peers=(),
        versions=("",) * n, attributes=("",) * n, features=names, values=values, counts=np.full(n, 20, np.int64),
        score=np.zeros_like(values), low=np.full_like(values, np.nan), high=np.full_like(values, np.nan), p_value=np.ones(n),
        state=(ServiceState.HEALTHY,) * n, notes=notes, presence=np.full(n, Presence.OBSERVED, np.int8),
    )  # fmt: skip


def spans(name: str, window_ns: int) -> EvidenceFrame:
    names = BY_SIGNAL[Signal.SPANS]
    given = {REQUEST_RATE: 10.0, "error_rate": 0.0, "latency_p50": 0.1, "latency_p95": 0.2, "latency_p99": 0.3}
    found = logs({name: 0.0}, window_ns, ("",))
    values = np.array([[given.get(n, math.nan) for n in names]])
    return replace(
        found, signal="spans", features=names, values=values, score=np.zeros_like(values),
        low=np.full_like(values, np.nan), high=np.full_like(values, np.nan),
    )  # fmt: skip


def test_an_entry_that_only_writes_logs_tells_who_hangs() -> None:
    """Nothing but the entry's error records shows it, within seconds, and an hour after the same text was new as well."""
    shop = Shop()
    shop.engine = engine = DiagnosisEngine("prod", DiagnoseSettings())
    told: list[Incident] = []
    for second in range(240):
        window_ns, down = shop.now_ns, 60 <= second < 63 or 190 <= second < 215
        note = TEXT if second == 60 else ""
        engine.evidence(logs({"prod/web": 0.2 if down else 0.0}, window_ns, (note,)), window_ns)
        if not down:
            engine.evidence(spans("prod/users", window_ns), window_ns)
        engine.evidence(spans("prod/other", window_ns), window_ns)
        if second == 193:
            shop.anomaly("prod/web", LOG_ERROR_RATE, window_ns - 3 * SECOND)
        shop.now_ns += SECOND
        told += [x for x in engine.tick(shop.now_ns) if isinstance(x, Incident)]
    assert told
    leader = told[0].candidates[0]
    assert (leader.service, leader.kind) == ("prod/users", CauseKind.HANG)
    assert leader.probability > 0.9
    assert told[0].severity is Severity.CRITICAL
    assert any(i.settled for i in told)
    back = [i for i in told if i.time_ns > shop.now_ns - 24 * SECOND and i.candidates[0].service == "prod/users"]
    assert back, "it is still told of"
    assert not any(i.settled for i in back), "there is nothing to act on any more"
