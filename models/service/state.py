"""State of a bank as named arrays over its series, so that growing, evicting and saving are each one loop.

In memory the series (S) are the last, contiguous axis behind features (F) and windows (W): what is done to all series of a
feature then runs through memory without a jump, and what is one per series broadcasts at no cost. Snapshots hold the
arrays the other way round, one row per series.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import F64
from models.service.columns import WINDOWS, Columns
from models.service.tuning import WIDTH_PRIOR

SHARES = ("held_errors", "held_trials", "held_s", "aside_errors", "aside_trials", "over", "worst")
EBB = ("ebb", "back", "ebb_due", "ebb_came", "ebb_windows", "ebb_sudden")
LATELY = 16
"""Groups of series remembered as they came in one frame: a window comes in about as many frames as there are delays."""


class Slots:
    """Which row of the state belongs to which (service, peer); rows are handed out in order of first sight."""

    def __init__(self, keys: tuple[tuple[str, str], ...] = ()) -> None:
        self.keys: list[tuple[str, str]] = list(keys)
        self._of = {key: i for i, key in enumerate(self.keys)}
        self._lately: dict[tuple[tuple[str, ...], tuple[str, ...]], NDArray[np.intp]] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, services: tuple[str, ...], peers: tuple[str, ...]) -> NDArray[np.intp]:
        """Rows of these series; unknown ones get new rows. The same series as lately cost one look-up together."""
        found = self._lately.get((services, peers))
        if found is None:
            keys = zip(services, peers or ("",) * len(services), strict=True)
            found = np.array([self._row(key) for key in keys], np.intp)
            if len(self._lately) >= LATELY:
                del self._lately[next(iter(self._lately))]
            self._lately[services, peers] = found
        return found

    def find(self, service: str, peer: str) -> int | None:
        """The row of a series, or None."""
        return self._of.get((service, peer))

    def keep(self, kept: NDArray[np.intp]) -> None:
        """Forget all rows but `kept`, which become rows 0, 1, …"""
        self.keys = [self.keys[i] for i in kept]
        self._of = {key: row for row, key in enumerate(self.keys)}
        self._lately.clear()

    def _row(self, key: tuple[str, str]) -> int:
        row = self._of.get(key)
        if row is None:
            row = self._of[key] = len(self.keys)
            self.keys.append(key)
        return row


@dataclass
class BankState:
    """What a bank knows of each series (S), feature (F) and window (W)."""

    n: F64
    """(F, S) observations learnt from."""
    mean: F64
    """(F, S) location, transformed."""
    sigma: F64
    """(F, S) spread around it."""
    share_errors: F64
    share_trials: F64
    """(F, S) decayed errors and trials of ratios."""
    held_errors: F64
    held_trials: F64
    held_s: F64
    aside_errors: F64
    aside_trials: F64
    """(F, S) of shares: failures and requests that are held before they are known, for how long, and those held before them."""
    over: F64
    worst: F64
    """(F, S) of shares: nats by which what was suspected is over, and the share of its run when evidence for it last grew."""
    acc: F64
    """(W, F, S) mean departure in each window; for shares, what each test says (`models.service.failing`)."""
    raw: F64
    """(W, F, S) the same without bounds: what is told of a departure; for shares, failures of the tests' runs."""
    var: F64
    """(W, F, S) its variance in units of sigma squared, were the noise independent; for shares, requests of the tests' runs."""
    width: F64
    """(W, F, S) how much wider than that it really is."""
    quantile: F64
    excess: F64
    """(W, F, S) where the tail begins, and its mean excess."""
    last: F64
    run: F64
    longest: F64
    """(F, S) last value, how often it has repeated, and the longest run of repeats so far."""
    trials: F64
    """(S,) usual requests per window."""
    pace: F64
    """(S,) windows from one observation to the next, usually."""
    age: F64
    """(S,) windows since first seen."""
    hot: F64
    """(S,) windows with strong evidence lately."""
    deploy: F64
    """(S,) windows left of a new version's grace."""
    silent: F64
    missed: F64
    longest_silence: F64
    """(S,) empty windows in a row, requests missed in them, and the longest such run so far."""
    dispersion: F64
    """(S,) variance over mean of the request count."""
    dip: F64
    longest_dip: F64
    """(S,) windows in a row with far fewer requests than usual, and the longest such run that ended by itself."""
    ebb: F64
    back: F64
    ebb_due: F64
    ebb_came: F64
    ebb_windows: F64
    ebb_sudden: F64
    """(S,) nats by which requests have become fewer and by which they are back, and of that run the requests that were due, that came, its
    windows, and whether it began suddenly (`models.service.ebb`)."""

    def append(self, fresh: BankState) -> None:
        """Add the series of `fresh`."""
        for name, array in self._arrays().items():
            setattr(self, name, np.concatenate([array, getattr(fresh, name)], axis=-1))

    def widen(self, fresh: BankState, old: NDArray[np.intp]) -> None:
        """Take the columns of `fresh` (same series, more features), keeping what is known: column i goes to `old[i]`."""
        for name, array in self._arrays().items():
            if array.ndim > 1:
                wide = getattr(fresh, name)
                wide[..., old, :] = array
                setattr(self, name, wide)

    def keep(self, kept: NDArray[np.intp]) -> None:
        """Drop all series but `kept`."""
        for name, array in self._arrays().items():
            setattr(self, name, np.ascontiguousarray(array[..., kept]))

    def of_rows(self, rows: NDArray[np.intp]) -> BankState:
        """A copy of some series."""
        return BankState(**{name: array.take(rows, axis=-1) for name, array in self._arrays().items()})

    def put(self, rows: NDArray[np.intp], part: BankState) -> None:
        """Take back what `of_rows` gave."""
        for name, array in self._arrays().items():
            array[..., rows] = getattr(part, name)

    def plain(self) -> dict[str, F64]:
        """The arrays by name, one row per series: (S,), (S, F) or (S, F, W)."""
        return {name: array.T for name, array in self._arrays().items()}

    @classmethod
    def of(cls, plain: dict[str, F64]) -> BankState:
        """Inverse of `plain`."""
        plain = {"raw": plain["acc"], **plain}  # not in states of before there were such means
        for name in SHARES:
            plain.setdefault(name, np.zeros_like(plain["n"]))
        plain.setdefault("pace", np.ones_like(plain["age"]))
        for name in ("dip", "longest_dip", *EBB):  # of before dips were told apart from drops, and these were tested
            plain.setdefault(name, np.zeros_like(plain["age"]))
        return cls(**{name: np.ascontiguousarray(array.T) for name, array in plain.items()})

    def _arrays(self) -> dict[str, F64]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def fresh_state(series: int, columns: Columns) -> BankState:
    """State of `series` of which nothing is known."""
    shape, cube = (len(columns), series), (len(WINDOWS), len(columns), series)
    width = np.where(columns.ratio[:, None], 1.0, WIDTH_PRIOR[:, None, None])
    heavy = np.where(columns.heavy, 1.9, 2.0)
    return BankState(
        n=np.zeros(shape),
        mean=np.zeros(shape),
        sigma=np.broadcast_to(columns.sigma[:, None], shape).copy(),
        share_errors=np.zeros(shape),
        share_trials=np.zeros(shape),
        **{n: np.zeros(shape) for n in SHARES},
        acc=np.zeros(cube),
        raw=np.zeros(cube),
        var=np.zeros(cube),
        width=np.broadcast_to(width, cube).copy(),
        quantile=np.broadcast_to(heavy[:, None], cube).copy(),
        excess=np.full(cube, 0.45),
        last=np.full(shape, np.nan),
        run=np.zeros(shape),
        longest=np.zeros(shape),
        trials=np.zeros(series),
        pace=np.ones(series),
        age=np.zeros(series),
        hot=np.zeros(series),
        deploy=np.zeros(series),
        silent=np.zeros(series),
        missed=np.zeros(series),
        longest_silence=np.zeros(series),
        dispersion=np.ones(series),
        dip=np.zeros(series),
        longest_dip=np.zeros(series),
        **{n: np.zeros(series) for n in EBB},
    )
