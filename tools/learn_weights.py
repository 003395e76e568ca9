"""The numbers of the ranking (`graph.ranking.Weighing`), learnt from cases of which the culprit is known.

    python -m tools.learn_weights --first 60000 --episodes 200 --jobs 2 [--keep evidence.jsonl] [FOLDER…]

Cases are what diagnosis saw in episodes of the proving ground's *tuning* seeds (when each incident opened, when it was first fit to act
on, and half a minute later), and the cases of labelled folders that may be tuned on (`homeostat.bench.diagnosis.half_of`). The
likelihood of the true culprits, and of "none of these" where nothing was wrong or nothing was seen of it, is maximised over the
numbers, with a normal prior around those of `graph.judgement`: a conditional logit (McFadden, Frontiers in Econometrics, 1974) whose
scores are those of the ranking. Printed are the numbers, and for half of the episodes, held out: how often the leader is a culprit,
how well its probability holds, and how many of those that are nearly sure are wrong.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from contracts.settings import Settings
from contracts.units import SECOND
from graph.diagnosis.assess import Assessment
from graph.diagnosis.case import Case, incident_of
from graph.evidence.finding import Finding
from graph.evidence.harm import harm_of
from graph.evidence.situation import Node, Situation
from graph.ranking import STANDARD, Suspect, Weighing, background, probabilities, rank, score
from homeostat.bench.cases import cases
from homeostat.bench.column_map import ColumnMap
from homeostat.bench.diagnosis import HALVES, half_of, situation_of
from homeostat.judge.running import Task, run_task
from twin.configuration import Split
from twin.episode import START_NS

LATER_S: Final = 30.0
SPREAD: Final = 0.6
"""Standard deviation of the prior, of logarithms of weights and temperatures."""
BACKGROUND_SPREAD: Final = 0.5
LEAST: Final = 1e-4
"""Probability below which a mistake costs no more: a wrong label is not learnt from for ever."""
SURE: Final = 0.9
LABELLED: Final = 3.0
"""What a labelled case counts, an incident of an episode being one: they are few, and from systems that nobody here made."""
Vector = NDArray[np.float64]


class SeenSuspect(msgspec.Struct):
    """A candidate, and what was found of it: channel and strength."""

    service: str
    own: bool
    observer: bool
    found: list[tuple[str, float]]

    def score(self, by: Weighing) -> float:
        """Its score by these numbers."""
        reasons = [Finding(self.service, channel, strength, "") for channel, strength in self.found]
        return score(Node(self.service, own=self.own, observer=self.observer), reasons, by)


class SeenCase(msgspec.Struct):
    """One look at one case. `felt` is how much harm users feel, 0 to 1; `share` how much it counts."""

    source: str
    culprits: list[str]
    felt: float
    violated: bool
    suspects: list[SeenSuspect]
    share: float = 1.0

    def chances(self, by: Weighing) -> dict[str, float]:
        """Probabilities of its candidates by these numbers."""
        scores = {s.service: s.score(by) for s in self.suspects}
        return probabilities(scores, background(self.felt, by, violated=self.violated), by, violated=self.violated)

    def likelihood(self, by: Weighing) -> float:
        """Of what is true: some culprit, or none of the candidates where no culprit shows anything."""
        found = self.chances(by)
        right = [found[c] for c in self.culprits if c in found]
        return sum(right) if right else 1.0 - sum(found.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Collect, fit, print."""
    asked = _parser().parse_args(arguments)
    seen = _episodes(asked.first, asked.episodes, asked.jobs, asked.keep)
    labelled = [c for folder in asked.folders for c in _labelled(folder)]
    names = sorted({c.source for c in seen})
    random.Random(asked.seed).shuffle(names)
    half = set(names[::2])
    learnt = fitted([c for c in seen if c.source in half] + labelled)
    held = [c for c in seen if c.source not in half]
    for title, by in (("as it is", STANDARD), ("learnt from the other half", learnt)):
        print(f"{len(held)} looks held out, {title}: {figures(held, by)}")
    learnt = fitted(seen + labelled)
    for title, by in (("as it is", STANDARD), ("learnt", learnt)):
        print(f"{len(labelled)} labelled cases, {title}: {figures(labelled, by)}")
    for name in Weighing.__dataclass_fields__:
        value = getattr(learnt, name)
        for key, number in value.items() if isinstance(value, Mapping) else [("", value)]:
            print(f"{name} {key}".strip(), f"{number:.2f}")
    return 0


def fitted(seen: Sequence[SeenCase], steps: int = 30) -> Weighing:
    """The most probable numbers, by L-BFGS-B with numerical gradients."""
    start = np.zeros(len(STANDARD.weights) + 6)

    def cost(x: Vector) -> float:
        by = _weighing(x)
        of_cases = -sum(c.share * math.log(max(c.likelihood(by), LEAST)) for c in seen)
        n = len(STANDARD.weights) + 3
        prior = float(np.sum((x[:n] / SPREAD) ** 2) + np.sum((x[n:] / BACKGROUND_SPREAD) ** 2)) / 2
        return of_cases + prior

    found: Any = minimize(cost, start, method="L-BFGS-B", options={"maxiter": steps, "eps": 1e-4})
    return _weighing(found.x)


def _weighing(x: Vector) -> Weighing:
    n = len(STANDARD.weights)
    times = np.exp(x[: n + 2]).tolist()
    odds = math.log(STANDARD.diminishing / (1.0 - STANDARD.diminishing)) + float(x[n + 2])
    return Weighing(
        weights={c: w * t for (c, w), t in zip(STANDARD.weights.items(), times, strict=False)},
        diminishing=1.0 / (1.0 + math.exp(-odds)),
        temperature=STANDARD.temperature * times[n],
        violated_temperature=STANDARD.violated_temperature * times[n + 1],
        background=STANDARD.background + float(x[n + 3]),
        harmed_background=STANDARD.harmed_background + float(x[n + 4]),
        violated_background=STANDARD.violated_background + float(x[n + 5]),
    )


def figures(seen: Iterable[SeenCase], by: Weighing) -> str:
    """How often the leader is a culprit (of looks with one), the expected calibration error in tenths, and the nearly sure that are wrong."""
    rows = []
    for c in seen:
        found = c.chances(by)
        if found:
            leader = max(found, key=lambda n: (found[n], n))
            rows.append((found[leader], leader in c.culprits, bool(c.culprits), c.share))
    sure, right, known, share = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    tenth = np.minimum((sure * 10).astype(np.int64), 9)
    gaps = [
        share[tenth == t].sum()
        * abs(
            np.average(sure[tenth == t], weights=share[tenth == t])
            - np.average(right[tenth == t], weights=share[tenth == t])
        )
        for t in np.unique(tenth)
    ]
    first = np.average(right[known > 0], weights=share[known > 0])
    wrong = int(np.count_nonzero((sure >= SURE) & (right == 0)))
    return f"culprit first {first:.3f}, calibration error {sum(gaps) / share.sum():.3f}, {wrong} of {int(np.count_nonzero(sure >= SURE))} that are at least {SURE:.0%} sure are wrong"


def _labelled(folder: Path) -> Iterator[SeenCase]:
    columns = ColumnMap()
    for case in cases(folder):
        if half_of(case.id) == HALVES[1]:
            situation = situation_of(case, columns)
            found = _seen(f"{folder.name}/{case.id}", situation, rank(situation), harmed=False, culprits=case.truth)
            found.share = LABELLED
            yield found


def _seen(
    source: str, situation: Situation, suspects: Iterable[Suspect], *, harmed: bool, culprits: Iterable[str]
) -> SeenCase:
    felt = 1.0 if harmed else min(1.0, harm_of(situation))
    found = [
        SeenSuspect(
            s.service,
            situation.nodes[s.service].own,
            situation.nodes[s.service].observer,
            [(x.channel, round(x.strength, 4)) for x in s.findings],
        )
        for s in suspects
        if s.findings
    ]
    return SeenCase(source, sorted(culprits), felt, bool(situation.harm), found)


def _episodes(first: int, count: int, jobs: int, keep: Path | None) -> list[SeenCase]:
    """What diagnosis saw in tuning episodes; those that are kept already are not run again."""
    kept: dict[int, list[SeenCase]] = {}
    if keep is not None and keep.exists():
        for line in keep.read_bytes().splitlines():
            seed, told = msgspec.json.decode(line, type=tuple[int, list[SeenCase]])
            kept[seed] = told
    wanted = range(first, first + count)
    left = [s for s in wanted if s not in kept]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for seed, told in zip(left, pool.map(looked_at, left), strict=True):
            kept[seed] = told
            print(f"tuning/{seed}: {len(told)} looks", file=sys.stderr)
            if keep is not None:
                with keep.open("ab") as file:
                    file.write(msgspec.json.encode((seed, told)) + b"\n")
    return [c for seed in wanted for c in kept[seed]]


def looked_at(seed: int) -> list[SeenCase]:
    """The looks at the incidents of one tuning episode, which nobody acts in."""
    looks: dict[str, dict[str, tuple[Assessment, bool]]] = {}

    def note(case: Case, seen: Assessment, *rest: Any) -> Any:
        known = looks.setdefault(case.group.id, {})
        harmed = bool(seen.affected) or case.group.pooled
        if "opened" not in known:
            known["opened"] = seen, harmed
        elif "settled" not in known and case.settled(seen, settings.diagnose.settle_s):
            known["settled"] = seen, harmed
        elif "later" not in known and _second(seen) >= _second(known["opened"][0]) + LATER_S:
            known["later"] = seen, harmed
        return incident_of(case, seen, *rest)

    settings = Settings()
    with patch("graph.diagnosis.engine.incident_of", note):
        trial = run_task(Task(split=Split.TUNING, seed=seed, detect_only=True), settings)
    found = []
    for known in looks.values():
        for seen, harmed in known.values():
            at, onset = _second(seen), (seen.situation.onset_ns - START_NS) / SECOND
            live = [f for f in trial.faults if f.begin_s <= at and (f.gone_s is None or f.gone_s + 10 >= onset)]
            culprits = {r for f in live for r in f.roots}
            case = _seen(trial.case, seen.situation, seen.suspects, harmed=harmed, culprits=culprits)
            case.share = 1.0 / len(known)
            found.append(case)
    return found


def _second(seen: Assessment) -> float:
    return (seen.situation.now_ns - START_NS) / SECOND


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.learn_weights", description="Numbers of the ranking, learnt from known culprits."
    )
    parser.add_argument("folders", nargs="*", type=Path, help="labelled failures; the half that may be tuned on counts")
    parser.add_argument("--first", type=int, default=60000, help="first tuning seed")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--keep", type=Path, help="file for what was seen: written, and read if it is there")
    parser.add_argument("--seed", type=int, default=1, help="of the split in halves")
    return parser


if __name__ == "__main__":
    sys.exit(main())
