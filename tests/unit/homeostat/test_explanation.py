"""`homeostat explain`: an anomaly is found on the log, its parts add up, and it is told and drawn with what is at hand around it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from connectors.kafka.embedded import EmbeddedBroker
from contracts.checks.detector_frames import FEATURES
from contracts.errors import InvalidSettings, UnknownName
from contracts.events import Anomaly, Contribution, HarmAhead, encode
from contracts.frames import EvidenceFrame, pack
from contracts.frames.series_frame import SeriesFrame
from contracts.settings import BrokerSettings
from contracts.topics import ANOMALIES, EVIDENCE, POINTS
from contracts.units import SECOND
from contracts.verdicts import AnomalyKind, AnomalyPhase, ServiceState
from homeostat.explanation import Explanation, answer, explained, of_log
from homeostat.explanation_picture import draw
from homeostat.explanation_text import lines
from tests.patience import LONG_S

pytestmark = pytest.mark.timeout(LONG_S)
T = 1_700_000_000 * SECOND
PNG = b"\x89PNG\r\n\x1a\n"


def part(feature: str, share: float, signal: str = "spans", decades: float = 5.0) -> Contribution:
    return Contribution(
        signal=signal, feature=feature, value=0.4, low=0.0, high=0.05, decades=decades, share=share, window_s=3.0
    )


def anomaly(name: str = "an-11", **more: object) -> Anomaly:
    given: dict[str, object] = {
        "id": name,
        "environment": "e",
        "service": "s1",
        "phase": AnomalyPhase.OPENED,
        "state": ServiceState.ANOMALOUS,
        "onset_ns": T + 60 * SECOND,
        "time_ns": T + 62 * SECOND,
        "p_value": 1e-6,
        "decades": 6.0,
        "contributions": (part("error_rate", 0.75), part("latency_p95", 0.35), part("latency_p50", -0.1)),
        "detector": "bank",
        "model_version": "bank/2",
        "text": "error rate 40 %, expected 0–5 %",
        "forecasts": (
            HarmAhead(
                signal="spans", feature="latency_p95", value=0.4, hurts=1.2, seconds=300, soonest_s=200, latest_s=500
            ),
        ),
    }
    return Anomaly(**(given | more))  # type: ignore[arg-type]


def evidence(window: int, environment: str = "e") -> bytes:
    values = np.full((2, 5), 0.1) + window / 1000 if window != 20 else np.full((2, 5), np.nan)
    nothing = np.zeros((2, 5))
    frame = EvidenceFrame(
        environment=environment,
        signal="spans",
        partition=0,
        window_ns=T + window * SECOND,
        width_ns=SECOND,
        services=("s0", "s1"),
        peers=(),
        versions=("", ""),
        attributes=("", ""),
        features=FEATURES,
        values=values * np.array([[1.0], [2.0]]),
        counts=np.array([5, 5]),
        score=nothing,
        low=nothing,
        high=np.array([[0.5] * 5, [0.7] * 5]),
        p_value=np.ones(2),
        state=("healthy", "healthy"),
        notes=(),
    )
    return pack(frame)


async def told(*events: Anomaly, wanted: str) -> Explanation:
    """What the log tells of it, with a minute and a half of evidence beside it."""
    broker = EmbeddedBroker(BrokerSettings())
    await broker.start()
    try:
        await broker.send(ANOMALIES, b"nonsense")
        for event in events:
            await broker.send(ANOMALIES, encode(event), partition=1)
        await broker.send(EVIDENCE, b"of another release", partition=2)
        for window in (*range(90), 400):
            await broker.send(EVIDENCE, evidence(window), partition=2)
        await broker.send(EVIDENCE, evidence(61, "other"), partition=0)
        points = (np.array([0, 1]), np.array([T, T]), np.array([7.0, 8.0]))
        await broker.send(POINTS, pack(series(*points)), partition=0)
        return await of_log(broker, wanted)
    finally:
        await broker.stop()


def series(which: np.ndarray, times: np.ndarray, values: np.ndarray) -> SeriesFrame:
    directions = np.zeros(2, np.int8)
    return SeriesFrame(
        "e",
        ("orders", "visits"),
        ("", ""),
        directions,
        directions,
        which.astype(np.int32),
        times.astype(np.int64),
        values,
    )


async def test_it_is_told_at_its_loudest_with_the_time_around() -> None:
    louder = anomaly(phase=AnomalyPhase.UPDATED, decades=8.0, time_ns=T + 65 * SECOND)
    over = anomaly(phase=AnomalyPhase.CLOSED, decades=0.1, time_ns=T + 80 * SECOND, contributions=(), text="back")
    found = await told(anomaly(), louder, over, anomaly("an-2"), wanted="an-1")
    assert (found.id, found.score, [p.phase for p in found.phases]) == ("an-11", 8.0, ["opened", "updated", "closed"])
    assert sum(p.part for p in found.parts) == pytest.approx(found.score)
    course = next(c for c in found.courses if c.feature == "error_rate")
    assert [len(course.times_ns), course.times_ns[0], course.times_ns[-1]] == [90, T, T + 89 * SECOND]
    assert course.values[10] == pytest.approx(2 * 0.11)
    assert (course.high[19], course.values[20], course.high[20]) == (0.7, None, None), (
        "nothing is expected of no requests"
    )


async def test_a_series_is_explained_with_its_points() -> None:
    alone = (part("orders", 1.0, "series"),)
    event = anomaly("se-1", service="orders", kind=AnomalyKind.SERIES, contributions=alone, forecasts=())
    found = await told(event, wanted="latest")
    assert [(c.feature, c.times_ns, c.values) for c in found.courses] == [("orders", [T], [7.0])]
    text = "\n".join(lines(found))
    assert "orders  0.4, expected 0 to 0.05" in text
    assert "+6.00  in all" in text


@pytest.mark.parametrize(("wanted", "known"), [("an-", ["an-11", "an-12"]), ("xx", ["an-11", "an-12"])])
async def test_who_means_none_or_several_is_told_which_there_are(wanted: str, known: list[str]) -> None:
    with pytest.raises(UnknownName, match=f"unknown anomaly '{wanted}'.*valid: an-11, an-12") as refused:
        await told(anomaly(), anomaly("an-12"), wanted=wanted)
    assert refused.value.valid == known


async def test_before_the_log_is_open_a_process_says_so() -> None:
    status, body = await answer(None, "an-1")
    assert (status, msgspec.json.decode(body)["error"]) == (503, "starting")


def test_the_model_that_spoke_is_named() -> None:
    event = anomaly(detector="bank+river", members=("river@3",))
    assert explained(event, [event], []).members == ["river@3"]
    assert "models: river@3" in lines(explained(event, [event], []))
    assert not any("models" in line for line in lines(explained(anomaly(), [anomaly()], [])))


async def test_the_latest_anomaly_is_none_about_a_model() -> None:
    model = anomaly("md-1", time_ns=T + 90 * SECOND, kind=AnomalyKind.MODEL, contributions=(), forecasts=())
    assert (await told(anomaly(), model, wanted="latest")).id == "an-11"


def test_the_text_says_what_each_value_counted_and_what_is_foreseen() -> None:
    text = "\n".join(lines(explained(anomaly(), [anomaly()], [])))
    assert "Score 6.00 decades" in text
    assert "+4.50  error_rate (spans)" in text
    assert "-0.60  latency_p50 (spans)" in text
    assert "40 % over about 3 s, expected 0 % to 5 %" in text
    assert "latency_p95: 400 ms and rising, 1.2 s in 3 min to 8 min (about 5 min)" in text


async def test_it_is_drawn_with_the_time_around_and_without(tmp_path: Path) -> None:
    found = await told(anomaly(), wanted="an-11")
    for name, shown in (("whole", found), ("bare", msgspec.structs.replace(found, courses=[]))):
        draw(shown, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(PNG)
    draw(explained(anomaly(contributions=()), [], []), tmp_path / "nothing.png")
    assert (tmp_path / "whole.png").stat().st_size > (tmp_path / "nothing.png").stat().st_size


@pytest.mark.parametrize(("name", "says"), [("x.svg", "ends in .png"), ("nowhere/x.png", "No such file or directory")])
def test_what_can_not_be_drawn_into_is_said(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(InvalidSettings, match=says):
        draw(explained(anomaly(), [], []), tmp_path / name)
