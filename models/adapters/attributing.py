"""What each residual adds to how strange a model finds a vector: Shapley values against the vector in which it is as expected."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from contracts.frames.decoded import B1, F64
from models.adapters.normalising import Residuals
from models.shapley import shapley


def newest_vector(seen: Residuals | None, row: int | None) -> F64 | None:
    """The residuals (F,) of a series' row in the newest frame; None where there are none."""
    at = np.flatnonzero(seen.aligned.rows == row) if seen is not None and row is not None else np.empty(0, np.intp)
    return seen.vectors[at[-1]] if seen is not None and len(at) else None


def parts_of(vector: F64, names: Sequence[str], decades: Callable[[F64], F64], seed: int) -> dict[str, float]:
    """Decades by feature of one `vector` (F,) of residuals, in which 0 is "as expected". `decades`: of vectors (n, F) what the model
    says of each. Their sum is what it says of the vector, less what it says where everything is as expected."""
    active = np.flatnonzero(vector)

    def worth(inside: B1) -> F64:
        asked = np.zeros((len(inside), len(vector)))
        asked[:, active] = np.where(inside, vector[active], 0.0)
        return decades(asked)

    values = shapley(worth, len(active), seed)
    return {names[column]: float(value) for column, value in zip(active.tolist(), values, strict=True)}
