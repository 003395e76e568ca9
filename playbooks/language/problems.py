"""What is wrong with a playbook file, and where."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.errors import InvalidPlaybook


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake. `line` and `column` count from 1; `rule` is the word a CI filter matches on."""

    file: str
    line: int
    column: int
    rule: str
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        hint = f"; {self.suggestion}" if self.suggestion else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{hint} [{self.rule}]"


def refuse(problems: list[Problem]) -> InvalidPlaybook:
    """The error that carries all problems of a file or set of files, one per line."""
    return InvalidPlaybook("\n".join(str(p) for p in sorted(problems)))
