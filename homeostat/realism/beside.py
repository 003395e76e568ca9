"""One comparison: the real shop is measured, drawn ones are run to the same plan, and their laws are laid beside each other."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeostat.realism.compared import LawCompared, compared
from homeostat.realism.course import ShopCourse
from homeostat.realism.drawn_shop import DrawnShop
from homeostat.realism.real_shop import Say, measured

_USUAL_START: Final = 1.1
"""Times its plan's `start_s` that a drawn process takes to start, in the mean."""


@dataclass(frozen=True, slots=True)
class LawsBeside:
    """Both sides, and what came of laying them beside each other."""

    real: ShopCourse
    drawn: Sequence[ShopCourse]
    laws: Sequence[LawCompared]


def laid_beside(seed: int, say: Say) -> LawsBeside:
    """Minutes of real time, and seconds for the drawn ones."""
    with tempfile.TemporaryDirectory(prefix="homeostat-realism-") as folder:
        real = asyncio.run(measured(Path(folder), say))
    return beside_drawn(real, seed)


def beside_drawn(real: ShopCourse, seed: int) -> LawsBeside:
    """A real course beside drawn ones, whose processes take as long to start as its did."""
    start_s = statistics.median(real.start_s) / _USUAL_START
    drawn = [DrawnShop(fidelity, seed, start_s).run() for fidelity in ("request", "window")]
    return LawsBeside(real, drawn, compared(real, drawn))
