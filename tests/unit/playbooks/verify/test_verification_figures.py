"""How often verification is wrong, by kind of episode, on seeds that nothing was tuned on. The bounds are bars, not what is reached."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from contracts.units import SECOND
from contracts.verdicts import Outcome
from playbooks.language.model import Check, Verify
from playbooks.verify import Intervention, Verification, Verifier
from tests.unit.playbooks.verify.episodes import KINDS, T0, episode, window

SEEDS = range(5000, 5016)
RIGHT = {"mended": Outcome.BETTER, "ended": Outcome.INCONCLUSIVE, "same": Outcome.SAME}


def verified(kind: str, seed: int) -> tuple[str, Verification, float]:
    """The truth of an episode, what verification says of it, and when, seconds after the action."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    found = episode(kind, rng)
    when = Intervention(T0 + found.onset_s * SECOND, T0, T0)
    verifier = Verifier(Verify((Check("error_rate"), Check("latency_p95")), 2.0, 60.0), "cart", (), when)
    for second in range(-60, 62):
        verifier.observe(window(found, second, rng))
        said = verifier.verdict(T0 + int((second + 1.3) * SECOND)) if second >= 0 else None
        if said is not None:
            return found.truth, said, second + 1.3
    raise AssertionError("no verdict at the limit")


@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_is_right_and_early(kind: str) -> None:
    found = [verified(kind, seed) for seed in SEEDS]
    said = Counter(v.outcome for _, v, _ in found)
    right = said[RIGHT[found[0][0]]] / len(found)
    if kind == "pauses by itself":  # how long is longer than by itself? better is not believed soon, and teaches little
        assert sum(v.credit for _, v, _ in found if v.outcome is Outcome.BETTER) <= 0.3 * len(found), said
        return
    assert right >= 0.8, said
    limit = 12.0 if kind.startswith("fails") else 9.0 if found[0][0] == "same" else 6.0
    assert sorted(t for _, _, t in found)[len(found) // 2] <= limit
