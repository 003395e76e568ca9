"""Where settings come from, which source wins, and which of them a mistake is in.

Settings are put together from layers, each with the name of its source: defaults of the command, the YAML file, environment
variables, the command line. A later layer wins, setting by setting: sections and maps are put together name by name, everything
else is replaced. Text (of variables and `--set`) is read as its setting needs it: words and secrets as they stand, lists and maps
as YAML.
"""

from __future__ import annotations

import enum
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node

from contracts.errors import InvalidSettings, suggest
from contracts.plugins import PluginSections

PREFIX: Final = "HOMEOSTAT_"
FIX: Final = "see docs/settings.md"
OTHERS: Final[Mapping[str, str]] = {
    "PORT": "docker-compose.yml",
    "ACTUATORS": "docker-compose.yml",
    "KEY": "commands that an action runs",
    "RUN": "commands that an action runs",
    "STEP": "commands that an action runs",
    "SERVICE": "commands that an action runs",
    "SERVICES_CACHE": "tests",
    "TEST_NEO4J": "tests",
    "WRITE_GOLDEN": "tests",
}
"""Variables with our prefix that are no settings, and who reads them."""
_LINKS: Final = re.compile(r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$")
"""What Kubernetes sets in every pod for a Service whose name begins with ours."""

Path_ = tuple[str, ...]


class SettingKind(enum.Enum):
    """How a setting's text is read."""

    SECTION = "a mapping of settings"
    MAP = "a mapping of names"
    LIST = "a list, as [a, b]"
    OPTIONAL = "text, empty for none"
    PLAIN = "text"


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one source: nested by section, and what to call the place of one of them in messages."""

    source: str
    values: Mapping[str, Any]
    root: Node | None = None

    def place(self, path: Path_) -> str:
        """Source and, in a file, the line."""
        line = _line(self.root, path)
        return self.source if line is None else f"{self.source}:{line}"


def of_file(path: Path) -> Layer:
    """The settings of a YAML file.

    Raises:
        InvalidSettings: it can't be read, or isn't a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = YAML(typ="safe", pure=True).load(text)
        root = YAML(typ="safe", pure=True).compose(text)
    except (YAMLError, UnicodeDecodeError) as e:
        raise InvalidSettings(f"{path}: {e}") from e
    except OSError as e:
        raise InvalidSettings(f"{path}: cannot be read: {e.strerror or e}") from e
    if found is not None and not isinstance(found, dict):
        raise InvalidSettings(f"{path}: a mapping of sections is expected", fix=FIX)
    return Layer(str(path), found or {}, root)


def of_environment(model: type[BaseModel], environ: Mapping[str, str]) -> list[Layer]:
    """A layer for each variable with our prefix: `HOMEOSTAT_SECTION__FIELD`, and `__NAME` behind it for an entry of a map.

    Raises:
        InvalidSettings: a variable names no setting, or its text can't be read.
    """
    layers, wrong = [], []
    for variable in sorted(environ):
        name, text = variable.upper().removeprefix(PREFIX), environ[variable]
        if not variable.upper().startswith(PREFIX) or _is_of_others(name, text):
            continue
        path = tuple(part.lower() for part in name.split("__"))
        try:
            layers.append(_layer(model, f"environment variable {variable}", path, text))
        except _Unknown as e:
            close = "" if not e.close else f", did you mean {PREFIX}{e.close.replace('.', '__').upper()}?"
            wrong.append(f"environment variable {variable}: unknown setting{close}")
        except InvalidSettings as e:
            wrong.append(e.message)
    if wrong:
        raise InvalidSettings("; ".join(wrong), fix=FIX)
    return layers


def of_override(model: type[BaseModel], override: str) -> Layer:
    """The layer of one `--set SECTION.FIELD=VALUE`.

    Raises:
        InvalidSettings: it names no setting, or its text can't be read. The value is not repeated: it may be a secret.
    """
    name, equals, text = override.partition("=")
    if not equals:
        raise InvalidSettings(f"--set {name}: SECTION.FIELD=VALUE is expected")
    try:
        return _layer(model, f"--set {name}", tuple(name.strip().split(".")), text)
    except _Unknown as e:
        close = f", did you mean {e.close!r}?" if e.close else ""
        raise InvalidSettings(f"--set {name}: unknown setting{close}", fix=FIX) from None


def merged(layers: Iterable[Layer]) -> dict[str, Any]:
    """The values in force: a later layer wins."""
    found: dict[str, Any] = {}
    for layer in layers:
        _merge(found, layer.values)
    return found


def explain(model: type[BaseModel], error: ValidationError, layers: Sequence[Layer]) -> list[str]:
    """One line per mistake: its place, the setting, what is wrong, and the nearest valid name."""
    return [_explain(model, e, layers) for e in error.errors(include_input=False)]


class _Unknown(Exception):
    def __init__(self, close: str | None) -> None:
        super().__init__(close)
        self.close = close


def _layer(model: type[BaseModel], source: str, path: Path_, text: str) -> Layer:
    path, kind = _locate(model, path)
    value: Any = text
    if kind is SettingKind.OPTIONAL and not text:
        value = None
    elif kind in {SettingKind.SECTION, SettingKind.MAP, SettingKind.LIST}:
        try:
            value = YAML(typ="safe", pure=True).load(text)
        except YAMLError:
            value = text
        if not isinstance(value, list if kind is SettingKind.LIST else dict):
            raise InvalidSettings(f"{source}: {kind.value} is expected", fix=FIX)
    for part in reversed(path):
        value = {part: value}
    return Layer(source, value)


def _locate(model: type[BaseModel], path: Path_) -> tuple[Path_, SettingKind]:
    """The setting that is meant, and how its text is read. What follows a map's name is the name of one of its entries."""
    at: Any = model
    for i in range(len(path)):
        part = path[i]
        field = at.model_fields.get(part)
        if field is None:
            raise _Unknown(_closest(model, path))
        kind, inner = _kind(field.annotation)
        rest = path[i + 1 :]
        if kind is SettingKind.SECTION:
            at, rest = _entered(inner, rest)
            path = (*path[: i + 1], *rest)
        elif kind is SettingKind.MAP and rest:
            return (*path[: i + 1], ".".join(rest)), _kind(inner)[0]
        elif rest:
            raise _Unknown(_closest(model, path))
        else:
            return path, kind
    return path, SettingKind.SECTION


def _entered(section: type[BaseModel], rest: Path_) -> tuple[type[BaseModel], Path_]:
    """The model that the rest of a path is looked up in, and that rest. Sections of plugins are known once one of them is asked
    for; a variable, which can't have a hyphen, has an underscore in its place."""
    if section is not PluginSections or not rest:
        return section, rest
    known = PluginSections.for_names(()).model_fields
    name = rest[0] if rest[0] in known else next((n for n in known if n.replace("-", "_") == rest[0]), rest[0])
    return PluginSections.for_names([name]), (name, *rest[1:])


def _kind(annotation: Any) -> tuple[SettingKind, Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return SettingKind.SECTION, annotation
    origin, given = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return SettingKind.MAP, given[1]
    if origin in {tuple, list}:
        return SettingKind.LIST, given[0]
    if origin in {Union, types.UnionType} and type(None) in given:
        return SettingKind.OPTIONAL, annotation
    return SettingKind.PLAIN, annotation


def names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All settings, by dotted name; sections, too."""
    for name, field in model.model_fields.items():
        yield prefix + name
        kind, inner = _kind(field.annotation)
        if kind is SettingKind.SECTION:
            yield from names(inner, f"{prefix}{name}.")


def _closest(model: type[BaseModel], path: Path_) -> str | None:
    """The setting that was probably meant: another place of the same name, or the nearest spelling part by part."""
    known, name = list(names(model)), ".".join(path)
    flat = {n.replace(".", "_").replace("_", ""): n for n in known}
    if (same := flat.get(name.replace(".", "").replace("_", ""))) is not None:
        return same
    at: Any = model
    of_plugin = False
    for i, part in enumerate(path):
        field = at.model_fields.get(part)
        if field is None:
            close = suggest(part, at.model_fields)
            if close is None:
                break
            rest = ".".join((*path[:i], close, *path[i + 1 :]))
            return suggest(rest, known) if rest not in known and not of_plugin else rest
        kind, inner = _kind(field.annotation)
        if kind is not SettingKind.SECTION:
            return ".".join(path[: i + 1])
        of_plugin = of_plugin or issubclass(inner, PluginSections)
        at, _ = _entered(inner, path[i + 1 :])
    elsewhere = [n for n in known if n.rpartition(".")[2] == path[-1]]
    return elsewhere[0] if len(elsewhere) == 1 else suggest(name, known)


def _is_of_others(name: str, text: str) -> bool:
    if name in OTHERS:
        return True
    if "__" in name:
        return False
    return bool(_LINKS.match(name)) and (not name.endswith("PORT") or "://" in text or name.endswith("SERVICE_PORT"))


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        before = into.get(name)
        if isinstance(value, Mapping):
            inner = dict(before) if isinstance(before, Mapping) else {}
            _merge(inner, value)
            into[name] = inner
        else:
            into[name] = value


def _explain(model: type[BaseModel], error: Any, layers: Sequence[Layer]) -> str:
    path = tuple(str(part) for part in error["loc"])
    place, name = _place(path, layers), ".".join(path)
    if error["type"] == "extra_forbidden":
        close = _closest(model, path)
        return f"{place}{name}: unknown setting" + (f", did you mean {close!r}?" if close else "")
    if error["type"] == "model_type":
        return f"{place}{name}: a mapping of settings is expected"
    return f"{place}{name}: {error['msg']}"


def _place(path: Path_, layers: Sequence[Layer]) -> str:
    """The source that had the last word on a setting, as `source: `."""
    for length in range(len(path), 0, -1):
        for layer in reversed(layers):
            if _holds(layer.values, path[:length]):
                return f"{layer.place(path[:length])}: "
    return ""


def _holds(values: Any, path: Path_) -> bool:
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _line(node: Node | None, path: Path_) -> int | None:
    line = None
    for part in path:
        if not isinstance(node, MappingNode):
            return line
        for key, value in node.value:
            if str(key.value) == part:
                line, node = key.start_mark.line + 1, value
                break
        else:
            return line
    return line
