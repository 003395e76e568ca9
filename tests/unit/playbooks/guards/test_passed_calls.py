"""A target that tells of no requests is worse by itself where its callers suffer, and whoever it passes their calls on to does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts import features as f
from contracts.frames import EvidenceFrame
from contracts.units import SECOND as S
from contracts.verdicts import Conduct, ServiceState
from playbooks.guards.innocence import standing
from playbooks.guards.passed_calls import worse_by_itself
from tests.unit.playbooks.guards.test_innocence_figures import T0, frame

CALLS = 10
Answers = tuple[int, float, float]
"""Calls of each second, the share that fails, and how long they take in seconds."""


def calls(caller: str, callee: str, before: Answers, since: Answers, seconds: int = 6) -> list[EvidenceFrame]:
    found = []
    for at in range(-seconds, seconds):
        made, share, took = before if at < 0 else since
        row = frame(f.Signal.EDGES, at, {f.CALL_ERROR_RATE: share, f.CALL_LATENCY_P95: took}, made, {}, callee)
        found.append(replace(row, services=(caller,)))
    return found


def seen(asked: Answers, passed: Answers, seconds: int = 6) -> list[EvidenceFrame]:
    into = calls("web", "external:garnet.shop.svc", (CALLS, 0.0, 0.05), asked, seconds)
    return into + calls("garnet", "opal", (CALLS, 0.0, 0.01), passed, seconds)


AS_EVER = (CALLS, 0.0, 0.01)


@pytest.mark.parametrize(
    ("asked", "passed", "said"),
    [
        ((CALLS, 0.0, 0.5), AS_EVER, "its callers wait 10 times as long as before"),
        ((CALLS, 0.0, 0.074), AS_EVER, ""),
        ((CALLS, 0.1, 0.05), AS_EVER, "its callers see 6 of 60 calls fail"),
        ((CALLS, 0.09, 0.05), AS_EVER, ""),
        ((CALLS, 0.4, 0.05), (6, 0.0, 0.01), ""),  # who gets fewer may have refused them
        ((CALLS, 0.4, 0.05), (8, 0.0, 0.01), "its callers see 24 of 60 calls fail"),
        ((CALLS // 2, 0.0, 0.5), (4, 0.0, 0.01), "its callers wait 10 times as long as before"),  # as many for each
        ((CALLS, 0.0, 0.5), (CALLS, 0.0, 0.016), ""),
        ((CALLS, 0.4, 0.05), (CALLS, 0.1, 0.01), ""),
        ((CALLS, 0.0, 0.5), (0, 0.0, 0.01), ""),
    ],
)
def test_what_is_its_own(asked: Answers, passed: Answers, said: str) -> None:
    text = f"{said}, and whoever it passes them on to answers all of them as before" if said else ""
    frames = seen(asked, passed)
    assert worse_by_itself(frames, "garnet", T0) == text
    found = standing(frames, "garnet", T0)
    assert found.conduct is (Conduct.WORSE if said else Conduct.UNKNOWN)
    assert found.untold


def test_what_is_usual_must_be_known() -> None:
    slow = (CALLS, 0.0, 0.5)
    assert not worse_by_itself(seen(slow, AS_EVER, 4), "garnet", T0)
    assert worse_by_itself(seen(slow, AS_EVER, 5), "garnet", T0)
    assert not worse_by_itself(seen(slow, AS_EVER), "opal", T0)
    stale = [replace(one, state=(str(ServiceState.STALE),)) for one in seen(slow, AS_EVER)]
    assert not worse_by_itself(stale, "garnet", T0)
    assert not worse_by_itself(seen(slow, AS_EVER), "garnet", T0 + 100 * S), "too long ago"


def test_who_tells_of_its_requests_is_judged_by_them() -> None:
    own = [
        frame(f.Signal.SPANS, at, {f.ERROR_RATE: 0.0, f.LATENCY_P95: 0.01}, CALLS, {f.LATENCY_P95: 0.02})
        for at in range(-6, 6)
    ]
    own = [replace(one, services=("garnet",)) for one in own]
    assert standing([*seen((CALLS, 0.0, 0.5), AS_EVER), *own], "garnet", T0).conduct is not Conduct.WORSE


@pytest.mark.parametrize(
    ("since", "more"),
    [
        ((5 * CALLS, 0.0, 0.5), True),
        ((2 * CALLS, 0.1, 0.5), True),
        ((CALLS, 0.0, 0.5), False),
        ((12, 0.0, 0.5), False),  # by chance
        ((2 * CALLS, 0.5, 0.5), False),  # what fails is asked again
    ],
)
def test_who_tells_of_no_requests_is_asked_as_often_as_its_callers_call_it(since: Answers, more: bool) -> None:
    frames = calls("web", "external:garnet.shop.svc", (CALLS, 0.0, 0.05), since)
    joined = calls("web", "garnet", (CALLS // 2, 0.0, 0.05), since)  # the same calls, as spans of both tell
    for told in (frames, [*frames, *joined]):
        found = standing(told, "garnet", T0)
        assert found.called is not None
        assert found.called.usual == pytest.approx(CALLS)
        assert (found.called.rate > found.called.most) is more
        assert (found.times > 1.0) is more
    assert standing([one for one in frames if one.window_ns >= T0], "garnet", T0).called is None
    assert standing(frames, "opal", T0).called is None
