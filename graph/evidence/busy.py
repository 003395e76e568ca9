"""A processor that is busy with something else than requests: these wait before the service takes them, so that its own spans are as short as
ever, and the time seems to be lost on the way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.finding import Finding
from graph.evidence.local import more_asked, strongest
from graph.evidence.situation import Shift, Situation
from graph.evidence.words import change
from graph.judgement import BUSY_RATIO, TOGETHER_DECADES


def kept_waiting(situation: Situation, found: Iterable[Finding]) -> Iterator[Finding]:
    """The same findings; what is lost on the way to or from a service whose processor is busy, though it is asked for no more, is its doing."""
    for finding in found:
        busy = _busy(situation, finding.service) if finding.kind is CauseKind.NETWORK else None
        if busy is None:
            yield finding
        else:
            text = f"{finding.text}; its processor is busy ({change(busy)}), though it is asked for no more: requests wait for it"
            yield dataclasses.replace(finding, kind=CauseKind.LATENCY, text=text, sure=1.0)


def _busy(situation: Situation, name: str) -> Shift | None:
    node = situation.nodes[name]
    shift = strongest(node, f.CPU, f.CPU_CORES)
    if shift is None or shift.decades < TOGETHER_DECADES or shift.after < BUSY_RATIO * shift.before:
        return None
    return None if more_asked(situation, node) is not None else shift
