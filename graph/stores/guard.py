"""What a text may say before an engine sees it, and above all what a read-only question may.

Both engines refuse to *write* in a read-only transaction, and the stores rely on that. But a text can do harm without
writing to the graph: end the transaction, read or write files, load extensions, change settings, stop queries. So the
clauses that can are refused here by name, before the engine sees the text.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from contracts.errors import InvalidQuery
from graph.cypher.tokens import Token, statements, tokens

_FIRST: Final = frozenset({"MATCH", "OPTIONAL", "RETURN", "UNWIND", "WITH", "CALL"})
_PREFIXES: Final = frozenset({"EXPLAIN", "PROFILE"})
_REFUSED: Final = frozenset(
    {
        *("CREATE", "MERGE", "SET", "DELETE", "DETACH", "REMOVE", "DROP", "ALTER", "FOREACH", "INSERT"),
        *("LOAD", "COPY", "EXPORT", "IMPORT", "ATTACH", "INSTALL", "TERMINATE", "COMMIT", "ROLLBACK", "BEGIN"),
    }
)
_PROCEDURES: Final = frozenset(
    {
        *("show_tables", "table_info", "show_connection", "show_functions", "show_indexes", "db_version"),
        *("db.labels", "db.relationshiptypes", "db.propertykeys", "db.schema.visualization", "dbms.components"),
        *("db.schema.nodetypeproperties", "db.schema.reltypeproperties"),
    }
)


def check_read_only(cypher: str) -> None:
    """Pass one question that can only read.

    Raises:
        InvalidQuery: it is empty, more than one statement, or says a clause that is refused; the message names it.
    """
    found = list(tokens(cypher))
    if len(statements(cypher)) != 1:
        raise InvalidQuery("a question is one statement", reason="not_one_statement")
    _check_first(found)
    for i, token in enumerate(found):
        _check_escape(token)
        if token.keyword in _REFUSED and not _is_name(found, i):
            raise _refused(token)
        if token.keyword == "CALL" and not _is_name(found, i):
            _check_call(found, i)


def check_parameters(cypher: str, given: Collection[str]) -> None:
    """Pass a text whose parameters are all given: Ladybug would read a missing one as null.

    Raises:
        InvalidQuery: one is missing; the message names it.
    """
    for token in tokens(cypher):
        if token.kind == "word" and token.text.startswith("$") and token.text[1:] not in given:
            raise InvalidQuery(f"parameter {token.text} is not given", reason="missing_parameter")


def _check_first(found: list[Token]) -> None:
    first = next((t for t in found if t.keyword not in _PREFIXES), found[0])
    if first.keyword not in _FIRST:
        raise _refused(first)


def _check_escape(token: Token) -> None:
    # Neo4j turns \u0041 into A before it parses, anywhere in a text: such a text is not what it looks like.
    if "\\u" in token.text or (token.kind == "sign" and token.text == "\\"):
        raise InvalidQuery("write the character itself instead of a \\u escape", reason="escape")


def _is_name(found: list[Token], i: int) -> bool:
    """Whether the word at `i` names a property, a label or a map's key: `n.set`, `:Set`, `{set: 1}`."""
    before = found[i - 1].text if i else ""
    after = found[i + 1].text if i + 1 < len(found) else ""
    return before in {".", ":"} or (after == ":" and before in {"{", ","})


def _check_call(found: list[Token], i: int) -> None:
    following = found[i + 1 :]
    if following and following[0].text in {"{", "("}:
        return
    name = ""
    for token in following:
        if token.kind != "word" and token.text != ".":
            break
        if name and not name.endswith(".") and token.text != ".":
            break
        name += token.text
    if name.lower() not in _PROCEDURES:
        raise InvalidQuery(
            f"CALL {name} is not among what a question may call",
            reason="not_read_only",
            fix=f"allowed: {', '.join(sorted(_PROCEDURES))}",
        )


def _refused(token: Token) -> InvalidQuery:
    return InvalidQuery(
        f"a question may not say {token.text!r}: the graph is only read here",
        reason="not_read_only",
        fix="start with MATCH, OPTIONAL MATCH, UNWIND, WITH, CALL or RETURN; put a name that looks like a clause in `backticks`",
    )
