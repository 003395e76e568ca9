"""What is asked for changes: a crawler, a night with its batch, a feature that is switched off. Nobody behind the entrance is blamed for it,
who answers each route as before is not touched, and who doesn't answer on one of many routes is still found."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from contracts.settings import Settings
from tests.representatives import representatives
from tests.scenarios.test_innocents import OK, sessions
from tests.scenarios.traffic import USUAL, Plan, Route, Trouble, watch

SETTINGS = Settings(detect={"detectors": ("bank",)})
SEEDS = (11, 12, 13)
EVERY = bool(os.environ.get("TEST_MIXES"))
"""Whether each plan is tried with all seeds; else with one, in turn."""
HOME, BUY = USUAL
SEARCH, REPORT = Route("GET /search", 1, 800), Route("GET /report", 1, 3000)
STATUS = Route("GET /status", 2, 5)
CRAWLED = Route("GET /search", 30, 800)
EDITED = Route("GET /items/*", 3, 10, {"catalog": 2.0})

INNOCENT = {
    "a crawler on a route that is known": Plan(usual=(HOME, BUY, SEARCH), changed=(HOME, BUY, CRAWLED)),
    "a crawler on a new route": Plan(changed=(HOME, BUY, CRAWLED)),
    "a crawler on many pages": Plan(changed=(HOME, BUY, *(Route(f"GET /p{i}", 1, 700) for i in range(30)))),
    "a crawler while others buy less": Plan(
        usual=(HOME, BUY, SEARCH), changed=(HOME, Route("POST /buy", 3, 4, {"checkout": 1.0}), CRAWLED)
    ),
    "a night with its batch": Plan(
        usual=(HOME, BUY, REPORT),
        changed=(
            Route("GET /", 0.5, 4, {"catalog": 1.0, "reco": 1.0}),
            Route("POST /buy", 0.3, 4, {"checkout": 1.0}),
            Route("GET /report", 3, 3000),
        ),
    ),
    "a night with nothing but its batch": Plan(usual=(HOME, BUY, REPORT), changed=(Route("GET /report", 3, 3000),)),
    "other pages call others": Plan(
        usual=(HOME, BUY, EDITED), changed=(Route("GET /items/*", 30, 10, {"catalog": 2.0}),)
    ),
    "sessions end at a deploy and a crawler comes": Plan(
        usual=(HOME, BUY, SEARCH), changed=(HOME, BUY, CRAWLED), sessions=sessions("GET /ws", OK)
    ),
}
"""Every route of every service takes as long as before."""

ONLY_ITSELF = {
    "a feature is off, and its caller is slow": Plan(changed=(Route("GET /", 8, 1500, {"catalog": 1.0}), BUY)),
    "the only call of a route is off, and it is slow": Plan(changed=(HOME, Route("POST /buy", 6, 1500))),
    "all calls are off, and all is slow": Plan(changed=(Route("GET /", 8, 1200), Route("POST /buy", 6, 1200))),
    "a call is off, and the caller fails": Plan(
        changed=(HOME, Route("POST /buy", 6, 4)), trouble={"gateway": Trouble(fails=0.4)}
    ),
    "buyers leave, and a route that calls nobody fails": Plan(
        usual=(HOME, BUY, STATUS),
        changed=(
            HOME,
            Route("POST /buy", 0.3, 4, {"checkout": 1.0}),
            Route("GET /status", 20, 5, fails=0.6),
        ),
        client_spans=False,
    ),
    "a new route at night": Plan(
        changed=(Route("GET /", 0.5, 4, {"catalog": 1.0, "reco": 1.0}), Route("GET /report", 3, 3000))
    ),
}
"""The caller does something else than before; nobody whom it called does."""

GUILTY = {
    "hangs on one route of three": (
        Plan(usual=(HOME, BUY, SEARCH), trouble={"checkout": Trouble(hangs=True)}),
        "checkout",
    ),
    "crashed, on one route of three": (
        Plan(usual=(HOME, BUY, SEARCH), trouble={"checkout": Trouble(refuses=True)}),
        "checkout",
    ),
    "hangs, and its callers do without": (
        Plan(usual=(HOME, BUY, SEARCH), trouble={"reco": Trouble(hangs=True)}, fallback=True),
        "reco",
    ),
    "hangs while a crawler comes": (
        Plan(usual=(HOME, BUY, SEARCH), changed=(HOME, BUY, CRAWLED), trouble={"checkout": Trouble(hangs=True)}),
        "checkout",
    ),
    "crashed while a crawler comes": (
        Plan(usual=(HOME, BUY, SEARCH), changed=(HOME, BUY, CRAWLED), trouble={"checkout": Trouble(refuses=True)}),
        "checkout",
    ),
    "hangs in another mix, and nobody tells of calls": (
        Plan(
            usual=(HOME, BUY, STATUS),
            changed=(HOME, BUY, Route("GET /status", 20, 5)),
            trouble={"checkout": Trouble(hangs=True)},
            client_spans=False,
        ),
        "checkout",
    ),
    "slow while a crawler comes": (
        Plan(usual=(HOME, BUY, SEARCH), changed=(HOME, BUY, CRAWLED), trouble={"catalog": Trouble(slower=40)}),
        "catalog",
    ),
}


FIRST_SECONDS = (("hangs while a crawler comes", 12), ("crashed while a crawler comes", 12))
"""In the first seconds of two troubles at once the entrance's own failures are all that is known."""


def tried(cases: Iterable[str]) -> list[tuple[str, int]]:
    """Plans with the seeds that they are tried with."""
    return [(case, seed) for i, case in enumerate(cases) for seed in (SEEDS if EVERY else SEEDS[i % 3 : i % 3 + 1])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "seed"),
    representatives(tried(INNOCENT), ("a crawler on many pages", 13)),
)
def test_another_mix_of_requests_blames_no_callee_and_touches_nobody(case: str, seed: int):
    found = watch(INNOCENT[case], seed, SETTINGS)
    assert found.blamed <= {"gateway"}, found.told()
    assert not found.touched, found.told()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "seed"),
    representatives(tried(ONLY_ITSELF), ("all calls are off, and all is slow", 13)),
)
def test_who_is_no_longer_called_is_not_blamed_for_not_answering(case: str, seed: int):
    found = watch(ONLY_ITSELF[case], seed, SETTINGS)
    assert found.blamed <= {"gateway"}, found.told()
    assert found.touched | found.offered <= {"gateway"}, found.told()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "seed"),
    representatives(
        [*tried(GUILTY), *(x for x in FIRST_SECONDS if x not in tried(GUILTY))],
        ("hangs on one route of three", 11),
        ("crashed while a crawler comes", 12),
    ),
)
def test_who_does_not_answer_on_one_route_is_found(case: str, seed: int):
    plan, culprit = GUILTY[case]
    found = watch(plan, seed, SETTINGS)
    assert culprit in found.blamed, found.told()
    assert found.touched == {culprit}, found.told()
