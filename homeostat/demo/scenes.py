"""The faults of the demonstration, and how each must end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from contracts.verdicts import CauseKind, DecisionVerdict
from homeostat.demo.shop.blueprint import BAD, NAMESPACE
from homeostat.demo.shop.shop import Shop

Deed = Callable[[Shop], Awaitable[None]]


async def _nothing(shop: Shop) -> None:
    """Nothing has to be put back."""


@dataclass(frozen=True, slots=True)
class Scene:
    """`happen` breaks something; `culprit` and `causes` are what must be found, `verdict` and `action` what must be done.

    `afterwards` puts back what is not Homeostat's to repair (demand, an outside party).
    """

    name: str
    title: str
    culprit: str
    causes: frozenset[CauseKind]
    verdict: DecisionVerdict
    happen: Deed
    action: str = ""
    afterwards: Deed = _nothing


SCENES: Final[tuple[Scene, ...]] = (
    Scene(
        "hang",
        "pricing hangs: it keeps its connections and answers nothing",
        f"{NAMESPACE}/pricing",
        frozenset({CauseKind.HANG, CauseKind.CRASH}),
        DecisionVerdict.ACT,
        lambda shop: shop.fault("pricing", "hang"),
        "restart",
    ),
    Scene(
        "surge",
        "a sale begins: four times as many customers browse the catalog",
        f"{NAMESPACE}/catalog",
        frozenset({CauseKind.SATURATION}),
        DecisionVerdict.ACT,
        lambda shop: shop.demand("/browse", 4.0),
        "scale",
        lambda shop: shop.demand("/browse", 1.0),
    ),
    Scene(
        "release",
        f"cart {BAD} is rolled out, and fails four requests in ten",
        f"{NAMESPACE}/cart",
        frozenset({CauseKind.BAD_RELEASE}),
        DecisionVerdict.ACT,
        lambda shop: shop.deploy("cart", BAD),
        "rollback",
    ),
    Scene(
        "outage",
        "the bank, which belongs to somebody else, goes down",
        "external:bank",
        frozenset({CauseKind.DEPENDENCY}),
        DecisionVerdict.ASK,
        lambda shop: shop.fault("bank", "outage"),
        afterwards=lambda shop: shop.fault("bank", "recover"),
    ),
)
