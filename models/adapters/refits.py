"""Fitting of models beside the loop: a process of its own takes what is to be learnt from and gives back a fitted model.

One worker for all detectors and forecasters of this process, started when the first fit is due. A fit is asked for at one time of events and
taken into use a fixed span later, so that what is detected doesn't depend on how fast the machine is; only where a fit takes longer than that
does the loop wait for it.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final, TypeVar

import numpy as np

from contracts.frames.decoded import F64
from contracts.supervision import SupervisedThread
from models.adapters.recipes import Recipe

T = TypeVar("T")
_LIVES: Final = 3
"""Workers that may die of a fit, or of others before it, until it is given up."""
_LOCK = threading.Lock()
_POOL: list[Executor] = []


def fitted(recipe: Recipe, vectors: F64, seed: int) -> tuple[Any, F64]:
    """A model fitted to every other vector, and its scores of the rest, sorted: what is calm."""
    train, held_out = vectors[::2], vectors[1::2]
    # noise far below a deviation, so that a feature that never moves has no zero variance
    jitter = np.random.default_rng(seed).normal(0.0, 1e-3, train.shape)
    model = recipe.make(seed=seed).fit(train + jitter)
    return model, np.sort(np.asarray(model.decision_function(held_out), np.float64))


def submit(work: Callable[..., T], *given: Any) -> Future[T]:
    """Do `work` in the worker; where it died, in a new one."""
    with _LOCK:
        for attempt in (1, 2):
            if not _POOL:
                # spawn: a fork of a process with threads may hang in their locks
                context = multiprocessing.get_context("spawn")
                _POOL.append(ProcessPoolExecutor(1, mp_context=context, initializer=_end_with_parent))
            try:
                return _POOL[0].submit(work, *given)
            except BrokenProcessPool:
                _POOL.pop().shutdown(wait=False)
                if attempt == 2:
                    raise
    raise AssertionError("unreachable")


def _end_with_parent() -> None:
    """A worker whose parent was killed has nobody left to tell it to end."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        SupervisedThread("end of the parent", lambda: _end_after(parent)).start()


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)


def result(fit: Future[T], work: Callable[..., T], *given: Any) -> T:
    """What a fit gave; done here and now where its worker died.

    Raises:
        InvalidSettings: no such class, or not these parameters.
    """
    try:
        return fit.result()
    except BrokenProcessPool:
        with _LOCK:
            while _POOL:
                _POOL.pop().shutdown(wait=False)
        return work(*given)


def survived(fit: Future[T], work: Callable[..., T], *given: Any) -> T | None:
    """What a fit gave, for work that may kill its worker: tried again, in a new one, where it died of another's; None where every one died."""
    for _ in range(_LIVES):
        try:
            return fit.result()
        except (BrokenProcessPool, CancelledError):
            fit = submit(work, *given)
    return None
