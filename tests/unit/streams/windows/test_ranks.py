"""Of several metrics that count the same requests the one of the lowest rank that was heard of lately counts."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.frames.latency import FAILED_ONLY
from contracts.units import SECOND as S
from streams.windows.metric_window import Ranks
from streams.windows.series import HISTO

T0 = 1_700_000_000 * S
NONE = np.zeros(1, np.bool_)


def histo(rank: int, second: float, entity: int = 3) -> np.ndarray:
    row = np.zeros(1, HISTO)
    row["rank"], row["time"], row["entity"] = rank, T0 + round(second * S), entity
    return row


def after(*heard: tuple[int, float], key: int = 3) -> list[int]:
    """The rank that counts and the second when it was last heard of, after points of such ranks at such seconds."""
    ranks = Ranks()
    for rank, second in heard:
        ranks.hear(histo(rank, second), NONE)
    return [found for k, rank, time in ranks.state() for found in (rank, (time - T0) // S) if k == key]


@pytest.mark.parametrize(
    ("heard", "counts"),
    [
        ([(2, 0)], [2, 0]),
        ([(2, 0), (2, 7), (2, 5)], [2, 7]),  # told late: it was heard of since
        ([(4, 9), (2, 5)], [2, 5]),  # a better one counts from when it is heard of
        ([(2, 0), (4, 300)], [2, 0]),
        ([(2, 0), (4, 301)], [4, 301]),  # not heard of for five minutes
        ([(2, 0), (2, 100), (4, 301)], [2, 100]),
        ([(4, 0), (0, 1), (2, 2)], [0, 1]),
    ],
)
def test_the_best_that_was_heard_of_lately_counts(heard: list[tuple[int, float]], counts: list[int]) -> None:
    assert after(*heard) == counts


def test_in_one_message_the_newest_point_of_each_tells_when_it_was_heard_of() -> None:
    ranks = Ranks()
    rows = np.concatenate([histo(2, 5), histo(2, 3), histo(4, 9), histo(2, 8, entity=4), histo(0, 9, entity=-1)])
    ranks.hear(rows, np.zeros(5, np.bool_))
    assert ranks.state() == [[3, 2, T0 + 5 * S], [4, 2, T0 + 8 * S]], "what has no number has no rank"


def test_points_that_only_tell_what_failed_do_not_decide_and_count_with_those_of_their_metric() -> None:
    ranks, answered, failed = Ranks(), np.array([100]), np.array([100, FAILED_ONLY])
    ranks.hear(histo(1, 0), np.ones(1, np.bool_))
    assert ranks.state() == []
    assert all(ranks.counts(histo(n, 0)[0], answered) for n in range(4)), "nothing is known of it"
    ranks.hear(histo(2, 0), NONE)
    assert [ranks.counts(histo(n, 0)[0], answered) for n in range(5)] == [False, False, True, False, False]
    assert [ranks.counts(histo(n, 0)[0], failed) for n in range(5)] == [False, False, True, True, False]
    assert ranks.counts(histo(9, 0, entity=8)[0], answered), "another's rank is none of it"


def test_ranks_are_kept_by_whoever_they_are_told_apart_by_until_it_leaves() -> None:
    ranks = Ranks(lambda entity: entity // 10)
    ranks.hear(histo(2, 0, entity=31), NONE)
    ranks.hear(histo(4, 1, entity=37), NONE)
    assert ranks.state() == [[3, 2, T0]]
    assert not ranks.counts(histo(4, 1, entity=38)[0], np.array([100]))
    again = Ranks(lambda entity: entity // 10)
    again.hear(histo(0, 0, entity=99), NONE)
    again.load(ranks.state())
    assert again.state() == ranks.state()
    again.forget(3)
    again.forget(3)
    assert again.state() == []
