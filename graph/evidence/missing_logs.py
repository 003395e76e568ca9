"""Log statements that don't come any more although those they always followed do: requests leave the path through the code that they took.

An exception that is caught, a branch that is not taken, a wrong value that is returned: no request fails, none takes longer, and what is
written next to be done is not written. As Nezha has it (Yu et al., FSE 2023), one event is expected from another that it keeps step
with; here by their counts, without following single requests, so it works with whatever logs there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.explained import Muted, served_by, total
from graph.evidence.finding import Finding
from graph.evidence.log_records import accounted, discounted
from graph.evidence.situation import MissingTemplate, Node, Situation
from graph.judgement import (
    MISSING_BEHIND,
    MISSING_BUNCHES,
    MISSING_FROM,
    MISSING_LEAST,
    MISSING_MIX,
    MISSING_MOST,
    MISSING_PER_SIGMA,
    MISSING_SHARE,
    MISSING_SIGMAS,
    MISSING_UNSURE,
)

F64 = NDArray[np.float64]


class TemplateSums(NamedTuple):
    """What one service wrote: `before` and `since` the onset, requests served (place 0) and records of each template; `products[i, j]`, the
    sum over blocks before the onset of the counts of i and j; the `windows` behind each; the texts."""

    before: F64
    products: F64
    since: F64
    windows: tuple[float, float]
    texts: tuple[str, ...]


TOLD: Final = 100
"""Characters of a template that a finding's text shows."""


class _Step(NamedTuple):
    sigmas: float
    gone: float
    template: int
    after: int
    expected: float


def missing_template(sums: TemplateSums, *, by_requests: bool = True) -> MissingTemplate | None:
    """The template of one service of which most is missing, as those it keeps step with go on; None where none is. `by_requests`: whether its
    requests, too, tell how many are due: those of other routes than before do not.

    Of each template the one is chosen, before the onset, that it is proportional to with the least over-dispersion (residual sum of
    squares over the expected count, and of few records that of independent ones); what came of that one since tells how many were due.
    """
    before, since = sums.before, sums.since
    windows, windows_since = sums.windows
    enough = before >= MISSING_LEAST
    enough[0] = enough[0] and by_requests
    if windows <= 0 or windows_since <= 0 or enough.sum() < 2:
        return None
    fell = (np.arange(len(before)) > 0) & enough & (since < (1 - MISSING_SHARE) * before / windows * windows_since)
    found: _Step | None = None
    for i in np.flatnonzero(fell).tolist():
        step = _missing_of(i, sums, enough)
        if step is not None and (found is None or step.sigmas * step.gone > found.sigmas * found.gone):
            found = step
    if found is None:
        return None
    i = found.template
    return MissingTemplate(
        text=sums.texts[i],
        after=sums.texts[found.after],
        expected=found.expected,
        seen=float(since[i]),
        sigmas=found.sigmas,
        usual=float(before[i] / windows),
        now=float(since[i] / windows_since),
    )


def _missing_of(i: int, sums: TemplateSums, enough: NDArray[np.bool_]) -> _Step | None:
    others = enough.copy()
    others[i] = False
    n = np.maximum(sums.before, 1e-9)
    ratio = sums.before[i] / n
    square = np.diagonal(sums.products)
    residual = square[i] - 2 * ratio * sums.products[i] + ratio**2 * square
    # and what independent counts would differ by, as far as these are few
    apart = MISSING_BUNCHES + MISSING_UNSURE * (1 + ratio)
    spread = (np.maximum(residual, 0.0) + apart) / (ratio * n + 1) / np.maximum(1.0, ratio)
    spread[~others] = np.inf
    j = int(spread.argmin())
    expected = float(ratio[j] * sums.since[j])
    if expected < MISSING_FROM:
        return None
    bunches = max(float(spread[j]), MISSING_BUNCHES) * max(1.0, float(ratio[j]))
    variance = bunches * expected * (1 + expected / sums.before[i]) + (MISSING_MIX * expected) ** 2
    sigmas, gone = (expected - sums.since[i]) / variance**0.5, 1 - sums.since[i] / expected
    return _Step(float(sigmas), float(gone), i, j, expected) if gone > MISSING_SHARE else None


def missing_logs(situation: Situation, muted: Muted) -> Iterator[Finding]:
    """Services whose statements are missing, less what callees account for: by calls that fail or take too long, or by what is missing of
    themselves."""
    strengths = {name: s for name, node in situation.nodes.items() if (s := _strength(node)) > 0}
    for name, strength in strengths.items():
        node = situation.nodes[name]
        assert node.missing is not None
        behind = {e.callee: MISSING_BEHIND * strengths.get(e.callee, 0.0) for e in served_by(situation, name)}
        share, by = max(accounted(situation, node, muted), total({n: s / strength for n, s in behind.items()}))
        due = f'"{node.missing.after[:TOLD]}" lets' if node.missing.after else "its requests let"
        text = f'{name} writes "{node.missing.text[:TOLD]}" {node.missing.seen:.0f} times where {due} expect {node.missing.expected:.0f}'
        yield discounted(Finding(name, "missing_logs", strength, text, CauseKind.ERRORS), (share, by))


def _strength(node: Node) -> float:
    """By how surely, and how much of, a statement is missing: by those that it keeps step with, and by the requests."""
    missing = node.missing
    if missing is None:
        return 0.0
    gone = 1 - missing.seen / missing.expected
    requests = node.shifts.get(f.REQUEST_RATE)
    if requests is not None and requests.before > 0 and missing.usual > 0:
        gone = min(gone, 1 - missing.now / missing.usual / max(requests.ratio, 1e-9))
    if gone <= MISSING_SHARE:
        return 0.0
    return min(MISSING_MOST, MISSING_PER_SIGMA * max(0.0, missing.sigmas * gone - MISSING_SIGMAS))
