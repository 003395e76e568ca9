"""Instances that are sick while others of the same service are well: a trouble of their own, or of what they run on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from contracts import features as f
from contracts.instance_parts import Ailment, name_of
from contracts.verdicts import CauseKind
from graph.evidence.finding import Finding
from graph.evidence.situation import Node, Situation
from graph.judgement import CALLER_LEAST, INSTANCE_APART, INSTANCES_APART, REPLACED_NS, REPLACES

KINDS: Final[Mapping[Ailment, CauseKind]] = {
    Ailment.SLOW: CauseKind.LATENCY,
    Ailment.FAILING: CauseKind.ERRORS,
    Ailment.SILENT: CauseKind.HANG,
}
_WORDS: Final[Mapping[Ailment, str]] = {
    Ailment.SLOW: "slower than before",
    Ailment.FAILING: "failing",
    Ailment.SILENT: "silent",
}


def instances_apart(situation: Situation) -> Iterator[Finding]:
    """Services of which some instances are sick, and others well. One that is silent counts where calls to its service are amiss: instances
    are taken away on purpose, too."""
    for name, node in situation.nodes.items():
        told = node.instances
        if told is None or not told.sick or len(told.sick) == told.known:
            continue
        part, ailment = told.sick[0]
        if ailment is Ailment.SILENT and (_replaced(situation, node) or not _missed(situation, name)):
            continue
        several = f", and {len(told.sick) - 1} more" if len(told.sick) > 1 else ""
        text = f"{name}: of {told.known} instances {name_of(part)}{several} {'are' if several else 'alone is'} {_WORDS[ailment]}"
        yield Finding(name, "instance", INSTANCES_APART if several else INSTANCE_APART, text, KINDS[ailment])


def _missed(situation: Situation, name: str) -> bool:
    """Whether callers wait for it, fail with it, or get no answer."""
    return any(
        e.unanswered or e.strength(f.CALL_ERROR_RATE, f.CALL_LATENCY_P95) > CALLER_LEAST for e in situation.into(name)
    )


def _replaced(situation: Situation, node: Node) -> bool:
    """Whether instances were replaced, or taken away, on purpose around the onset."""
    since_ns = situation.onset_ns - 3 * REPLACED_NS
    return any(c.service == node.name and c.kind in REPLACES and c.time_ns >= since_ns for c in situation.changes)
