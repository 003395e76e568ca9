"""Plugins: what is installed beside Homeostat under the entry-point groups `homeostat.<kind>`, found, named and opened in one way.

A plugin is an entry point that leads to a `Plugin`, or to anything callable that takes the settings of its kind (an actuator
`ActSettings`, a detector `DetectSettings`, …). What a plugin declares for settings of its own lies under `plugins.<name>`, is
validated with all others, and is handed over when it is opened. Every kind has one `PluginRegistry`, which holds the built-in
names, too. Nothing of a plugin is imported before it is asked for by name.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from contracts.errors import HomeostatError, InvalidPlugin, InvalidSettings, UnknownName

KINDS: Final = ("action", "actuator", "detector", "graph_store", "policy", "sink", "source")
"""What can be plugged in, each under the entry-point group `homeostat.<kind>`."""
GROUPS: Final = tuple(f"homeostat.{kind}" for kind in KINDS)
_NAME: Final = re.compile(r"(?!model_)[a-z][a-z0-9_-]*")
_READY_MADE: Final = frozenset({"action"})
"""Kinds whose plugins may be the object itself, as there is nothing to open."""

S = TypeVar("S")
T = TypeVar("T")


class PluginSettings(BaseModel):
    """A plugin's own settings, under `plugins.<name>`; unknown names are refused. Plugins derive from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PluginSections(BaseModel):
    """Settings of plugins, by the plugin's name; each plugin says what its own are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def of(self, name: str) -> BaseModel | None:
        """The section of one plugin, or None where the settings say nothing of it."""
        found: BaseModel | None = self.__dict__.get(name)
        return found

    @classmethod
    def for_names(cls, names: Iterable[str]) -> type[PluginSections]:
        """This model with a section for each named plugin, as the plugin declares it. Names that no plugin has stay unknown.

        Raises:
            InvalidPlugin: a named plugin can't be loaded.
        """
        wanted, known = set(names), {i.name for i in installed()}
        fields: dict[str, Any] = {name: (_section(name), ...) for name in sorted(wanted & known)}
        others: dict[str, Any] = {name: (None, None) for name in sorted(known - wanted) if _NAME.fullmatch(name)}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Field name .* shadows an attribute in parent")
            return create_model("PluginSections", __base__=cls, **others, **fields)


NO_SECTIONS: Final = PluginSections()


@dataclass(frozen=True, slots=True)
class Plugin(Generic[S, T]):
    """What an entry point may lead to where a plugin has settings of its own or brings what its check-suite needs.

    `open`: called with its own settings and those of its kind (`ActSettings`, `DetectSettings`, …), gives the implementation.
    `settings`: the model of its own settings. `subject`: called with its own settings and those of its kind, gives what the
    check-suite of its port wants besides the implementation, such as a system to act on that counts what is done to it.
    """

    open: Callable[[Any, S], T]
    settings: type[BaseModel] = PluginSettings
    subject: Callable[[Any, S], Any] | None = None


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """An entry point that some installed distribution has under one of `GROUPS`."""

    kind: str
    name: str
    point: EntryPoint

    @property
    def distribution(self) -> str:
        """Name and version of the distribution that brings it."""
        dist = self.point.dist
        return "an unnamed distribution" if dist is None else f"{dist.name} {dist.version}"

    @property
    def words(self) -> str:
        """For people: `actuator 'pager' of acme-homeostat 1.2 (acme.pager:PLUGIN)`."""
        return f"{self.kind.replace('_', ' ')} {self.name!r} of {self.distribution} ({self.point.value})"

    def load(self) -> Plugin[Any, Any]:
        """Import it.

        Raises:
            InvalidPlugin: that fails, or what it leads to is nothing that could be opened.
        """
        if not _NAME.fullmatch(self.name):
            raise InvalidPlugin(
                f"{self.words}: a plugin's name is small letters, digits, - and _",
                fix=f"uninstall or mend {self.distribution}",
            )
        try:
            found = self.point.load()
        except (Exception, SystemExit) as e:
            raise InvalidPlugin(
                f"{self.words} can't be loaded: {type(e).__name__}: {e}", fix=f"mend or uninstall {self.distribution}"
            ) from e
        if isinstance(found, Plugin):
            return found
        if callable(found):
            return Plugin(lambda _, section: found(section))
        if self.kind in _READY_MADE:
            return Plugin(lambda *_: found)
        raise InvalidPlugin(
            f"{self.words} leads to {type(found).__name__}, which can't be called",
            fix="a homeostat.api.Plugin, or a class or function that takes the settings of its kind",
        )


def installed(kind: str | None = None) -> list[InstalledPlugin]:
    """All plugins that are installed, by kind and name; of one kind, if it is given. None of them is imported.

    Raises:
        InvalidPlugin: two distributions bring one of the same kind and name.
    """
    found: dict[tuple[str, str], InstalledPlugin] = {}
    for each in KINDS if kind is None else (kind,):
        for point in sorted(entry_points(group=f"homeostat.{each}"), key=lambda p: (p.name, p.value)):
            plugin = InstalledPlugin(each, point.name, point)
            other = found.setdefault((each, point.name), plugin)
            if other.point.value != point.value:
                raise InvalidPlugin(
                    f"two plugins have one name: {other.words}, {plugin.words}", fix="uninstall one of them"
                )
    return list(found.values())


class PluginRegistry(Generic[S, T]):
    """Implementations of one port by name: the built-in ones, and those that plugins bring. `S`: the settings of its kind."""

    def __init__(self, kind: str, built_in: Mapping[str, Callable[[S], T]], port: type = object) -> None:
        """`built_in`: by name, what opens it; called when it is asked for, so that drivers are imported no sooner. `port`: the protocol,
        whose members every plugin must have."""
        assert kind in KINDS, kind
        self.kind, self.built_in = kind, built_in
        self._members = tuple(sorted(name for name in dir(port) if not name.startswith("_")))

    @property
    def words(self) -> str:
        """The kind in words."""
        return self.kind.replace("_", " ")

    def installed(self) -> dict[str, InstalledPlugin]:
        """Plugins of this kind, by name.

        Raises:
            InvalidPlugin: a plugin has a built-in's name, or two have one.
        """
        found = {plugin.name: plugin for plugin in installed(self.kind)}
        for name in sorted(found.keys() & self.built_in.keys()):
            raise InvalidPlugin(
                f"{found[name].words} takes the name of a built-in {self.words}",
                fix=f"uninstall {found[name].distribution}, or have it choose another name",
            )
        return found

    def names(self) -> list[str]:
        """All names that can be opened, in order. Errors as `installed`."""
        return sorted({*self.built_in, *self.installed()})

    def open(self, name: str, section: S, sections: PluginSections = NO_SECTIONS) -> T:
        """The implementation of this name, made from the settings of its kind and, if it is a plugin, its own among `sections`.

        Raises:
            UnknownName: neither built in nor installed; the message lists those that are.
            InvalidPlugin: the plugin can't be loaded or opened, lacks what its port asks for, or has a name that it mustn't have.
            InvalidSettings: a setting that it needs is missing.
        """
        found = self.installed()
        if name in self.built_in:
            return self.built_in[name](section)
        if name not in found:
            raise UnknownName(self.words, name, {*self.built_in, *found})
        plugin = found[name].load()
        own = own_settings(name, plugin, sections)
        with refusing(found[name], "opened"):
            opened: T = plugin.open(own, section)
        self._ensure_fits(opened, found[name])
        return opened

    def _ensure_fits(self, opened: T, plugin: InstalledPlugin) -> None:
        """Raises InvalidPlugin where something that the port asks for is not there, or it goes by another name than it is chosen by."""
        lacking = [member for member in self._members if not hasattr(opened, member)]
        called = getattr(opened, "name", plugin.name)
        if lacking:
            why = f"has no {', '.join(lacking)}, which the port of its kind asks for"
        elif called != plugin.name:
            why = f"calls itself {called!r}"
        else:
            return
        raise InvalidPlugin(f"{plugin.words} {why}", fix=f"mend, update or uninstall {plugin.distribution}")


@contextmanager
def refusing(plugin: InstalledPlugin, done: str) -> Iterator[None]:
    """Say of what a plugin's code raises within the block that it is the plugin's: InvalidPlugin, except for Homeostat's own errors."""
    try:
        yield
    except HomeostatError:
        raise
    except Exception as e:
        raise InvalidPlugin(
            f"{plugin.words} can't be {done}: {type(e).__name__}: {e}", fix=f"mend or uninstall {plugin.distribution}"
        ) from e


def own_settings(name: str, plugin: Plugin[Any, Any], sections: PluginSections) -> BaseModel:
    """A plugin's own settings: its section, or what it declares for default.

    Raises:
        InvalidSettings: it has no section and needs one.
    """
    given = sections.of(name)
    if given is not None:
        return given
    try:
        return plugin.settings()
    except ValidationError as e:
        wrong = "; ".join(
            f"plugins.{'.'.join((name, *map(str, error['loc'])))}: {error['msg']}"
            for error in e.errors(include_input=False)
        )
        raise InvalidSettings(wrong, fix=f"`homeostat plugin list` says what {name} may be told") from e


def _section(name: str) -> type[BaseModel]:
    """The settings that plugins of this name declare. Plugins of several kinds may share a name if they share their settings."""
    declared = {plugin.load().settings: plugin for plugin in installed() if plugin.name == name}
    if len(declared) > 1:
        raise InvalidPlugin(
            f"plugins.{name} would be the settings of {' and of '.join(p.words for p in declared.values())}, which differ",
            fix="uninstall one of them",
        )
    return next(iter(declared))
