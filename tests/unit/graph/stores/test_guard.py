"""What a question may say, for texts nobody thought of."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidQuery
from graph.cypher import names, statement
from graph.cypher.tokens import statements, tokens
from graph.stores.guard import check_parameters, check_read_only

FORBIDDEN = ("CREATE", "merge", "Set", "DELETE", "REMOVE", "DROP", "FOREACH", "LOAD", "COPY", "INSERT", "COMMIT")


@pytest.mark.parametrize("name", names())
def test_every_named_question_may_be_asked_and_no_write_may(name: str) -> None:
    for part in statement(name).parts:
        if statement(name).columns:
            with pytest.raises(InvalidQuery):
                check_read_only(part)
        else:
            check_read_only(part)


@given(st.text(), st.sampled_from(FORBIDDEN), st.text())
def test_a_clause_is_found_whatever_surrounds_it(before: str, clause: str, after: str) -> None:
    cypher = f"MATCH (n) WITH n {clause} (m) RETURN '{_quoted(before)}' AS a, /* {_plain(after)} */ 1 AS b"
    with pytest.raises(InvalidQuery):
        check_read_only(cypher)


@given(st.text(), st.sampled_from(FORBIDDEN))
def test_a_clause_in_a_string_or_comment_is_none(noise: str, clause: str) -> None:
    check_read_only(f"RETURN '{clause} {_quoted(noise)}' AS a, \"{clause}\" AS `{clause}` // {clause}")


@given(st.text())
def test_any_text_is_passed_or_refused_by_name(cypher: str) -> None:
    with contextlib.suppress(InvalidQuery):  # any other exception fails
        check_parameters(cypher, ())
        check_read_only(cypher)


@given(st.lists(st.sampled_from(["RETURN 1", "RETURN ';'", "// ; \n RETURN 2", "RETURN `;` /* ; */"]), max_size=5))
def test_statements_are_split_at_semicolons_that_are_not_quoted(parts: list[str]) -> None:
    assert statements(";\n".join(parts)) == [p.strip() for p in parts]


@given(st.text())
def test_tokens_lose_nothing_but_spaces_and_comments(source: str) -> None:
    cypher = source.replace("/", "").replace("'", "").replace('"', "").replace("`", "")
    assert "".join(t.text for t in tokens(cypher)) == "".join(cypher.split())


@pytest.mark.parametrize(
    ("cypher", "says"),
    [
        ("CREATE (n)", "'CREATE'"),
        ("RETURN 1; RETURN 2", "one statement"),
        ("CALL threads = 4", "CALL threads"),
        ("CALL dbms.killQuery('x')", "CALL dbms.killQuery"),
        ("RETURN '\\u0027' AS a", "escape"),
        ("\\u0043REATE (n)", "CREATE|escape|say"),
        ("RETURN 'open", "never closed"),
        ("SHOW USERS", "'SHOW'"),
    ],
)
def test_messages(cypher: str, says: str) -> None:
    with pytest.raises(InvalidQuery, match=says):
        check_read_only(cypher)


@pytest.mark.parametrize(
    "cypher",
    [
        "MATCH (n) RETURN n.set, n:Create, {delete: 1} AS m",
        "CALL show_tables() RETURN *",
        "CALL db.labels() YIELD label RETURN label",
        "MATCH (a) CALL { WITH a RETURN 1 AS one } RETURN a, one;",
        "EXPLAIN MATCH (n) RETURN n",
    ],
)
def test_harmless(cypher: str) -> None:
    check_read_only(cypher)


def _quoted(text: str) -> str:
    return text.replace("\\", "").replace("'", "\\'")


def _plain(text: str) -> str:
    return text.replace("*", "").replace("\\", "")
