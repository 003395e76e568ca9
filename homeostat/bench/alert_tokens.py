"""A labelled case as a ranker learns from it: what is seen at each candidate, as tokens with values."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from homeostat.bench.alert_sets import AlertHistory, AlertKey, matter_of
from homeostat.bench.cases import FailureCase, LabelledAlert

_LAST_NUMBER: Final = re.compile(r"[-_.]?\d+$")
_OF_SERVICE: Final = 0.7
"""Value of a token that only instances of one service have, so that what holds of all is learnt first. Set on the half `tuned`."""

Tokens = dict[str, float]


@dataclass(frozen=True, slots=True)
class LabelledChoice:
    """A case to learn from: tokens by candidate, who was to blame, and by which kind of fault."""

    tokens: Mapping[str, Tokens]
    truth: frozenset[str]
    fault: str = ""


def service_of(entity: str) -> str:
    """The service that an instance is of, by its name."""
    return _LAST_NUMBER.sub("", entity) or entity


def choice_of(case: FailureCase, scores: Mapping[str, float], history: AlertHistory | None = None) -> LabelledChoice:
    """A case as tokens: who it is, the causal ranking's score, and each alert by name and direction, with how exclusive and how unusual it is,
    of all candidates and of this one's service."""
    known = history or AlertHistory()
    tokens: dict[str, Tokens] = {
        e: {f"is {e}": 1.0, f"is of {service_of(e)}": 1.0, **_placed(e, scores)} for e in case.entities
    }
    raised: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for alert in case.alerts:
        raised[alert.modality, _name(alert), alert.detail].add(alert.entity)
    for alert in case.alerts:
        few = 1.0 / len(raised[alert.modality, _name(alert), alert.detail])
        for entity, role in _roles(alert):
            if entity in tokens:
                _add(tokens[entity], entity, role, alert, few)
    for entity, role, matter in sorted(_matters(case)):
        if entity in tokens:
            unusual = known.unusual(case, entity, matter, caller=role == "sees")
            _add_unusual(tokens[entity], entity, role, matter, unusual)
    return LabelledChoice(tokens, case.truth, case.fault)


def _placed(entity: str, scores: Mapping[str, float]) -> Tokens:
    """The causal ranking's word: a candidate's score, against the best and against the best other."""
    mine, best = scores.get(entity, 0.0), max(scores.values(), default=0.0)
    other = max((s for n, s in scores.items() if n != entity), default=0.0)
    return {"score": mine, "score/best": mine / best if best > 0 else 0.0, "score-other": mine - other}


def _name(alert: LabelledAlert) -> str:
    """Templates of logs are numbered for each service: a number says something of that service only."""
    if alert.modality != "log":
        return alert.name
    for own in (alert.entity, service_of(alert.entity)):
        if alert.name.startswith(own):
            return f"{service_of(alert.entity)}{alert.name[len(own) :]}"
    return f"{service_of(alert.entity)} {alert.name}"


def _roles(alert: LabelledAlert) -> Iterator[tuple[str, str]]:
    yield alert.entity, "shows"
    if alert.source not in ("", alert.entity):
        yield alert.source, "sees"


def _matters(case: FailureCase) -> set[tuple[str, str, AlertKey]]:
    return {(entity, role, matter_of(alert)) for alert in case.alerts for entity, role in _roles(alert)}


def _add(mine: Tokens, entity: str, role: str, alert: LabelledAlert, few: float) -> None:
    said = f"{role} {alert.modality} {_name(alert)} {alert.detail}".rstrip()
    own = "its own" if alert.source == alert.entity else "a call" if alert.source else ""
    kind = f"{role} {alert.modality} {alert.detail} {own}".rstrip()
    mine[said] = 1.0
    mine[f"alone {said}"] = few
    mine[f"{service_of(entity)} {said}"] = _OF_SERVICE
    mine[f"any {kind}"] = 1.0
    mine[f"share {kind}"] = mine.get(f"share {kind}", 0.0) + few


def _add_unusual(mine: Tokens, entity: str, role: str, matter: AlertKey, unusual: float) -> None:
    said, kind = f"{role} {' '.join(matter)}".rstrip(), f"{role} {matter.modality} {matter.detail}".rstrip()
    mine[f"unusual {said}"] = unusual
    mine[f"{service_of(entity)} unusual {said}"] = _OF_SERVICE * unusual
    mine[f"unusual {kind}"] = max(unusual, mine.get(f"unusual {kind}", 0.0))
    mine[f"all unusual {kind}"] = mine.get(f"all unusual {kind}", 0.0) + unusual
