"""Cypher texts as tokens: enough to split statements and to see which clauses a text uses, in both dialects.

Nothing here understands Cypher. It only knows what is *not* a clause: strings, comments and quoted names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from contracts.errors import InvalidQuery

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
      | (?P<quoted>`(?:``|[^`])*`)
      | (?P<word>\$?[^\W\d]\w*)
      | (?P<open>['"`]|/\*)
      | (?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind (string, quoted, word, sign), its text, and where it starts in the source."""

    kind: str
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """The text as a keyword would be compared; "" for what can't be one."""
        return self.text.upper() if self.kind == "word" else ""


def tokens(cypher: str) -> Iterator[Token]:
    """The tokens of a text without spaces and comments.

    Raises:
        InvalidQuery: a string, quoted name or comment is never closed.
    """
    for match in _TOKEN.finditer(cypher):
        kind = str(match.lastgroup)
        if kind == "open":
            line = cypher.count("\n", 0, match.start()) + 1
            raise InvalidQuery(f"line {line}: {match.group()} is never closed", reason="unclosed")
        if kind not in {"space", "comment"}:
            yield Token(kind, match.group(), match.start())


def statements(cypher: str) -> list[str]:
    """The statements of a text, split at its semicolons; empty ones (and those of comments only) are left out."""
    parts: list[str] = []
    begin, seen = 0, False
    for token in tokens(cypher):
        if token.kind == "sign" and token.text == ";":
            if seen:
                parts.append(cypher[begin : token.start].strip())
            begin, seen = token.start + 1, False
        else:
            seen = True
    return [*parts, cypher[begin:].strip()] if seen else parts
