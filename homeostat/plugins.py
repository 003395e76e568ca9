"""All kinds of plugins on one table: where each is registered, what it is opened with, and the suite it must pass."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pydantic import BaseModel

from connectors.actuators.registry import ACTUATORS
from connectors.policy import POLICIES, engine_of
from connectors.sinks import SINKS
from connectors.sources import SOURCES
from contracts.actions.registry import ACTIONS
from contracts.checks import action, actuator, detector, graph_store, policy, sink, source
from contracts.errors import HomeostatError, InvalidPlugin, UnknownName
from contracts.plugins import InstalledPlugin, Plugin, PluginRegistry, installed, own_settings, refusing
from contracts.settings import GraphPlace, Settings
from graph.stores import STORES
from models.detectors import DETECTORS


@dataclass(frozen=True, slots=True)
class PluginKind:
    """One kind: its registry, the suite of its port, what of the settings (and which folder) it is opened with, which names the
    settings choose, and whether its suite needs a `subject` besides the implementation."""

    registry: PluginRegistry[Any, Any]
    suite: ModuleType
    section: Callable[[Settings, Path], Any]
    chosen: Callable[[Settings], tuple[str, ...]]
    wants_subject: bool = False


PLUGIN_KINDS: Final[Mapping[str, PluginKind]] = {
    "action": PluginKind(ACTIONS, action, lambda *_: None, lambda _: tuple(ACTIONS.names())),
    "actuator": PluginKind(ACTUATORS, actuator, lambda s, _: s.act, lambda s: s.act.actuators, wants_subject=True),
    "detector": PluginKind(DETECTORS, detector, lambda s, _: s.detect, lambda s: s.detect.detectors),
    "graph_store": PluginKind(STORES, graph_store, lambda s, d: GraphPlace(s.graph, d), lambda s: (s.graph.store,)),
    "policy": PluginKind(POLICIES, policy, lambda s, _: s.act.policy, lambda s: (engine_of(s.act.policy),)),
    "sink": PluginKind(SINKS, sink, lambda s, _: s.sinks, lambda s: s.sinks.use, wants_subject=True),
    "source": PluginKind(SOURCES, source, lambda s, _: s.sources, lambda s: s.sources.use, wants_subject=True),
}


@dataclass(frozen=True, slots=True)
class PluginReport:
    """What is known of one plugin or built-in: its kind and name, who brings it, whether the settings choose it, its own settings by
    name with their meaning, and what is wrong with it."""

    kind: str
    name: str
    brought_by: str
    in_use: bool
    settings: Mapping[str, str]
    problem: str = ""


def reports(settings: Settings, *, built_in: bool = True) -> list[PluginReport]:
    """All plugins, and what is built in, by kind and name. Plugins are imported, so that what is wrong with them is known."""
    found: list[PluginReport] = []
    for name, kind in PLUGIN_KINDS.items():
        chosen = kind.chosen(settings)
        if built_in:
            found += [PluginReport(name, n, "built in", n in chosen, {}) for n in sorted(kind.registry.built_in)]
        found += [_report(p, settings, p.name in chosen) for p in installed(name)]
    return found


def _report(plugin: InstalledPlugin, settings: Settings, in_use: bool) -> PluginReport:
    described: dict[str, str] = {}
    problem = ""
    try:
        registry = PLUGIN_KINDS[plugin.kind].registry
        if plugin.name in registry.built_in:
            registry.installed()  # says what is wrong with that
        loaded = plugin.load()
        described = _described(plugin.name, loaded.settings)
        if in_use:
            own_settings(plugin.name, loaded, settings.plugins)
    except HomeostatError as e:
        problem = str(e)
    return PluginReport(plugin.kind, plugin.name, plugin.distribution, in_use, described, problem)


def _described(name: str, model: type[BaseModel]) -> dict[str, str]:
    return {f"plugins.{name}.{field}": info.description or "" for field, info in model.model_fields.items()}


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """How one check of a suite ended; `problem` is empty where it passed."""

    check: str
    text: str
    problem: str = ""


def find(name: str, kind: str = "") -> InstalledPlugin:
    """The installed plugin of this name; of this kind, where several have it.

    Raises:
        UnknownName: there is none, or it is not clear which; the message lists those that are.
    """
    everyone = installed(kind or None)
    found = [p for p in everyone if p.name == name]
    if not found:
        raise UnknownName("plugin", name, {p.name for p in everyone})
    if len(found) > 1:
        raise UnknownName("plugin", name, {f"{p.name} --kind {p.kind}" for p in found})
    return found[0]


async def check(plugin: InstalledPlugin, settings: Settings) -> AsyncIterator[CheckOutcome]:
    """Run the suite of its port on a plugin, with the settings it would be opened with; each check on a fresh one.

    Raises:
        InvalidPlugin: it can't be loaded or opened, or brings no subject where its suite needs one.
        InvalidSettings: a setting that it needs is missing.
    """
    kind = PLUGIN_KINDS[plugin.kind]
    kind.registry.installed()
    loaded = plugin.load()
    own = own_settings(plugin.name, loaded, settings.plugins)
    if kind.wants_subject and loaded.subject is None:
        raise InvalidPlugin(
            f"{plugin.words} brings nothing that it could be checked on",
            fix=f"homeostat.api.Plugin(…, subject=…) that gives a checks.{plugin.kind} subject; see docs/plugins.md",
        )
    for one in kind.suite.CHECKS:
        problem = ""
        with tempfile.TemporaryDirectory(prefix="homeostat-check-") as folder:
            try:
                await _one(one, plugin, loaded, own, kind.section(settings, Path(folder)))
            except AssertionError as e:
                problem = str(e) or "an assertion failed"
            except InvalidPlugin:
                raise
            except Exception as e:  # noqa: BLE001 - whatever a plugin raises is what is wrong with it
                problem = f"{type(e).__name__}: {e}"
        yield CheckOutcome(one.__name__.removeprefix("check_"), inspect.getdoc(one) or "", problem)


async def _one(
    one: Callable[[Any], Awaitable[None] | None],
    plugin: InstalledPlugin,
    loaded: Plugin[Any, Any],
    own: BaseModel,
    section: Any,
) -> None:
    def open_() -> Any:
        with refusing(plugin, "opened"):
            return loaded.open(own, section)

    async with AsyncExitStack() as stack:
        subject: Any = open_
        if loaded.subject is not None:
            subject = loaded.subject(own, section)
            if hasattr(subject, "__aenter__"):
                subject = await stack.enter_async_context(subject)
            elif hasattr(subject, "__enter__"):
                subject = stack.enter_context(subject)
        done = one(subject)
        if done is not None:
            await done
