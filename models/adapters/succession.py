"""Champion and challenger: which of two models of one member judges the same stream, decided by what both say of it.

On drift a challenger is trained and runs beside the champion without a vote. Both are tried on the same windows. A trial is won by whoever

- says of a calm minute what a calm minute should be told (p-values uniform: a mean `surprise` nearer to 1, by `NEARER`);
- suspected alone what came true, or did not suspect what came to nothing (the claims that `models.fusion` counts);
- was surer, by `SURER` decades, of a service of which an anomaly then opened.

The one that proves better takes over. The test is sequential: under "it wins at most every second trial" the mixture of bets on all
likelier shares is a martingale that ever reaches 1/`ERROR` with probability `ERROR` at most (Ville 1939; Shafer et al. 2011), so it
may be looked at after every minute: nine trials won of nine are enough, and fifteen of seventeen. Neither calm minutes nor outcomes alone may speak
against it. The one that was replaced is kept beside for `KEPT_NS`, as a challenger in its turn: what proves worse than its predecessor is rolled back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from contracts.ports.detecting import ModelNews, SeriesKey
from contracts.units import MINUTE
from contracts.verdicts import ModelStep
from models.adapters.drift import DriftWatch
from models.adapters.recipes import Recipe

ERROR: Final = 0.01
"""Probability at most with which a challenger that is no better is promoted. Convention."""
NEARER: Final = 0.1
"""Difference of mean surprise below which a minute says nothing. By hand."""
SURER: Final = 0.5
"""Decades below which nobody was surer. By hand."""
TRIED_NS: Final = 60 * MINUTE
"""A challenger that has not proven better by then is dropped. By hand."""
KEPT_NS: Final = 60 * MINUTE
"""For how long the one that was replaced is kept. By hand."""
TRIES: Final = 3
"""Challengers in a row that are trained for one drift, where time ran out over them. By hand."""
HINDSIGHT_NS: Final = MINUTE
"""How long before an anomaly opened it counts who was surer. By hand, as a claim has."""
NOTED: Final = 256
"""Rows that departed lately, at most."""
_MOST_TRIALS: Final = 512

M = TypeVar("M")


def better(won: int, lost: int) -> float:
    """Evidence (e-value) that trials are won more often than lost: the mean of (2q)^won (2(1-q))^lost over q between 1/2 and 1."""
    n = won + lost + 1
    below = sum(math.comb(n, k) for k in range(won + 1))
    return below / (n * math.comb(n - 1, won))


@dataclass(slots=True)
class Contest:
    """What a rival won and lost since `since_ns` against the model in use: [calm minutes, outcomes]."""

    predecessor: bool
    since_ns: int
    won: list[int] = field(default_factory=lambda: [0, 0])
    lost: list[int] = field(default_factory=lambda: [0, 0])
    outcomes: int = 0
    """By how many more outcomes of this minute are for the rival: one trial, because those of one incident are one."""

    def minute(self, champion: float, rival: float) -> None:
        """Both's mean surprise over the same calm minute."""
        nearer = abs(champion - 1.0) - abs(rival - 1.0)
        if abs(nearer) >= NEARER:
            self._trial(0, nearer > 0)

    def settle(self) -> None:
        """A minute is over: its outcomes are one trial."""
        if self.outcomes:
            self._trial(1, self.outcomes > 0)
            self.outcomes = 0

    def outcome(self, *, won: bool) -> None:
        """Something came true, or to nothing."""
        self.outcomes += 1 if won else -1

    def _trial(self, kind: int, won: bool) -> None:
        if sum(self.won) + sum(self.lost) < _MOST_TRIALS:
            (self.won if won else self.lost)[kind] += 1

    def proven(self) -> bool:
        """Whether the rival is better."""
        either = all(w >= x for w, x in zip(self.won, self.lost, strict=True))
        return either and better(sum(self.won), sum(self.lost)) >= 1.0 / ERROR

    def beaten(self) -> bool:
        """Whether the model in use is better than the rival."""
        return better(sum(self.lost), sum(self.won)) >= 1.0 / ERROR

    def over(self, now_ns: int) -> bool:
        """Whether its time ran out."""
        return now_ns - self.since_ns > (KEPT_NS if self.predecessor else TRIED_NS)

    def __str__(self) -> str:
        return f"calm minutes {self.won[0]} : {self.lost[0]}, outcomes {self.won[1]} : {self.lost[1]}"

    def plain(self) -> list[Any]:
        """The state as plain values."""
        return [self.predecessor, self.since_ns, self.won, self.lost, self.outcomes]


@dataclass(frozen=True, slots=True)
class Replacement:
    """What became of a rival: `version` of the one that is told of, `other` of the one that was in use before, or stays so."""

    step: ModelStep
    version: int
    other: int
    text: str


@dataclass(slots=True)
class Succession(Generic[M]):
    """One model in use, and at most one beside it: a challenger (being trained while there is no `contest`) or a predecessor."""

    champion: M
    version: int
    watch: DriftWatch
    rival: M | None = None
    rival_version: int = 0
    contest: Contest | None = None
    drifted: bool = False
    """A challenger is due."""
    tries: int = 0
    said: list[tuple[int, float, float, str]] = field(default_factory=list)
    """Of rows that departed lately, while there is a contest: window, decades of both, and the service where it is for several."""

    def minute(self, now_ns: int, champion: float, rival: float | None) -> Replacement | None:
        """Both's mean surprise over a calm minute that ended by now; what follows of it and of all before."""
        found = self.watch.take(champion)
        contest = self.contest
        if self.rival is None:
            self.drifted |= found
            return None
        if contest is None:
            return None
        if rival is not None:
            contest.minute(champion, rival)
        contest.settle()
        if contest.proven():
            return self._swap(now_ns, contest)
        if contest.predecessor:
            self._keep(now_ns, contest, found)
            return None
        beaten = contest.beaten()
        return self._drop(contest, beaten) if beaten or contest.over(now_ns) else None

    def _keep(self, now_ns: int, contest: Contest, drifted: bool) -> None:
        """Keep a predecessor while it may be wanted. What it lost long ago doesn't weigh: it begins anew where it is beaten."""
        leads = sum(contest.won) > sum(contest.lost)
        if contest.over(now_ns) or (drifted and not leads):
            self.rival, self.contest, self.said = None, None, []
            self.drifted |= drifted
        elif contest.beaten():
            contest.won, contest.lost = [0, 0], [0, 0]

    def _swap(self, now_ns: int, contest: Contest) -> Replacement:
        assert self.rival is not None
        step = ModelStep.ROLLED_BACK if contest.predecessor else ModelStep.PROMOTED
        told = Replacement(step, self.rival_version, self.version, str(contest))
        self.champion, self.rival = self.rival, self.champion
        self.version, self.rival_version = self.rival_version, self.version
        self.contest, self.said = Contest(True, now_ns), []
        if step is ModelStep.ROLLED_BACK:
            self.rival, self.contest = None, None
        self.drifted, self.tries = False, 0
        self.watch.restart()
        return told

    def _drop(self, contest: Contest, beaten: bool) -> Replacement:
        told = Replacement(ModelStep.DROPPED, self.rival_version, self.version, str(contest))
        self.rival, self.contest, self.said = None, None, []
        self.tries = 0 if beaten else self.tries + 1
        self.drifted = not beaten and self.tries < TRIES
        if not self.drifted:
            self.tries = 0
        return told

    def begin(self, rival: M, version: int) -> Replacement:
        """A challenger begins to learn."""
        self.rival, self.rival_version, self.contest, self.drifted = rival, version, None, False
        return Replacement(ModelStep.DRIFTED, version, self.version, "")

    def enter(self, now_ns: int) -> None:
        """The challenger knows enough to be tried."""
        self.contest = Contest(False, now_ns)

    def note(self, window_ns: int, champion: float, rival: float, service: str = "") -> None:
        """What both said of a row that departs, in decades."""
        if self.contest is not None:
            lately = [s for s in self.said if window_ns - s[0] <= HINDSIGHT_NS][1 - NOTED :]
            self.said = [*lately, (window_ns, champion, rival, service)]

    def claimed(self, window_ns: int, *, of_rival: bool, came_true: bool) -> None:
        """What came of a claim since `window_ns`."""
        if self.contest is not None and window_ns >= self.contest.since_ns:
            self.contest.outcome(won=came_true == of_rival)

    def opened(self, window_ns: int, service: str = "") -> None:
        """An anomaly of a service opened: who was surer counts."""
        lately = [s for s in self.said if s[3] == service and 0 <= window_ns - s[0] <= HINDSIGHT_NS]
        self.said = [s for s in self.said if s[3] != service]
        if self.contest is None or not lately:
            return
        surer = max(s[2] for s in lately) - max(s[1] for s in lately)
        if abs(surer) >= SURER:
            self.contest.outcome(won=surer > 0)

    def plain(self, of: Callable[[M], dict[str, Any]]) -> dict[str, Any]:
        """The state as plain values; `of`: a model's."""
        return {
            "champion": of(self.champion),
            "version": self.version,
            "watch": self.watch.plain(),
            "rival": of(self.rival) if self.rival is not None else None,
            "rival_version": self.rival_version,
            "contest": self.contest.plain() if self.contest is not None else None,
            "drifted": self.drifted,
            "tries": self.tries,
            "said": [list(s) for s in self.said],
        }

    @classmethod
    def of(cls, plain: dict[str, Any], watch: Callable[..., DriftWatch], model: Callable[[dict[str, Any]], M]) -> Any:
        """Inverse of `plain`."""
        return cls(
            model(plain["champion"]),
            plain["version"],
            watch(*plain["watch"]),
            model(plain["rival"]) if plain["rival"] is not None else None,
            plain["rival_version"],
            Contest(*plain["contest"]) if plain["contest"] is not None else None,
            plain["drifted"],
            plain["tries"],
            [(s[0], s[1], s[2], s[3]) for s in plain["said"]],
        )


class Lineage:
    """Numbers the models of one detector, and keeps what became of them until it is asked for."""

    def __init__(self, versions: int = 0) -> None:
        self.versions = versions
        """How many there were."""
        self._news: list[ModelNews] = []

    def next(self) -> int:
        """The version of a new model."""
        self.versions += 1
        return self.versions

    def tell(self, series: SeriesKey, told: Replacement, window_ns: int) -> None:
        """Something became of a model."""
        self._news.append(ModelNews(series, told.step, told.version, told.other, window_ns, told.text))

    def news(self) -> list[ModelNews]:
        """What was told since this was asked last."""
        found, self._news = self._news, []
        return found


class MemberOfModels:
    """A member whose models are a library's, by a recipe; `drift`: what watches them for drift, None where nothing does."""

    def __init__(self, recipe: Recipe, seed: int, drift: Recipe | None) -> None:
        self._recipe, self._seed, self._drift = recipe, seed, drift
        self._watched_by = drift.title if drift is not None else ""
        self._lineage = Lineage()

    def warm_up(self) -> None:
        """Import what the models need: seconds, which are better spent before the first window than in it. Tries whether they can
        be made."""
        self._recipe.make(self._seed)
        if self._drift is not None:
            self._drift.make(self._seed)

    def news(self) -> list[ModelNews]:
        """What became of its models since this was asked last."""
        return self._lineage.news()
