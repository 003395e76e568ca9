"""Services that fall silent while somebody complains of them: error records name whom they could not reach. Where a caller tells of itself by
logs alone nothing else says whom it calls.

Alone such a text proves nothing: it may name anybody. It does beside the silence of the one that it names, of whom nothing has been told since.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.finding import Finding
from graph.evidence.situation import Node, Situation, risen
from graph.judgement import COMPLAINTS_ENOUGH, COMPLAINTS_PATIENCE_NS, HUSHED_LEFT, SILENCE_WEIGHT

_WORDS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*[A-Za-z0-9]")
_WAITED: Final = re.compile(r"time[d\s-]*out|timeout|deadline|does not answer|no (?:answer|response)", re.IGNORECASE)
_TOLD: Final = 120
"""Characters of a text that a finding shows."""


def named_in(texts: Iterable[str], speaker: str, services: Iterable[str]) -> dict[str, str]:
    """Which of the services texts name by their last part, in full or as the first label of a host, each with the last text that does; the
    speaker's neighbour where several bear a name, nobody where none of them is."""
    by_word: dict[str, list[str]] = {}
    for name in services:
        if name != speaker:
            by_word.setdefault(name.rsplit("/", 1)[-1].lower(), []).append(name)
    space, found = speaker.rpartition("/")[0], dict[str, str]()
    for text in texts:
        for word in _WORDS.findall(text):
            bearers = by_word.get(word.lower()) or by_word.get(word.lower().partition(".")[0]) or []
            near = [n for n in bearers if n.rpartition("/")[0] == space] or bearers
            if len(near) == 1:
                found[near[0]] = text
    return found


def complained_of(situation: Situation) -> Iterator[Finding]:
    """Services that have been silent since the onset, and that others name in more error records than usual."""
    for node in situation.nodes.values():
        records = _records(node) if node.complaints else 0.0
        if records < COMPLAINTS_ENOUGH:
            continue
        for name, text in node.complaints.items():
            target = situation.nodes.get(name)
            if target is None or not _hushed(situation, target, node):
                continue
            strength = SILENCE_WEIGHT * math.log1p(records**0.5)
            kind = CauseKind.HANG if _WAITED.search(text) else CauseKind.CRASH
            told = f'nothing has come of {name} since the onset, while {node.name} writes {records:.0f} error records more, as "{text[:_TOLD]}"'
            yield Finding(name, "silence", strength, told, kind, peer=node.name)


def explained_by_silence(node: Node, muted: Mapping[str, float], least: float) -> str:
    """Who is silent of those that a service complains of; "" where nobody is."""
    return next((name for name in node.complaints if muted.get(name, 0.0) > least), "")


def _records(node: Node) -> float:
    """Error records since the onset beyond the usual."""
    share = node.shifts.get(f.LOG_ERROR_RATE)
    return risen(share) * share.samples if share is not None else 0.0


def _hushed(situation: Situation, node: Node, speaker: Node) -> bool:
    """Whether a service that served before tells of nothing since the onset, for longer than it is usually late, or of hardly any of the requests that
    would be due in the time that is known of the `speaker`; and nobody has been answered by it."""
    if not node.own or node.observer or not node.known_ns:
        return False
    if any(e.observed > 0.0 for e in situation.into(node.name)):
        return False
    rate = node.shifts.get(f.REQUEST_RATE) or node.shifts.get(f.METRIC_REQUEST_RATE)
    is_late = situation.now_ns - node.known_ns < node.late_ns + COMPLAINTS_PATIENCE_NS
    if rate is None or not rate.samples > 0:
        return node.known_ns <= situation.onset_ns and not is_late
    windows = speaker.shifts[f.LOG_RATE].samples if f.LOG_RATE in speaker.shifts else 0.0
    if is_late:  # of what came since nothing is due yet
        windows *= max(0.0, node.known_ns - situation.onset_ns) / max(1.0, situation.now_ns - situation.onset_ns)
    return rate.before > 0.0 and rate.after * rate.samples <= HUSHED_LEFT * rate.before * max(windows, rate.samples)
