"""What a client span asks of a database, in two words: `SELECT orders`, `HGETALL`, `find users`, `GetItem carts`.

The one owner of the question which kind a statement is of. Conventions have a summary of low cardinality, the name of the operation and
that of the collection; where they are missing, the verb and the first table are read from the statement's text. Nothing else of a
text is kept: no literal, no key, no comment. What is generated in a name is folded, and secrets are masked, as in all names.

https://opentelemetry.io/docs/specs/semconv/database/database-spans, and the conventions of before 2024.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from connectors.otlp.conventions import standard
from connectors.otlp.folding import CACHED_NAMES, fold_route
from connectors.otlp.values import Plain, first_of
from contracts.secrets import masked

_TABLE: Final = standard()
SUMMARY: Final = _TABLE.keys("db_summary")
OPERATION: Final = _TABLE.keys("db_operation")
COLLECTION: Final = _TABLE.keys("db_collection")
TEXT: Final = _TABLE.keys("db_text")
NAMING_KEYS: Final = frozenset((*SUMMARY, *OPERATION, *COLLECTION))
"""What names kinds of statements: the same few values again and again."""
TEXT_KEYS: Final = frozenset(TEXT)
KEYS: Final = NAMING_KEYS | TEXT_KEYS
DATABASE: Final = "db:"
"""What names of databases begin with (see `peers`)."""

_LONGEST_TEXT: Final = 4096
_LONGEST: Final = 96
_WORDS: Final = 8
"""Words of a summary that are kept: those of one statement are two or three."""
_SQL: Final = frozenset(
    {
        *(
            "SELECT",
            "INSERT",
            "UPDATE",
            "DELETE",
            "MERGE",
            "UPSERT",
            "REPLACE",
            "WITH",
            "CALL",
            "EXEC",
            "EXECUTE",
            "COPY",
        ),
        *(
            "CREATE",
            "ALTER",
            "DROP",
            "TRUNCATE",
            "BEGIN",
            "COMMIT",
            "ROLLBACK",
            "SET",
            "SHOW",
            "LOCK",
            "USE",
            "EXPLAIN",
        ),
    }
)
_NAME: Final = r"[A-Za-z_][\w$]{0,63}"
_QUOTED: Final = str.maketrans("", "", '`"[]')
_IDENTIFIER: Final = re.compile(rf"{_NAME}(?:[.:/-]{_NAME}){{0,3}}")
_VERB: Final = re.compile(r"[\s(;]*([A-Za-z][A-Za-z_.]{1,23})(?=[\s(;]|$)")
_LITERAL: Final = re.compile(
    r"""/\*.*?(?:\*/|\Z) | --[^\n]* | '(?:[^'\\]|\\.|'')*(?:'|\Z) | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z) | "[^"]*(?:"|\Z)""",
    re.VERBOSE | re.DOTALL,
)
"""Comments and literals of SQL; what stands in double quotes may be a name."""
_IN_QUOTES: Final = re.compile(r'"[\w$]+"')
_INTO: Final = re.compile(
    rf"""\b(?:FROM|INTO|UPDATE|JOIN|TABLE|CALL|EXEC(?:UTE)?)\s+(?:(?:ONLY|LATERAL|IF|NOT|EXISTS)\s+)*
    ([`"\[]?{_NAME}[`"\]]?(?:\.[`"\[]?{_NAME}[`"\]]?){{0,3}})""",
    re.VERBOSE | re.IGNORECASE,
)
_NO_TABLE: Final = frozenset({"SELECT", "SET", "VALUES", "WHERE", "UNNEST", "ONLY"})


def statement_of(attributes: Mapping[str, Plain]) -> str:
    """The kind of statement that a span to a database says it is; "" where it does not say."""
    summary = _words(first_of(attributes, SUMMARY), _WORDS)
    if summary:
        return _told(summary)
    operation = _operation(first_of(attributes, OPERATION))
    collection = _words(first_of(attributes, COLLECTION), 1)
    if not operation or (not collection and operation in _SQL):
        verb, table = _read(first_of(attributes, TEXT)[:_LONGEST_TEXT])
        operation, collection = operation or verb, collection or table
    return _told(f"{operation} {collection}".strip())


def needs_text(attributes: Mapping[str, Plain]) -> bool:
    """Whether what `NAMING_KEYS` say leaves something for the statement's text to say."""
    if _words(first_of(attributes, SUMMARY), _WORDS):
        return False
    operation = _operation(first_of(attributes, OPERATION))
    return not operation or (operation in _SQL and not _words(first_of(attributes, COLLECTION), 1))


@lru_cache(maxsize=CACHED_NAMES)
def _told(text: str) -> str:
    return masked(fold_route(text))[:_LONGEST]


def _operation(text: str) -> str:
    """The first word, and the second of a batch; some write a whole statement there."""
    words = _words(text, 2).split()
    if not words:
        return ""
    first = words[0].upper() if words[0].upper() in _SQL else words[0]
    return " ".join([first, *words[1:]]) if first.upper() == "BATCH" else first


def _words(text: str, most: int) -> str:
    """The words at the beginning of a text that are names."""
    found: list[str] = []
    for word in text[: 2 * _LONGEST].split():
        plain = word.translate(_QUOTED)
        if len(found) >= most or not _IDENTIFIER.fullmatch(plain):
            break
        found.append(plain)
    return " ".join(found)


def _read(text: str) -> tuple[str, str]:
    """The verb of a statement and, of SQL, the first table that it names."""
    bare = _LITERAL.sub(_name_or_nothing, text)
    found = _VERB.match(bare)
    if found is None:
        return "", ""
    verb = found[1].upper()
    if verb not in _SQL:
        return found[1], ""
    into = _INTO.search(bare)
    table = into[1].translate(_QUOTED) if into is not None else ""
    return verb, "" if table.upper() in _NO_TABLE else table


def _name_or_nothing(match: re.Match[str]) -> str:
    return match[0] if _IN_QUOTES.fullmatch(match[0]) else " "
