"""Verification read as scripts: seconds before and after an action, and the verdict wanted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from contracts.frames.feature_frame import EvidenceFrame
from contracts.units import SECOND
from contracts.verdicts import Outcome, ServiceState
from playbooks.language.model import Check, Verify
from playbooks.verify import Intervention, Verification, Verifier

T0 = 1_700_000_000 * SECOND
"""The moment of the action; the onset was five seconds before."""
ACTED = Intervention(T0 - 5 * SECOND, T0, T0)
CHECKS = (Check("error_rate"), Check("latency_p95"))
NAN = math.nan
WELL = (50.0, 0.0, 0.1)
ILL = (50.0, 0.6, 2.0)


def service_frame(
    second: float, rows: Mapping[str, Sequence[float]], *, ill: Sequence[str] = (), ranges: object = None
) -> EvidenceFrame:
    """request_rate, error_rate, latency_p95; expected 30..70, 0..0.05, 0..0.3 unless `ranges` are given."""
    values = np.array([list(r) for r in rows.values()], dtype=np.float64).reshape(len(rows), 3)
    low, high = ranges or ((30.0, 0.0, 0.0), (70.0, 0.05, 0.3))  # type: ignore[misc]
    return _frame(
        "spans", second, tuple(rows), (), ("request_rate", "error_rate", "latency_p95"), values, low, high, ill
    )


def edge_frame(second: float, rows: Mapping[tuple[str, str], float]) -> EvidenceFrame:
    """call_error_rate; expected 0..0.05."""
    values = np.array([[v] for v in rows.values()], dtype=np.float64)
    callers, callees = tuple(c for c, _ in rows), tuple(c for _, c in rows)
    return _frame("edges", second, callers, callees, ("call_error_rate",), values, (0.0,), (0.05,), ())


def _frame(signal, second, services, peers, features, values, low, high, ill) -> EvidenceFrame:  # type: ignore[no-untyped-def]
    n = len(services)
    return EvidenceFrame(
        environment="test",
        signal=signal,
        partition=0,
        window_ns=T0 + int(second * SECOND),
        width_ns=SECOND,
        services=services,
        peers=peers,
        versions=("",) * n,
        attributes=("",) * n,
        features=features,
        values=values,
        counts=np.full(n, 50, dtype=np.int64),
        score=np.where(values > np.array(high), 6.0, 0.0),
        low=np.tile(np.array(low), (n, 1)),
        high=np.tile(np.array(high), (n, 1)),
        p_value=np.ones(n),
        state=tuple(ServiceState.ANOMALOUS if s in ill else ServiceState.HEALTHY for s in services),
        notes=(),
    )


@dataclass
class Script:
    """A verifier and the history it has seen."""

    checks: tuple[Check, ...] = CHECKS
    callers: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    for_s: float = 3.0
    others: dict[str, Sequence[float]] = field(default_factory=dict)
    verifier: Verifier = field(init=False)

    def __post_init__(self) -> None:
        verify = Verify(self.checks, for_s=self.for_s, within_s=20.0)
        self.verifier = Verifier(verify, "cart", self.callers, ACTED, self.entries)

    def before(self, fault: Sequence[float] = ILL, **others: Sequence[float]) -> Script:
        for second in range(-40, 0):
            rows = {"cart": WELL if second < -5 else fault}
            self.verifier.observe(service_frame(second, rows | dict(others)))
        return self

    def see(self, second: float, **rows: Sequence[float]) -> Verification | None:
        self.verifier.observe(service_frame(second, rows))
        return self.at(second + 1.3)

    def at(self, second: float) -> Verification | None:
        return self.verifier.verdict(T0 + int(second * SECOND))


def outcome(found: Verification | None) -> Outcome | None:
    return None if found is None else found.outcome


def test_better_as_soon_as_it_has_held_long_enough() -> None:
    script = Script().before()
    assert [outcome(script.see(s, cart=WELL)) for s in range(4)] == [None, None, Outcome.BETTER, Outcome.BETTER]


def test_the_numbers_are_reported() -> None:
    script = Script().before()
    for second in range(3):
        script.see(second, cart=WELL)
    found = script.at(4)
    assert found is not None
    measure = next(m for m in found.measures if m.feature == "latency_p95")
    assert (measure.baseline, measure.during, measure.after, measure.high) == (0.1, 2.0, 0.1, 0.3)
    assert measure.better
    assert "error_rate of cart 0.6 → 0 (expected up to 0.05)" in found.text
    assert found.credit == 1.0


def test_windows_that_began_before_the_action_prove_nothing() -> None:
    script = Script().before()
    for second in (-0.5, 0.5, 1.5):
        script.see(second, cart=WELL)
    assert script.at(3) is None


def test_a_relapse_starts_the_count_again() -> None:
    script = Script().before()
    rows = [WELL, WELL, ILL, WELL, WELL, WELL, WELL, WELL]
    assert [outcome(script.see(s, cart=r)) for s, r in enumerate(rows)] == [None] * 7 + [Outcome.BETTER], (
        "and takes longer"
    )


def test_every_check_must_hold() -> None:
    script = Script().before()
    slow = (50.0, 0.0, 2.0)
    assert [outcome(script.see(s, cart=slow)) for s in range(7)] == [None] * 7
    found = script.see(7, cart=slow)
    assert found is not None
    assert found.outcome is Outcome.SAME
    assert [m.better for m in found.measures] == [True, False]


def test_silence_is_not_recovery() -> None:
    script = Script().before()
    for second in range(18):
        assert script.see(second, other=WELL) is None
    assert outcome(script.at(20)) is Outcome.INCONCLUSIVE


def late(by: int, until: int, silent_from: int = 99) -> Script:
    """What is told of cart comes `by` seconds after that of others; nothing of seconds from `silent_from`."""
    script = Script(others={}).before()
    for second in range(until):
        script.verifier.observe(service_frame(second, {"web": WELL}))
        if 0 <= second - by < silent_from:
            script.verifier.observe(service_frame(second - by, {"cart": WELL}))
    return script


@pytest.mark.parametrize("by", [5, 12])
def test_a_target_later_than_others_is_verified_by_its_own_time(by: int) -> None:
    assert outcome(late(by, by + 2).at(by + 2)) is None
    assert outcome(late(by, by + 3).at(by + 3)) is Outcome.BETTER
    assert outcome(late(by, 20).at(21)) is Outcome.BETTER


def test_silence_of_a_target_later_than_others_is_not_recovery() -> None:
    assert outcome(late(5, 19, silent_from=2).at(21)) is Outcome.INCONCLUSIVE
    # It looked well for long enough, then nothing came any more: when the rest has come it is too long ago.
    script = late(5, 16, silent_from=4)
    script.verifier.observe(service_frame(2, {"cart": WELL}))
    assert outcome(script.at(21)) is Outcome.INCONCLUSIVE, "a correction is no new word of it"


def test_no_telemetry_at_all_is_inconclusive() -> None:
    found = Script().before().at(20)
    assert outcome(found) is Outcome.INCONCLUSIVE
    assert found is not None
    assert "no telemetry" in found.text


def test_a_service_that_answers_nobody_is_not_well() -> None:
    # Its caller is fine again because it stopped calling: only traffic would show that the service serves.
    script = Script((Check("error_rate", "callers"),), callers=("web",)).before(web=ILL)
    for second in range(19):
        assert script.see(second, web=WELL, cart=(0.0, NAN, NAN)) is None
    found = script.at(20)
    assert outcome(found) is Outcome.INCONCLUSIVE
    assert found is not None
    assert "no traffic" in found.text


def test_recovery_that_fell_silent_again_is_inconclusive() -> None:
    script = Script().before()
    script.see(0, cart=WELL)
    script.see(1, cart=WELL)
    for second in range(2, 18):
        assert script.see(second, other=WELL) is None
    assert outcome(script.at(20)) is Outcome.INCONCLUSIVE


def test_little_traffic_is_enough_if_it_keeps_coming() -> None:
    script = Script()
    for second in range(-40, 0, 2):
        script.verifier.observe(service_frame(second, {"cart": WELL if second < -5 else ILL}))
    verdicts = [outcome(script.see(s, cart=WELL)) for s in range(0, 8, 2)]
    assert verdicts[-1] is Outcome.BETTER


def test_a_model_that_got_used_to_the_fault_is_no_witness() -> None:
    script = Script((Check("error_rate"),)).before()
    wide = ((0.0, 0.0, 0.0), (100.0, 0.9, 5.0))
    for second in range(7):
        script.verifier.observe(service_frame(second, {"cart": ILL}, ranges=wide))
        assert script.at(second + 1) is None
    assert outcome(script.at(20)) is Outcome.SAME


def test_the_range_of_now_counts_where_the_world_has_moved_on() -> None:
    # Latency at the new load is a little above the old range, and the models know it; the fault was far off both.
    script = Script((Check("latency_p95"),)).before()
    new = ((30.0, 0.0, 0.0), (90.0, 0.05, 0.5))
    for second in range(3):
        script.verifier.observe(service_frame(second, {"cart": (60.0, 0.0, 0.4)}, ranges=new))
    assert outcome(script.at(4)) is Outcome.BETTER


def test_worse_once_the_disturbance_has_settled() -> None:
    script = Script((Check("error_rate"),)).before(fault=(50.0, 0.2, 0.1))
    broken = (50.0, 1.0, 0.1)
    verdicts = [outcome(script.see(s, cart=broken)) for s in range(7)]
    assert verdicts == [None] * 5 + [Outcome.WORSE] * 2


def test_worse_for_a_caller_is_worse() -> None:
    script = Script((Check("error_rate"),), callers=("web",)).before(web=WELL)
    verdicts = [outcome(script.see(s, cart=ILL, web=(50.0, 0.9, 0.1))) for s in range(7)]
    assert verdicts[-1] is Outcome.WORSE


def test_where_others_have_to_be_acted_on_as_well_harm_is_said_once_time_is_up() -> None:
    """Moved off a sick node it still calls who is there; once it is well that is said at once."""
    broken, wanted = (50.0, 1.0, 0.1), Verify((Check("error_rate"),), for_s=3.0, within_s=20.0)
    for rows, last in ((broken, Outcome.WORSE), (WELL, Outcome.BETTER)):
        script = Script((Check("error_rate"),))
        script.verifier = Verifier(wanted, "cart", (), ACTED, patient=True)
        script.before(fault=(50.0, 0.2, 0.1))
        verdicts = [outcome(script.see(s, cart=broken)) for s in range(12)]
        verdicts += [outcome(script.see(s, cart=rows)) for s in range(12, 20)]
        assert verdicts[:12] == [None] * 12
        assert next(v for v in verdicts if v) is last


def test_a_disturbance_while_it_restarts_is_no_harm() -> None:
    script = Script((Check("error_rate"),)).before(fault=(50.0, 0.2, 0.1))
    rows = [(50.0, 1.0, 0.1)] * 4 + [WELL] * 3
    assert [outcome(script.see(s, cart=r)) for s, r in enumerate(rows)][-1] is Outcome.BETTER


@pytest.mark.parametrize(
    ("better", "values", "wanted"),
    [
        ("lower", [1.1] * 3, None),
        ("lower", [0.9] * 3, Outcome.BETTER),
        ("higher", [2.5] * 3, None),
        ("higher", [3.1] * 3, Outcome.BETTER),
    ],
)
def test_better_by_a_share_of_the_worst(better: str, values: list[float], wanted: Outcome | None) -> None:
    script = Script((Check("latency_p95", better=better, by=0.5),)).before()
    assert [outcome(script.see(s, cart=(50.0, 0.0, v))) for s, v in enumerate(values)][-1] is wanted


def test_checks_on_edges_follow_the_calls() -> None:
    script = Script((Check("call_error_rate", "callers"),), callers=("web", "app"))
    for second in range(-40, 3):
        value = 0.0 if second < -5 or second >= 0 else 0.7
        script.verifier.observe(edge_frame(second, {("web", "cart"): value, ("app", "cart"): 0.0, ("web", "x"): 0.9}))
    found = script.at(4)
    assert found is not None
    assert found.outcome is Outcome.BETTER
    assert [(m.service, m.during) for m in found.measures] == [("web", 0.7), ("app", 0.0)]


def peers_too(*, later: int = 0, calls: tuple[tuple[str, str], ...] = (("web", "cart"),)) -> Verification | None:
    """cart, its caller and stock are ill; all get well, stock by so many seconds later."""
    script = Script()
    for second in range(-40, 0):
        rows = dict.fromkeys(("cart", "stock", "web"), ILL if second >= -5 else WELL)
        script.verifier.observe(service_frame(second, rows))
    script.verifier.observe(edge_frame(-1, dict.fromkeys(calls, 0.5)))
    found = None
    for second in range(-40, 9):
        stock = ILL if -5 <= second < later else WELL
        cart = ILL if -5 <= second < 0 else WELL
        script.verifier.observe(service_frame(second, {"cart": cart, "stock": stock, "web": cart}))
        found = script.at(second + 1.3) or found
    return found


def test_what_untouched_peers_recovered_from_alike_was_not_the_actions_doing() -> None:
    found = peers_too()
    assert found is not None
    assert (found.outcome, found.credit, found.well) == (Outcome.INCONCLUSIVE, 0.0, True)
    assert "untouched peers recovered too: stock" in found.text


def test_peers_that_recovered_later_share_the_credit() -> None:
    found = peers_too(later=5)
    assert found is not None
    assert (found.outcome, found.credit) == (Outcome.BETTER, 0.5)


def test_whom_the_target_calls_is_no_untouched_peer() -> None:
    found = peers_too(calls=(("web", "cart"), ("cart", "stock")))
    assert found is not None
    assert (found.outcome, found.credit) == (Outcome.BETTER, 1.0)


def test_who_calls_the_target_by_a_name_of_its_own_choice_is_no_untouched_peer() -> None:
    """A service that sends no spans is known to its callers by the name they call it."""
    found = peers_too(calls=(("web", "cart"), ("stock", "external:cart")))
    assert outcome(found) is Outcome.BETTER


def test_what_was_recovering_anyway_teaches_nothing() -> None:
    script = Script((Check("error_rate"),))
    for second in range(-40, 0):
        fault = 0.6 + (second + 5) * -0.11  # 0.6 falling by 0.11 a second
        script.verifier.observe(service_frame(second, {"cart": WELL if second < -5 else (50.0, fault, 0.1)}))
    for second in range(4):
        script.see(second, cart=WELL)
    found = script.at(5)
    assert found is not None
    assert (found.outcome, found.credit, found.well) == (Outcome.INCONCLUSIVE, 0.0, True)
    assert "it ended by itself" in found.text
    assert "recovering anyway" in found.text


def ended(seconds_before: int) -> Verification | None:
    script = Script()
    for second in range(-40, 0):
        ill = -9 <= second < -seconds_before
        script.verifier.observe(service_frame(second, {"cart": ILL if ill else WELL}))
    for second in range(4):
        script.see(second, cart=WELL)
    return script.at(5)


def test_what_was_over_before_the_action_was_not_mended_by_it() -> None:
    found = ended(2)
    assert found is not None
    assert (found.outcome, found.well) == (Outcome.INCONCLUSIVE, True)
    assert "was back before it acted" in found.text
    found = ended(1)
    assert found is not None
    assert (found.outcome, found.credit) == (Outcome.BETTER, 0.5), "one window may be chance"


def test_a_fault_that_pauses_by_itself_must_be_gone_for_longer_than_it_paused() -> None:
    script = Script()
    for second in range(-40, 0):
        ill = second >= -14 and second % 5 in (0, 1)  # two seconds ill, three well
        script.verifier.observe(service_frame(second, {"cart": ILL if ill else WELL}))
    verdicts = [outcome(script.see(s, cart=ILL if s in (0, 1) else WELL)) for s in range(12)]
    assert verdicts[:5] == [None] * 5, "three seconds well have been seen before"
    assert Outcome.BETTER in verdicts


def test_no_help_is_said_as_soon_as_it_is_seen_and_not_while_it_mends() -> None:
    script = Script().before()
    verdicts = [outcome(script.see(s, cart=ILL)) for s in range(8)]
    assert verdicts == [None] * 7 + [Outcome.SAME]
    mending = Script().before()
    for second in range(12):
        assert mending.see(second, cart=(50.0, 0.6, 2.0 - 0.05 * second)) is None or second >= 7
    half = Script(checks=LATENCY_ONLY).before((50.0, 0.0, 2.0))
    assert [outcome(half.see(s, cart=(50.0, 0.0, 2.0 - 0.1 * s))) for s in range(12)] == [None] * 12


def test_a_target_that_does_not_serve_yet_may_still_be_starting() -> None:
    script = Script(callers=("web",)).before(web=ILL)
    for second in range(15):
        assert script.see(second, web=ILL, cart=(0.0, NAN, NAN)) is None


def test_little_that_was_seen_is_no_proof_that_it_does_not_help() -> None:
    script = Script().before()
    for second in range(12):
        rows = service_frame(second, {"cart": ILL})
        rows = replace(rows, counts=np.full(1, 2, dtype=np.int64))
        script.verifier.observe(rows)
        assert script.at(second + 1.3) is None


def test_users_at_the_entry_count_and_not_all_of_their_trouble_is_this_ones() -> None:
    script = Script(callers=("web",), entries=("front",)).before(front=ILL)
    verdicts = [outcome(script.see(s, cart=WELL, web=WELL, front=ILL)) for s in range(9)]
    assert verdicts == [None] * 7 + [Outcome.INCONCLUSIVE] * 2
    found = script.at(10)
    assert found is not None
    assert "users still suffer: error_rate of front" in found.text
    better = Script(callers=("web",), entries=("front",)).before(front=ILL)
    half = (50.0, 0.1, 0.9)
    assert [outcome(better.see(s, cart=WELL, web=WELL, front=half)) for s in range(3)][-1] is Outcome.BETTER


def test_what_was_getting_worse_anyway_is_not_said_to_be_harmed() -> None:
    script = Script((Check("error_rate"),))
    for second in range(-40, 0):
        fault = max(second + 10, 0) * 0.04
        script.verifier.observe(service_frame(second, {"cart": (50.0, fault, 0.1)}))
    verdicts = [outcome(script.see(s, cart=(50.0, min(0.4 + 0.04 * s, 1.0), 0.1))) for s in range(8)]
    assert Outcome.WORSE not in verdicts


def test_a_verifier_that_lost_its_history_knows_the_levels_it_was_told() -> None:
    before = Script().before()
    verify = Verify(CHECKS, for_s=3.0, within_s=20.0)
    later = Verifier(verify, "cart", (), ACTED, reference=before.verifier.reference())
    for second in range(3):
        later.observe(service_frame(second, {"cart": WELL}))
    found = later.verdict(T0 + 4 * SECOND)
    assert found is not None
    assert (found.outcome, found.measures[0].during) == (Outcome.BETTER, 0.6)


def test_a_window_that_comes_again_replaces_what_it_said() -> None:
    script = Script().before()
    for second in range(2):
        script.see(second, cart=WELL)
    script.see(2, cart=ILL)
    assert outcome(script.see(2, cart=WELL)) is Outcome.BETTER


def behind(rows: Sequence[Sequence[float]], by_s: float) -> list[Outcome | None]:
    """The outcomes of a worker that hears of each second only so much later."""
    script, found = Script().before(), list[Outcome | None]()
    for second, row in enumerate(rows):
        script.verifier.observe(service_frame(second, {"cart": row}))
        found.append(outcome(script.at(second + by_s)))
    return found


def test_time_is_up_by_the_evidence_where_the_worker_is_behind() -> None:
    found = behind([ILL] * 4 + [WELL] * 4, by_s=18)
    assert next(o for o in found if o is not None) is Outcome.BETTER


def test_evidence_that_is_behind_is_not_waited_for_for_ever() -> None:
    assert None not in behind([(50.0, math.nan, math.nan)] * 3, by_s=41)


LATENCY_ONLY = (Check("latency_p95"),)
FAILING = (50.0, 0.6, 0.1)
"""Fails, and is as quick as ever."""


def test_a_check_that_was_never_off_does_not_hide_what_was() -> None:
    script = Script(checks=LATENCY_ONLY).before(FAILING)
    assert [outcome(script.see(s, cart=FAILING)) for s in range(5)] == [None] * 5
    found = script.at(25)
    assert outcome(found) is Outcome.SAME
    assert found is not None
    assert "error_rate of cart not back to expected" in found.text


def test_what_was_off_and_is_back_counts_though_the_playbook_does_not_check_it() -> None:
    script = Script(checks=LATENCY_ONLY).before(FAILING)
    assert [outcome(script.see(s, cart=WELL)) for s in range(3)] == [None, None, Outcome.BETTER]


def test_callers_that_suffered_must_be_well_too() -> None:
    script = Script(callers=("web",)).before(web=ILL)
    for second in range(5):
        assert script.see(second, cart=WELL, web=ILL) is None
    assert [outcome(script.see(s, cart=WELL, web=WELL)) for s in range(5, 8)] == [None, None, Outcome.BETTER]


def test_where_nothing_was_off_nothing_was_mended() -> None:
    script = Script().before(WELL)
    assert [outcome(script.see(s, cart=WELL)) for s in range(3)] == [None, None, Outcome.INCONCLUSIVE]
    found = script.at(4)
    assert found is not None
    assert "nothing that is checked was off" in found.text


@pytest.mark.parametrize(
    ("failing", "found"),
    [((0.25, 0.14, 0.25, 0.25), None), ((0.0, 0.0, 0.0, 0.0), Outcome.BETTER), ((0.14, 0.0, 0.0, 0.0), Outcome.BETTER)],
)
def test_of_few_requests_the_range_is_wide_and_all_of_them_together_say_more(
    failing: tuple[float, ...], found: Outcome | None
) -> None:
    """Seven requests a second, of which sixty in a hundred failed; up to three in ten are expected of a single window."""
    script, wide = Script(checks=(Check("error_rate"),)), ((0.0, 0.0, 0.0), (20.0, 0.3, 0.3))

    def few(second: float, share: float) -> EvidenceFrame:
        frame = service_frame(second, {"cart": (7.0, share, 0.1)}, ranges=wide)
        return replace(frame, counts=np.full(1, 7, np.int64))

    for second in range(-40, 0):
        script.verifier.observe(few(second, 0.6 if second >= -5 else 0.0))
    told = []
    for second, share in enumerate(failing):
        script.verifier.observe(few(second, share))
        told.append(outcome(script.at(second + 1.3)))
    assert told[-1] is found
