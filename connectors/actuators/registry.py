"""Actuators by name: the built-in ones, and those that plugins register under the entry point `homeostat.actuator`.

A built-in module is imported only if it is asked for: the Kubernetes client alone takes most of a second.
"""

from __future__ import annotations

from typing import Final

from contracts.actions import installed_actions
from contracts.errors import UnknownName
from contracts.plugins import NO_SECTIONS, PluginRegistry, PluginSections
from contracts.ports import Actuator
from contracts.settings import ActSettings


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


ACTUATORS: Final[PluginRegistry[ActSettings, Actuator]] = PluginRegistry(
    "actuator",
    {
        "command": _command,
        "dry-run": _dry_run,
        "kubernetes": _kubernetes,
        "process": _process,
        "webhook": _webhook,
    },
    Actuator,
)


def open_actuators(settings: ActSettings, plugins: PluginSections = NO_SECTIONS) -> list[Actuator]:
    """The actuators that `settings.actuators` names, in that order. Nothing is connected to yet.

    `webhook` and `command` come along by themselves where `settings` names webhooks or commands.

    Raises:
        UnknownName: a name neither built in nor registered by a plugin, or an action that `settings.actions` can't have anybody do; the
            message lists those that are.
        InvalidPlugin: a plugin can't be loaded.
        InvalidSettings: a setting that a named actuator needs is missing.
    """
    able = sorted(a.name for a in installed_actions().values() if a.beside)
    for name in settings.actions:
        if name not in able:
            raise UnknownName("action that a webhook or a command can do (act.actions)", name, able)
    return [ACTUATORS.open(name, settings, plugins) for name in _wanted(settings)]


def _wanted(settings: ActSettings) -> list[str]:
    configured = {"webhook": settings.webhooks, "command": settings.commands}
    # At the end: a dry run, which records these too, is asked before them.
    return list(dict.fromkeys((*settings.actuators, *(name for name, named in configured.items() if named))))
