"""Reference pages made from the code: settings, topics, events, telemetry. `tools.docs` writes them, tests hold docs/ to them.

What a field means is read from the code itself: the docstring below it, or the comment beside it.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from connectors.otlp.reasons import REFUSED, SKIPPED
from contracts import events as e
from contracts import verdicts
from contracts.actions import Touches, installed_actions
from contracts.frames import EvidenceFrame, FeatureFrame
from contracts.gaps import GAPS_OF
from contracts.settings import Settings
from contracts.topics import TOPICS

EVENTS: Final[dict[type[msgspec.Struct], str]] = {
    e.RawMeasurement: "telemetry.raw",
    e.Change: "telemetry.changes",
    e.ClockOffset: "telemetry.clocks",
    e.TelemetryGaps: "telemetry.gaps",
    e.Anomaly: "telemetry.anomalies",
    e.Incident: "telemetry.incidents",
    e.Decision: "autonomous.decisions",
    e.Approval: "autonomous.approvals",
    e.ActionRecord: "autonomous.actions",
    e.Feedback: "autonomous.feedback",
    e.Control: "autonomous.control",
    e.Adoption: "autonomous.adoptions",
    e.IncidentVerdict: "autonomous.verdicts",
    e.Strictness: "telemetry.strictness",
    e.TargetReport: "autonomous.targets",
    e.NodeStatus: "autonomous.nodes",
    e.DeadLetter: "telemetry.deadletter",
    e.Handling: "autonomous.handling",
}
"""Event class -> the topic it travels on, in the order of the pipeline."""
FRAMES: Final[dict[type[Any], str]] = {FeatureFrame: "telemetry.features", EvidenceFrame: "telemetry.evidence"}


def settings_reference() -> str:
    """docs/settings.md: every setting with its environment variable, default and meaning."""
    lines = [
        "# Settings",
        "",
        "Generated from `contracts/settings/` by `homeostat settings --reference`.",
        "",
        "Precedence: command line (`--set section.field=value`), environment, the YAML file given with `--config`, default.",
    ]
    top = [(n, f) for n, f in Settings.model_fields.items() if not _section(f)]
    lines += ["", "## Top level", "", *_table("", top)]
    for name, field in Settings.model_fields.items():
        section = _section(field)
        if section is not None:
            lines += ["", f"## `{name}`", "", (section.__doc__ or "").strip(), ""]
            lines += _table(f"{name}.", list(section.model_fields.items()))
    return "\n".join(lines) + "\n"


def topics_reference() -> str:
    """The table of docs/topics.md."""
    head = "| topic | key | value | partitioned by | kept | written by → read by |\n|---|---|---|---|---|---|\n"
    rows = (
        f"| `{t.name}`{' (internal)' if t.internal else ''} | {t.key} | {t.value} | {t.partitioning.value} "
        f"| {'compacted' if t.compacted else t.retention.value} | {t.writers} → {t.readers} |"
        for t in TOPICS.values()
    )
    return head + "\n".join(rows) + "\n"


def events_reference() -> str:
    """Every event with its fields, the parts that events are made of, and the words in them."""
    parts: dict[type[Any], None] = {}
    words: dict[type[enum.Enum], None] = {}
    sections = []
    for kind, topic in EVENTS.items():
        version = f", version {kind.VERSION}" if issubclass(kind, e.Event) else ""
        sections.append(f"### {kind.__name__}\n\nOn `{topic}`{version}. {_doc(kind)}\n\n{_fields(kind, parts, words)}")
    while fresh := [p for p in parts if f"### {p.__name__}\n" not in "".join(sections)]:
        sections += [f"### {p.__name__}\n\n{_doc(p)}\n\n{_fields(p, parts, words)}" for p in fresh]
    return "\n\n".join([*sections, _words(words)]) + "\n"


def frames_reference() -> str:
    """The columnar frames that others may read."""
    return "\n".join(
        f"### {kind.__name__}\n\nOn `{topic}`, version {kind.VERSION}. {_doc(kind)}\n\n"
        f"Fields: {', '.join(f'`{f.name}`' for f in dataclasses.fields(kind))}.\n"
        for kind, topic in FRAMES.items()
    )


def reasons_reference() -> str:
    """Why telemetry is refused (dead-lettered) or left out (counted)."""
    rows = [*((r, "dead letter", text) for r, text in REFUSED.items())]
    rows += [(f"skipped_{r}", "counted", text) for r, text in SKIPPED.items()]
    body = "\n".join(f"| `{reason}` | {what} | {text} |" for reason, what, text in rows)
    return f"| reason | what happens | when |\n|---|---|---|\n{body}\n"


_TOUCHED: Final = {
    Touches.NOTHING: "nothing: time passes",
    Touches.SOMEBODY: "somebody is told",
    Touches.ANYTHING: "what only its author knows",
    Touches.TARGET: "the target",
}


def actions_reference() -> str:
    """The actions that are installed: what they touch, how they are undone, and what others know of them."""
    head = "| action | touches | what it does | undone by | policy's name | change event |\n|---|---|---|---|---|---|\n"
    rows = (
        f"| `{a.name}` | {_TOUCHED[a.touches]} | {a.text} | {_code(a.undo) or 'nothing to undo'} "
        f"| {'' if a.touches is Touches.NOTHING else f'`{a.policy_name}`'} | {f'`{a.change}`' if a.change else ''} |"
        for a in installed_actions().values()
    )
    return head + "\n".join(rows) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text.startswith("{") else text


def _doc(kind: type[Any]) -> str:
    return inspect.cleandoc(kind.__doc__ or "")


def _fields(kind: type[Any], parts: dict[type[Any], None], words: dict[type[enum.Enum], None]) -> str:
    meanings = _meanings(kind)
    rows = ["| field | value | default | meaning |", "|---|---|---|---|"]
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType | msgspec.inspect.DataclassType)
    for field in info.fields:
        default = "**required**" if field.required else f"`{msgspec.json.encode(_default_of(field)).decode()}`"
        value = _value(field.type, parts, words)
        rows.append(f"| `{field.name}` | {value} | {default} | {meanings.get(field.name, '')} |")
    return "\n".join(rows)


def _default_of(field: msgspec.inspect.Field) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def _value(kind: msgspec.inspect.Type, parts: dict[type[Any], None], words: dict[type[enum.Enum], None]) -> str:
    """A type in words of JSON; notes the structs and enums met on the way."""
    i = msgspec.inspect
    match kind:
        case i.StructType(cls=cls) | i.DataclassType(cls=cls):
            if cls not in EVENTS:
                parts[cls] = None
            return f"[{cls.__name__}](#{cls.__name__.lower()})"
        case i.EnumType(cls=cls):
            words[cls] = None
            return f"[{cls.__name__}](#words)"
        case i.UnionType(types=types):
            return " or ".join(_value(t, parts, words) for t in types)
        case i.VarTupleType(item_type=item) | i.ListType(item_type=item):
            return f"list of {_value(item, parts, words)}"
        case i.TupleType(item_types=items):
            return f"list of {len(items)}: {', '.join(_value(item, parts, words) for item in items)}"
        case i.DictType(value_type=item):
            return f"object of {_value(item, parts, words)}"
        case _:
            return _PLAIN[type(kind)]


_PLAIN: Final[dict[type[msgspec.inspect.Type], str]] = {
    msgspec.inspect.StrType: "text",
    msgspec.inspect.IntType: "integer",
    msgspec.inspect.FloatType: "number",
    msgspec.inspect.BoolType: "true or false",
    msgspec.inspect.NoneType: "null",
    msgspec.inspect.BytesType: "base64 text",
    msgspec.inspect.AnyType: "anything",
}


def _words(words: Iterable[type[enum.Enum]]) -> str:
    rows = [
        "### Words",
        "",
        "Fields with one of a fixed set of words.",
        "",
        "| name | words | about |",
        "|---|---|---|",
    ]
    for kind in sorted(words, key=lambda k: k.__name__):
        meanings = _meanings(kind)
        said = (f"`{m.value}`" + (f" ({meanings[m.name]})" if m.name in meanings else "") for m in kind)
        rows.append(f"| {kind.__name__} | {', '.join(said)} | {' '.join(_doc(kind).split())} |")
    return "\n".join(rows)


def _meanings(kind: type[Any]) -> Mapping[str, str]:
    """What the code says of each attribute of a class and its bases: the docstring below it, or the comment beside it."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__ in {e.Event.__module__, verdicts.__name__} or base.__module__.startswith("contracts."):
            found.update(_said(textwrap.dedent(inspect.getsource(base))))
    return found


def _said(source: str) -> Iterator[tuple[str, str]]:
    lines = source.splitlines()
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    following = [*definition.body[1:], None]
    for node, after in zip(definition.body, following, strict=True):
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        if not isinstance(target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            yield target.id, " ".join(str(after.value.value).split())
        elif "  # " in (line := lines[(node.end_lineno or node.lineno) - 1]):
            yield target.id, line.partition("  # ")[2].replace("|", "\\|").replace("<", "&lt;")


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _table(prefix: str, fields: list[tuple[str, FieldInfo]]) -> list[str]:
    rows = ["| setting | environment | default | meaning |", "|---|---|---|---|"]
    for name, field in fields:
        variable = "HOMEOSTAT_" + f"{prefix}{name}".replace(".", "__").upper()
        rows.append(f"| `{prefix}{name}` | `{variable}` | `{_default(field)}` | {field.description} |")
    return rows


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, SecretStr):
        return "(none)"
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "(none)"
    if value in ("", None, {}):
        return "(none)"
    return value.as_posix() if isinstance(value, Path) else str(value)


def gaps_reference() -> str:
    """Gaps in evidence, as a table."""
    rows = [
        f"| `{kind}` | {meaning.means} | {'<br>'.join(f'{m.where}: `{m.line}`' for m in meaning.mends)} |"
        for kind, meaning in GAPS_OF.items()
    ]
    return "\n".join(["| gap | what can't be judged | what mends it |", "|---|---|---|", *rows]) + "\n"
