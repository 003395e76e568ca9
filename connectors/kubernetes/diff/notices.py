"""What the cluster says in Events and nowhere else: failed probes, volumes, sandboxes, quotas."""

from __future__ import annotations

from typing import Final

from connectors.kubernetes.diff.context import DiffContext
from connectors.kubernetes.objects import Notice
from contracts.events import Change
from contracts.units import SECOND

KINDS: Final = {
    "Unhealthy": "probe",
    "FailedMount": "start",
    "FailedAttachVolume": "start",
    "FailedMapVolume": "start",
    "FailedCreatePodSandBox": "start",
    "FailedPostStartHook": "start",
    "FailedPreStopHook": "start",
    "FailedCreate": "scheduling",
}
"""Reason of an Event -> kind of change. Others tell what the objects themselves say better, or nothing of a service."""
_AGAIN_NS: Final = 300 * SECOND
"""An Event that was quiet for this long is news again."""


def notice_changes(old: Notice | None, new: Notice | None, service: str, context: DiffContext) -> list[Change]:
    """A warning about an object of `service`, told when it begins, not every time it is repeated."""
    if new is None or not service or new.reason not in KINDS:
        return []
    if old is not None and new.last_ns - old.last_ns < _AGAIN_NS:
        return []
    place = f"{new.about_kind.lower()}/{new.head.namespace}/{new.about}"
    text = f"{new.about_kind} {new.about}: {new.text or new.reason}"
    time_ns = new.first_ns if old is None else new.last_ns
    return [context.change(service, KINDS[new.reason], text, time_ns=time_ns, actor="kubelet", subject=place)]
