"""How many of the calls to a service are answered, and whether as many are lost as of its instances are gone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from graph.evidence.silence import answered
from graph.evidence.situation import Situation
from graph.judgement import SHARE_APART, SHARE_ASKED, SHARE_BALANCED, SHARE_KEPT, SHARE_LEAST, SHARE_SIGMAS, UNANSWERED


@dataclass(frozen=True, slots=True)
class Answers:
    """Calls to a service since the onset as its callers count them, and those that it answered."""

    made: float
    answered: float

    @property
    def lost(self) -> float:
        """Those that it did not answer."""
        return max(0.0, self.made - self.answered)

    @property
    def some_lost(self) -> bool:
        """Whether more are lost than are always on their way."""
        return self.lost >= max(UNANSWERED, SHARE_LEAST * self.made)


def answers_of(situation: Situation, name: str) -> Answers:
    """What a service answers of what its callers ask it."""
    edges = situation.into(name)
    made = math.fsum(max(e.made, e.observed) for e in edges)
    return Answers(made, math.fsum(answered(situation, e) for e in edges))


def loses_share(answers: Answers, share: float) -> bool:
    """Whether so large a share of its calls is lost, as near as chance and instances of unequal number let expect it; or less, as whoever balances
    calls soon sends none any more to an instance that is gone."""
    due = share * answers.made
    spread = SHARE_SIGMAS * math.sqrt(due * (1.0 - share)) + SHARE_APART * answers.made
    return answers.some_lost and SHARE_BALANCED * due - spread <= answers.lost <= due + spread


def keeps_all(answers: Answers, share: float) -> bool:
    """Whether a service answers what it would not answer without such a share of its instances."""
    due = share * answers.made
    return due >= SHARE_ASKED and answers.lost <= SHARE_KEPT * due
