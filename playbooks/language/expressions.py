"""CEL: conditions and computed arguments. Compiled and type-checked when read, evaluated without ever raising.

The language is Google's Common Expression Language (https://github.com/google/cel-spec); its macros bound every loop by the
size of its input, so an expression always ends.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cel_expr_python import cel

from contracts.errors import suggest
from contracts.features import FEATURES, Signal
from playbooks.language.variables import ARGUMENT_VARIABLES, VARIABLES, CelType, Scope

TEMPLATE: Final = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
MAX_LENGTH: Final = 2000

_TYPES: Final[dict[CelType, Any]] = {
    CelType.BOOL: cel.Type.BOOL,
    CelType.INT: cel.Type.INT,
    CelType.DOUBLE: cel.Type.DOUBLE,
    CelType.STRING: cel.Type.STRING,
    CelType.STRINGS: cel.Type.List(cel.Type.STRING),
    CelType.TEXTS: cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    CelType.NUMBERS: cel.Type.Map(cel.Type.STRING, cel.Type.DOUBLE),
    CelType.RECORDS: cel.Type.List(cel.Type.Map(cel.Type.STRING, cel.Type.DYN)),
}
_ERROR: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD: Final = re.compile(r"no matching overload for '([^']*)' applied to '(.*)'$")
_LITERAL_KEY: Final = re.compile(r"\b(?:features|expected\.low|expected\.high)\[\s*[\"']([^\"']*)[\"']\s*\]")
_LITERAL_IN: Final = re.compile(r"[\"']([^\"']*)[\"']\s+in\s+(?:features|expected\.low|expected\.high)\b")
_FUNCTIONS: Final = (
    "size", "has", "all", "exists", "exists_one", "map", "filter", "int", "uint", "double", "string", "bool", "type",
    "startsWith", "endsWith", "contains", "matches", "duration", "timestamp",
)  # fmt: skip
SERVICE_FEATURES: Final = tuple(f.name for f in FEATURES.values() if f.signal is not Signal.EDGES)
EDGE_FEATURES: Final = tuple(f.name for f in FEATURES.values() if f.signal is Signal.EDGES)


@dataclass(frozen=True, slots=True)
class ExpressionError:
    """What is wrong with an expression. `line` and `column` count from 1 within its text."""

    rule: str  # expression_syntax | expression_name | expression_type
    line: int
    column: int
    message: str
    suggestion: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of an evaluation: a value, or the reason why there is none."""

    value: Any = None
    error: str = ""


@functools.cache
def _environment(names: tuple[str, ...]) -> Any:
    return cel.NewEnv(variables={n: _TYPES[VARIABLES[n].type] for n in names})


@functools.lru_cache(maxsize=4096)
def _compiled(text: str, names: tuple[str, ...]) -> Any:
    return _environment(names).compile(text)


def check(text: str, wanted: Iterable[str], *, in_argument: bool = False) -> list[ExpressionError]:
    """Everything wrong with an expression whose result should be one of the CEL types `wanted` (empty: any)."""
    if len(text) > MAX_LENGTH:
        return [
            ExpressionError("expression_syntax", 1, 1, f"expression of {len(text)} characters, at most {MAX_LENGTH}")
        ]
    names = ARGUMENT_VARIABLES if in_argument else tuple(VARIABLES)
    try:
        result = _compiled(text, names).return_type()
    except RuntimeError as e:
        return _explain(str(e), text, names)
    found = [_unknown_feature(text, m) for p in (_LITERAL_KEY, _LITERAL_IN) for m in p.finditer(text)]
    errors = sorted((e for e in found if e is not None), key=lambda e: (e.line, e.column))
    kinds = list(wanted)
    name = result.name().lower()
    if kinds and name not in kinds and name != "dyn":
        hint = "compare it with something" if kinds == ["bool"] else ""
        errors.append(
            ExpressionError("expression_type", 1, 1, f"expression is {_a(name)}, not {_a(' or '.join(kinds))}", hint)
        )
    return errors


def _a(noun: str) -> str:
    return f"an {noun}" if noun[:1] in "aeiou" else f"a {noun}"


def _unknown_feature(text: str, match: re.Match[str]) -> ExpressionError | None:
    name = match.group(1)
    if name in SERVICE_FEATURES:
        return None
    before = text[: match.start(1)]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    if name in FEATURES:
        return ExpressionError("unknown_feature", line, column, f"{name!r} is measured per edge, not per service")
    return ExpressionError(
        "unknown_feature", line, column, f"unknown feature {name!r}", _nearest(name, SERVICE_FEATURES)
    )


def _nearest(name: str, valid: Iterable[str]) -> str:
    close = suggest(name, valid)
    return f"did you mean {close!r}?" if close else ""


def _explain(message: str, text: str, names: tuple[str, ...]) -> list[ExpressionError]:
    errors, seen = [], set[tuple[int, str]]()
    for line, column, what in _ERROR.findall(message):
        error = _one(int(line), int(column), what, text, names)
        if (error.line, error.message) not in seen:
            seen.add((error.line, error.message))
            errors.append(error)
    return errors or [ExpressionError("expression_syntax", 1, 1, message.splitlines()[0])]


def _one(line: int, column: int, what: str, text: str, names: tuple[str, ...]) -> ExpressionError:
    undeclared = _UNDECLARED.search(what)
    if undeclared:
        return _undeclared(line, column, undeclared.group(1), text, names)
    overload = _OVERLOAD.search(what)
    if overload:
        return _mismatch(line, column, overload.group(1), overload.group(2))
    return ExpressionError("expression_syntax", line, column, f"not an expression: {_short(what)}")


def _short(what: str) -> str:
    """A parser's complaint without its list of every token that could have followed."""
    plain = re.sub(r" expecting \{.*", "", what).removeprefix("Syntax error: ")
    return plain.replace("mismatched input '<EOF>'", "it ends too early").replace("extraneous input", "unexpected")


def _undeclared(line: int, column: int, name: str, text: str, names: tuple[str, ...]) -> ExpressionError:
    row = text.splitlines()[line - 1] if text else ""
    at = row.find(name, max(0, column - 1 - len(name)))
    column = at + 1 if at >= 0 else column
    if row[column - 1 + len(name) :].lstrip().startswith("(") or "." + name in row:
        return ExpressionError(
            "expression_name", line, column, f"unknown function {name!r}", _nearest(name, _FUNCTIONS)
        )
    if name in VARIABLES:
        hint = f"arguments know {', '.join(names)}"
        return ExpressionError("expression_name", line, column, f"{name!r} is not known in step arguments", hint)
    inside = sorted(n for n in names if n.startswith(name + "."))
    hint = f"it holds {', '.join(inside)}" if inside else _nearest(name, names)
    return ExpressionError("expression_name", line, column, f"unknown variable {name!r}", hint)


def _mismatch(line: int, column: int, operator: str, types: str) -> ExpressionError:
    symbol = operator.strip("_").replace("_", "")
    operands = types.strip("()").split(", ")
    mixed = len(operands) == 2 and set(operands) == {"int", "double"}
    hint = "write the number as a double (1.0), or convert with double(...)" if mixed else ""
    message = f"{symbol!r} can't take {' and '.join(operands)}"
    return ExpressionError("expression_type", line, column, message, hint)


def evaluate(text: str, scope: Scope, *, in_argument: bool = False) -> Evaluation:
    """The value of an expression in a scope; never raises.

    What is missing from the scope, a key that is not there, a division by zero: all are an `Evaluation` with an error.
    """
    names = ARGUMENT_VARIABLES if in_argument else tuple(VARIABLES)
    try:
        result = _compiled(text, names).eval(data={k: v for k, v in scope.items() if k in names})
        if result.type() == cel.Type.ERROR:
            return Evaluation(error=_reason(str(result.value())))
        return Evaluation(_plain(result.value()))
    except (RuntimeError, TypeError, ValueError, OverflowError) as e:
        return Evaluation(error=_reason(str(e)))


def _reason(text: str) -> str:
    plain = text.split(": ", 1)[-1] if re.match(r"^[A-Z_]+: ", text) else text
    missing = re.match(r'No value with name "([^"]*)" found', plain)
    if missing:
        return f"{missing.group(1)} is not known"
    key = re.match(r'Key not found in map : "([^"]*)"', plain)
    return f"{key.group(1)} is not known" if key else plain.splitlines()[0]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def resolve(arguments: Mapping[str, Any], scope: Scope) -> tuple[dict[str, Any], list[str]]:
    """Arguments with every `${{ … }}` replaced by its value, and the reasons why some could not be.

    A text that is nothing but one expression takes the expression's type; inside other text it is written out.
    """
    errors: list[str] = []
    return {k: _resolve(v, scope, errors) for k, v in arguments.items()}, errors


def _resolve(value: Any, scope: Scope, errors: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {k: _resolve(v, scope, errors) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(v, scope, errors) for v in value]
    if not isinstance(value, str) or "${{" not in value:
        return value
    whole = TEMPLATE.fullmatch(value.strip())
    if whole and value.count("${{") == 1:
        return _one_value(whole.group(1), scope, errors)
    return TEMPLATE.sub(lambda m: str(_one_value(m.group(1), scope, errors)), value)


def _one_value(text: str, scope: Scope, errors: list[str]) -> Any:
    result = evaluate(text.strip(), scope, in_argument=True)
    if result.error:
        errors.append(f"${{{{{text}}}}}: {result.error}")
        return None
    return result.value
