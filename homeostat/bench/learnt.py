"""A ranker learnt from labelled cases, beside the causal ranking: a conditional logit over symptom tokens (McFadden 1974).

For each case it gives every candidate a score linear in what is seen at it: which alerts it raises, how exclusively, in which role, and the
causal ranking's own score. It is fitted on four fifths of the cases and used on the last, in turns, so that no case is ranked by what was
learnt from it.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import F64
from homeostat.bench.cases import FailureCase

FOLDS: Final = 5
"""Parts of the cases, by a hash of their names: each is ranked by what was learnt from the others."""
_RIDGE: Final = 0.01
_STEPS: Final = 150
_RATE: Final = 0.1
_SLOW, _SLOWER, _TINY = 0.9, 0.999, 1e-8

Tokens = dict[str, float]


@dataclass(frozen=True, slots=True)
class LabelledChoice:
    """A case to learn from: tokens by candidate, and who was to blame."""

    tokens: Mapping[str, Tokens]
    truth: frozenset[str]


def choice_of(case: FailureCase, scores: Mapping[str, float]) -> LabelledChoice:
    """A case as tokens: each alert by name and direction, its exclusiveness, and the causal ranking's score."""
    raised: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for alert in case.alerts:
        raised[alert.modality, alert.name, alert.detail].add(alert.entity)
    tokens: dict[str, Tokens] = {e: {"score": scores.get(e, 0.0)} for e in case.entities}
    for alert in case.alerts:
        said = f"{alert.modality} {alert.name} {alert.detail}".rstrip()
        few = 1.0 / len(raised[alert.modality, alert.name, alert.detail])
        for entity, role in ((alert.entity, "shows"), (alert.source, "sees")):
            if entity not in tokens:
                continue
            mine = tokens[entity]
            kind = f"{role} {alert.modality} {alert.detail}"
            mine[f"{role} {said}"] = 1.0
            mine[f"alone {role} {said}"] = few
            mine[f"any {kind}"] = 1.0
            mine[f"share {kind}"] = mine.get(f"share {kind}", 0.0) + few
    return LabelledChoice(tokens, case.truth)


def fold_of(case_id: str) -> int:
    """The part of the cases that one is in."""
    return zlib.crc32(case_id.encode()) % FOLDS


class LearntRanker:
    """Weights of tokens, learnt from choices."""

    def __init__(self, choices: Sequence[LabelledChoice]) -> None:
        useful = [c for c in choices if c.truth & set(c.tokens)]
        names = sorted({t for c in useful for tokens in c.tokens.values() for t in tokens})
        self._index = {t: i for i, t in enumerate(names)}
        self.weights: F64 = np.zeros(len(names))
        if useful:
            self._fit(useful)

    def scores(self, choice: LabelledChoice) -> dict[str, float]:
        """Probabilities of a case's candidates."""
        x = self._matrix(choice)
        chances = _softmax(x @ self.weights, np.zeros(len(x), np.intp), 1)
        return dict(zip(choice.tokens, chances.tolist(), strict=True))

    def _matrix(self, choice: LabelledChoice) -> F64:
        x = np.zeros((len(choice.tokens), len(self._index)))
        for i, tokens in enumerate(choice.tokens.values()):
            for token, value in tokens.items():
                if token in self._index:
                    x[i, self._index[token]] = value
        return x

    def top(self, choice: LabelledChoice, entity: str, most: int = 3) -> list[str]:
        """What spoke most for a candidate: its reasons."""
        said = {t: self.weights[self._index[t]] * v for t, v in choice.tokens[entity].items() if t in self._index}
        return sorted((t for t in said if said[t] > 0), key=lambda t: (-said[t], t))[:most]

    def _fit(self, choices: Sequence[LabelledChoice]) -> None:
        """Adam (Kingma and Ba, ICLR 2015) on the mean log-likelihood with a ridge; deterministic."""
        n = len(choices)
        x = np.concatenate([self._matrix(c) for c in choices])
        case = np.repeat(np.arange(n), [len(c.tokens) for c in choices])
        right = np.array([e in c.truth for c in choices for e in c.tokens], np.float64)
        mean, square = np.zeros_like(self.weights), np.zeros_like(self.weights)
        for step in range(1, _STEPS + 1):
            p = _softmax(x @ self.weights, case, n)
            wanted = p * right / np.maximum(np.bincount(case, p * right, n), _TINY)[case]
            gradient = x.T @ (wanted - p) / n - _RIDGE * self.weights
            mean = _SLOW * mean + (1 - _SLOW) * gradient
            square = _SLOWER * square + (1 - _SLOWER) * gradient**2
            self.weights += _RATE * (mean / (1 - _SLOW**step)) / (np.sqrt(square / (1 - _SLOWER**step)) + _TINY)


def _softmax(x: F64, case: NDArray[np.intp], n: int) -> F64:
    """Probabilities within each of `n` cases; `case` says to which one each row belongs."""
    top = np.full(n, -np.inf)
    np.maximum.at(top, case, x)
    mass = np.exp(x - top[case])
    return np.asarray(mass / np.bincount(case, mass, n)[case], np.float64)
