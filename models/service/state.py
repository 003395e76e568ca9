"""State of a bank as named arrays with one row per series, so that growing, evicting and saving are each one loop."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.frames.telemetry import F64


class Slots:
    """Which row of the state belongs to which (service, peer); rows are handed out in order of first sight."""

    def __init__(self, keys: tuple[tuple[str, str], ...] = ()) -> None:
        self.keys: list[tuple[str, str]] = list(keys)
        self._of = {key: i for i, key in enumerate(self.keys)}
        self._last: tuple[tuple[str, ...], tuple[str, ...], NDArray[np.intp]] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, services: tuple[str, ...], peers: tuple[str, ...]) -> NDArray[np.intp]:
        """Rows of these series; unknown ones get new rows. The same tuple as last time costs a comparison only."""
        if self._last is not None and self._last[0] == services and self._last[1] == peers:
            return self._last[2]
        keys = list(zip(services, peers or ("",) * len(services), strict=True))
        found = [self._of.get(key) for key in keys]
        if None in found:
            found = [self._row(key) for key in keys]
        rows = np.array(found, np.intp)
        self._last = (services, peers, rows)
        return rows

    def keep(self, kept: NDArray[np.intp]) -> None:
        """Forget all rows but `kept`, which become rows 0, 1, …"""
        self.__init__(tuple(self.keys[i] for i in kept))  # type: ignore[misc]

    def _row(self, key: tuple[str, str]) -> int:
        row = self._of.get(key)
        if row is None:
            row = self._of[key] = len(self.keys)
            self.keys.append(key)
        return row


@dataclass
class BankState:
    """What a bank knows: one row per series (S), one column per feature (F), one layer per window (W)."""

    n: F64
    """(S, F) observations learnt from."""
    mean: F64
    """(S, F) location, transformed."""
    sigma: F64
    """(S, F) spread around it."""
    share_errors: F64
    share_trials: F64
    """(S, F) decayed errors and trials of ratios."""
    acc: F64
    """(S, F, W) mean departure in each window; for ratios, decayed errors."""
    var: F64
    """(S, F, W) its variance in units of sigma squared, were the noise independent; for ratios, decayed trials."""
    width: F64
    """(S, F, W) how much wider than that it really is."""
    quantile: F64
    excess: F64
    """(S, F, W) where the tail begins, and its mean excess."""
    last: F64
    run: F64
    longest: F64
    """(S, F) last value, how often it has repeated, and the longest run of repeats so far."""
    trials: F64
    """(S,) usual requests per window."""
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

    def append(self, fresh: BankState) -> None:
        """Add the rows of `fresh`."""
        for name, array in self.plain().items():
            setattr(self, name, np.concatenate([array, getattr(fresh, name)]))

    def widen(self, fresh: BankState, old: NDArray[np.intp]) -> None:
        """Take the columns of `fresh` (same rows, more features), keeping what is known: column i goes to `old[i]`."""
        for name, array in self.plain().items():
            if array.ndim > 1:
                wide = getattr(fresh, name)
                wide[:, old] = array
                setattr(self, name, wide)

    def keep(self, kept: NDArray[np.intp]) -> None:
        """Drop all rows but `kept`."""
        for name, array in self.plain().items():
            setattr(self, name, array[kept])

    def copy(self) -> BankState:
        """An independent copy."""
        return BankState(**{name: array.copy() for name, array in self.plain().items()})

    def plain(self) -> dict[str, F64]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
