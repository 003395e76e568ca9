"""Which log templates are new, in which window, and which are forgotten where a service logs too many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.windows import templates
from streams.windows.templates import TemplateBook

QUIET = 600
"""Windows, in numbers: a limit that follows its own constant would hold for any."""


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5), st.integers(10, 15)), max_size=40))
def test_a_template_is_new_in_the_earliest_window_of_its_service(seen: list[tuple[int, int, int]]) -> None:
    book, first = TemplateBook(), dict[tuple[int, int], int]()
    for entity, template, window in seen:
        before = first.get((entity, template))
        moved = before if before is not None and window < before else -1
        assert book.see(entity, template, window) == moved
        first[entity, template] = window if before is None else min(before, window)
    again = TemplateBook()
    again.see(9, 9, 9)
    again.load(book.state())
    for known in (book, again):
        for entity in (1, 2, 3, 9):
            for window in range(9, 16):
                assert known.fresh(entity, window) == sorted(
                    t for (e, t), w in first.items() if (e, w) == (entity, window)
                )


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> TemplateBook:
    """Room for twenty of a service, all of which were logged; the even ones last in window 1000, the odd ones in 1001."""
    monkeypatch.setattr(templates, "_MOST_PER_SERVICE", 20)
    book = TemplateBook()
    for template in range(20):
        book.see(1, template, 900)
        assert book.see(1, template, 1000 + template % 2) == -1
        book.see(1, template, 950)  # late: it was logged later than that
    return book


def test_while_all_were_logged_lately_there_is_no_room(full: TemplateBook) -> None:
    assert full.see(1, 99, 1000 + QUIET) == -1
    assert (full.over_limit, full.left, full.fresh(1, 1000 + QUIET)) == (1, 0, [])
    assert full.see(2, 99, 1000 + QUIET) == -1
    assert full.fresh(2, 1000 + QUIET) == [99], "another service has room of its own"
    assert full.see(1, 7, 1000 + QUIET) == -1
    assert full.over_limit == 1, "it is known"


@pytest.mark.parametrize("window", [1001 + QUIET, 1002 + QUIET])
def test_a_tenth_leaves_that_was_not_logged_for_longest(full: TemplateBook, window: int) -> None:
    full.see(1, 99, window)
    assert (full.over_limit, full.left, full.fresh(1, window)) == (0, 2, [99])
    news = set[int]()
    for template in range(20):
        again = TemplateBook()
        again.load(full.state())
        again.see(1, template, window)
        news.update(again.fresh(1, window))
    assert news == {0, 2, 99}


def test_of_states_that_do_not_tell_when_it_was_logged_it_is_taken_to_be_as_old_as_it_is(full: TemplateBook) -> None:
    old = full.state()
    del old["last"]
    for window, left in ((900 + QUIET, 0), (901 + QUIET, 2)):
        book = TemplateBook()
        book.load(old)
        book.see(1, 99, window)
        assert (book.left, book.over_limit) == (left, 0 if left else 1)


def test_texts_are_kept_as_they_were_first_told_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_MOST_TEXTS", 20)
    book = TemplateBook()
    for template in range(20):
        book.tell(template, f"text {template}")
        book.tell(template, "another")
    book.tell(50, "")
    assert [book.text(n) for n in (0, 19, 50)] == ["text 0", "text 19", f"template {50:016x}"]
    book.tell(21, "one more")
    assert [book.text(n) for n in (1, 2, 21)] == [f"template {1:016x}", "text 2", "one more"], "a tenth leaves"


def test_who_leaves_and_what_is_closed_is_forgotten() -> None:
    book = TemplateBook()
    for entity in (1, 2):
        book.see(entity, 5, 10)
        assert book.group(entity, 5, "a b") == 5
    book.forget(1)
    assert book.see(1, 5, 11) == -1
    assert (book.fresh(1, 11), book.see(2, 5, 11), book.fresh(2, 11)) == ([5], -1, [])
    book.close(10)
    assert book.fresh(2, 10) == []
    assert book.see(2, 5, 9) == 10


def test_a_book_that_takes_a_state_knows_nothing_else() -> None:
    book, again = TemplateBook(), TemplateBook()
    for entity, known in ((1, book), (2, again)):
        known.tell(5 * entity, f"lost {entity} of")
        known.see(entity, 5 * entity, 10)
        assert known.group(entity, 5 * entity, f"lost {entity} of") == 5 * entity
    again.load(book.state())
    assert str(again.state()) == str(book.state())
    assert again.group(1, 77, "lost 1 of") == 5
    assert again.group(2, 77, "lost 2 of") == 77
