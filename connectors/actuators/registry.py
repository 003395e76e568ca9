"""Actuators by name: the built-in ones, and those that plugins register under the entry point `homeostat.actuator`.

A built-in module is imported only if it is asked for: the Kubernetes client alone takes most of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final

from contracts.errors import UnknownName
from contracts.ports import Actuator
from contracts.settings import ActSettings

GROUP: Final = "homeostat.actuator"
Factory = Callable[[ActSettings], Actuator]


def _process(settings: ActSettings) -> Actuator:
    from connectors.actuators.process.process_actuator import ProcessActuator

    return ProcessActuator(settings)


def _kubernetes(settings: ActSettings) -> Actuator:
    from connectors.actuators.kubernetes import KubernetesActuator

    return KubernetesActuator(settings)


def _webhook(settings: ActSettings) -> Actuator:
    from connectors.actuators.webhook import WebhookActuator

    return WebhookActuator(settings)


def _command(settings: ActSettings) -> Actuator:
    from connectors.actuators.command import CommandActuator

    return CommandActuator(settings)


def _dry_run(_: ActSettings) -> Actuator:
    from connectors.actuators.dry_run import DryRunActuator

    return DryRunActuator()


BUILT_IN: Final[dict[str, Factory]] = {
    "command": _command,
    "dry-run": _dry_run,
    "kubernetes": _kubernetes,
    "process": _process,
    "webhook": _webhook,
}


def open_actuators(settings: ActSettings) -> list[Actuator]:
    """The actuators that `settings.actuators` names, in that order. Nothing is connected to yet.

    `webhook` and `command` come along by themselves where `settings` names webhooks or commands.

    Raises:
        UnknownName: a name neither built in nor registered by a plugin; the message lists those that are.
        InvalidSettings: a setting that a named actuator needs is missing.
    """
    registered = {point.name: point for point in entry_points(group=GROUP)}
    opened: list[Actuator] = []
    for name in _wanted(settings):
        if name in BUILT_IN:
            opened.append(BUILT_IN[name](settings))
        elif name in registered:
            factory: Factory = registered[name].load()
            opened.append(factory(settings))
        else:
            raise UnknownName("actuator", name, {*BUILT_IN, *registered})
    return opened


def _wanted(settings: ActSettings) -> list[str]:
    configured = {"webhook": settings.webhooks, "command": settings.commands}
    # At the end: a dry run, which records these too, is asked before them.
    return list(dict.fromkeys((*settings.actuators, *(name for name, named in configured.items() if named))))
