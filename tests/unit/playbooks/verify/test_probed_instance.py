"""What a probe tells of the instance that was replaced, beside siblings that are still sick; and what its run comes to."""

from __future__ import annotations

import json

import numpy as np
import pytest

from contracts.claims import INSTANCES
from contracts.frames.feature_frame import EvidenceFrame
from contracts.instance_parts import INSTANCE
from contracts.parts import Fared, Part, spelled_parts
from contracts.units import SECOND as S
from contracts.verdicts import Outcome, ProbeFinding
from playbooks.language import library
from playbooks.verify import Intervention, Verifier

T0 = 1_780_000_000 * S
ONSET, ACTED = -30, 5
SIBLINGS = ("b", "c", "d")
(PROBE,) = [p for p in library() if p.name == "probe-one-instance"]
WHEN = Intervention(T0 + ONSET * S, T0, T0 + ACTED * S)


class Instances:
    """Instances of one service, second by second: `a` is replaced at 0 by `new`, which serves from `ACTED` on."""

    def __init__(self, rate: float = 10.0, *, fails: float = 0.0, slower: float = 0.0) -> None:
        self.rate, self.ill, self.parts = rate, (fails, slower), dict[str, Part]()

    def second(self, s: int, new: tuple[float, float], *, siblings_are_well: bool = False) -> None:
        names = (*SIBLINGS, *(["a"] if s < 0 else ["new"] if s >= ACTED else []))
        for name in names:
            ill = self.ill if s >= ONSET and not (siblings_are_well and s > ACTED) else (0.0, 0.0)
            fails, slower = new if name == "new" else ill
            part = self.parts.setdefault(name, Part({INSTANCE: name}))
            part.add(Fared(self.rate, self.rate * fails, self.rate, self.rate * slower), T0 + s * S)

    def frame(self, s: int) -> EvidenceFrame:
        text = json.dumps({INSTANCES: spelled_parts(self.parts.values())})
        one = np.full((1, 1), np.nan)
        return EvidenceFrame(
            environment="prod", signal="spans", partition=0, window_ns=T0 + s * S, width_ns=S, services=("cart",), peers=(),
            versions=("",), attributes=(text,), features=("error_rate",), values=one, counts=np.full(1, 30), score=one, low=one,
            high=one, p_value=np.ones(1), state=("anomalous",), notes=("",),
        )  # fmt: skip


def probed(
    told: Instances,
    new: tuple[float, float],
    *,
    until: int = 80,
    heard_from: int = -200,
    siblings_are_well: bool = False,
) -> tuple[int, ProbeFinding | None, str, Outcome] | None:
    """When a run's verification says what, second by second as telemetry comes; None where it never does."""
    verifier = Verifier(PROBE.verify, "cart", (), WHEN, patient=True)
    for s in range(-200, until):
        told.second(s, new, siblings_are_well=siblings_are_well)
        if s % 2 or s < max(ONSET, heard_from):
            continue
        verifier.observe(told.frame(s))
        found = verifier.verdict(T0 + (s + 1) * S) if s >= ACTED else None
        if found is not None:
            return s, found.probed, found.text, found.outcome
    return None


@pytest.mark.parametrize("ill", [{"slower": 2.0}, {"fails": 0.4}, {"slower": 1.0, "fails": 0.2}])
def test_one_that_is_well_while_its_siblings_are_sick_says_it_is_the_processes(ill: dict[str, float]) -> None:
    found = probed(Instances(**ill), (0.0, 0.0))
    assert found is not None
    second, finding, text, outcome = found
    assert (finding, outcome) == (ProbeFinding.WELL, Outcome.INCONCLUSIVE)
    assert ACTED + 8 <= second <= ACTED + 14
    assert "probe: one instance was replaced, and new is well while its 3 siblings are sick" in text


@pytest.mark.parametrize(
    ("ill", "words"),
    [
        ({"slower": 2.0}, "2.0 standard deviations slower"),
        ({"fails": 0.4}, "40% of its requests fail"),
    ],
)
def test_one_that_is_as_sick_as_its_siblings_says_it_is_what_they_share(ill: dict[str, float], words: str) -> None:
    told = Instances(**ill)
    found = probed(told, told.ill)
    assert found is not None
    second, finding, text, _ = found
    assert finding is ProbeFinding.SICK
    assert second >= ACTED + 30  # before that it may be cold
    assert text.startswith("probe: one of 4 instances was replaced, and new is as sick as the others")
    assert words in text


def test_one_that_is_neither_tells_nothing() -> None:
    found = probed(Instances(slower=2.0), (0.0, 1.0), until=90)
    assert found is not None
    second, finding, text, outcome = found
    assert (finding, outcome) == (None, Outcome.INCONCLUSIVE)
    assert second >= 75
    assert "the probe told nothing within 75 s" in text


def test_siblings_that_got_well_meanwhile_tell_nothing() -> None:
    assert probed(Instances(slower=2.0), (0.0, 0.0), siblings_are_well=True, until=60) is None


def test_few_requests_tell_nothing() -> None:
    assert probed(Instances(rate=0.1, slower=2.0), (0.0, 0.0), until=60) is None


def test_who_lost_what_was_told_before_knows_the_new_one_by_its_youth() -> None:
    found = probed(Instances(slower=2.0), (0.0, 0.0), heard_from=ACTED)
    assert found is not None
    assert found[1] is ProbeFinding.WELL
