"""Requests in flight are judged for what is asked: by Little's law a burst has as many more of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contracts.features import BY_SIGNAL, IN_FLIGHT, REQUEST_RATE, Signal
from contracts.frames import FeatureFrame
from contracts.settings import DetectSettings
from contracts.units import SECOND
from models.engine import DetectEngine

T0 = 1_700_000_000 * SECOND


def frame(signal: Signal, second: int, **values: float) -> FeatureFrame:
    names = BY_SIGNAL[signal]
    row = np.array([[values.get(name, np.nan) for name in names]])
    return FeatureFrame(
        environment="prod", signal=signal.value, partition=0, window_ns=T0 + second * SECOND, width_ns=SECOND, revision=0,
        services=("shop",), peers=(), versions=("",), attributes=("",), features=names, values=row,
        counts=np.array([int(values.get(REQUEST_RATE, 0))]), notes=(),
    )  # fmt: skip


def told(rate: float, held: float, each_s: float = 0.0, streams: float = 0.0) -> list:
    """Anomalies of a service of 60 requests a second, of which 3 are in flight, and that then has others; `streams` more each second."""
    engine, rng, found = DetectEngine(0, DetectSettings(detectors=("bank",))), np.random.default_rng(7), []
    for second in range(260):
        ill = second >= 200
        asked = rng.poisson(rate if ill else 60.0)
        flying = rng.poisson(held if ill else 3.0) + max(0, second - 200) * each_s + (200 + second) * streams
        values = {REQUEST_RATE: float(asked), "error_rate": 0.0, "latency_p50": 0.05, "latency_p95": 0.08}
        for some in (
            frame(Signal.SPANS, second, **values),
            frame(Signal.METRICS, second, **{IN_FLIGHT: float(flying)}),
        ):
            found += engine.observe(some, some.window_ns + 2 * SECOND)[1]
    return [a for a in found if any(p.feature == IN_FLIGHT for p in a.contributions)]


def test_requests_that_never_end_are_an_anomaly():
    assert told(45.0, 3.0, each_s=15.0)


@pytest.mark.parametrize("rate", [60.0, 900.0])
def test_as_many_as_are_asked_for_are_none(rate: float):
    assert not told(rate, 3.0 * rate / 60.0)


def test_streams_that_stay_open_are_none():
    assert not told(60.0, 3.0, streams=0.5)


@pytest.mark.parametrize("names", [15, 16, 17, 40, 500])
def test_services_that_nothing_was_heard_of_yet_are_made_room_for(names: int):
    """Their requests in flight may come before anything else of them does, with however many others."""
    engine = DetectEngine(0, DetectSettings(detectors=("bank",)))
    for first in (1, names):
        one = frame(Signal.METRICS, first, **{IN_FLIGHT: 3.0})
        services = tuple(f"shop-{i}" for i in range(first))
        many = dataclasses.replace(
            one,
            services=services,
            values=np.repeat(one.values, first, axis=0),
            counts=np.repeat(one.counts, first),
            versions=("",) * first,
            attributes=("",) * first,
        )
        evidence, _ = engine.observe(many, many.window_ns + 2 * SECOND)
        assert evidence.services == services
