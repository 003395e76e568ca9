"""Traffic that changes as traffic does, through the whole pipeline: nothing is done to who answers as before, and who doesn't is found.

Each case is one example of a kind. Services that suffer must be found by the same code on the same traffic, or it would be easy.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.settings import Settings
from contracts.verdicts import CauseKind
from tests.representatives import representatives
from tests.scenarios.traffic import ONSET_S, USUAL, Plan, Route, Session, Trouble, through, watch

SETTINGS = Settings(detect={"detectors": ("bank",)})
HOME, BUY = USUAL
FIELD = Path(__file__).parents[3] / "shared" / "field" / "inputs"

Attributes = dict[str, object]
WEBSOCKET: Attributes = {"http.response.status_code": 101}
EVENTS: Attributes = {"http.response.status_code": 200, "http.response.header.content-type": ["text/event-stream"]}
CALLS: Attributes = {"rpc.system": "grpc", "rpc.grpc.type": "server_stream"}
UNAVAILABLE: Attributes = {"rpc.system": "grpc", "rpc.grpc.status_code": 14}
OK: Attributes = {"http.response.status_code": 200}


def sessions(
    name: str, attributes: Attributes, *, service: str = "gateway", error: bool = False, caller: str = ""
) -> tuple[Session, ...]:
    """Thirty that end within two seconds."""
    return tuple(Session(service, name, 5 + i, ONSET_S + 1 + i % 2, attributes, error, caller) for i in range(30))


NOBODY = {
    "web sockets end at a deploy": Plan(sessions=sessions("GET /chat", WEBSOCKET)),
    "web sockets known by their route": Plan(sessions=sessions("GET /ws", OK)),
    "event streams reconnect": Plan(sessions=sessions("GET /updates", EVENTS)),
    "long polls end": Plan(sessions=sessions("GET /socket.io/*", OK)),
    "streaming calls are cut": Plan(sessions=sessions("shop.Prices/Follow", CALLS, error=True)),
    "sessions that say nothing of themselves are cut": Plan(
        sessions=(
            *sessions("chat.Chat/Connect", UNAVAILABLE, service="checkout", error=True),
            *sessions("prices.Prices/subscribe", UNAVAILABLE, service="catalog", error=True),
            *sessions("GET /feed", {"http.response.status_code": 502}, service="reco", error=True, caller="gateway"),
            *sessions("GET /hubs/news", {"http.status_code": "101"}, service="payment"),
        )
    ),
    "a callee's sessions end": Plan(sessions=sessions("GET /ws", WEBSOCKET, service="reco")),
    "answers come from a cache": Plan(changed=(Route("GET /", 8, 4, {"catalog": 0.1, "reco": 1.0}), BUY)),
    "a call is switched off": Plan(changed=(Route("GET /", 8, 4, {"catalog": 1.0}), BUY)),
    "half of the users get another callee": Plan(
        changed=(Route("GET /", 8, 4, {"catalog": 1.0, "reco": 0.5, "reco-b": 0.5}), BUY)
    ),
    "a route is asked for more, and is quick": Plan(changed=(HOME, BUY, Route("GET /search", 10, 20))),
}
"""Nothing is wrong at all."""

ONLY_THE_GATEWAY = {
    "a crawler on a slow route": Plan(changed=(HOME, BUY, Route("GET /search", 30, 800))),
    "a crawler that crowds others out": Plan(
        changed=(
            Route("GET /", 4, 500, {"catalog": 1.0, "reco": 1.0}),
            Route("POST /buy", 3, 500, {"checkout": 1.0}),
            Route("GET /search", 30, 800),
        )
    ),
    "a batch at the caller alone": Plan(changed=(HOME, BUY, Route("POST /export", 40, 2000))),
    "a nightly report": Plan(changed=(HOME, BUY, Route("GET /report", 1, 6000))),
    "a call is switched off, and its caller is slow": Plan(changed=(Route("GET /", 8, 150, {"catalog": 1.0}), BUY)),
    "a cache at a slow caller": Plan(changed=(Route("GET /", 8, 300, {"catalog": 0.05, "reco": 1.0}), BUY)),
    "the gateway itself is slow": Plan(trouble={"gateway": Trouble(slower=50)}),
    "the gateway itself fails": Plan(trouble={"gateway": Trouble(fails=0.5)}),
    "sessions that say nothing of themselves end": Plan(sessions=sessions("GET /live", OK)),
}
"""The gateway shows something itself; nobody behind it does."""

GUILTY = {
    "hangs, callers get errors": (Plan(trouble={"checkout": Trouble(hangs=True)}), "checkout"),
    "hangs, callers do without": (Plan(trouble={"reco": Trouble(hangs=True)}, fallback=True), "reco"),
    "hangs, callers name it": (Plan(trouble={"checkout": Trouble(hangs=True)}, names_callees=True), "checkout"),
    "hangs at the bottom": (Plan(trouble={"payment": Trouble(hangs=True)}), "payment"),
    "crashed": (Plan(trouble={"checkout": Trouble(refuses=True)}), "checkout"),
    "slow": (Plan(trouble={"catalog": Trouble(slower=20)}), "catalog"),
    "fails": (Plan(trouble={"payment": Trouble(fails=0.5)}), "payment"),
    "hangs while sessions end": (
        Plan(trouble={"checkout": Trouble(hangs=True)}, sessions=sessions("GET /ws", WEBSOCKET)),
        "checkout",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    representatives(
        NOBODY,
        "sessions that say nothing of themselves are cut",
        "answers come from a cache",
    ),
)
def test_where_nothing_is_wrong_nobody_is_blamed_and_nothing_is_done(case: str):
    found = watch(NOBODY[case], settings=SETTINGS)
    assert not found.blamed, found.told()
    assert not found.decisions, found.told()


@pytest.mark.slow
@pytest.mark.parametrize("case", representatives(ONLY_THE_GATEWAY, "a crawler that crowds others out"))
def test_a_healthy_callee_is_not_blamed_for_its_caller(case: str):
    found = watch(ONLY_THE_GATEWAY[case], settings=SETTINGS)
    assert found.blamed <= {"gateway"}, found.told()
    assert found.touched | found.offered <= {"gateway"}, found.told()


@pytest.mark.slow
@pytest.mark.parametrize("case", representatives(GUILTY, "hangs, callers do without", "slow", "fails"))
def test_who_does_not_answer_is_found_and_mended(case: str):
    plan, culprit = GUILTY[case]
    found = watch(plan, settings=SETTINGS)
    assert culprit in found.blamed, found.told()
    assert found.touched == {culprit}, found.told()


def recorded(name: str) -> Iterator[tuple[int, bytes]]:
    """A recording's messages in their order, each at the latest end of a span in it or before it."""
    path = next(iter(FIELD.glob(name)), None)
    if path is None:
        pytest.skip("no field inputs beside the checkout (../shared/field)")
    now = 0
    with gzip.open(path, "rb") as lines:
        for line in lines:
            ends = [int(part.split(b'"', 1)[0]) for part in line.split(b'"endTimeUnixNano": "')[1:]]
            now = max(now, *ends)
            yield now, line


@pytest.mark.slow
def test_a_recording_of_web_sockets_that_end_at_a_deploy():
    found = through(recorded("F04-*"))
    assert not found.incidents, found.told()
    assert not found.decisions, found.told()


@pytest.mark.slow
def test_a_recording_in_which_a_clock_is_behind():
    """Who is half a minute behind, and fails half of its requests, is told as that: it has not crashed, and no bystander is blamed."""
    found = through(recorded("F21-*"), SETTINGS)
    assert found.blamed == {"payment"}, found.told()
    assert {i.candidates[0].kind for i in found.incidents} == {CauseKind.ERRORS}, found.told()
    assert found.touched <= {"payment"}, found.told()
