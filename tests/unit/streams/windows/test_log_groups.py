"""Templates that differ by words that vary are one group, those that say different things are not; whatever the order they come in."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.otlp.templates import template_of
from streams.windows.log_groups import VARIES, LogGroups

NAMES = [
    "ann",
    "bo",
    "cy",
    "dee",
    "eli",
    "fay",
    "gus",
    "hal",
    "ida",
    "jo",
    "kai",
    "lea",
    "max",
    "nia",
    "ole",
    "pia",
    "quin",
    "ray",
    "sue",
    "tom",
    "uma",
    "vic",
    "wes",
    "xan",
    "yan",
    "zed",
    "amber",
    "basil",
    "cedar",
    "dahlia",
    "elder",
    "fern",
    "ginger",
    "hazel",
    "iris",
    "jasmine",
    "laurel",
    "maple",
    "nettle",
    "olive",
    "poppy",
    "rowan",
    "sage",
    "thyme",
]
STATEMENTS = """lock on account {name} acquired by {name} after {number} ms
lock on account {name} released by {name}
tenant {name} has {number} open sessions
tenant {name} was suspended
shard {number} of index {name} relocated to {name}
shard {number} of index {name} is unassigned
subscriber {name} is slow, {number} messages behind
subscriber {name} unsubscribed
could not parse header {name}: unexpected end of input
could not parse header {name}: too long
migration {name} applied in {number} ms
migration {name} rolled back: constraint violated
upstream {name} returned no body
upstream {name} closed the connection while sending {number} bytes
plugin {name} loaded
plugin {name} failed to load
assigned role {name} to {name}@corp.example
removed role {name} from {name}@corp.example
warehouse {name} picked {number} of {number} items
warehouse {name} is closed
replica {name}-{number} lags by {number} s
snapshot {name}/{number}.tar.gz stored
webhook https://{name}.example/hook answered {number}
webhook https://{name}.example/hook timed out
theme {name} compiled with {number} warnings
no route for {name}""".splitlines()


def lines(seed: int, many: int = 8000) -> list[tuple[int, str]]:
    """Numbers of statements, and lines of them."""
    rng = random.Random(seed)
    found = []
    for _ in range(many):
        statement = rng.randrange(len(STATEMENTS))
        text = STATEMENTS[statement]
        while "{" in text:
            text = text.replace("{name}", rng.choice(NAMES), 1).replace("{number}", str(rng.randrange(1, 10**5)), 1)
        found.append((statement, text))
    return found


def accuracy(truth: list[int], found: list[int]) -> float:
    """The share of lines whose group has all lines of their statement, and no others (He et al., section V)."""
    of_statement, of_group = defaultdict(set), defaultdict(set)
    for at, (statement, group) in enumerate(zip(truth, found, strict=True)):
        of_statement[statement].add(at)
        of_group[group].add(at)
    right = (g for g in of_group.values() if of_statement[truth[min(g)]] == g)
    return sum(map(len, right)) / len(truth)


def grouped(texts: list[str], groups: LogGroups) -> list[int]:
    """The group of each text."""
    found = [template_of(text) for text in texts]
    return [groups.of(t.hash, t.text) for t in found]


@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_groups_are_the_statements_that_were_written(seed: int) -> None:
    truth, texts = zip(*lines(seed), strict=True)
    groups = LogGroups()
    first = grouped(list(texts), groups)
    groups._known.clear()
    assert accuracy(list(truth), grouped(list(texts), groups)) >= 0.95
    assert len(set(first)) <= 3 * VARIES * len(STATEMENTS), "what was ever told as new"


def test_what_says_something_else_is_another_statement() -> None:
    groups = LogGroups()
    a, b = grouped(["circuit breaker for cart opened", "circuit breaker for cart closed"], groups)
    assert a != b
    more = [f"circuit breaker for {name} {state}" for name in NAMES for state in ("opened", "closed")]
    grouped(more, groups)
    opened, closed = grouped(["circuit breaker for web opened", "circuit breaker for web closed"], groups)
    assert {opened, closed} == {a, b}
    assert grouped(["circuit breaker for web tripped"], groups)[0] not in (a, b)
    assert grouped(["circuit breaker exploded"], groups)[0] not in (a, b)


@given(st.lists(st.text("ab <>*1", max_size=24), max_size=60), st.integers(0, 60))
def test_any_texts_have_groups_that_a_snapshot_keeps(texts: list[str], cut: int) -> None:
    groups, again = LogGroups(), LogGroups()
    before = grouped(texts[:cut], groups)
    again.load(groups.state())
    assert grouped(texts[:cut], again) == before
    assert grouped(texts, again) == grouped(texts, groups)


def test_a_flood_of_templates_takes_up_no_more_room() -> None:
    groups = LogGroups()
    rng = random.Random(1)
    for number in range(30_000):
        groups.of(number, " ".join(rng.choice(NAMES) + rng.choice(NAMES) for _ in range(rng.randrange(1, 9))))
    assert len(groups._known) <= 20_000
    assert groups._count <= 1000


def test_places_in_the_code_are_statements_and_no_values() -> None:
    groups = LogGroups()
    places = [f"INFO shop.Cart#{line}" for line in range(40)] + [f"W cart.go:{line}] full" for line in range(40)]
    assert len({groups.of(i, text) for i, text in enumerate(places)}) == len(places)
    names = [f"INFO {name}" for name in NAMES]
    assert len({groups.of(100 + i, text) for i, text in enumerate(names)}) <= VARIES
