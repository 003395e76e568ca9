"""Channels that look at one service: its resources, its logs, its releases. Callees play no part here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from contracts import features as f
from contracts.events import CORDONED, OURSELVES, WELL, Change, fewer
from contracts.room import has_room, queues, usual_seconds
from contracts.verdicts import CauseKind
from graph.evidence.apart import instances_apart
from graph.evidence.finding import Finding
from graph.evidence.flags import flags
from graph.evidence.situation import Edge, Node, Shift, Situation, risen
from graph.evidence.words import change, number
from graph.judgement import (
    BEFELL,
    BEFELL_AGAIN,
    BEFELL_FADES_S,
    BEFELL_FRESH_S,
    BEFELL_MANY,
    CPU_FAR,
    CPU_FAR_SHARE,
    DEMAND_LEAST,
    DEMAND_LOAD,
    DEMAND_MORE,
    LEAST_STRENGTH,
    MEMORY_MORE,
    RELEASE_AFTER_S,
    RELEASE_FADES_S,
    RELEASE_FRESH_S,
    RELEASE_JUST,
    RELEASE_JUST_S,
    RELEASE_STRENGTH,
    TAKES_CAPACITY,
    TOGETHER_DECADES,
)

RELEASES = ("deploy", "rollback", "config")


def strongest(node: Node, *names: str, direction: int = 1) -> Shift | None:
    """Of these features the one with most evidence in `direction`; None without any."""
    found = [node.shifts[n] for n in names if n in node.shifts and node.shifts[n].strength(direction) > LEAST_STRENGTH]
    return max(found, key=lambda s: s.strength(direction), default=None)


def cpu(situation: Situation) -> Iterator[Finding]:
    """CPU far above what is usual; a shortage if the demand has not grown."""
    for node in situation.nodes.values():
        shift = strongest(node, f.CPU, f.CPU_CORES)
        if shift is None:
            continue
        strength = shift.strength()
        if shift.feature == f.CPU and shift.after < CPU_FAR:  # far from its limit: busy, hardly starved
            strength *= CPU_FAR_SHARE + (1.0 - CPU_FAR_SHARE) * max(0.0, shift.after) / CPU_FAR
        yield Finding(node.name, "cpu", strength, f"{node.name}: {change(shift)}", CauseKind.LATENCY)


def memory(situation: Situation) -> Iterator[Finding]:
    """Memory grown beyond what is usual, or containers restarting."""
    for node in situation.nodes.values():
        shift = strongest(node, f.MEMORY, f.MEMORY_BYTES)
        if shift is not None and shift.after > MEMORY_MORE * shift.before:
            yield Finding(node.name, "memory", shift.strength(), f"{node.name}: {change(shift)}", CauseKind.LEAK)
        restarts = strongest(node, f.RESTARTS)
        if restarts is not None and restarts.after > 0:
            yield Finding(
                node.name, "restarts", restarts.strength(), f"{node.name}: {change(restarts)}", CauseKind.CRASH
            )


def more_asked(situation: Situation, node: Node) -> Shift | None:
    """The rate of a service's requests, where it has surely risen, and not because those that failed are made again: as it tells, or, where it
    does not, as its callers' calls do."""
    if node.own and not any(n in node.shifts for n in (f.REQUEST_RATE, f.METRIC_REQUEST_RATE)):
        return _called_more(situation, node)
    rate = strongest(node, f.REQUEST_RATE, f.METRIC_REQUEST_RATE)
    if rate is None or rate.decades < TOGETHER_DECADES:
        return None
    asked = rate.after - _made_again(situation, node) / max(rate.samples, 1.0)
    return rate if asked > DEMAND_MORE * max(rate.before, DEMAND_LEAST) else None


def _made_again(situation: Situation, node: Node) -> float:
    """Requests since the onset that its callers make again: of the calls beyond those that their own requests need as many as fail."""
    fails = max((risen(node.shifts[n]) for n in (f.ERROR_RATE, f.METRIC_ERROR_RATE) if n in node.shifts), default=0.0)
    again = 0.0
    for edge in situation.into(node.name):
        if math.isfinite(edge.per_request_before) and not edge.in_part:
            share = max(fails, failing(edge))
            again += min(max(0.0, edge.made - edge.expected), share * edge.made)
    return again


def failing(edge: Edge) -> float:
    """The share of its calls that fail beyond the usual."""
    failed = edge.shifts.get(f.CALL_ERROR_RATE)
    return 0.0 if failed is None else risen(failed)


def _called_more(situation: Situation, node: Node) -> Shift | None:
    """The rate of all calls to a service, where one caller's has surely risen, and so has that of all. Of the calls beyond those that as many
    requests of its caller as there are by now used to make as many are made again as fail."""
    told = [(e, e.asked) for e in situation.into(node.name) if e.asked is not None and not e.in_part]
    if not told:
        return None
    surest = max((rate for _, rate in told), key=lambda r: (r.strength(), r.decades))
    before = math.fsum(rate.before for _, rate in told if math.isfinite(rate.before))
    after = math.fsum(rate.after for _, rate in told)
    again = math.fsum(_called_again(situation, edge, rate) for edge, rate in told)
    if surest.decades < TOGETHER_DECADES or after - again <= DEMAND_MORE * max(before, DEMAND_LEAST):
        return None
    return msgspec.structs.replace(surest, before=before, after=after)


def _called_again(situation: Situation, edge: Edge, rate: Shift) -> float:
    """Calls of a window that a caller makes again."""
    did = situation.nodes[edge.caller].shifts.get(f.REQUEST_RATE)
    due = 0.0
    if did is not None and did.before > 0 and math.isfinite(rate.before):
        due = rate.before * did.after / did.before
    return min(max(0.0, rate.after - due), failing(edge) * rate.after)


def lost_capacity(situation: Situation, service: str) -> str:
    """What took instances of a service away around the onset; "" where nothing did."""
    around = (c for c in situation.changes if c.service == service and _fresh(situation, c) >= 1.0)
    found = [c for c in around if (c.kind in TAKES_CAPACITY and _befell(c)) or fewer(c)]
    return found[-1].text or found[-1].kind if found else ""


def _has_room(node: Node, rate: Shift) -> bool:
    """Whether the demand of now would leave a service room, if each request took as much of its CPU as before: then what it suffers from
    is not how much it is asked for."""
    cpu_ = node.shifts.get(f.CPU)
    return cpu_ is not None and has_room(cpu_.before, rate.ratio)


def _took(node: Node) -> float:
    """Seconds that a service's requests took before the onset, in the mean; NaN where that is not known."""
    pairs = ((f.LATENCY_P50, f.LATENCY_P95), (f.METRIC_LATENCY_P50, f.METRIC_LATENCY_P95))
    told = [tuple(node.shifts[n].before for n in pair) for pair in pairs if all(n in node.shifts for n in pair)]
    known = [seconds for median, p95 in told if not math.isnan(seconds := usual_seconds(median, p95))]
    return max(known, default=math.nan)


def demand(situation: Situation) -> Iterator[Finding]:
    """More requests than usual at a service that also runs slow, hot or full: it is asked for more than it can do. Failures
    alone do not say so: a service that fails is asked again."""
    for node in situation.nodes.values():
        rate = more_asked(situation, node)
        if rate is None:
            continue
        if _has_room(node, rate) or not queues(rate.after, _took(node)):
            continue
        slow = 0.0 if node.mix.excuses else node.strength(f.LATENCY_P95, f.METRIC_LATENCY_P95)
        if rate.feature == f.CALL_RATE:  # of a service that tells of no requests its callers say how long they take
            slow = max(e.strength(f.CALL_LATENCY_P95) for e in situation.into(node.name))
        load = max(slow, node.strength(f.CPU, f.CPU_CORES, f.POOL_WAIT, f.QUEUE_LAG))
        if load > DEMAND_LOAD:
            text = (
                f"{node.name} serves {number(rate.feature, rate.after)} instead of {number(rate.feature, rate.before)}"
            )
            yield Finding(node.name, "demand", min(rate.strength(), load), text, CauseKind.SATURATION)


def releases(situation: Situation) -> Iterator[Finding]:
    """A new version or configuration shortly before the onset."""
    for change_ in situation.changes:
        if change_.kind not in RELEASES or change_.actor == OURSELVES:
            continue
        age_s = situation.made_s(change_)
        if age_s < -RELEASE_AFTER_S:
            continue
        to = f" to {change_.after}" if change_.after else ""
        fresh = RELEASE_JUST if age_s <= RELEASE_JUST_S else 1.0
        strength = fresh * RELEASE_STRENGTH * 0.5 ** (max(0.0, age_s - RELEASE_FRESH_S) / RELEASE_FADES_S)
        when = f"{age_s:.0f} s before the onset" if age_s >= 1 else "at the onset"
        yield Finding(
            change_.service, "release", strength, f"{change_.service}: {change_.kind}{to} {when}", CauseKind.BAD_RELEASE
        )


def shrunk(situation: Situation) -> Iterator[Finding]:
    """Instances taken away shortly before the onset, by whoever scaled: too few may be left for what is asked."""
    for change_ in situation.changes:
        if change_.actor == OURSELVES or not fewer(change_):
            continue
        age_s = situation.made_s(change_)
        if age_s < -RELEASE_AFTER_S:
            continue
        strength = RELEASE_STRENGTH * 0.5 ** (max(0.0, age_s - RELEASE_FRESH_S) / RELEASE_FADES_S)
        text = f"{change_.service} has {change_.after} instances instead of {change_.before}, since {max(0.0, age_s):.0f} s before the onset"
        yield Finding(change_.service, "shrunk", strength, text, CauseKind.SATURATION)


def instances(situation: Situation) -> Iterator[Finding]:
    """What befell a service's instances around the onset: restarts, OOM kills, evictions, failed starts and probes, node trouble.

    By themselves they blame nobody (instances come and go); with symptoms of the same service they tell the mechanism.
    """
    for service, kind in dict.fromkeys((c.service, c.kind) for c in situation.changes if c.kind in BEFELL):
        found = [c for c in situation.changes if (c.service, c.kind) == (service, kind) and _befell(c)]
        if not found:
            continue
        weight, mechanism = BEFELL[kind]
        spoken = [weight * _fresh(situation, c) for c in found]
        best = max(range(len(found)), key=lambda i: (spoken[i], found[i].time_ns))
        strength = min(BEFELL_MANY * weight, spoken[best] + BEFELL_AGAIN * (sum(spoken) - spoken[best]))
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        yield Finding(service, kind, strength, f"{service}: {found[best].text or kind}{more}", mechanism)


def _befell(change_: Change) -> bool:
    """Whether it happened to the service: what somebody asked for (a rolling restart, also by us) is no sign of trouble, nor is a
    node that is well again or set aside."""
    if change_.kind == "restart":
        return change_.actor in ("", "kubelet")
    return not (change_.kind == "node" and change_.after in (WELL, CORDONED))


def _fresh(situation: Situation, change_: Change) -> float:
    age_s = situation.age_s(change_)
    return 1.0 if age_s <= BEFELL_FRESH_S else 0.5 ** ((age_s - BEFELL_FRESH_S) / BEFELL_FADES_S)


CHANNELS: Final[tuple[Callable[[Situation], Iterator[Finding]], ...]] = (
    cpu,
    memory,
    demand,
    releases,
    flags,
    shrunk,
    instances,
    instances_apart,
)


def local(situation: Situation) -> Iterator[Finding]:
    """What all channels that look at one service say, in a fixed order."""
    for channel in CHANNELS:
        yield from channel(situation)
