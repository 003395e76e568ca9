"""Running many episodes: in processes beside each other, each result kept as a line at once, so that what was run is not run again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import msgspec

from contracts.errors import InvalidSettings
from contracts.settings import Settings
from homeostat.judge.baselines import try_nothing, try_rules
from homeostat.judge.closed_loop import DECIDING, WATCHING, try_episode
from homeostat.judge.trial import Trial
from twin.configuration import Split
from twin.episode import SimulatedEpisode

PRODUCT: Final = "homeostat"
BASELINES: Final = ("static rules", "nothing", "restart what alarms")


class Task(msgspec.Struct, frozen=True):
    """One episode to be run by somebody. `kinds` narrows what befalls it."""

    split: Split
    seed: int
    by: str = PRODUCT
    fidelity: str = "window"
    detect_only: bool = False
    kinds: tuple[str, ...] = ()
    services: int = 0
    """About so many; 0: as drawn."""
    style: str = ""

    @property
    def key(self) -> str:
        """What its result is found by."""
        narrowed = (
            *self.kinds,
            *([str(self.services)] if self.services else []),
            *([self.style] if self.style else []),
        )
        return " ".join(
            [f"{self.split}/{self.seed}", self.by, self.fidelity, *["detection"] * self.detect_only, *narrowed]
        )


class KeptTrial(msgspec.Struct):
    """A line of a results file."""

    key: str
    trial: Trial


def run_task(task: Task, settings: Settings) -> Trial:
    """Draw the episode and let it be run."""
    episode = SimulatedEpisode.drawn(
        task.split,
        task.seed,
        kinds=task.kinds,
        services=task.services or None,
        style=task.style or None,
        fidelity=task.fidelity,
    )
    if task.by == "static rules":
        return try_rules(episode)
    if task.by == "restart what alarms":
        return try_rules(episode, restart=True)
    if task.by == "nothing":
        return try_nothing(episode)
    if task.detect_only:
        return try_episode(episode, settings, stages=WATCHING, act=False)
    return try_episode(episode, settings, stages=DECIDING)


class ResultsFile:
    """Trials by key, a line of JSON each. A line that was cut off by a crash is left out, and run again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.trials: dict[str, Trial] = {}
        if path.exists():
            for number, line in enumerate(path.read_bytes().splitlines(), 1):
                try:
                    kept = msgspec.json.decode(line, type=KeptTrial)
                except msgspec.DecodeError as e:
                    if number == 1:
                        raise InvalidSettings(f"{path} is no file of results: {e}", fix="name another file") from e
                    continue
                self.trials[kept.key] = kept.trial

    def keep(self, key: str, trial: Trial) -> None:
        """Add a result, on disk at once."""
        self.trials[key] = trial
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(KeptTrial(key, trial)) + b"\n")


def run_all(tasks: Sequence[Task], settings: Settings, results: ResultsFile, jobs: int) -> Iterator[Task]:
    """Run what has no result yet; each task as it is done."""
    left = [t for t in tasks if t.key not in results.trials]
    if not left:
        return
    if jobs <= 1:
        for task in left:
            results.keep(task.key, run_task(task, settings))
            yield task
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_quiet) as pool:
        under_way: dict[Future[Trial], Task] = {}
        rest = iter(left)
        for task in rest:
            under_way[pool.submit(run_task, task, settings)] = task
            if len(under_way) >= 2 * jobs:
                break
        while under_way:
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                task = under_way.pop(future)
                results.keep(task.key, future.result())
                yield task
                following = next(rest, None)
                if following is not None:
                    under_way[pool.submit(run_task, following, settings)] = following


def _quiet() -> None:
    """Workers neither log each simulated incident nor use more than one core each."""
    import logging

    logging.disable(logging.ERROR)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
