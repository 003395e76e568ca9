"""A chain of hotels: two entrances, bookings, a worker behind a queue, a cache, two databases and two third parties."""

from __future__ import annotations

from typing import Final

from homeostat.drills.system_plan import (
    FAILING,
    SLOW,
    GuestEntry,
    ReleasePlan,
    RoutePlan,
    ServiceDesign,
    StepPlan,
    SystemDesign,
    TellingHabits,
)

NEW: Final = TellingHabits(spans=True, logs="number", usage="process")
OLD: Final = TellingHabits(spans=True, old=True, usage="process")
_RELEASES: Final = {FAILING: ReleasePlan(error_rate=0.35), SLOW: ReleasePlan(extra_s=0.3)}
_CHECK: Final = StepPlan("availability", "/check", 0.8)

HOTEL: Final = SystemDesign(
    "hotel",
    {
        "site": ServiceDesign(
            {
                "/search": RoutePlan(0.002, ((StepPlan("search", "/find", 1.6),),)),
                "/room": RoutePlan(0.002, ((StepPlan("rooms", "/show", 1.2),),)),
                "/book": RoutePlan(0.002, ((StepPlan("reservations", "/book", 1.8),),)),
                "/account": RoutePlan(0.002, ((StepPlan("profiles", "/me", 1.2),),)),
            },
            replicas=2,
            telling=NEW,
        ),
        "partner": ServiceDesign(
            {
                "/availability": RoutePlan(0.002, ((_CHECK,),)),
                "/book": RoutePlan(0.003, ((StepPlan("reservations", "/book", 1.8),),)),
            },
            telling=TellingHabits(spans=True, sample=0.25, old=True, metrics=True, usage="container"),
        ),
        "search": ServiceDesign(
            {
                "/find": RoutePlan(
                    0.045,
                    (
                        (
                            _CHECK,
                            StepPlan("rates", "/quote", 0.5, retries=1),
                            StepPlan("reviews", "/score", 0.5, needed=False),
                        ),
                    ),
                )
            },
            workers=1,
            telling=TellingHabits(spans=True, logs="text", usage="container"),
        ),
        "availability": ServiceDesign(
            {"/check": RoutePlan(0.004, ((StepPlan("inventory-db", "/rows", 0.6, retries=2, cache="cache"),),))},
            replicas=3,
            workers=8,
            pools={"inventory-db": 6},
            telling=TellingHabits(spans=True, export_ms=1000, usage="process"),
            releases=_RELEASES,
        ),
        "rates": ServiceDesign(
            {"/quote": RoutePlan(0.006)}, replicas=2, workers=8, telling=TellingHabits(metrics=True, usage="process")
        ),
        "reviews": ServiceDesign({"/score": RoutePlan(0.004)}, telling=TellingHabits(logs="text")),
        "rooms": ServiceDesign(
            {"/show": RoutePlan(0.005, ((StepPlan("content", "/text", 0.8), StepPlan("rates", "/quote", 0.8)),))},
            telling=TellingHabits(spans=True, export_ms=5000, usage="process", metrics_ms=5000),
            releases=_RELEASES,
        ),
        "content": ServiceDesign({"/text": RoutePlan(0.003)}, workers=8, telling=NEW, releases=_RELEASES),
        "reservations": ServiceDesign(
            {
                "/book": RoutePlan(
                    0.006,
                    (
                        (_CHECK,),
                        (StepPlan("ledger-db", "/insert", 0.8),),
                        (StepPlan("payments", "/charge", 1.5),),
                        (StepPlan("queue", "/publish", 0.5, needed=False),),
                    ),
                )
            },
            replicas=2,
            workers=20,
            pools={"ledger-db": 4},
            telling=TellingHabits(spans=True, logs="number", usage="container"),
            releases=_RELEASES,
        ),
        "payments": ServiceDesign(
            {"/charge": RoutePlan(0.005, ((StepPlan("cardnet", "/authorise", 0.7, retries=1),),))},
            workers=20,
            telling=OLD,
            releases=_RELEASES,
        ),
        "profiles": ServiceDesign(
            {
                "/me": RoutePlan(
                    0.004,
                    ((StepPlan("ledger-db", "/select", 0.8),), (StepPlan("loyalty", "/points", 0.5, needed=False),)),
                )
            },
            pools={"ledger-db": 4},
            telling=OLD,
            releases=_RELEASES,
        ),
        "loyalty": ServiceDesign(
            {"/points": RoutePlan(0.003)}, workers=8, telling=TellingHabits(spans=True, usage="process")
        ),
        "cache": ServiceDesign({}, role="cache", store="redis", host="cache.hotel.internal"),
        "inventory-db": ServiceDesign(
            {"/rows": RoutePlan(0.055)}, workers=1, store="postgresql", host="inventory-db.hotel.internal"
        ),
        "ledger-db": ServiceDesign(
            {"/insert": RoutePlan(0.006), "/select": RoutePlan(0.003)},
            workers=4,
            store="postgresql",
            host="ledger-db.hotel.internal",
        ),
        "queue": ServiceDesign({}, role="queue", telling=TellingHabits(metrics=True)),
        "confirmations": ServiceDesign(
            {},
            role="consume",
            consumes=("queue", StepPlan("mailgate", "/send", 1.0, retries=1)),
            telling=TellingHabits(spans=True, logs="number", usage="process"),
        ),
        "cardnet": ServiceDesign({"/authorise": RoutePlan(0.03)}, host="api.cardnet.example"),
        "mailgate": ServiceDesign({"/send": RoutePlan(0.02)}, host="smtp.mailgate.example"),
    },
    {
        "search": GuestEntry("site", "/search", 5),
        "room": GuestEntry("site", "/room", 4),
        "book": GuestEntry("site", "/book", 3),
        "account": GuestEntry("site", "/account", 3),
        "partner-availability": GuestEntry("partner", "/availability", 4),
        "partner-book": GuestEntry("partner", "/book", 2),
    },
    queues=("queue",),
)
