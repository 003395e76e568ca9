"""Where the judgement of silence turns: what clusters say, rooms and numbers, what is learnt of whom, what a snapshot keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.features import Signal
from contracts.frames import InstanceState
from contracts.units import SECOND
from streams.windows.calls import ALONE, ASKED, BLAMED, CALLS, DUE, SPOKE
from streams.windows.instances import instance_frames
from streams.windows.liveness import PATIENCE_NS, WAIT, Liveness
from streams.windows.rows import UNIT, Origin
from streams.windows.rows import frame as partial
from tests.unit.streams.windows.support import T0
from tests.unit.streams.windows.test_liveness import (
    EARLY,
    FIRST,
    LAST,
    LATE,
    MISSING,
    NEXT,
    QUIET,
    SERVICES,
    Beyond,
    Logging,
    Measured,
    Street,
)  # fmt: skip

READY, GONE = InstanceState.READY, InstanceState.GONE


def reports(street: Street, second: float, **states: InstanceState) -> None:
    """What a cluster says of instances at a second."""
    for _, frame in instance_frames("prod", "kubernetes", states, T0 + round(second * SECOND), 1):
        street.liveness.report(frame)


@pytest.fixture
def street() -> Street:
    return Street()


@pytest.mark.parametrize(
    ("gone_at", "early"), [(NEXT - 1, QUIET), (NEXT, QUIET), (NEXT + 0.001, WAIT), (NEXT + 1, WAIT)]
)
@pytest.mark.parametrize("restored", [False, True])
def test_who_has_no_instance_since_before_a_window_was_quiet_in_it(
    gone_at: float, early: int, restored: bool, street: Street
) -> None:
    reports(street, gone_at, two=GONE)
    if restored:
        street.restarted()
    assert street.judged("two", NEXT, EARLY) == early
    assert street.judged("one", NEXT, EARLY) == WAIT


def test_what_calls_said_before_it_was_gone_is_over(street: Street) -> None:
    """They answered until then. Who knows no call since is quiet, and who was asked since and answered is not gone."""
    street.say(NEXT, "caller", "two", ASKED, 9)
    street.say(NEXT, "caller", "three", ASKED, 9)
    street.say(NEXT + 2, "caller", "three", ASKED, 9)
    reports(street, NEXT + 1, two=GONE, three=GONE)
    assert street.judged("two", NEXT + 2, EARLY) == QUIET
    assert street.judged("three", NEXT + 2, EARLY) == WAIT
    assert street.judged("three", NEXT + 2, LATE) == MISSING
    street.say(NEXT + 2, "caller", "two", SPOKE, 1)
    assert street.judged("two", NEXT + 2, EARLY) == QUIET, "callers that do not ask it are sure of it, too"


@pytest.mark.parametrize(("gone_at", "late"), [(NEXT - 0.5, MISSING), (NEXT, MISSING), (NEXT + 0.001, QUIET)])
def test_calls_tell_of_windows_that_began_when_it_was_gone(gone_at: float, late: int, street: Street) -> None:
    street.say(NEXT, "caller", "two", ASKED, 9)
    reports(street, gone_at, two=GONE)
    assert street.judged("two", NEXT + 1, LATE) == late


@pytest.mark.parametrize("restored", [False, True])
def test_who_is_ready_and_never_counted_by_metrics_is_missing(restored: bool) -> None:
    street = Measured()
    street.measure(NEXT, SERVICES)
    reports(street, NEXT, zero=READY, two=GONE)
    if restored:
        street.restarted()
    said = {s: street.judged(s, NEXT, LATE) for s in ("zero", "one", "two", "three")}
    assert said == {"zero": MISSING, "one": QUIET, "two": QUIET, "three": MISSING}


@pytest.mark.parametrize("services", [1, 63, 64, 65, 66, 129])
def test_there_is_a_number_for_each_service_however_many_are_told_of(services: int) -> None:
    street = Street(until=0)
    names = tuple(f"s{n}" for n in range(services))
    columns = {
        "window_ns": np.array([T0]), "service": np.array([services - 1], np.int32), "peer": np.array([services - 1], np.int32),
        "role": np.array([ASKED], np.int8), "count": np.array([4]), "errors": np.array([1]),
    }  # fmt: skip
    said = partial(Origin("prod", "calls/0", 1, 0), CALLS, columns)
    street.liveness.add(replace(said, services=names), T0 + SECOND)
    last = names[-1]
    assert street.liveness.asked([(last, last)], FIRST).tolist() == [[4.0, 0.0, 0.0, 0.0]]
    saved = street.liveness.state()
    assert (saved["names"], saved["numbers"][0], saved["numbers"][2]) == (list(names), list(range(services)), services)
    assert len(saved["alone"]) == len(saved["delays"]["delay"]) >= services


def test_what_is_said_of_the_very_first_window_counts() -> None:
    known = Liveness(SECOND, 60 * SECOND, 10, {})
    columns = {
        "window_ns": np.array([0, -SECOND]), "service": np.array([0, 0], np.int32), "peer": np.array([1, 1], np.int32),
        "role": np.array([ASKED] * 2, np.int8), "count": np.array([4, 3]), "errors": np.array([1, 0]),
    }  # fmt: skip
    known.add(replace(partial(Origin("prod", "calls/0", 1, 0), CALLS, columns), services=("a", "b")), 0)
    assert known.asked([("a", "b")], 0)[0, 0] == 4.0
    assert [w for w, *_ in known.state()["windows"]] == [0]


def test_what_was_delivered_before_is_not_said_twice(street: Street) -> None:
    street.say(NEXT, "web", "two", ASKED, 4)
    told = street.told
    street.told = told - 1
    street.say(NEXT, "web", "two", ASKED, 4)
    assert street.liveness.asked([("web", "two")], FIRST + NEXT)[0, 0] == 4.0
    street.say(NEXT, "web", "two", ASKED, 4)
    assert street.liveness.asked([("web", "two")], FIRST + NEXT)[0, 0] == 8.0


def test_what_is_said_is_kept_for_twice_the_longest_delay_and_taken_for_as_long_as_that() -> None:
    street = Street(until=0)
    delay_s = street.liveness.max_delay_ns // SECOND
    street.say(0, "web", "two", ASKED, 4)
    for after, kept, taken in ((delay_s - 1, 4.0, 5.0), (2 * delay_s, 5.0, 5.0), (2 * delay_s + 1, 0.0, 0.0)):
        street.say(after - 1, "x", "y", ASKED, 1)
        assert street.liveness.asked([("web", "two")], FIRST)[0, 0] == kept
        street.say(0, "web", "two", ASKED, 1, late_ns=(after - 1) * SECOND)
        assert street.liveness.asked([("web", "two")], FIRST)[0, 0] == taken


def test_only_what_tells_of_calls_tells_how_late_it_comes(street: Street) -> None:
    for role, count, late in ((DUE, 9, False), (BLAMED, 9, False), (ASKED, -9, False), (ASKED, 9, True)):
        street.say(NEXT, "web", "two", role, count, late_ns=4 * SECOND)
        delays = street.liveness.state()["delays"]["delay"]
        assert bool(delays.any()) is late


def test_what_is_usual_of_requests_for_somebody_unseen_is_learnt_from_rows_of_spans_alone() -> None:
    """A twentieth of the difference with each of its windows, whatever else it sends."""

    class Both(Beyond, Logging):
        def besides(self, second: int) -> None:
            Beyond.besides(self, second)
            Logging.besides(self, second)

    for street in (Beyond(), Both()):
        sent = int(street.mergers[Signal.SPANS].entities.heard[0]) - FIRST + 1
        saved = street.liveness.state()
        number = saved["numbers"][0][saved["names"].index("two")]
        assert sent == LAST + 1
        assert saved["alone"][number] == pytest.approx(10 * (1 - 0.95**sent))
        assert saved["alone"].sum() == pytest.approx(saved["alone"][number]), "of nobody else"


def test_who_gets_a_number_is_used_to_nothing(street: Street) -> None:
    few = Liveness(SECOND, 10 * SECOND, 2, street.mergers)
    street.liveness = few
    street.say(LAST, "two", "callee", ALONE, 10)
    entities = street.mergers[Signal.SPANS].entities
    for _ in range(100):
        few.spoke(entities, np.array([entities.find(("two", ""))]), FIRST + LAST)
    assert few.state()["alone"].max() > 9
    street.say(NEXT + 60, "three", "callee", ALONE, 2)
    street.say(NEXT + 61, "three", "callee", ALONE, 3)
    saved = few.state()
    assert (few.counters["liveness_left"], "three" in saved["names"], saved["alone"][:2].tolist()) == (
        1,
        True,
        [0.0, 0.0],
    )
    assert street.judged("three", NEXT + 60, EARLY) == WAIT, "two"
    assert street.judged("three", NEXT + 61, EARLY) == MISSING, "three more than usual"


def test_a_negative_number_of_requests_for_somebody_unseen_is_none(street: Street) -> None:
    street.say(LAST, "two", "callee", ALONE, -40)
    entities = street.mergers[Signal.SPANS].entities
    street.liveness.spoke(entities, np.array([entities.find(("two", ""))]), FIRST + LAST)
    street.liveness.spoke(entities, np.array([entities.find(("two", ""))]), FIRST + LAST + 1)
    assert street.liveness.state()["alone"].tolist() == [0.0] * 64


def test_calls_are_told_by_window_and_pair_and_never_as_less_than_none(street: Street) -> None:
    street.say(NEXT, "web", "two", ASKED, -4)
    street.say(NEXT, "web", "two", DUE, 3 * UNIT, UNIT)
    assert street.liveness.asked([("web", "two")], FIRST + NEXT).tolist() == [[0.0, 3.0, 1.0, 0.0]]
    assert street.liveness.asked([], FIRST + NEXT).shape == (0, 4)
    assert street.liveness.asked([("web", "x"), ("x", "two"), ("x", "y")], FIRST + NEXT).tolist() == [[0.0] * 4] * 3


def test_a_snapshot_of_before_anything_was_forgotten_is_read(street: Street) -> None:
    for name in ("one", "two"):
        street.say(NEXT, "web", name, ASKED, 9, 9)
    saved = street.liveness.state()
    older = Liveness(SECOND, street.liveness.max_delay_ns, street.liveness.most, street.mergers)
    older.load({name: value for name, value in saved.items() if name not in {"numbers", "room", "instances"}})
    now = older.state()
    assert now["numbers"] == saved["numbers"] == [[0, 1, 2], [], 3]
    assert now["names"] == saved["names"] == ["web", "one", "two"]
    street.liveness = older
    assert street.judged("two", NEXT, EARLY) == QUIET
    street.say(NEXT, "web", "four", ASKED, 9, 9)
    assert older.state()["numbers"][0] == [0, 1, 2, 3]


def test_a_row_that_waited_long_enough_is_missing_and_teaches_nothing(street: Street) -> None:
    entities = street.mergers[Signal.SPANS].entities
    here = np.array([entities.find((name, "")) for name in ("one", "two", "three")])
    street.say(NEXT, "web", "one", ASKED, 9, 9)
    street.say(NEXT, "web", "two", ASKED, 9, 0)
    said = street.liveness.judge(Signal.SPANS, entities, here, (FIRST + NEXT, PATIENCE_NS))
    assert said.tolist() == [QUIET, MISSING, MISSING]
    assert entities.lost[here].tolist() == [False, True, False], "of the third nobody knows"
    assert said.dtype == np.int8
    assert PATIENCE_NS == SECOND


@pytest.mark.parametrize(("logged", "late"), [(1, QUIET), (9, QUIET), (10, MISSING)])
def test_another_signal_speaks_for_as_long_as_it_usually_pauses(logged: int, late: int) -> None:
    """It wrote so many seconds before, since its spans ceased. Thrice it paused for six, which is usual up to half as long again."""
    street = Logging()
    street.write(NEXT, {"two": 4})
    entities = street.mergers[Signal.LOGS].entities
    entities.gaps[entities.find(("two", ""))] = (6.0, 6.0, 6.0)
    entities.usual[entities.find(("two", ""))] = 1000.0
    assert street.judged("two", NEXT + logged, LATE) == late
    assert street.judged("two", NEXT + logged, EARLY) == WAIT


@pytest.mark.parametrize(("gone_at", "late"), [(NEXT, MISSING), (NEXT + 0.5, MISSING), (NEXT + 1, MISSING)])
def test_what_calls_said_of_the_window_in_which_it_left_counts(gone_at: float, late: int, street: Street) -> None:
    street.say(NEXT, "caller", "two", ASKED, 9)
    reports(street, gone_at, two=GONE)
    assert street.judged("two", NEXT, LATE) == late
