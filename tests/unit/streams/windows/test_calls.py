"""What calls say of services that are silent themselves: sums per caller and callee, in whatever order the halves of calls come."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest

from contracts.frames import Decoded
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.calls import ALONE, ASKED, CALLS, SPOKE
from streams.windows.collect import Receipt
from streams.windows.edges import EdgeJoiner
from streams.windows.partials import PartialBuilder
from tests.unit.streams.windows.support import CLIENT, MS, SERVER, T0, Span, decoded

SETTINGS = IngestSettings()


class Half:
    """A joiner that is sent spans one message at a time; sums of (caller, callee, role) over all that it says."""

    def __init__(self) -> None:
        self.builder, self.joiner = PartialBuilder("otlp_spans/0", SETTINGS, 2), EdgeJoiner("prod", SETTINGS, 2)
        self.said: dict[tuple[str, str, int], tuple[int, int]] = {}
        self.n = 0

    def now_ns(self, spans: Sequence[Span]) -> int:
        """When a message with these spans comes."""
        return T0 + self.n * 100 * MS

    def message(self, spans: Sequence[Span]) -> Decoded:
        """The message with these spans."""
        return decoded(list(spans))

    def send(self, *spans: Span) -> None:
        self.n += 1
        now = self.now_ns(spans)
        self.builder.add(self.message(spans), Receipt(now, now), self.n)
        for _, partition, frame in self.builder.flush().spans:
            if partition == 0:
                self.joiner.add(frame, now)
        flushed = self.joiner.flush("telemetry.spans/0", self.n, now)
        frames = {target: frame for _, target, frame in flushed if frame.signal == CALLS}
        for target, frame in frames.items():
            names = frame.services
            for a, b, role, count, failed in zip(
                frame.service.tolist(),
                frame.peer.tolist(),
                frame.role.tolist(),
                frame.count.tolist(),
                frame.errors.tolist(),
                strict=True,
            ):
                if target != max(t for t in frames if _has(frames[t], names[a], names[b], role)):
                    continue  # said to the caller's partition and to the callee's: count it once
                before = self.said.get((names[a], names[b], role), (0, 0))
                self.said[names[a], names[b], role] = before[0] + count, before[1] + failed


def _has(frame, caller: str, callee: str, role: int) -> bool:
    named = [
        (frame.services[a], frame.services[b], r) for a, b, r in zip(frame.service, frame.peer, frame.role, strict=True)
    ]
    return (caller, callee, role) in named


_ids = itertools.count(2, 2)


def call(caller: str, callee: str, at: int, *, error: bool = False, peer: str = "") -> tuple[Span, Span]:
    trace, client, server = (next(_ids) for _ in range(3))
    return (
        Span(caller, trace, client, 1, CLIENT, at, at + 20 * MS, error, peer),
        Span(callee, trace, server, client, SERVER, at + MS, at + 19 * MS, error),
    )


@pytest.mark.parametrize("seed", range(4))
def test_calls_of_both_halves_leave_nothing_alone_in_any_order(seed: int) -> None:
    half, rng = Half(), random.Random(seed)
    half.send(*call("web", "cart", T0), *call("web", "pay", T0))  # learns whom web calls
    spans = [s for i in range(20) for s in call("web", rng.choice(("cart", "pay")), T0 + i * MS)]
    rng.shuffle(spans)
    before = dict(half.said)
    for i in range(0, len(spans), 7):
        half.send(*spans[i : i + 7])
    for callee in ("cart", "pay"):
        served = sum(s.service == callee for s in spans)
        asked = half.said["web", callee, ASKED][0] - before.get(("web", callee, ASKED), (0, 0))[0]
        assert asked == served, "client spans that went to another callee are taken back"
        assert half.said.get(("web", callee, ALONE), (0, 0))[0] == 0
        assert half.said["web", callee, SPOKE][0] == 20


def test_client_spans_without_an_answer_count_for_whom_they_usually_reach() -> None:
    half = Half()
    half.send(*call("web", "cart", T0, peer="external:cart"), *call("web", "pay", T0, peer="external:pay"))
    for i in range(5):
        half.send(call("web", "cart", T0 + SECOND + i, error=i < 4, peer="external:cart")[0])
    assert half.said["web", "cart", ASKED] == (5, 4)
    assert ("web", "pay", ASKED) not in half.said


def test_requests_served_for_somebody_unseen_count_for_who_may_have_asked() -> None:
    half = Half()
    half.send(*call("web", "cart", T0), *call("jobs", "cart", T0))
    for i in range(3):
        half.send(call("web", "cart", T0 + SECOND + i)[1])
    assert half.said["web", "cart", ALONE] == half.said["jobs", "cart", ALONE] == (3, 0)


def test_what_a_joiner_knows_survives_it() -> None:
    half = Half()
    half.send(*call("web", "cart", T0, peer="external:cart"))
    twin = EdgeJoiner("prod", SETTINGS, 2)
    twin.restore(half.joiner.snapshot())
    half.joiner = twin
    half.send(call("web", "cart", T0 + SECOND, error=True, peer="external:cart")[0])
    assert half.said["web", "cart", ASKED] == (1, 1)
    assert np.all(half.joiner.snapshot() == twin.snapshot())
