"""Who is silent: what others say of it, and its own other signals, on both sides of each threshold, among many services.

Mergers are the real ones, fed through the builder of partials; of what calls say the frames are made by hand.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.features import Signal
from contracts.frames import Decoded, Presence
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.calls import ALONE, ASKED, BLAMED, CALLS, DUE, SPOKE
from streams.windows.collect import Receipt
from streams.windows.liveness import PATIENCE_NS, WAIT, Liveness
from streams.windows.merge import FeatureMerger, liveness_of
from streams.windows.partials import PartialBuilder
from streams.windows.rows import UNIT, Origin
from streams.windows.rows import frame as partial
from streams.windows.series import DELTA, GAUGE
from tests.unit.streams.windows.support import INTERNAL, MS, SERVER, T0, Span, decoded, histograms, logs, points
from tests.unit.streams.windows.test_merging import METRICS

SETTINGS = IngestSettings()
FIRST = T0 // SECOND
LAST = 9
"""The last second of which everybody sent spans."""
SERVICES = ("zero", "one", "two", "three", "four")
QUIET, MISSING = int(Presence.QUIET), int(Presence.MISSING)


class Street:
    """The mergers of one environment and who judges silence for them, on one clock. Each of `SERVICES` serves one request more per
    second than the one before it, up to second `LAST`."""

    def __init__(self, *, kind: int = SERVER, until: int = LAST) -> None:
        self.mergers: dict[str, FeatureMerger] = {}
        self.liveness = liveness_of(SETTINGS, self.mergers)
        self._connect()
        self.builder, self.sent, self.told, self.now = PartialBuilder("otlp/0", SETTINGS, 1), 0, 0, T0
        for second in range(until + 1):
            self.at(second + 0.5)
            self.besides(second)
            end = T0 + second * SECOND + 500 * MS
            spans = [(name, i) for n, name in enumerate(SERVICES) for i in range(n + 1)]
            self.send(decoded([Span(s, self._id(), self._id(), 0, kind, end - 10 * MS, end + i) for s, i in spans]))
        self.at(until + 3.5)

    def besides(self, second: int) -> None:
        """What else is sent in a second."""

    def _connect(self) -> None:
        for signal in (Signal.SPANS, Signal.EDGES, Signal.LOGS, Signal.METRICS):
            self.mergers[signal] = FeatureMerger("prod", signal, SETTINGS, 0, self.liveness)

    def _id(self) -> int:
        self.told += 1
        return self.told

    def send(self, message: Decoded) -> None:
        self.builder.add(message, Receipt(self.now, self.now), self.sent)
        self.sent += 1
        for _, _, frame in self.builder.flush().partials:
            if frame.signal in self.mergers:
                self.mergers[frame.signal].add(frame, self.now)

    def at(self, seconds: float) -> None:
        """Let the clock go on to `seconds` after T0."""
        while self.now < T0 + int(seconds * SECOND):
            self.now += 250 * MS
            for merger in self.mergers.values():
                merger.advance(self.now)

    def say(
        self, second: int, caller: str, callee: str, role: int, count: int, errors: int = 0, late_ns: int = 0
    ) -> None:
        """What calls say of a second, as it ends or so much later."""
        columns = {
            "window_ns": np.array([T0 + second * SECOND]),
            "service": np.array([0], np.int32),
            "peer": np.array([1], np.int32),
            "role": np.array([role], np.int8),
            "count": np.array([count]),
            "errors": np.array([errors]),
        }
        said = partial(Origin("prod", "calls/0", self._id(), 0), CALLS, columns)
        self.liveness.add(replace(said, services=(caller, callee)), T0 + (second + 1) * SECOND + late_ns)

    def judged(self, service: str, second: int, since_ns: int, signal: str = Signal.SPANS, peer: str = "") -> int:
        """What the row of a second is that has no data, and was due so long ago."""
        entities = self.mergers[signal].entities
        entity = np.array([entities.number((service, peer))])
        return int(self.liveness.judge(signal, entities, entity, (FIRST + second, since_ns))[0])

    def restarted(self) -> Street:
        """Another process goes on from what was saved."""
        states = {signal: merger.snapshot() for signal, merger in self.mergers.items()}
        said = self.liveness.state()
        self.mergers = {}
        self.liveness = liveness_of(SETTINGS, self.mergers)
        self._connect()
        for signal, merger in self.mergers.items():
            merger.restore(states[signal])
        self.liveness.load(said)
        return self


class Logging(Street):
    """Each of them writes four log records a second, as well."""

    def besides(self, second: int) -> None:
        self.write(second, dict.fromkeys(SERVICES, 4))

    def write(self, second: int, records: dict[str, int]) -> None:
        """So many records of each service; they are merged, and no row is sent yet."""
        at = T0 + second * SECOND + 100 * MS
        self.send(logs([(name, at + i * MS, 9, "well") for name, n in records.items() for i in range(n)]))
        self.mergers[Signal.LOGS].absorb()


class Measured(Street):
    """Metrics come of each of them, too: of `two` and `three` alone they count requests."""

    def besides(self, second: int) -> None:
        self.measure(second, SERVICES)

    def measure(self, second: int, services: tuple[str, ...]) -> None:
        """What is measured in a second."""
        at, memory = T0 + second * SECOND + 100 * MS, METRICS["memory_utilization"]
        self.send(points([(s, memory, i, GAUGE, 0, at, 0.5) for i, s in enumerate(services)]))
        counting = [s for s in services if s in ("two", "three")]
        if counting:
            counts = [(s, 100 + i, DELTA, at - SECOND, at, False, {500: 7}) for i, s in enumerate(counting)]
            self.send(histograms(counts))
        self.mergers[Signal.METRICS].absorb()


@pytest.fixture
def street() -> Street:
    return Street()


EARLY, LATE = PATIENCE_NS - 1, PATIENCE_NS
"""Just before what others say is waited for no longer, and just then."""
NEXT = LAST + 1


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("service", SERVICES[:3])
@pytest.mark.parametrize(
    ("asked", "failed", "early", "late"),
    [
        (0, 0, WAIT, MISSING),  # nobody asks it, nobody is known to be at work
        (1, 0, WAIT, MISSING),  # it answers
        (1, 1, WAIT, QUIET),  # fewer than three calls: others may yet be told of
        (2, 1, WAIT, QUIET),
        (3, 1, WAIT, MISSING),
        (3, 2, QUIET, QUIET),  # enough, and most failed
        (4, 1, WAIT, MISSING),
        (4, 2, QUIET, QUIET),
        (100, 49, WAIT, MISSING),
        (100, 50, QUIET, QUIET),
    ],
)
def test_who_is_asked_and_fails_is_quiet_and_who_answers_is_missing(
    service: str, asked: int, failed: int, early: int, late: int, restored: bool, street: Street
) -> None:
    """Beside services of which the opposite is said."""
    for other in set(SERVICES) - {service}:
        street.say(NEXT, "caller", other, ASKED, 10, 10 if late == MISSING else 0)
    street.say(NEXT, "caller", service, ASKED, asked + 2, failed)
    street.say(NEXT, "caller", service, ASKED, -2)  # taken back: they led elsewhere
    if restored:
        street.restarted()
    assert street.judged(service, NEXT, EARLY) == early
    assert street.judged(service, NEXT, LATE) == late


@pytest.mark.parametrize(
    ("said", "early", "late"),
    [
        # Of each second of the silence, oldest first: calls asked, and failed.
        ([(1, 1), (1, 1)], WAIT, QUIET),
        ([(1, 1), (1, 1), (1, 1)], QUIET, QUIET),  # together there are three
        ([(1, 1), (2, 0)], WAIT, MISSING),
        ([(9, 9), (1, 1), (2, 0)], WAIT, MISSING),  # no further back than it takes
        ([(9, 0), (3, 3)], QUIET, QUIET),
        ([(3, 3), (3, 0)], WAIT, MISSING),
        ([(3, 3), *[(0, 0)] * 9], QUIET, QUIET),  # up to ten seconds back
        ([(3, 3), *[(0, 0)] * 10], WAIT, MISSING),
    ],
)
def test_few_calls_are_looked_for_further_back(
    said: list[tuple[int, int]], early: int, late: int, street: Street
) -> None:
    for i, (asked, failed) in enumerate(said):
        street.say(NEXT + i, "caller", "two", ASKED, asked, failed)
    assert street.judged("two", LAST + len(said), EARLY) == early
    assert street.judged("two", LAST + len(said), LATE) == late


@pytest.mark.parametrize(
    ("spoke", "asked_before", "late"),
    [
        (1, 0, QUIET),
        (0, 0, MISSING),
        (3, 9, QUIET),  # at work now, and not asking: that it answered a second ago says nothing
        (2, 9, MISSING),  # too little to tell: a second ago it answered
        (0, 9, MISSING),
    ],
)
def test_callers_at_work_that_do_not_ask_it_say_that_it_is_quiet(
    spoke: int, asked_before: int, late: int, street: Street
) -> None:
    street.say(NEXT, "caller", "two", ASKED, asked_before)
    street.say(NEXT + 1, "caller", "two", SPOKE, spoke)
    street.say(NEXT + 1, "caller", "one", SPOKE, 3 - spoke)
    assert street.judged("two", NEXT + 1, EARLY) == WAIT, "it may be told of yet"
    assert street.judged("two", NEXT + 1, LATE) == late


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize(
    ("usual", "alone", "early"), [(0, 2, WAIT), (0, 3, MISSING), (10, 22, WAIT), (10, 23, MISSING)]
)
def test_callees_that_serve_somebody_unseen_say_that_it_works(
    usual: int, alone: int, early: int, restored: bool, street: Street
) -> None:
    """From twice as many as usual, and three more; for who is not asked either. It is not waited for more."""
    for service, count in (("two", usual), ("three", 40)):
        street.say(LAST, service, "callee", ALONE, count)
    entities = street.mergers[Signal.SPANS].entities
    here = np.array([entities.find((name, "")) for name in ("one", "two", "three")])
    for _ in range(200):  # seconds in which its spans come teach what is usual
        street.liveness.spoke(entities, here, FIRST + LAST)
    street.say(NEXT, "two", "callee", ALONE, alone)
    street.say(NEXT, "one", "callee", ALONE, 3)
    street.say(NEXT, "three", "callee", ALONE, 60)
    if restored:
        street.restarted()
    assert street.judged("two", NEXT, EARLY) == early
    assert street.judged("one", NEXT, EARLY) == MISSING
    assert street.judged("three", NEXT, EARLY) == WAIT


def test_who_asks_and_works_itself_is_no_callee_of_somebody_unseen(street: Street) -> None:
    for callee in ("zero", "one", "three", "four"):
        street.say(NEXT, "two", callee, ASKED, 9, 9)
        street.say(NEXT, "two", callee, SPOKE, 9)
    assert street.judged("two", NEXT, EARLY) == WAIT


def test_each_may_ask_the_other(street: Street) -> None:
    street.say(NEXT, "zero", "one", ASKED, 9)
    street.say(NEXT, "one", "zero", ASKED, 9, 9)
    assert (street.judged("zero", NEXT, LATE), street.judged("one", NEXT, LATE)) == (QUIET, MISSING)


@pytest.mark.parametrize("overtaken", [False, True])
@pytest.mark.parametrize(
    ("gaps", "silent", "said"),
    [
        ((9.0, 6.0, 4.0), 6, QUIET),  # half as long again as the longest that has come three times
        ((9.0, 6.0, 4.0), 7, MISSING),
        ((9.0, 9.0, 1.0), 1, QUIET),
        ((9.0, 9.0, 1.0), 2, MISSING),
        ((9.0, 9.0, 0.0), 1, MISSING),
        ((30.0, 20.0, 16.0), 24, QUIET),
        ((30.0, 20.0, 16.0), 25, MISSING),
    ],
)
def test_silences_that_have_come_three_times_are_usual(
    gaps: tuple[float, ...], silent: int, said: int, overtaken: bool, street: Street
) -> None:
    """Also of a row that a later one with data has overtaken: it is the silence up to it that counts."""
    entities = street.mergers[Signal.SPANS].entities
    two = entities.find(("two", ""))
    entities.gaps[two] = gaps
    if overtaken:
        entities.heard[two] = FIRST + LAST + silent + 2
    assert street.judged("two", LAST + silent, LATE) == said
    other = street.judged("three", LAST + silent, LATE)
    assert other == MISSING, "whose silences never came"


def test_a_row_waits_for_what_is_said_late(street: Street) -> None:
    """What calls say of `two` comes three seconds late, as a rule; delays are known to a quarter, and a tenth is added."""
    for second in range(LAST):
        street.say(second, "caller", "two", ASKED, 1, late_ns=3 * SECOND)
        street.say(second, "caller", "three", ASKED, 1)
    assert street.judged("two", NEXT, LATE + 3 * SECOND - 1) == WAIT
    assert street.judged("two", NEXT, LATE + int(1.1 * 1.25 * 3 * SECOND)) == MISSING
    assert street.judged("three", NEXT, LATE) == MISSING
    for pair in (("two", "three"), ("three", "two"), ("two", "db")):  # the later of both counts
        assert street.judged(pair[0], NEXT, LATE, Signal.EDGES, pair[1]) == WAIT
    assert street.judged("three", NEXT, LATE, Signal.EDGES, "three") == MISSING


@pytest.mark.parametrize(
    ("asked", "failed", "spoke", "late"),
    [
        (1, 1, 0, QUIET),
        (1, 0, 0, MISSING),
        (4, 1, 9, MISSING),
        (4, 2, 9, QUIET),
        (0, 0, 1, QUIET),
        (0, 0, 0, MISSING),
    ],
)
def test_calls_of_one_service_to_another_are_judged_by_what_is_said_of_these_two(
    asked: int, failed: int, spoke: int, late: int, street: Street
) -> None:
    for caller, callee in (("one", "three"), ("zero", "two"), ("two", "one")):  # which say the opposite
        street.say(NEXT, caller, callee, ASKED, 9, 9 if late == MISSING else 0)
    street.say(NEXT, "one", "two", ASKED, asked, failed)
    street.say(NEXT, "one", "two", SPOKE, spoke)
    assert street.judged("one", NEXT, EARLY, Signal.EDGES, "two") == WAIT
    assert street.judged("one", NEXT, LATE, Signal.EDGES, "two") == late


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("kind", [SERVER, INTERNAL])
@pytest.mark.parametrize("service", SERVICES)
def test_who_sends_spans_and_nothing_else_is_quiet_with_the_rest(service: str, kind: int, restored: bool) -> None:
    """Calls to who sends no spans, and log records: of a second with spans of theirs none were made. So it is of a service that
    serves no requests, and has root spans of its own."""
    street = Street(kind=kind)
    street.mergers[Signal.EDGES].entities.number((service, "db"))
    if restored:
        street.restarted()
    for signal, peer in ((Signal.EDGES, "db"), (Signal.LOGS, "")):
        assert street.judged(service, LAST, EARLY, signal, peer) == WAIT
        assert street.judged(service, LAST, LATE, signal, peer) == QUIET
        assert street.judged(service, NEXT, LATE, signal, peer) == MISSING
        assert street.judged("stranger", LAST, LATE, signal, peer) == MISSING


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize(
    ("written", "late"),
    [
        # Records of each second of the silence, of four usual ones.
        ((4,), MISSING),  # it works, and its spans are lost
        ((2,), MISSING),
        ((1,), QUIET),
        ((1, 3), MISSING),
        ((3, 1), MISSING),
        ((1, 2), QUIET),
        ((4, 0), MISSING),  # it writes no more: nobody knows
    ],
)
@pytest.mark.parametrize("service", ["zero", "two", "four"])
def test_who_logs_half_as_much_as_usual_works(
    service: str, written: tuple[int, ...], late: int, restored: bool
) -> None:
    street = Logging()
    for i, count in enumerate(written):  # beside others that do as it does not
        others = dict.fromkeys(SERVICES, 1 if late == MISSING else 4)
        street.write(NEXT + i, {**others, service: count})
    if restored:
        street.restarted()
    assert street.judged(service, LAST + len(written), EARLY) == WAIT
    assert street.judged(service, LAST + len(written), LATE) == late


@pytest.mark.parametrize("restored", [False, True])
def test_who_is_measured_is_quiet_unless_its_metrics_count_requests(restored: bool) -> None:
    street = Measured()
    street.measure(NEXT, SERVICES[:4])
    if restored:
        street.restarted()
    said = {s: street.judged(s, NEXT, LATE) for s in SERVICES}
    assert said == {"zero": QUIET, "one": QUIET, "two": MISSING, "three": MISSING, "four": MISSING}
    assert street.judged("zero", NEXT, LATE, Signal.LOGS) == QUIET, "it is there, and wrote nothing"
    assert street.judged("four", NEXT, LATE, Signal.LOGS) == MISSING


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("kind", [SERVER, INTERNAL])
def test_mergers_know_how_many_events_came_of_each_in_each_window(kind: int, restored: bool) -> None:
    street = Street(kind=kind)
    if restored:
        street.restarted()
    spans, known = street.mergers[Signal.SPANS], street.mergers[Signal.SPANS].entities
    for n, service in enumerate(SERVICES):
        number = known.find((service, ""))
        counted = [spans.counted(number, FIRST + second) for second in range(-1, LAST + 3)]
        assert counted == [0, *[n + 1] * (LAST + 1), 0, 0]
        had = [spans.has(number, FIRST + second) for second in range(-1, LAST + 3)]
        assert had == [False, *[True] * (LAST + 1), False, False]
        assert known.usual[number] == pytest.approx(n + 1)
    assert spans.counted(-1, FIRST) == 0
    assert not spans.has(known.number(("new", "")), FIRST)


def test_who_leaves_is_forgotten_and_its_number_says_nothing_of_who_gets_it(street: Street) -> None:
    """There is room for a few: who was not heard of for long makes some."""
    few = Liveness(SECOND, 10 * SECOND, 3, street.mergers)
    street.liveness = few
    street.say(NEXT, "caller", "one", ASKED, 9, 9)
    street.say(NEXT, "caller", "two", ASKED, 9, 0)
    assert (street.judged("one", NEXT, LATE), street.judged("two", NEXT, LATE)) == (QUIET, MISSING)
    street.say(NEXT, "caller", "three", ASKED, 9, 9)
    assert few.counters["liveness_limit"] == 1, "all others were heard of just now"
    assert street.judged("three", NEXT, LATE) == MISSING
    street.say(NEXT + 60, "caller", "three", ASKED, 9, 9)
    assert few.counters["liveness_left"] > 0
    assert street.judged("three", NEXT + 60, LATE) == QUIET
    assert street.judged("four", NEXT + 60, LATE) == MISSING


def test_what_is_known_of_calls_is_told_by_caller_and_callee(street: Street) -> None:
    """Those that client spans may have been, those due by routes and by requests that failed, and requests that failed with one."""
    for role, count, errors in ((ASKED, 4, 1), (DUE, 3 * UNIT, UNIT + 500), (BLAMED, 2 * UNIT, 0), (SPOKE, 9, 0)):
        street.say(NEXT, "web", "two", role, count, errors)
    street.say(NEXT, "web", "three", ASKED, -1)
    pairs = [("web", "two"), ("two", "web"), ("web", "three"), ("web", "nobody"), ("nobody", "two")]
    nothing = [0.0] * 4
    assert street.liveness.asked(pairs, FIRST + NEXT).tolist() == [[4.0, 3.0, 1.5, 2.0], *[nothing] * 4]
    assert street.liveness.asked(pairs, FIRST + NEXT + 1).tolist() == [nothing] * 5


class Beyond(Street):
    """Callees of `two` serve ten requests a second for somebody unseen."""

    def besides(self, second: int) -> None:
        self.say(second, "two", "callee", ALONE, 10)


def test_what_is_usual_of_who_sends_spans_is_learnt_as_its_rows_go_out() -> None:
    for street, early in ((Street(), MISSING), (Beyond(), WAIT)):
        street.say(NEXT, "two", "callee", ALONE, 8)
        assert street.judged("two", NEXT, EARLY) == early
        street.say(NEXT, "two", "callee", ALONE, 15)
        assert street.judged("two", NEXT, EARLY) == MISSING
