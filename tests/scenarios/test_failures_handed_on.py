"""One of several instances answers none of its calls: its callers fail, and it tells of nothing. From OTLP bytes to who is blamed."""

from __future__ import annotations

import pytest

from contracts.features import ASIDE, BLAMED, ERROR_RATE, Signal
from contracts.frames import EvidenceFrame, unpack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import EVIDENCE
from tests.representatives import representatives
from tests.scenarios.traffic import CLIENT, END_S, MS, ONSET_S, T0, Plan, Route, S, Shop, messages, through

SETTINGS = Settings(detect={"detectors": ("bank",)})
ROUTES = (Route("GET /", 6, 4, {"catalog": 1.0}), Route("POST /buy", 4, 4, {"checkout": 1.0}))
LOST = 0.4
"""Share of the calls to payment that come to the instance that hangs."""
GIVEN_UP_NS = 300 * MS


class Losing(Shop):
    """A shop in which some calls to payment are given up, and no span of payment's tells of them."""

    def _call(self, caller: str, callee: str, at: int, trace: str, parent: str, ill: bool) -> tuple[int, bool]:
        if not ill or callee != "payment" or self._rng.random() >= LOST:
            return super()._call(caller, callee, at, trace, parent, ill)
        end = at + GIVEN_UP_NS
        self._span(caller, "call", CLIENT, (trace, self._id(16), parent), at, end, True, {})
        return end, True


@pytest.mark.slow
@pytest.mark.parametrize("seed", representatives([33, 34, 35], 33))
def test_who_fails_with_its_calls_is_not_touched_and_who_answers_some_of_them_is_named(seed: int):
    column, failed, blamed = ASIDE[Signal.EDGES].index(BLAMED), {}, {}

    def told(record: Record) -> None:
        if record.topic != EVIDENCE:
            return
        frame = unpack(EvidenceFrame, record.value)
        for i, service in enumerate(frame.services):
            if service == "checkout" and frame.signal == Signal.SPANS and frame.counts[i] > 0:
                failed[frame.window_ns] = frame.values[i, frame.features.index(ERROR_RATE)] * frame.counts[i]
            if service == "checkout" and frame.signal == Signal.EDGES and frame.peers[i] == "payment":
                blamed[frame.window_ns] = frame.aside[i, column]

    plan = Plan(usual=ROUTES)
    found = through(messages(Losing(plan, seed).spans_by_end(), T0 + END_S * S), SETTINGS, told=told)
    since = [w for w in blamed if w >= T0 + ONSET_S * S and w in failed]
    assert len(since) > 10
    assert sum(blamed[w] for w in since) == pytest.approx(sum(failed[w] for w in since), abs=2)
    assert sum(failed[w] for w in since) >= 5
    assert not [w for w in blamed if w < T0 + ONSET_S * S and blamed[w]]
    assert found.blamed == {"payment"}, found.told()
    assert found.touched <= {"payment"}, found.told()
