"""What a condition that does not hold wanted, and what is so instead: the part of it that fails, with the values of what it speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from playbooks.language.expressions import evaluate
from playbooks.language.variables import VARIABLES, Scope

_LEXEME: Final = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|&&|\|\||[()\[\]{}?]|.""", re.DOTALL)
_NAMES: Final = re.compile(
    r"(?<![\w.])(" + "|".join(re.escape(n) for n in sorted(VARIABLES, key=len, reverse=True)) + r")(?!\w)"
)
_KEYED: Final = re.compile(r"""(features|expected\.low|expected\.high|service\.attributes)\[\s*["']([^"']*)["']\s*\]""")
_TEXTS: Final = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""")
MOST_LISTED: Final = 3
"""So many members of a list are told; of longer ones, how many they are."""


def unmet(condition: str, scope: Scope) -> str:
    """Why a condition does not hold, for people: the first part that fails, of those joined by `&&`, and what is so instead. Empty where
    it holds."""
    if evaluate(condition, scope).value is True:
        return ""
    tried = ((part, evaluate(part, scope)) for part in _parts(condition))
    part, result = next(((p, r) for p, r in tried if r.value is not True), (condition, evaluate(condition, scope)))
    facts = [result.error] if result.error else list(_facts(part, scope))
    return f"it takes {part}, and {_joined(facts)}" if facts else f"it takes {part}"


def _parts(condition: str) -> list[str]:
    """What is joined by `&&` outside of brackets and quotes; the whole where `||` or `? :` stands beside it."""
    depth, parts, part = 0, [], ""
    for lexeme in _LEXEME.findall(condition):
        if depth == 0 and lexeme in {"||", "?"}:
            return [" ".join(condition.split())]
        depth += (lexeme in "([{") - (lexeme in ")]}") if len(lexeme) == 1 else 0
        if depth == 0 and lexeme == "&&":
            parts.append(part)
            part = ""
        else:
            part += lexeme
    return [" ".join(p.split()) for p in (*parts, part)]


def _facts(part: str, scope: Scope) -> Iterator[str]:
    """The values of what a part speaks of, each once, in its order."""
    for found in _KEYED.finditer(part):
        values = scope.get(found[1])
        if isinstance(values, Mapping) and found[2] in values:
            yield f"{found[0]} is {_value(values[found[2]])}"
    bare = _TEXTS.sub('""', _KEYED.sub("", part))
    for name in dict.fromkeys(_NAMES.findall(bare)):
        if name in scope and not isinstance(scope[name], Mapping):
            yield f"{name} {_is(scope[name])}"


def _is(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        if not value:
            return "is empty"
        if len(value) > MOST_LISTED or isinstance(value[0], Mapping):
            return f"has {len(value)}"
        return f"is {', '.join(map(_value, value))}"
    return f"is {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"' if value else "empty"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _joined(facts: Sequence[str]) -> str:
    return facts[0] if len(facts) == 1 else f"{', '.join(facts[:-1])} and {facts[-1]}"
