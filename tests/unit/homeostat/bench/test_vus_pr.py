"""VUS-PR: as its definition has it, reckoned in the plainest way, and as the authors' own package gives it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.bench.vus_pr import THRESHOLDS, buffer_of, vus_pr


def by_definition(scores: list[float], labels: list[bool], most: int) -> float:
    """Each buffer, each threshold, each point, each range: nothing is shared."""
    n = len(scores)
    ranges = [
        (i, next((j for j in range(i, n) if not labels[j]), n) - 1)
        for i in range(n)
        if labels[i] and (i == 0 or not labels[i - 1])
    ]
    ordered = sorted(scores, reverse=True)
    thresholds = [ordered[int(rank)] for rank in np.linspace(0, n - 1, THRESHOLDS)]
    areas = []
    for buffer in range(most + 1):
        half, area, recall_before = buffer // 2, 0.0, 0.0
        weights = [1.0 if is_labelled else 0.0 for is_labelled in labels]
        for i in range(n):
            for start, end in ranges:
                away = start - i if i < start else i - end
                if not labels[i] and 0 < away <= half:
                    weights[i] = min(1.0, weights[i] + math.sqrt(1.0 - away / buffer))
        merged = [ranges[0]]
        for start, end in ranges[1:]:
            if merged[-1][1] + half >= start - half:
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((start, end))
        for threshold in thresholds:
            predicted = {i for i in range(n) if scores[i] >= threshold}
            hits = sum(weights[i] for i in predicted)
            positives = sum(weights[i] for i in range(n) if labels[i] or i in predicted)
            met = sum(any(start - half <= i <= end + half for i in predicted) for start, end in merged)
            recall = min(hits / ((sum(labels) + positives) / 2), 1.0) * met / len(merged)
            area += (recall - recall_before) * hits / len(predicted)
            recall_before = recall
        areas.append(area)
    return sum(areas) / len(areas)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=4, max_size=40).filter(
        lambda points: any(labelled for _, labelled in points)
    ),
    st.integers(0, 9),
)
def test_it_is_what_the_definition_says(points: list[tuple[int, bool]], most: int) -> None:
    scores, labels = [float(s) for s, _ in points], [labelled for _, labelled in points]
    assert vus_pr(np.array(scores), np.array(labels), most) == pytest.approx(by_definition(scores, labels, most))


@pytest.mark.parametrize(
    ("steps", "most", "expected"),
    [(7919, 0, 0.161934589), (7919, 20, 0.226335160), (104729, 60, 0.316936663), (31, 33, 0.252518150)],
)
def test_it_is_what_the_authors_package_gives(steps: int, most: int, expected: float) -> None:
    """Values of `vus` 0.0.6, `metricor().RangeAUC_volume_opt(labels, scores, most)[-1]`."""
    at = np.arange(600)
    scores = (at * steps % 601) / 601 + 0.4 * np.isin(at, [100, 101, 137, 300, 420, 421, 599])
    labels = np.isin(at, [*range(96, 108), *range(130, 134), *range(295, 330), *range(418, 421), *range(590, 600)])
    assert vus_pr(scores, labels, most) == pytest.approx(expected, abs=1e-9)


def test_a_score_that_knows_has_all_of_it_and_one_a_little_late_nearly() -> None:
    labels = np.zeros(1000, np.bool_)
    labels[400:420] = labels[700:720] = True
    late, far = (np.roll(labels, k).astype(float) for k in (4, 200))
    assert vus_pr(labels.astype(float), labels, 0) == pytest.approx(1.0)
    assert vus_pr(late, labels, 40) > vus_pr(late, labels, 0) > vus_pr(far, labels, 40)


def test_without_labels_there_is_nothing_to_say() -> None:
    assert math.isnan(vus_pr(np.ones(300), np.zeros(300, np.bool_), 10))


@pytest.mark.parametrize("period", [24, 288])
def test_the_buffer_is_the_period(period: int) -> None:
    wave = np.sin(2 * np.pi * np.arange(3000) / period)
    wave[[5, 700]] = np.nan
    assert buffer_of(np.stack([wave, np.ones(3000)], axis=1)) == pytest.approx(period, abs=1)
    assert buffer_of(np.ones((50, 1))) == buffer_of(np.arange(3.0)[:, None]) == 125
