"""Roll-outs, configuration, scalings: what people and pipelines change."""

from __future__ import annotations

from collections.abc import Container

from connectors.kubernetes.diff.context import DiffContext, ours
from connectors.kubernetes.objects import Autoscaler, ObjectKind, Pod, PodTemplate, Workload
from connectors.kubernetes.template import tag_of
from contracts.events import Change

_DIGEST = len("sha256:") + 12
"""Characters of a digest that are told."""


def workload_changes(
    old: Workload | None, new: Workload | None, context: DiffContext, earlier: Container[PodTemplate] = frozenset()
) -> list[Change]:
    """Changes of a Deployment, StatefulSet or DaemonSet, whoever controls it, or of a ReplicaSet that nobody controls.

    `earlier` holds the templates that this workload had before: going back to one is a roll-back. What Homeostat itself
    wrote last is left to its executor to tell.
    """
    thing = new or old
    if thing is None or _led(thing) or (new is not None and old is not None and ours(_manager(new))):
        return []
    if new is None:
        text = f"{_name(thing)} was deleted"
        return [context.change(thing.service, "delete", text, subject=thing.head.place)]
    if old is None:
        return [_created(new, context)]
    return [*_rolled_out(old, new, context, earlier), *_scaled(old, new, context)]


def release_changes(
    old: Workload | Pod | None, new: Workload | Pod, context: DiffContext, time_ns: int, *, back: bool = False
) -> list[Change]:
    """A release by a controller that isn't watched: from what `old` was made of to what `new` is. `back`: to an earlier one.

    `time_ns` 0 is now.
    """
    owner = new.head.owner
    if owner is None or (isinstance(new, Workload) and ours(_manager(new))):
        return []
    levels = ("", _versions(_images(new))) if old is None else _levels(_images(old), _images(new))
    name, kind = f"{owner.kind} {new.head.namespace}/{owner.name}", "rollback" if back else "deploy"
    text = f"{name}: {levels[1]} instead of {levels[0]}"
    if old is None:
        text = f"{name} was created with {levels[1]}"
    elif levels[0] == levels[1]:
        parts = _parts(old.template, new.template) if isinstance(old, Workload) and isinstance(new, Workload) else []
        changed = [p for p in parts if p != "restart"]
        if not changed:
            return []
        kind, levels, text = kind if back else "config", ("", ""), f"{name}: other {' and '.join(changed)}"
    if back:
        text += ", as in an earlier revision"
    actor = _manager(new) if isinstance(new, Workload) else ""
    place = f"{owner.kind.lower()}/{new.head.namespace}/{owner.name}"
    return [context.change(new.service, kind, text, time_ns=time_ns, actor=actor, levels=levels, subject=place)]


def autoscaler_changes(
    old: Autoscaler | None, new: Autoscaler | None, service: str, context: DiffContext
) -> list[Change]:
    """Other bounds, and being at the upper one while more is wanted. `service` is what it scales."""
    if new is None:
        return []
    found = []
    place, name = new.head.place, f"the autoscaler of {service}"
    if old is not None and (old.low, old.high) != (new.low, new.high) and not ours(new.writer.manager):
        before, after = f"{old.low}-{old.high}", f"{new.low}-{new.high}"
        text = f"{name} may have {after} replicas instead of {before}"
        by, time_ns, levels = new.writer.manager, new.writer.time_ns, (before, after)
        found.append(context.change(service, "scale", text, time_ns=time_ns, actor=by, levels=levels, subject=place))
    if new.limited.reason and (old is None or not old.limited.reason):
        text = f"{name} wants more than its {new.high} replicas"
        found.append(context.change(service, "scale", text, time_ns=new.limited.since_ns, subject=place))
    return found


def _led(workload: Workload) -> bool:
    """Whether its changes are told by who controls it, or by what is made of it (`release_changes`)."""
    owner = workload.head.owner
    return owner is not None and (owner.watched or workload.head.kind is ObjectKind.REPLICA_SET)


def _images(thing: Workload | Pod) -> tuple[str, ...]:
    return thing.images if isinstance(thing, Pod) else thing.template.images


def _manager(workload: Workload) -> str:
    return workload.writer.manager


def _name(workload: Workload) -> str:
    return f"{workload.head.kind} {workload.head.namespace}/{workload.head.name}"


def _created(new: Workload, context: DiffContext) -> Change:
    version = _versions(new.template.images)
    return context.change(
        new.service,
        "deploy",
        f"{_name(new)} was created with {version}",
        time_ns=new.head.created_ns,
        actor=_manager(new),
        levels=("", version),
        subject=new.head.place,
    )


def _rolled_out(old: Workload, new: Workload, context: DiffContext, earlier: Container[PodTemplate]) -> list[Change]:
    a, b = old.template, new.template
    if a == b:
        return []
    levels = ("", "")
    if a.images != b.images:
        kind, levels = "deploy", _levels(a.images, b.images)
        text = f"{_name(new)}: {levels[1]} instead of {levels[0]}"
    elif _parts(a, b) == ["restart"]:
        kind, text = "restart", f"{_name(new)} is restarted, one pod after another"
    else:
        kind, text = "config", f"{_name(new)}: other {' and '.join(p for p in _parts(a, b) if p != 'restart')}"
    if kind != "restart" and b in earlier:
        kind, text = "rollback", f"{text}, as in an earlier revision"
    return [_written(new, context, kind, text, levels)]


def _parts(a: PodTemplate, b: PodTemplate) -> list[str]:
    names = {"config": "configuration", "resources": "resources", "rest": "pod template", "restarted": "restart"}
    return [name for field, name in names.items() if getattr(a, field) != getattr(b, field)]


def _scaled(old: Workload, new: Workload, context: DiffContext) -> list[Change]:
    if old.replicas == new.replicas or new.head.kind is ObjectKind.DAEMON_SET:  # its number follows that of the nodes
        return []
    before, after = str(old.replicas), str(new.replicas)
    return [_written(new, context, "scale", f"{_name(new)} scaled to {after} (was {before})", (before, after))]


def _written(new: Workload, context: DiffContext, kind: str, text: str, levels: tuple[str, str]) -> Change:
    return context.change(
        new.service,
        kind,
        text,
        time_ns=new.writer.time_ns,
        actor=_manager(new),
        levels=levels,
        subject=new.head.place,
    )


def _levels(before: tuple[str, ...], after: tuple[str, ...]) -> tuple[str, str]:
    """The versions of before and after; where tags are the same for other images, by what they differ in."""
    pairs = ((words(before), words(after)) for words in (_versions, _with_digests))
    return next((pair for pair in pairs if pair[0] != pair[1]), (", ".join(before), ", ".join(after)))


def _with_digests(images: tuple[str, ...]) -> str:
    """Name, tag and the beginning of the digest."""
    parts = (image.rpartition("/")[2].partition("@") for image in images)
    return ", ".join(f"{name}{at}{digest[:_DIGEST]}" for name, at, digest in parts)


def _versions(images: tuple[str, ...]) -> str:
    """What a person calls the version: the tag of the one image, or all images by name and tag."""
    if len(images) == 1:
        return tag_of(images[0])
    return ", ".join(image.rpartition("/")[2] for image in images)
