"""What happens to pods: ended containers, evictions, no place to run, deletions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from connectors.kubernetes.diff.context import DiffContext
from connectors.kubernetes.objects import ConditionMark, Container, Pod
from contracts.events import Change

_UNSTARTABLE: Final = {
    "ErrImagePull": "its image can't be pulled",
    "ImagePullBackOff": "its image can't be pulled",
    "ErrImageNeverPull": "its image can't be pulled",
    "InvalidImageName": "its image can't be pulled",
    "CreateContainerConfigError": "its configuration can't be found",
    "CreateContainerError": "it can't be created",
    "RunContainerError": "it can't be started",
}
_NEW: Final = Container("")
_SIGNALS: Final = frozenset({130, 137, 143})
"""Exit codes of what was ended by SIGINT, SIGKILL, SIGTERM: 128 and the number of the signal."""


def pod_changes(old: Pod | None, new: Pod | None, context: DiffContext) -> list[Change]:
    """Restarts and OOM kills, containers that can't start, evictions, pods that fit nowhere."""
    if new is None:
        return []
    return [
        *_ended(old, new, context),
        *_unstartable(old, new, context),
        *_evicted(old, new, context),
        *_unschedulable(old, new, context),
    ]


def deletion(pod: Pod, context: DiffContext, replaced_ns: int = 0) -> Change:
    """A pod that somebody deleted although its controller wants it: who did, the API server does not tell.

    `replaced_ns`: when its replacement was made; 0 while there is none.
    """
    return context.change(
        pod.service,
        "restart",
        f"pod {pod.head.name} was deleted and is {'' if replaced_ns else 'not yet '}replaced",
        time_ns=pod.leaving_ns or replaced_ns,
        subject=pod.head.place,
    )


def _ended(old: Pod | None, new: Pod, context: DiffContext) -> Iterator[Change]:
    before = {c.name: c for c in old.containers} if old else {}
    for now in new.containers:
        was = before.get(now.name, _NEW)
        if now.ended_ns <= was.ended_ns and not (now.restarts > was.restarts and not now.ended_ns):
            continue  # it is the end that was told, or none at all
        done = now.exit_code == 0 and now.ended and now.restarts == was.restarts
        if done or (old is None and not now.ended_ns):
            continue  # it has done its work; or it restarted before anybody looked
        if _stopped(new, now) or (now.sidecar and now.restarts == was.restarts and _over(new)):
            continue
        yield _end(new, now, context)


def _stopped(pod: Pod, container: Container) -> bool:
    """Whether it ended because its pod goes: by a signal, with an error on its way out, or with a sidecar's last word. That it
    ran out of memory, or failed before anybody asked the pod to go, is something else."""
    if not pod.leaving_ns or container.ended == "OOMKilled":
        return False
    return not 0 < container.ended_ns < pod.leaving_ns or container.exit_code in _SIGNALS


def _over(pod: Pod) -> bool:
    """Whether its work is done: sidecars are stopped then."""
    own = [c for c in pod.containers if not c.sidecar]
    return pod.phase in ("Succeeded", "Failed") or (bool(own) and all(c.over for c in own))


def _end(pod: Pod, container: Container, context: DiffContext) -> Change:
    killed = container.ended == "OOMKilled"
    how = "ran out of memory and was killed" if killed else f"ended ({container.ended or 'unknown'})"
    code = f", exit code {container.exit_code}" if container.exit_code and not killed else ""
    return context.change(
        pod.service,
        "oom" if killed else "restart",
        f"container {container.name} of pod {pod.head.name} {how}{code}, {container.restarts} restarts",
        time_ns=container.ended_ns,
        actor="kubelet",
        subject=f"{pod.head.place}/{container.name}",
    )


def _unstartable(old: Pod | None, new: Pod, context: DiffContext) -> Iterator[Change]:
    before = {c.name: _UNSTARTABLE.get(c.waiting, "") for c in old.containers} if old else {}
    for now in new.containers:
        why = _UNSTARTABLE.get(now.waiting, "")
        if why and why != before.get(now.name, ""):
            detail = f": {now.waiting_text}" if now.waiting_text else ""
            text = f"container {now.name} of pod {new.head.name} does not start, {why}{detail}"
            time_ns = context.now_ns if old else new.head.created_ns
            subject = f"{new.head.place}/{now.name}"
            yield context.change(new.service, "start", text, time_ns=time_ns, actor="kubelet", subject=subject)


def _evicted(old: Pod | None, new: Pod, context: DiffContext) -> Iterator[Change]:
    if _begins(old.evicted if old else None, new.evicted):
        text = f"pod {new.head.name} was evicted from {new.node}: {_words(new.evicted)}"
        time_ns = new.evicted.since_ns
        yield context.change(
            new.service, "eviction", text, time_ns=time_ns, levels=(new.node, ""), subject=new.head.place
        )


def _unschedulable(old: Pod | None, new: Pod, context: DiffContext) -> Iterator[Change]:
    if new.unschedulable.reason != "Unschedulable":  # gated, or the scheduler itself is in trouble
        return
    if _begins(old.unschedulable if old else None, new.unschedulable):
        text = f"pod {new.head.name} fits on no node: {_words(new.unschedulable)}"
        time_ns = new.unschedulable.since_ns
        yield context.change(
            new.service, "scheduling", text, time_ns=time_ns, actor="scheduler", subject=new.head.place
        )


def _begins(old: ConditionMark | None, new: ConditionMark) -> bool:
    return bool(new.reason) and (old is None or old.reason != new.reason)


def _words(mark: ConditionMark) -> str:
    return mark.text or mark.reason
