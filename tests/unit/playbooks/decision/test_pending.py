"""An incident's way through decisions: when, how often, and what follows from what."""

from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from contracts.errors import UnreadableEvent
from contracts.events import Candidate, Change, Control, Decision, Feedback, Incident, encode
from contracts.features import BY_SIGNAL, Signal
from contracts.frames import EvidenceFrame, Presence
from contracts.ports import TargetState
from contracts.settings import ActSettings, DecideSettings, DetectSettings
from contracts.units import MINUTE
from contracts.units import SECOND as S
from contracts.verdicts import (
    Autonomy,
    CauseKind,
    DecisionVerdict,
    IncidentPhase,
    Outcome,
    RunState,
    Severity,
)
from playbooks.decision import NOTHING, PERSON, limits_of
from playbooks.decision.pending import PendingDecisions
from playbooks.decision.pending_state import PendingDecision
from playbooks.decision.reported import ReportedEnvironment
from playbooks.decision.views import Views
from playbooks.language import library
from tests.acting_half import ActingHalf

T0 = 1_800_000_000 * S
LIBRARY = library()
LIMITS = limits_of(ActSettings(), DetectSettings())
COLUMNS = BY_SIGNAL[Signal.SPANS]


class Told(PendingDecisions):
    """Pending decisions to whom whoever acts reports right before anything else comes in; services are heard of, too."""

    def __init__(self, half: ActingHalf, learn_s: float = 0.0) -> None:
        super().__init__(LIBRARY, DecideSettings(learn_s=learn_s), LIMITS)
        self.half = half

    def _first(self, now_ns: int) -> list[Decision]:
        views = self._views.setdefault("prod", Views())
        views._services.update(dict.fromkeys(("cart", "db", "pay", "web"), max(views.times.values(), default=0)))
        return super().report(self.half.report(now_ns), now_ns)

    def incident(self, incident: Incident, now_ns: int) -> list[Decision]:
        return self._first(now_ns) + super().incident(incident, now_ns)

    def control(self, control: Control, now_ns: int) -> list[Decision]:
        return self._first(now_ns) + super().control(control, now_ns)

    def feedback(self, feedback: Feedback, now_ns: int) -> list[Decision]:
        return super().feedback(feedback, now_ns) + self._first(now_ns)

    def tick(self, now_ns: int) -> list[Decision]:
        return self._first(now_ns) + super().tick(now_ns)

    def restore(self, state: bytes) -> None:
        super().restore(state)
        self.half.take(self.half._account.begun_ns + 1)


def half() -> ActingHalf:
    return ActingHalf({s: TargetState(2, 2, "v2", "v1") for s in ("cart", "web")})


RELEASED = Change(environment="prod", service="cart", kind="deploy", time_ns=T0 - 9 * S, actor="ada", after="v2")


def incident(
    at: int,
    revision: int,
    *,
    kind: CauseKind = CauseKind.HANG,
    probability: float = 0.9,
    name: str = "inc-1",
    **changes: object,
) -> Incident:
    candidate = Candidate(service="cart", kind=kind, probability=probability, evidence=(), path=())
    base = Incident(
        id=name, environment="prod", phase=IncidentPhase.UPDATED, severity=Severity.WARNING, onset_ns=T0 - 3 * S, time_ns=at,
        revision=revision, anomalies=("a",), services=("cart",), candidates=(candidate,), blast_radius=("web",),
        confidence=0.9, settled=True, text="", changes=(RELEASED,) if kind is CauseKind.BAD_RELEASE else (),
    )  # fmt: skip
    return _changed(base, changes)


def _changed(base: Incident, changes: dict[str, object]) -> Incident:
    values = {f: getattr(base, f) for f in base.__struct_fields__} | changes
    return Incident(**values)


def frame(window: int, rate: float = 10.0, services: tuple[str, ...] = ("cart", "web")) -> EvidenceFrame:
    shape = (len(services), len(COLUMNS))
    values = np.full(shape, np.nan)
    values[:, COLUMNS.index("request_rate")] = rate
    return EvidenceFrame(
        environment="prod", signal="spans", partition=0, window_ns=window, width_ns=S, services=services, peers=(),
        versions=("v2",) * len(services), attributes=('{"k8s.namespace.name": "shop"}',) * len(services), features=COLUMNS,
        values=values, counts=np.ones(len(services), np.int64), score=np.zeros(shape), low=np.zeros(shape),
        high=np.full(shape, 20.0), p_value=np.ones(len(services)), state=("healthy",) * len(services), notes=("",) * len(services),
    )  # fmt: skip


def feedback(decision: Decision, outcome: Outcome, at: int) -> Feedback:
    return Feedback(
        run="run-" + decision.id, decision=decision.id, incident=decision.incident, environment="prod",
        playbook=decision.chosen.playbook, cause=decision.cause, target=decision.chosen.target, outcome=outcome, time_ns=at,
        measures=(), text="",
    )  # fmt: skip


def switch(at: int, *, acting: bool, scope: str = "*") -> Control:
    return Control(scope=scope, acting=acting, autonomy=Autonomy.ACT, by="ada", time_ns=at)


@pytest.fixture
def facts() -> ActingHalf:
    return half()


@pytest.fixture
def book(facts: ActingHalf) -> Told:
    return Told(facts)


def decided(decisions: list[Decision]) -> tuple[DecisionVerdict, str]:
    (decision,) = decisions
    return decision.verdict, decision.chosen.playbook


ACT, ASK, WAIT = DecisionVerdict.ACT, DecisionVerdict.ASK, DecisionVerdict.NOTHING


def test_it_waits_until_the_diagnosis_is_settled(book: Told):
    assert book.incident(incident(T0, 1, settled=False), T0) == []
    assert book.tick(T0 + 2 * S) == []
    assert decided(book.incident(incident(T0 + 2 * S, 2), T0 + 2 * S)) == (ACT, "restart-hung-service")


def test_one_live_decision_whatever_else_comes_in(book: Told, facts: ActingHalf):
    (d,) = book.incident(incident(T0, 1), T0)
    facts.journal(d, RunState.RUNNING, T0)
    assert book.incident(incident(T0 + S, 2, kind=CauseKind.CRASH), T0 + S) == []
    assert book.incident(incident(T0, 1), T0 + S) == [], "an older revision"
    assert all(book.tick(T0 + i * S) == [] for i in range(2, 60))


def test_before_the_run_is_journalled_the_decision_is_live_too(book: Told):
    book.incident(incident(T0, 1), T0)
    assert all(book.tick(T0 + i * S) == [] for i in range(1, 200))


def test_a_decision_that_nobody_carried_out_lapses(book: Told):
    (first,) = book.incident(incident(T0, 1), T0)
    assert book.incident(incident(T0 + 239 * S, 2), T0 + 239 * S) == []
    (second,) = book.tick(T0 + 241 * S)
    assert (second.verdict, second.id) == (ACT, "inc-1-d2")
    assert first.id == "inc-1-d1"


def test_a_remedy_that_did_not_help_is_followed_by_the_next_and_then_a_person(book: Told, facts: ActingHalf):
    (d,) = book.incident(incident(T0, 1), T0)
    facts.journal(d, RunState.FAILED, T0 + 20 * S)
    before = book.posteriors.probability("restart-hung-service", CauseKind.HANG, "prod", "cart", T0)
    assert book.feedback(feedback(d, Outcome.SAME, T0 + 20 * S), T0 + 20 * S) == []
    (d2,) = book.tick(T0 + 35 * S)
    assert (d2.verdict, d2.chosen.playbook, d2.id) == (ASK, PERSON, "inc-1-d2")
    assert "tried already: restart-hung-service on cart (same)" in d2.text
    assert book.posteriors.probability("restart-hung-service", CauseKind.HANG, "prod", "cart", T0 + 20 * S) < before
    assert all(book.tick(T0 + i * S) == [] for i in range(36, 60)), "a person is asked once"


def test_feedback_while_the_roll_back_runs_waits_for_it(book: Told, facts: ActingHalf):
    (d,) = book.incident(incident(T0, 1), T0)
    facts.journal(d, RunState.ROLLING_BACK, T0 + 10 * S)
    decisions = book.feedback(feedback(d, Outcome.WORSE, T0 + 10 * S), T0 + 10 * S)
    assert all(x.verdict is not ACT for x in decisions)


def test_a_repair_has_time_to_show(book: Told, facts: ActingHalf):
    (d,) = book.incident(incident(T0, 1), T0)
    facts.journal(d, RunState.SUCCEEDED, T0 + 10 * S)
    assert book.feedback(feedback(d, Outcome.BETTER, T0 + 10 * S), T0 + 10 * S) == []
    assert book.incident(incident(T0 + 20 * S, 2), T0 + 20 * S) == []
    late = T0 + 41 * S
    assert book.incident(incident(late, 3), late) == [], "that it is not closed yet is no reason to ask anybody"
    book.evidence(replace(frame(late), state=("anomalous", "healthy")), late + S)
    assert book.tick(late + S) == []
    assert decided(book.tick(late + 5 * S)) == (ASK, PERSON), "it is ill again, and the cooldown holds the same remedy"


def test_what_ended_by_itself_is_left_alone_like_what_was_repaired(book: Told, facts: ActingHalf):
    (d,) = book.incident(incident(T0, 1), T0)
    facts.journal(d, RunState.INCONCLUSIVE, T0 + 5 * S)
    found = msgspec.structs.replace(feedback(d, Outcome.INCONCLUSIVE, T0 + 5 * S), well=True, credit=0.0)
    before = book.posteriors
    assert book.feedback(found, T0 + 5 * S) == []
    assert book.posteriors.services.keys() - before.services.keys() == {"restart-hung-service|hang|prod|cart"}
    taught = book.posteriors.experience("restart-hung-service", CauseKind.HANG, "prod", "cart", T0 + 5 * S)
    assert (taught.successes, taught.failures) == (0.0, 0.0)
    assert [book.tick(T0 + s * S) for s in range(6, 60)] == [[]] * 54


def test_what_was_tried_before_the_present_onset_says_nothing_of_it(book: Told, facts: ActingHalf):
    (d,) = book.incident(incident(T0, 1), T0)
    facts.journal(d, RunState.FAILED, T0 + 9 * S)
    assert book.feedback(feedback(d, Outcome.SAME, T0 + 9 * S), T0 + 9 * S) == []
    (second,) = book.tick(T0 + 24 * S)
    assert "tried already" in second.text
    later = msgspec.structs.replace(incident(T0 + 300 * S, 2), onset_ns=T0 + 295 * S)
    book.evidence(frame(T0 + 299 * S), T0 + 300 * S)
    (again,) = book.incident(later, T0 + 300 * S)
    assert decided([again]) == (ACT, "restart-hung-service")


def test_a_resolved_incident_is_dropped_and_a_reopened_one_counts_on(book: Told):
    book.incident(incident(T0, 1), T0)
    assert book.incident(incident(T0 + S, 2, phase=IncidentPhase.RESOLVED), T0 + S) == []
    assert book.tick(T0 + 5 * S) == []
    assert book.incident(incident(T0, 1), T0 + 5 * S) == [], "an old revision does not reopen it"
    (d,) = book.incident(incident(T0 + 6 * S, 3), T0 + 6 * S)
    assert d.id == "inc-1-d2", "one decision has one run, ever"


def test_a_run_that_ended_without_feedback_counts_by_its_state(book: Told, facts: ActingHalf):
    (d,) = book.incident(incident(T0, 1), T0)
    facts.journal(d, RunState.REFUSED, T0 + S)
    assert book.tick(T0 + 3 * S) == [], "feedback may be on its way"
    assert book.tick(T0 + 7 * S) == []
    found = book.tick(T0 + 11 * S)
    assert decided(found) == (ASK, PERSON)
    assert "refused" in found[0].text


def test_the_kill_switch_and_its_end(book: Told):
    book.control(switch(1, acting=False), T0)
    assert decided(book.incident(incident(T0, 1), T0)) == (WAIT, NOTHING)
    assert book.incident(incident(T0 + S, 2), T0 + S) == [], "said once"
    assert book.control(switch(1, acting=False), T0 + S) == [], "the same again changes nothing"
    later = book.control(switch(0, acting=True), T0 + 2 * S)
    assert decided(later) == (ACT, "restart-hung-service"), "the order is that of arrival, whatever the times say"


def test_asking_becomes_acting_once_the_cause_is_sure(book: Told):
    assert book.incident(incident(T0, 1, probability=0.45), T0) == []
    assert decided(book.tick(T0 + 15 * S)) == (ASK, "restart-hung-service")
    assert book.incident(incident(T0 + 16 * S, 2, probability=0.46), T0 + 16 * S) == []
    sure = book.incident(incident(T0 + 17 * S, 3, probability=0.95), T0 + 17 * S)
    assert decided(sure) == (ACT, "restart-hung-service")


def test_nobody_is_asked_what_is_sure_a_moment_later(book: Told):
    assert book.incident(incident(T0, 1, kind=CauseKind.UNKNOWN, probability=0.6), T0) == []
    assert all(book.tick(T0 + i * S) == [] for i in range(1, 15))
    sure = book.incident(incident(T0 + 15 * S - 1, 2, probability=0.95), T0 + 15 * S - 1)
    assert decided(sure) == (ACT, "restart-hung-service")


def test_a_question_is_asked_once_it_has_stood_and_at_the_latest_after_a_while(book: Told):
    kinds = (CauseKind.UNKNOWN, CauseKind.HANG)
    asked = [
        book.incident(incident(T0 + i * S, i + 1, kind=kinds[i % 2], probability=0.45), T0 + i * S) for i in range(40)
    ]
    assert [i for i, found in enumerate(asked) if found] == [20], "the question changed each second"


def test_who_may_not_act_alone_on_a_sure_cause_asks_at_once():
    watched = Told(half())
    watched.control(msgspec.structs.replace(switch(T0, acting=True), autonomy=Autonomy.SUGGEST), T0)
    assert decided(watched.incident(incident(T0, 1, probability=0.95), T0)) == (ASK, "restart-hung-service")


def test_another_cause_while_a_person_looks_is_asked_ever_more_seldom(book: Told):
    def unknown(i: int) -> list[Decision]:
        told = incident(T0 + i * S, i + 1, kind=CauseKind.UNKNOWN, probability=0.8)
        well = msgspec.structs.replace(told, felt=Severity.INFO, candidates=())
        return book.incident(told if i % 10 < 7 else well, T0 + i * S)

    asked = [i for i in range(600) if any(d.verdict is ASK for d in unknown(i))]
    assert asked[0] == 4
    assert all(later - earlier >= 60 for earlier, later in pairwise(asked)), asked
    assert len(asked) <= 4


def test_another_cause_while_nothing_was_done_is_decided_anew_but_without_flicker(book: Told):
    book.incident(incident(T0, 1, kind=CauseKind.UNKNOWN), T0)
    assert decided(book.tick(T0 + 4 * S)) == (ASK, PERSON)
    assert book.incident(incident(T0 + 5 * S, 2, probability=0.45), T0 + 5 * S) == []
    assert decided(book.tick(T0 + 20 * S)) == (ASK, "restart-hung-service")


def test_an_approved_run_is_under_way(book: Told, facts: ActingHalf):
    book.incident(incident(T0, 1, probability=0.45), T0)
    (d,) = book.tick(T0 + 15 * S)
    facts.journal(d, RunState.AWAITING_APPROVAL, T0 + 16 * S)
    assert book.incident(incident(T0 + 19 * S, 2, probability=0.45), T0 + 19 * S) == []
    facts.journal(d, RunState.RUNNING, T0 + 20 * S)
    assert book.incident(incident(T0 + 24 * S, 3, probability=0.9), T0 + 24 * S) == []


def test_two_incidents_are_acted_on_one_after_another(book: Told, facts: ActingHalf):
    (d,) = book.incident(incident(T0, 1), T0)
    facts.journal(d, RunState.RUNNING, T0)
    other = Candidate(service="web", kind=CauseKind.HANG, probability=0.9, evidence=(), path=())
    (waits,) = book.incident(incident(T0 + S, 1, name="inc-2", candidates=(other,)), T0 + S)
    assert (waits.verdict, waits.chosen.playbook) == (WAIT, NOTHING)
    facts.journal(d, RunState.SUCCEEDED, T0 + 10 * S)
    found = book.tick(T0 + 11 * S)
    assert [(x.incident, x.verdict, x.chosen.target) for x in found] == [("inc-2", ACT, "web")]


def test_old_incidents_are_not_acted_on(book: Told):
    (d,) = book.incident(incident(T0 - 60 * S, 1), T0)
    assert d.verdict is ASK
    assert "the diagnosis is 60 s old" in d.text


def stopped_for_a_minute(book: Told, *, service: str, state: str, saved: bool = False) -> list[Decision]:
    """Acting is stopped while an incident lasts and its diagnosis stays the same; a minute later it is resumed."""
    book.control(switch(1, acting=False), T0)
    book.incident(incident(T0, 1, services=("cart", "pay")), T0)
    for second in range(1, 60):
        at = T0 + second * S
        book.evidence(replace(frame(at, services=("db", service)), state=("healthy", state)), at + S)
        book.tick(at + S)
    if saved:
        kept, book = book.snapshot(), Told(book.half)
        book.restore(kept)
    return book.control(switch(2, acting=True), T0 + 61 * S)


@pytest.mark.parametrize("saved", [False, True])
def test_a_diagnosis_that_lasts_is_as_young_as_the_last_sign_of_it(book: Told, saved: bool):
    found = stopped_for_a_minute(book, service="pay", state="anomalous", saved=saved)
    assert decided(found) == (ACT, "restart-hung-service")


@pytest.mark.parametrize(("service", "state"), [("pay", "healthy"), ("pay", "stale"), ("web", "anomalous")])
def test_what_else_is_heard_does_not_make_a_diagnosis_younger(book: Told, service: str, state: str):
    (d,) = stopped_for_a_minute(book, service=service, state=state)
    assert d.verdict is ASK
    assert "the diagnosis is 61 s old" in d.text


def test_late_evidence_confirms_what_was_not_what_is(book: Told):
    book.control(switch(1, acting=False), T0)
    book.incident(incident(T0, 1), T0)
    book.evidence(frame(T0 + 59 * S, services=("db", "web")), T0 + 60 * S)
    book.evidence(replace(frame(T0 + 4 * S), partition=1, state=("anomalous", "healthy")), T0 + 60 * S)
    (d,) = book.control(switch(2, acting=True), T0 + 61 * S)
    assert (d.verdict, "the diagnosis is 56 s old" in d.text) == (ASK, True)


def test_predictions_that_fail_lower_autonomy(book: Told, facts: ActingHalf):
    for i in range(3):
        at = T0 + i * 4000 * S // 10
        (d,) = book.incident(incident(at, 1, name=f"i{i}", candidates=(Candidate(
            service="cart" if i % 2 else "web", kind=(CauseKind.HANG, CauseKind.LEAK)[i // 2], probability=1.0, evidence=(), path=()),)), at)  # fmt: skip
        assert d.verdict is ACT
        facts.journal(d, RunState.ROLLED_BACK, at + S)
        book.feedback(feedback(d, Outcome.SAME, at + S), at + S)
        book.incident(incident(at + S, 2, name=f"i{i}", phase=IncidentPhase.RESOLVED), at + S)
    at = T0 + 1700 * S
    (d,) = book.incident(incident(at, 1, name="last", kind=CauseKind.BAD_RELEASE), at)
    assert (d.verdict, d.chosen.playbook) == (ASK, "roll-back-bad-release")
    assert "recent repairs went worse than predicted" in d.text


def test_features_reach_the_conditions(book: Told):
    book.evidence(frame(T0 - S, rate=50.0), T0)
    felt = msgspec.structs.replace(incident(T0, 1, kind=CauseKind.LATENCY), severity=Severity.CRITICAL)
    assert decided(book.incident(felt, T0)) == (ACT, "scale-out-slow-service")


def script(facts: ActingHalf) -> list[tuple[str, object, int]]:
    first = incident(T0 + S, 1, kind=CauseKind.LATENCY)
    return [
        ("evidence", frame(T0, rate=50.0), T0),
        ("incident", first, T0 + S),
        ("incident", incident(T0 + 2 * S, 1, name="inc-2", probability=0.3), T0 + 2 * S),
        ("control", switch(T0, acting=False, scope="prod"), T0 + 3 * S),
        ("tick", None, T0 + 7 * S),
        ("incident", incident(T0 + 8 * S, 2, name="inc-2", probability=0.9), T0 + 8 * S),
        ("control", switch(T0 + 9 * S, acting=True, scope="prod"), T0 + 9 * S),
        ("tick", None, T0 + 14 * S),
        ("incident", incident(T0 + 15 * S, 2, phase=IncidentPhase.RESOLVED), T0 + 15 * S),
        ("tick", None, T0 + 300 * S),
    ]


def play(book: Told, events: list[tuple[str, object, int]], cut: int | None = None) -> list[bytes]:
    out: list[Decision] = []
    for i, (what, value, at) in enumerate(events):
        if i == cut:
            saved = book.snapshot()
            book = Told(book.half)
            book.restore(saved)
            assert book.snapshot() == saved
        if what == "evidence":
            book.evidence(value, at)
        else:
            out += book.tick(at) if what == "tick" else getattr(book, what)(value, at)
    return [encode(d) for d in out]


@pytest.mark.parametrize("cut", range(2, 10))
def test_a_restart_while_an_incident_is_open_changes_nothing(facts: ActingHalf, cut: int):
    def fresh() -> Told:
        return Told(half())

    whole = play(fresh(), script(facts))
    assert len(whole) >= 3
    assert play(fresh(), script(facts), cut) == whole


def test_a_person_is_asked_until_telemetry_has_been_heard_for_long_enough_also_over_a_restart(facts: ActingHalf):
    book = Told(facts, learn_s=45)
    for second in range(20):
        book.evidence(frame(T0 + second * S, services=("web",)), T0 + second * S)
    at = T0 + 20 * S
    (asked,) = book.incident(incident(at, 1), at)
    assert (asked.verdict, asked.chosen.playbook) == (DecisionVerdict.ASK, "restart-hung-service")
    again = Told(facts, learn_s=45)
    again.restore(book.snapshot())
    found = []
    for second in range(20, 60):
        again.evidence(frame(T0 + second * S, services=("web",)), T0 + second * S)
        found += again.tick(T0 + second * S)
    acted = next(d for d in found if d.verdict is DecisionVerdict.ACT)
    assert 40 * S <= acted.time_ns - T0 <= 48 * S


def test_something_else_is_no_snapshot(book: Told):
    with pytest.raises(UnreadableEvent):
        book.restore(b"\x93\x01\x02\x03")
    with pytest.raises(UnreadableEvent):
        book.restore(b"")


def test_views_take_the_newest_window_that_has_the_service():
    views = Views()
    views.take(frame(T0, rate=1.0))
    views.take(frame(T0 + S, rate=2.0, services=("web",)))
    assert views.view("cart").values == {"request_rate": 1.0}
    assert views.view("web").values == {"request_rate": 2.0}
    assert views.view("web").attributes == {"k8s.namespace.name": "shop"}
    for i in range(2, 12):
        views.take(frame(T0 + i * S, services=("web",)))
    assert views.view("cart").values == {}, "silent for ten windows: no present features"
    assert views.view("cart").version == "v2", "but still known"
    edges = replace(frame(T0 + 20 * S), signal="edges", peers=("db", "db"))
    views.take(edges)
    assert views.view("web").values == {"request_rate": 10.0}


def living(views: Views, seconds: range, late: dict[str, int]) -> None:
    """Every second a row of each service, in a frame of its own, so many seconds later than those of others."""
    for second in seconds:
        for service, by in late.items():
            views.take(frame(T0 + (second - by) * S, rate=float(second - by), services=(service,)))


def test_a_service_later_than_others_has_a_present_and_a_past_of_its_own():
    views = Views()
    late = {"web": 0, "cart": 30, **{f"s{i}": i for i in range(25)}}
    living(views, range(200), late)
    for service, by in late.items():
        assert views.view(service).values == {"request_rate": 199.0 - by}
    windows = {s: {c.frame.window_ns for c in views.rows([s])} for s in ("web", "cart")}
    assert len(windows["web"]) >= 90
    assert len(windows["cart"]) >= 90
    assert len(views.rows(late)) <= 91 * len(late), "what is older is forgotten"
    living(views, range(200, 215), {"web": 0})
    assert views.view("cart").values == {}, "nothing of it has come for ten windows"
    assert views.view("web").values == {"request_rate": 214.0}


def test_a_correction_of_an_older_window_is_no_present():
    views = Views()
    views.take(frame(T0 + 5 * S, rate=5.0))
    views.take(frame(T0 + 3 * S, rate=33.0))
    assert views.view("cart").values == {"request_rate": 5.0}
    views.take(frame(T0 + 5 * S, rate=6.0))
    assert views.view("cart").values == {"request_rate": 6.0}, "the last word on a window counts"
    for second in range(6, 16):
        views.take(frame(T0 + second * S, services=("web",)))
    views.take(frame(T0 + 4 * S, rate=44.0))
    views.take(frame(T0 + 16 * S, services=("web",)))
    assert views.view("cart").values == {}


def test_what_is_missing_has_no_present_features():
    views = Views()
    views.take(frame(T0, rate=5.0))
    views.take(replace(frame(T0 + S, rate=np.nan), presence=np.array([Presence.MISSING, Presence.OBSERVED], np.int8)))
    assert views.view("cart").values == {}
    (_, cut), (_, lost) = views.rows(["cart"])
    assert cut.missing.tolist() == [False]
    assert lost.missing.tolist() == [True]


def test_event_time_that_was_wrong_keeps_nobody_present():
    views = Views()
    views.take(frame(T0 + 86_400 * S, rate=1.0, services=("web", "cart")))
    living(views, range(300), {"web": 0})
    assert views.view("web").values == {"request_rate": 299.0}
    assert views.view("cart").values == {}
    assert len(views.rows(["web"])) <= 92


def test_views_survive_a_snapshot_as_they_are(book: Told, facts: ActingHalf):
    at = T0 + 100 * S
    for second in range(100):
        book.evidence(frame(T0 + second * S, services=("web",)), at)
        book.evidence(frame(T0 + (second - 30) * S, rate=float(second), services=("cart",)), at)
    for second in range(100, 111):
        book.evidence(frame(T0 + second * S, services=("web",)), at)
    book.incident(incident(at, 1), at)
    again = Told(facts)
    again.restore(book.snapshot())
    assert again.snapshot() == book.snapshot()
    old = msgspec.msgpack.decode(book.snapshot())
    del old["came"], old["times"], old["services"], old["reported"], old["unseen"], old["serving"]
    again.restore(msgspec.msgpack.encode(old))
    assert len(again._views["prod"].rows(["cart"])) > 50


def test_shares_are_of_services_at_work_and_not_of_names_also_after_a_restart(facts: ActingHalf) -> None:
    """Whoever may send telemetry can make up names: a burst of them makes nothing that is done a small share."""
    made_up = tuple(f"job-{n}" for n in range(300))
    book = Told(facts)
    for minute in range(-5, 0):
        book.evidence(frame(T0 + minute * MINUTE), T0)
    book.incident(incident(T0, 1), T0)
    book.evidence(frame(T0 - S, services=made_up), T0)
    again, case = Told(facts), PendingDecision(incident(T0, 1))
    again.restore(book.snapshot())
    for one in (book, again):
        world = one._world(case, ReportedEnvironment(), 0.0, T0)
        assert world.at_work == ("cart", "web")
        assert len(world.known_services) >= 302
    fresh = Told(facts)
    fresh.evidence(frame(T0 - S, services=made_up), T0)
    at_work = fresh._world(case, ReportedEnvironment(), 0.0, T0).at_work
    assert len(at_work) == 300, "nobody can have served for long enough yet"
