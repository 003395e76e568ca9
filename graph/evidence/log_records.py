"""Channels of logs: error records beyond the usual, texts never seen before, more or fewer records for each request.

A caller whose callee fails, falls silent or writes errors itself logs that too: what callees account for is not its own. And a service
can't be blamed without bound for what it writes, however long it goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.complaints import explained_by_silence
from graph.evidence.explained import Muted, calls_per_request, lost_to_others, served_by, total
from graph.evidence.finding import Finding
from graph.evidence.local import strongest
from graph.evidence.silence import ERRORS
from graph.evidence.situation import Edge, Node, Situation, risen
from graph.evidence.words import change
from graph.judgement import (
    CALLEE_LEAST,
    LOG_ERRORS_MOST,
    MIX,
    MOSTLY,
    NEW_LOGS_MOST,
    RECORDS_ENOUGH,
    RECORDS_MORE,
    RECORDS_OF_A_FAILURE,
    RECORDS_PER_SIGMA,
    RECORDS_REQUESTS,
    RECORDS_SIGMAS,
    SHAPE_LESS,
    SHAPE_MORE,
    SHAPE_MOST,
    SHAPE_PER_SIGMA_LESS,
    SHAPE_PER_SIGMA_MORE,
    SHAPE_SIGMAS,
    SILENT_EXPLAINS,
    SILENT_FROM,
    TIMEOUT_S,
    UNEXPLAINED,
)


class Records(NamedTuple):
    """Error records for each served request, before and after the onset, and the requests since."""

    before: float
    after: float
    served: float

    @property
    def extra(self) -> float:
        """Records beyond the usual, for each request."""
        return max(0.0, self.after - self.before)


def log_records(situation: Situation, muted: Muted) -> Iterator[Finding]:
    """What all channels of logs say, in a fixed order."""
    yield from errors_logged(situation, muted)
    yield from log_shape(situation)


def errors_logged(situation: Situation, muted: Muted) -> Iterator[Finding]:
    """More error records than usual (as a share of all records, or for each served request), or texts never seen before, less what
    callees account for."""
    for node in situation.nodes.values():
        found = _error_records(node)
        shift = strongest(node, f.LOG_ERROR_RATE)
        if found is None and shift is not None and not _counts_requests(node):
            strength = min(LOG_ERRORS_MOST, shift.strength())
            found = Finding(node.name, "log_errors", strength, f"{node.name}: {change(shift)}", CauseKind.ERRORS)
        fresh = strongest(node, f.NEW_LOG_TEMPLATES)
        texts = bool(fresh is not None and node.templates)
        if found is None and not texts:
            continue
        explained = accounted(situation, node, muted)
        if found is not None:
            yield discounted(found, explained)
        if fresh is not None and texts:
            text = f'{node.name} logs something new: "{node.templates[0][:120]}"'
            strength = min(NEW_LOGS_MOST, fresh.strength())
            yield discounted(Finding(node.name, "new_logs", strength, text, CauseKind.ERRORS), explained)


def records_of(node: Node) -> Records | None:
    """Error records per request; None where either is not counted."""
    share, records, requests = (node.shifts.get(n) for n in (f.LOG_ERROR_RATE, f.LOG_RATE, f.REQUEST_RATE))
    if share is None or records is None or requests is None or not (requests.before > 0 and requests.after > 0):
        return None
    before = share.before * records.before / requests.before
    served = requests.after * requests.samples
    if math.isnan(before) or served < RECORDS_REQUESTS:
        return None
    return Records(before, share.after * records.after / requests.after, served)


def _error_records(node: Node) -> Finding | None:
    """Error records per served request against before, as counts of a Poisson variable."""
    found, requests = records_of(node), node.shifts.get(f.REQUEST_RATE)
    if found is None or requests is None or found.after <= RECORDS_MORE * found.before:
        return None
    z = 2 * ((found.after * found.served + 0.375) ** 0.5 - (found.before * found.served + 0.375) ** 0.5)
    if z <= RECORDS_SIGMAS:
        return None
    text = f"{node.name} writes {found.after:.2g} error records per request instead of {found.before:.2g}"
    sure = min(LOG_ERRORS_MOST, RECORDS_PER_SIGMA * (z - RECORDS_SIGMAS))
    strength = sure * min(1.0, found.extra / RECORDS_ENOUGH) * requests.known
    return Finding(node.name, "log_errors", strength, text, CauseKind.ERRORS)


def _counts_requests(node: Node) -> bool:
    """Whether error records can be set against served requests, which come in fewer bunches than records do."""
    requests = node.shifts.get(f.REQUEST_RATE)
    return requests is not None and requests.before > 0 and requests.after * requests.samples >= RECORDS_REQUESTS


def accounted(situation: Situation, node: Node, muted: Muted) -> tuple[float, str]:
    """Share of what a service writes otherwise than usual that its callees account for, and the one that accounts for most."""
    mine = records_of(node)
    by_calls = total({e.callee: _accounts(situation, e, mine, muted) for e in served_by(situation, node.name)})
    silent = explained_by_silence(node, muted, SILENT_FROM)
    return max(by_calls, (SILENT_EXPLAINS, silent)) if silent else by_calls


def _accounts(situation: Situation, edge: Edge, mine: Records | None, muted: Muted) -> float:
    """Share of a caller's extra error records that a callee accounts for: by calls that failed or were not answered, by what it
    logs itself, by making its callers wait for time-outs."""
    callee = situation.nodes[edge.callee]
    if muted.get(edge.callee, 0.0) > SILENT_FROM:
        return SILENT_EXPLAINS
    calls = calls_per_request(situation, edge)
    extra = max(mine.extra if mine is not None else _seen_to_fail(situation, edge.caller), 1e-6)
    gain = calls * lost_to_others(situation, edge) * RECORDS_OF_A_FAILURE / extra
    failing = edge.shifts.get(f.CALL_ERROR_RATE) or strongest(callee, *ERRORS)
    if failing is not None and failing.strength() > CALLEE_LEAST:
        gain = max(gain, calls * risen(failing) * RECORDS_OF_A_FAILURE / extra)
    if edge.blamed > CALLEE_LEAST and mine is not None:
        failed = edge.blamed * max(situation.nodes[edge.caller].risen(*ERRORS) or 0.0, 0.0)
        gain = max(gain, failed * RECORDS_OF_A_FAILURE / extra)
    if edge.unanswered and mine is not None:
        gain = max(gain, edge.unanswered / mine.served * RECORDS_OF_A_FAILURE / extra)
    theirs = records_of(callee)
    if theirs is not None and mine is not None and theirs.extra > 0:
        gain = max(gain, calls * theirs.extra / extra)
    waits = edge.shifts.get(f.CALL_LATENCY_P95)
    if waits is not None and waits.after - waits.before > TIMEOUT_S:
        gain = max(gain, SILENT_EXPLAINS * min(1.0, waits.strength()))
    return min(1.0, gain)


def _seen_to_fail(situation: Situation, name: str) -> float:
    """The share of a service's requests beyond the usual that its callers see fail, who are the only ones to tell; all where none does."""
    seen = [e.shifts[f.CALL_ERROR_RATE] for e in situation.into(name) if f.CALL_ERROR_RATE in e.shifts]
    return max((risen(s) for s in seen if s.strength() > CALLEE_LEAST), default=1.0)


def discounted(finding: Finding, explained: tuple[float, str]) -> Finding:
    """A finding less the share that callees account for."""
    share, by = explained
    left = finding.strength * max(UNEXPLAINED, 1.0 - share)
    if share < MOSTLY:
        return Finding(finding.service, finding.channel, left, finding.text, finding.kind)
    text = f"{finding.text}, of which {by} accounts for {100 * share:.0f} %"
    return Finding(finding.service, finding.channel, left, text, finding.kind, by)


def log_shape(situation: Situation) -> Iterator[Finding]:
    """More or fewer log records per served request than usual: requests take another path through the code. Those of other routes do so as well,
    and say nothing."""
    for node in situation.nodes.values():
        records, requests = node.shifts.get(f.LOG_RATE), node.shifts.get(f.REQUEST_RATE)
        if (
            records is None
            or requests is None
            or not (records.before > 0 and requests.before > 0 and requests.after > 0)
            or node.mix.otherwise
        ):
            continue
        before, after = records.before / requests.before, records.after / requests.after
        expected = before * requests.after * requests.samples
        seen = records.after * records.samples
        # Records come in bunches (several per request), so their count is over-dispersed by about that bunch; and what is asked for
        # varies in proportion, however many requests there are.
        variance = 2 * max(1.0, before) * max(expected, 1.0) + (MIX * expected) ** 2
        z = abs(seen - expected) / variance**0.5
        factor = max(after, 1e-3) / before
        if z > SHAPE_SIGMAS and not SHAPE_LESS < factor < SHAPE_MORE:
            text = f"{node.name} writes {after:.2g} log records per request instead of {before:.2g}"
            # Work left out is what faults do; more work is mostly another mix of requests.
            strength = (
                min(SHAPE_MOST, (SHAPE_PER_SIGMA_LESS if factor < 1 else SHAPE_PER_SIGMA_MORE) * z) * requests.known
            )
            yield Finding(node.name, "log_shape", strength, text, CauseKind.ERRORS if factor < 1 else None)
