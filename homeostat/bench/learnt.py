"""A ranker learnt from labelled cases, beside the causal ranking: a conditional logit over symptom tokens (McFadden 1974) and random trees.

For each case it gives every candidate a chance by what is seen at it: which alerts it raises, how exclusively, how unusually, in which role, and
the causal ranking's own score. The logit chooses a candidate and a kind of fault together, so that a kind has symptoms of its own beside what all
have in common. It is fitted on four fifths of the cases and used on the last, in turns, so that no case is ranked by what was learnt from it.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import F64
from homeostat.bench.alert_tokens import LabelledChoice
from homeostat.bench.chance_trees import TREES, ChanceTrees

FOLDS: Final = 5
"""Parts of the cases, by a hash of their names: each is ranked by what was learnt from the others."""
_RIDGE: Final = 0.01
_STEPS: Final = 150
_RATE: Final = 0.1
_SLOW, _SLOWER, _TINY = 0.9, 0.999, 1e-8
_LEAST_SEEN: Final = 2
_INNER: Final = 3
_FEW_TREES: Final = 40
_LEAST_LIKELY: Final = 1e-3
_SHARPNESS: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
"""Candidates that have a token at least, parts of the cases by which the sharpness is learnt and the trees it takes, a chance that nobody is below, and
what is tried."""


def fold_of(case_id: str, folds: int = FOLDS) -> int:
    """The part of the cases that one is in."""
    return zlib.crc32(case_id.encode()) % folds


class LearntRanker:
    """What was learnt from choices: a logit and trees, and how sharply their word is to be taken, by choices they had not seen."""

    def __init__(self, choices: Sequence[LabelledChoice]) -> None:
        useful = [c for c in choices if c.truth & set(c.tokens)]
        self._sharpness = _sharpness(useful)
        self._learnt = _Learnt(useful)

    def scores(self, choice: LabelledChoice) -> dict[str, float]:
        """Probabilities of a case's candidates."""
        return dict(zip(choice.tokens, _chances(self._learnt.word(choice), self._sharpness).tolist(), strict=True))

    def top(self, choice: LabelledChoice, entity: str, most: int = 3) -> list[str]:
        """What spoke most for a candidate: its reasons."""
        said = self._learnt.reasons(choice, entity)
        return sorted((t for t in said if said[t] > 0), key=lambda t: (-said[t], t))[:most]


def _sharpness(choices: Sequence[LabelledChoice]) -> float:
    """By how much both members' log-chances are to be multiplied, the likeliest on choices they had not seen."""
    if len(choices) < _INNER:
        return 0.5
    likely = np.zeros(len(_SHARPNESS))
    for part in range(_INNER):
        learnt = _Learnt([c for i, c in enumerate(choices) if i % _INNER != part], _FEW_TREES)
        for choice in choices[part::_INNER]:
            right = np.array([e in choice.truth for e in choice.tokens], np.float64)
            word = learnt.word(choice)
            likely += [np.log(max(_TINY, float(_chances(word, s) @ right))) for s in _SHARPNESS]
    return _SHARPNESS[int(np.argmax(likely))]


def _chances(word: F64, sharpness: float) -> F64:
    return _softmax(sharpness * word, np.zeros(len(word), np.intp), 1)


class _Learnt:
    """Both members, of one set of choices."""

    def __init__(self, choices: Sequence[LabelledChoice], trees: int = TREES) -> None:
        seen = Counter(t for c in choices for tokens in c.tokens.values() for t in tokens)
        self._index = {t: i for i, t in enumerate(sorted(t for t in seen if seen[t] >= _LEAST_SEEN))}
        self._most: F64 = np.ones(len(self._index))
        raw = [self._matrix(c) for c in choices]
        x = np.concatenate(raw) if raw else np.zeros((0, len(self._index)))
        self._most = np.maximum(1.0, np.abs(x).max(axis=0, initial=0.0))
        x = x / self._most
        case = np.repeat(np.arange(len(choices)), [len(c.tokens) for c in choices])
        right = np.array([e in c.truth for c in choices for e in c.tokens], np.float64)
        faults = sorted({c.fault for c in choices})
        kind = np.array([faults.index(c.fault) for c in choices], np.intp)
        self._weights = _fitted(x, case, right, kind, len(faults))
        self._trees = ChanceTrees(x, right, trees)

    def word(self, choice: LabelledChoice) -> F64:
        """The log-chances of candidates, both members' together."""
        x = self._matrix(choice)
        shares = self._trees.shares(x) + _LEAST_LIKELY
        return np.asarray(
            np.log(self._joint(x).sum(axis=1) + _LEAST_LIKELY**2) + np.log(shares / shares.sum()), np.float64
        )

    def reasons(self, choice: LabelledChoice, entity: str) -> dict[str, float]:
        """What each token of a candidate adds to its score, by the kinds of fault it may have."""
        joint = self._joint(self._matrix(choice))[list(choice.tokens).index(entity)]
        weights = self._weights @ np.concatenate([[1.0], joint / max(joint.sum(), _TINY)])
        known = {t: self._index[t] for t in choice.tokens[entity] if t in self._index}
        return {t: float(weights[i] * choice.tokens[entity][t] / self._most[i]) for t, i in known.items()}

    def _joint(self, x: F64) -> F64:
        """Chances of candidates (rows) by kinds of fault."""
        z = x @ self._weights[:, 1:] + x @ self._weights[:, :1]
        return _softmax(z.ravel(), np.zeros(z.size, np.intp), 1).reshape(z.shape)

    def _matrix(self, choice: LabelledChoice) -> F64:
        x = np.zeros((len(choice.tokens), len(self._index)))
        for i, tokens in enumerate(choice.tokens.values()):
            for token, value in tokens.items():
                if token in self._index:
                    x[i, self._index[token]] = value
        return x / self._most


def _fitted(x: F64, case: NDArray[np.intp], right: F64, kind: NDArray[np.intp], kinds: int) -> F64:
    """Weights by token, for all kinds of fault together and for each: Adam (Kingma and Ba, ICLR 2015) on the mean log-likelihood with a ridge;
    deterministic."""
    weights = np.zeros((x.shape[1], kinds + 1))
    n, mean, square = len(kind), np.zeros_like(weights), np.zeros_like(weights)
    if not n:
        return weights
    of, wanted_at = np.repeat(case, kinds), np.zeros((len(x), kinds))
    wanted_at[np.arange(len(x)), kind[case]] = right
    for step in range(1, _STEPS + 1):
        p = _softmax((x @ weights[:, 1:] + x @ weights[:, :1]).ravel(), of, n).reshape(-1, kinds)
        hit = p * wanted_at
        hit /= np.maximum(np.bincount(case, hit.sum(axis=1), n), _TINY)[case, None]
        by_kind = x.T @ (hit - p) / n
        gradient = np.concatenate([by_kind.sum(axis=1, keepdims=True), by_kind], axis=1) - _RIDGE * weights
        mean = _SLOW * mean + (1 - _SLOW) * gradient
        square = _SLOWER * square + (1 - _SLOWER) * gradient**2
        weights += _RATE * (mean / (1 - _SLOW**step)) / (np.sqrt(square / (1 - _SLOWER**step)) + _TINY)
    return weights


def _softmax(x: F64, case: NDArray[np.intp], n: int) -> F64:
    """Probabilities within each of `n` cases; `case` says to which one each row belongs."""
    top = np.full(n, -np.inf)
    np.maximum.at(top, case, x)
    mass = np.exp(x - top[case])
    return np.asarray(mass / np.bincount(case, mass, n)[case], np.float64)
