"""What the shop is made of: who calls whom, how long each works, how much an instance can take, and what versions do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

NAMESPACE: Final = "shop"
GOOD, BAD = "1.0.0", "1.1.0"


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: its own work (seconds), then the calls it makes, in order."""

    work_s: float
    calls: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceBlueprint:
    """`workers` requests are worked on at once by an instance; others wait. `error_rate` by version: bad releases fail."""

    routes: Mapping[str, Route]
    workers: int = 8
    error_rate: Mapping[str, float] = field(default_factory=dict)
    instrumented: bool = True


SHOP: Final[Mapping[str, ServiceBlueprint]] = {
    "frontend": ServiceBlueprint(
        {
            "/browse": Route(0.002, (("catalog", "/list"),)),
            "/cart": Route(0.002, (("cart", "/view"),)),
            "/buy": Route(0.002, (("checkout", "/order"),)),
        },
        workers=400,
    ),
    "catalog": ServiceBlueprint({"/list": Route(0.020)}, workers=1),
    "cart": ServiceBlueprint({"/view": Route(0.006, (("pricing", "/quote"),))}, workers=200, error_rate={BAD: 0.4}),
    "pricing": ServiceBlueprint({"/quote": Route(0.005)}),
    "checkout": ServiceBlueprint({"/order": Route(0.006, (("cart", "/view"), ("payments", "/charge")))}, workers=200),
    "payments": ServiceBlueprint({"/charge": Route(0.006, (("bank", "/transfer"),))}, workers=200),
    "bank": ServiceBlueprint({"/transfer": Route(0.008)}, instrumented=False),
}
"""`bank` belongs to somebody else: it sends no telemetry, and nothing here may touch it."""

LOAD: Final[Mapping[str, float]] = {"/browse": 14.0, "/cart": 9.0, "/buy": 7.0}
"""Requests per second that customers make of the front end."""
