"""Whether a trouble has passed, by the newest windows: what ended by itself is left alone, what comes and goes is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from contracts.frames import EvidenceFrame
from contracts.units import SECOND as S
from playbooks.guards import passed
from tests.unit.playbooks.guards.test_innocence import T0, asked, calls, metrics, spans

RATE = 12.0
Extra = Callable[[int, bool], list[EvidenceFrame]]


def lived(
    ill: Callable[[int], bool], seconds: int, extra: Extra = lambda t, ill: [], seed: int = 1, **sick: float
) -> str:
    """What is said of `cart` after so many seconds of trouble, in the seconds of which it was ill as `sick` says."""
    rng, frames = np.random.default_rng(seed), []
    for t in range(-60, seconds):
        amiss = t >= 0 and ill(t)
        frame = spans(T0 + t * S, rng, **{"rate": RATE, **(sick if amiss else {})})
        frames.append(replace(frame, high=frame.high * [2, 1, 1.5, 1.5, 1.5]))
        frames += extra(t, amiss)
    return passed(frames, "cart", ("web",), T0)


def in_calls(t: int, ill: bool) -> list[EvidenceFrame]:
    """Its caller alone sees that calls take longer."""
    return [calls(T0 + t * S, 12, 0.0, latency=0.5 if ill else 0.035, gap=0.4 if ill else 0.002)]


@pytest.mark.parametrize("seed", range(5))
def test_what_has_ended_has_passed(seed: int) -> None:
    told = lived(lambda t: t < 25, 30, seed=seed, latency=0.3)
    assert told.startswith("cart, and those by whom users feel it, have been well for ")
    assert lived(lambda t: t < 25, 30, in_calls, seed=seed)
    assert not lived(lambda t: t < 25, 25, seed=seed, latency=0.3)
    assert not lived(lambda t: t < 25, 27, seed=seed, latency=0.3), "one whole window is not enough"


@pytest.mark.parametrize("seed", range(5))
def test_what_comes_and_goes_has_not_passed(seed: int) -> None:
    assert not lived(lambda t: t % 3 == 0, 30, seed=seed, latency=0.3)
    assert not lived(lambda t: t % 10 < 5, 29, seed=seed, latency=0.3), "it paused for as long before"
    assert lived(lambda t: t < 20 and t % 10 < 5, 32, seed=seed, latency=0.3), "it is well for longer than ever"


@pytest.mark.parametrize(
    "extra",
    [
        in_calls,
        lambda t, ill: [asked(T0 + t * S, 12, 6 if ill else 0)],
        lambda t, ill: [metrics(T0 + t * S, memory_bytes=3.5e8 if t < 0 else 6e8)],
    ],
)
def test_what_callers_and_resources_say_counts_as_well(extra: Extra) -> None:
    assert not lived(lambda t: t < 30, 30, extra)


def test_what_nobody_tells_of_has_not_passed() -> None:
    assert not lived(lambda t: False, 30), "nothing was ill"
    assert not lived(lambda t: t > 5, 30, rate=0.0), "it is silent"
    assert not passed([], "cart", (), T0)


def test_requests_that_may_still_be_out_are_waited_for() -> None:
    """Calls that hang show once they are given up: until then the newest windows look well."""
    assert not lived(lambda t: t < 28, 31, latency=4.0)
    assert lived(lambda t: t < 20, 31, latency=4.0)


def test_late_telemetry_tells_nothing_of_the_present() -> None:
    rng = np.random.default_rng(1)
    frames = [spans(T0 + t * S, rng, RATE, latency=0.3 if 0 <= t < 5 else 0.03) for t in range(-60, 15)]
    assert passed(frames, "cart", (), T0)
    later = [replace(spans(T0 + t * S, rng, 8.0), services=("web", "other")) for t in range(15, 30)]
    assert not passed([*frames, *later], "cart", (), T0)
