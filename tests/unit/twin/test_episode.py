"""Episodes: the same seed is the same bytes, truth is consistent, nothing gets lost, the splits are different worlds."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import features as f
from contracts.frames import FeatureFrame, Presence, unpack
from contracts.topics import FEATURES
from twin.catalogue import KINDS, FaultLevel
from twin.configuration import CONFIGURATIONS, Split, generator_of
from twin.episode import Plot, SimulatedEpisode
from twin.habits import STYLES
from twin.influences import Influence, Seat
from twin.knobs import Knob, Panel
from twin.load import UserDemand
from twin.system import SimulatedSystem
from twin.topology import draw_system
from twin.truth import HARM


def digest(split: Split, seed: int, seconds: int) -> str:
    episode = SimulatedEpisode.drawn(split, seed, services=12, plot=Plot(((30.0, "failing"),), seconds))
    found = hashlib.sha256()
    while not episode.over:
        for message in episode.second():
            found.update(message.topic.encode() + message.value)
    return found.hexdigest()


def test_the_same_seed_is_the_same_bytes_and_another_is_not():
    first = digest(Split.PROVING, 5, 90)
    assert digest(Split.PROVING, 5, 90) == first
    assert digest(Split.PROVING, 6, 90) != first
    assert digest(Split.TUNING, 5, 90) != first


def test_there_are_kinds_of_faults_at_every_level_and_more_than_thirty():
    assert len(KINDS) >= 30
    assert {k.level for k in KINDS.values()} == set(FaultLevel)
    assert {k.seat for k in KINDS.values()} == set(Seat)
    assert any(not k.repairs for k in KINDS.values())
    assert any(k.heals == 1.0 for k in KINDS.values())
    assert any(k.ramp_s[1] > 60 for k in KINDS.values())


def test_the_splits_are_of_different_generators():
    tuning, proving = (CONFIGURATIONS[s] for s in Split)
    differing = {n for n in tuning.__slots__ if getattr(tuning, n) != getattr(proving, n)}
    assert {"wiring", "services", "work_s", "spread", "rate", "styles", "utilisation"} <= differing


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(KINDS)), st.sampled_from(list(Split)))
def test_the_truth_of_an_episode_is_consistent(seed: int, kind: str, split: Split):
    episode = SimulatedEpisode.drawn(split, seed, services=10, plot=Plot(((85.0, kind),), 105))
    while not episode.over:
        episode.second()
    truth = episode.truth
    names = set(truth.services)
    assert len(truth.harm) == 105
    assert all(0.0 <= h <= 1.0 for h in truth.harm)
    for fault in truth.faults:
        assert fault.roots
        assert fault.roots <= names
        assert fault.roots <= fault.path or fault.level is FaultLevel.LOAD
        assert fault.path <= names
        assert {service for _, service in fault.repairs} <= fault.roots
        assert fault.causes
        if fault.hurt_from_s is not None:
            assert fault.begin_s <= fault.hurt_from_s < (fault.hurt_until_s or 0.0)
        if fault.gone_s is not None:
            assert fault.gone_s >= fault.begin_s


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(Split)), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_what_comes_is_answered_refused_or_waits(seed: int, split: Split, hang: float, slow: float):
    """Conservation: requests in are answered, lost or in flight, in every second, whatever is turned."""
    configuration = CONFIGURATIONS[split]
    plan = draw_system(split, configuration, seed, 10)
    r = generator_of(split, seed, "x")
    system = SimulatedSystem(plan, UserDemand(r, configuration, plan.entries, 40), r)
    for _ in range(10):
        system.step()
    for _ in range(5):
        panel = Panel.at_rest(system._sizes())
        panel.turn(Knob.HANG, slice(None), hang)
        panel.turn(Knob.SLOW, slice(None), 1 + 30 * slow)
        before = system.fleet.backlog.sum()
        found = system.flow.second(panel, system.load.demand(system.now_s), system.now_s)
        direct = ~system.flow.worker
        lost = np.minimum(found.refused + found.hung, 1.0)
        assert found.answered[direct] == pytest.approx((found.arriving * (1 - lost))[direct])
        assert (found.failing >= 0).all()
        assert (found.failing <= 1).all()
        assert np.isfinite(found.law).all()
        assert (np.diff(found.law, axis=1) >= 0).all()
        assert (system.fleet.backlog >= 0).all()
        grown = system.fleet.backlog.sum() - before
        assert grown <= found.arriving.sum() + 1e-6
        system.now_s += 1.0


def test_frames_are_what_their_contract_says():
    episode = SimulatedEpisode.drawn(
        Split.PROVING, 3, services=15, style="mixed_delays", plot=Plot(((40.0, "crash"),), 100)
    )
    newest: dict[tuple[str, str, str], int] = {}
    signals = set()
    while not episode.over:
        for message in episode.second():
            if message.topic != FEATURES:
                continue
            frame = unpack(FeatureFrame, message.value)
            signals.add(frame.signal)
            rows = len(frame.services)
            assert frame.values.shape == (rows, len(frame.features))
            assert frame.features == f.BY_SIGNAL[f.Signal(frame.signal)]
            assert len(frame.presence) == rows
            assert frame.window_ns + frame.width_ns <= episode.now_ns
            if len(frame.aside):
                assert frame.aside.shape == (rows, len(f.ASIDE[f.Signal(frame.signal)]))
            assert np.isnan(frame.values[frame.presence == Presence.MISSING]).all()
            for service, peer in zip(frame.services, frame.peers or ("",) * rows, strict=True):
                key = frame.signal, service, peer
                assert newest.get(key, -1) < frame.window_ns, "the rows of a series come in order"
                newest[key] = frame.window_ns
    assert signals >= {"spans", "edges"}


def test_a_fault_in_a_process_ends_with_it_and_one_in_a_release_with_that():
    def run(kind: str, mend: str) -> float | None:
        episode = SimulatedEpisode.drawn(
            Split.PROVING, 11, services=8, plot=Plot(((5.0, kind),), 110, operations=False)
        )
        while not episode.over:
            episode.second()
            if episode.system.now_s == 40:
                service = episode.system.index[episode.truth.faults[0].service]
                if mend == "restart":
                    episode.system.restart(service, rolling=True)
                elif mend == "rollback":
                    assert episode.system.roll_back(service)
        return episode.truth.faults[0].gone_s

    assert run("failing", "restart") is not None
    assert run("bad_release_errors", "restart") is None
    assert run("bad_release_errors", "rollback") is not None


def test_calls_belong_to_the_requests_that_are_seen():
    """There are as many times as many calls in a second as there are requests: both are in one trace."""
    episode = SimulatedEpisode.drawn(Split.TUNING, 6, style="complete", services=8)
    entry = episode.plan.services[episode.plan.entries[0].service].name
    requests: dict[int, float] = defaultdict(float)
    calls: dict[int, float] = defaultdict(float)
    for _ in range(90):
        for message in episode.second():
            if message.topic != FEATURES:
                continue
            frame = unpack(FeatureFrame, message.value)
            for i, name in enumerate(frame.services):
                if name == entry and frame.signal == f.Signal.SPANS:
                    requests[frame.window_ns] += float(frame.counts[i])
                elif name == entry and frame.signal == f.Signal.EDGES:
                    calls[frame.window_ns] += float(frame.counts[i])
    windows = sorted(requests.keys() & calls.keys())
    together = np.corrcoef([requests[w] for w in windows], [calls[w] for w in windows])[0, 1]
    assert len(windows) > 60
    assert together > 0.25


def test_what_hurts_users_while_it_is_measured_what_is_usual_is_harm_too():
    plot = Plot((), 100, operations=False)
    calm, slow = (SimulatedEpisode.drawn(Split.TUNING, 21, services=6, style="complete", plot=plot) for _ in range(2))
    entry = slow.plan.entries[0].service
    slow.system.influences.append(Influence(Knob.SLOW, 30.0, Seat.CODE, 45.0, end_s=50.0, service=entry))
    for episode in (calm, slow):
        while not episode.over:
            episode.second()
    assert len(slow.truth.harm) == 100
    assert max(calm.truth.harm) < HARM
    assert max(slow.truth.harm[45:50]) >= HARM
    assert max(slow.truth.harm[:45]) < HARM
    assert max(slow.truth.harm[75:]) < HARM


def _columns(monkeypatch: pytest.MonkeyPatch, share: float) -> tuple[list[object], dict[str, list[float]], str]:
    """What an episode in which a service hangs sends where such a share of services tells of requests in flight: all else that is told,
    requests in flight by service, and who hangs."""
    monkeypatch.setitem(STYLES, "complete", dataclasses.replace(STYLES["complete"], in_flight=share))
    plot = Plot(((40.0, "deadlock"),), 80, operations=False)
    episode = SimulatedEpisode.drawn(Split.TUNING, 12, style="complete", services=8, plot=plot)
    rest: list[object] = []
    held: dict[str, list[float]] = defaultdict(list)
    while not episode.over:
        for message in episode.second():
            if message.topic != FEATURES:
                rest.append(message)
                continue
            frame = unpack(FeatureFrame, message.value)
            at = [i for i, name in enumerate(frame.features) if name != f.IN_FLIGHT]
            rest.append((frame.signal, frame.window_ns, frame.services, frame.values[:, at].tobytes()))
            if f.IN_FLIGHT in frame.features:
                column = frame.values[:, frame.features.index(f.IN_FLIGHT)].tolist()
                for name, value in zip(frame.services, column, strict=True):
                    held[name] += [value] if np.isfinite(value) else []
    return rest, held, episode.truth.faults[0].service


def test_who_hangs_holds_its_requests_and_telling_of_it_changes_nothing_else(monkeypatch: pytest.MonkeyPatch):
    told, held, who = _columns(monkeypatch, 1.0)
    untold, none, _ = _columns(monkeypatch, 0.0)
    assert told == untold
    assert not any(none.values())
    assert max(held[who]) > 10 * max(1.0, held[who][0])


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(Split)))
def test_third_parties_run_on_none_of_our_nodes(seed: int, split: Split):
    system = SimulatedEpisode.drawn(split, seed, plot=Plot((), 30)).system
    fleet, own = system.fleet, np.array([s.own for s in system.plan.services])
    for service in range(len(own)):
        fleet.replace(fleet.running(service), 0.0, elsewhere=True)
    assert (fleet.node[~own[fleet.service]] == -1).all()
    assert (fleet.node[own[fleet.service]] >= 0).all()
