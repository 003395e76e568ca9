"""As much as there is room for, in numbers: up to a limit nothing is lost, and what is one too many is dealt with."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np

from contracts.frames import Resource
from contracts.frames.views import rank_of, series_id
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.calls import Fan
from streams.windows.collect import Receipt
from streams.windows.collect_logs import LogCollector
from streams.windows.containment import Containment
from streams.windows.facts import Facts
from streams.windows.failed_calls import FailedCalls
from streams.windows.hosts import Hosts
from streams.windows.log_groups import LogGroups
from streams.windows.names import Names
from streams.windows.places import Places
from streams.windows.preference import KEPT_NS, Preference
from streams.windows.request_rows import SPAN
from streams.windows.shared_ids import SharedIds
from streams.windows.tables import KeyTable
from streams.windows.templates import TemplateBook
from streams.windows.usual import UsualRows
from streams.windows.watermark import Watermarks, WatermarkSource
from tests.unit.streams.windows.support import T0, logs


def test_a_hundred_thousand_pairs_of_keys_and_where_they_lead() -> None:
    fan, keys = Fan(), np.arange(100_000, dtype=np.uint64)
    fan.learn(keys, keys.astype(np.int64))
    assert len(fan.of(keys)[0]) == 100_000
    fan.learn(np.array([7], np.uint64), np.array([8]))
    assert [c.tolist() for c in fan.of(np.array([6, 7], np.uint64))] == [[1], [8]]


def test_twenty_thousand_peers_and_fifty_thousand_calls_that_wait() -> None:
    failed = FailedCalls(Names("prod", 1, 10), SECOND, SPAN)
    failed.hear((n, "a") for n in range(20_000))
    assert failed.peers(np.array([0, 19_999], np.uint64)).tolist() == [0, 0]
    failed.hear([(20_000, "b")])
    assert failed.peers(np.array([0, 19_999, 20_000], np.uint64)).tolist() == [-1, -1, 1]
    rows = np.zeros(50_001, SPAN)
    rows["service"] = np.arange(50_001)
    failed.add(rows, np.zeros(50_001, np.int64))
    assert (failed.numbers()[1], len(failed.numbers())) == (1, 50_001), "and that of whom they called"


def test_twenty_thousand_addresses() -> None:
    hosts = Hosts()
    hosts.hear(((n, "external:a") for n in range(20_000)), T0)
    hosts.hear([(5, "external:a")], T0)
    assert len(hosts.text) == 20_000
    hosts.hear([(20_000, "external:a")], T0)
    assert list(hosts.text) == [20_000]


def test_ten_thousand_templates_of_a_service_and_texts_of_a_hundred_thousand() -> None:
    book = TemplateBook()
    for template in range(10_000):
        book.see(1, template, 10)
    assert (book.over_limit, book.see(1, 10_000, 10), book.over_limit) == (0, -1, 1)
    book.see(1, 10_000, 611)
    assert book.left == 1000
    for template in range(100_000):
        book.tell(template, "a")
    assert len(book.texts) == 100_000
    book.tell(100_000, "b")
    assert (len(book.texts), min(book.texts)) == (90_001, 10_000)


def test_a_hundred_thousand_texts_of_an_environment() -> None:
    collector = LogCollector(IngestSettings(), 1, Counter())
    collector.add(logs([("cart", T0, 9, "a")]), Receipt(T0, T0))
    collector.texts["prod"] = dict.fromkeys(range(100_000), "a")
    collector.make_room()
    assert len(collector.texts["prod"]) == 100_000
    collector.texts["prod"][100_000] = "a"
    collector.make_room()
    assert (collector.texts["prod"], collector.counters["templates_left"]) == ({}, 100_001)


def test_twenty_thousand_known_templates_of_a_service_a_thousand_groups_and_sixty_four_first_words() -> None:
    groups = LogGroups()
    for n in range(20_000):
        groups.of(n, "one")
    assert len(groups.state()[0]) == 20_000
    groups.of(20_000, "one")
    assert len(groups.state()[0]) == 1
    many = LogGroups()
    for n in range(1005):
        many.of(n, " ".join(f"w{n}x{i}" for i in range(2 + n % 4)))
    state = many.state()[1]
    assert sum(len(of) for _, of in state) == 1000
    first = Counter(length for (length, word), _ in state if word != "*")
    assert first == dict.fromkeys((2, 3, 4, 5), 64)
    again = LogGroups()
    again.load(many.state())
    again.of(5000, "something else")
    assert sum(len(of) for _, of in again.state()[1]) == 1000


def test_sixty_four_words_of_a_template() -> None:
    groups = LogGroups()
    words = ["w"] * 64
    assert groups.of(1, " ".join([*words, "a"])) == 1
    assert groups.of(2, " ".join([*words, "b"])) == 1
    assert groups.of(3, " ".join([*words[:63], "c"])) == 3


def test_sixteen_thousand_places() -> None:
    places, news = Places(), 0

    def note(n: int) -> int:
        places.note(Resource("prod", f"s{n}", attributes=(("host.name", "h"),)))
        return len(places.news()[1])

    news = sum(note(n) for n in range(1 << 14))
    assert (news, note(0), note(1 << 14), note(0)) == (1 << 14, 0, 1, 1)


def test_two_hundred_thousand_facts() -> None:
    views, best = Preference(), np.array([series_id(1, rank_of(1, 1))], np.uint64)
    views.load([[n, [(rank_of(1, 1), T0)]] for n in range(199_999)])
    views.preferred(np.array([199_999]), best, np.array([T0 + KEPT_NS + 1]))
    assert len(views.state()) == 200_000
    views.preferred(np.array([200_000]), best, np.array([T0 + KEPT_NS + 1]))
    assert len(views.state()) == 2


def test_a_hundred_thousand_rows() -> None:
    usual = UsualRows(1)
    keys = [("a", str(n)) for n in range(100_000)]
    assert usual.rows(keys[:-1])[-1] == 99_998
    assert usual.rows(keys[-1:]).tolist() == [99_999]
    assert usual.rows([("b", "")]).tolist() == [0], "it begins anew"


def test_four_thousand_sources() -> None:
    marks = Watermarks(SECOND)
    marks.admit("last", 1, T0, T0 + SECOND)
    marks.sources |= {f"s{n}": WatermarkSource(1, T0, T0 + n) for n in range(4095)}
    assert len(marks.sources) == 4096
    marks.admit("more", 1, T0, T0 + SECOND)
    assert (len(marks.sources), "s0" in marks.sources, "s1" in marks.sources) == (4096, False, True)


def test_sixteen_thousand_texts_that_were_said_lately() -> None:
    facts = Facts()
    facts.at(T0)
    for n in range(1 << 14):
        facts.tell(f"called\ts{n}")
    facts.tell("called\ts0")
    assert len(facts.state()[1]) == 1 << 14, "it was said a moment ago"
    facts.tell("called\tmore")
    facts.tell("called\ts0")
    assert len(facts.state()[1]) == (1 << 14) + 2


def test_ten_thousand_services_whose_spans_are_halves() -> None:
    shared = SharedIds()
    for known, left in ((10_000, 10_002), (10_001, 2)):
        shared.services = set(range(100, 100 + known))
        rows = np.zeros(2, SPAN)
        rows["service"], rows["kind"], rows["span"], rows["trace"] = [1, 2], [3, 2], 5, 7
        keys = np.array([9, 9], np.uint64)
        shared.apart(keys, rows, np.array([False, True]), KeyTable(SPAN, SECOND, 10))
        assert (len(shared.services), {1, 2} <= shared.services) == (left, True)


def test_sixty_five_thousand_timings_after_which_numbers_are_given_again() -> None:
    containment = Containment()

    def number(n: int) -> int:
        frame: Any = SimpleNamespace(
            span=np.zeros(1), clock=np.zeros(1, np.int32), clocks=(f"s{n}",),
            clock_shift_ns=np.zeros(1, np.int64), clock_floor_ns=np.zeros(1, np.int64),
        )  # fmt: skip
        return int(containment.number(frame)[0])

    state = {"timings": [[f"s{n}", 0, 0] for n in range(65_535)], "given": 65_535, "estimates": []}
    containment.load(state)
    assert [number(n) for n in (0, 65_534, 65_535, 65_535)] == [0, 65_534, 65_535, 65_535]
    assert [number(n) for n in (65_536, 65_537, 65_536)] == [0, 1, 0]
    assert number(0) == 2, "it lost its number to another"
    assert len(containment.state()["timings"]) == 65_536
