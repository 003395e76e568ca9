"""A chain of hotels: two entrances, bookings, a worker behind a queue, a cache, two databases and two third parties."""

from __future__ import annotations

from typing import Final

from homeostat.drills.system_plan import (
    FAILING,
    SLOW,
    EntryPlan,
    ReleasePlan,
    RoutePlan,
    ServicePlan,
    StepPlan,
    SystemPlan,
    TellingHabits,
)

NEW: Final = TellingHabits(spans=True, logs="number", usage="process")
OLD: Final = TellingHabits(spans=True, old=True, usage="process")
_RELEASES: Final = {FAILING: ReleasePlan(error_rate=0.35), SLOW: ReleasePlan(extra_s=0.3)}
_CHECK: Final = StepPlan("availability", "/check", 0.8)

HOTEL: Final = SystemPlan(
    "hotel",
    {
        "site": ServicePlan(
            {
                "/search": RoutePlan(0.002, ((StepPlan("search", "/find", 1.6),),)),
                "/room": RoutePlan(0.002, ((StepPlan("rooms", "/show", 1.2),),)),
                "/book": RoutePlan(0.002, ((StepPlan("reservations", "/book", 1.8),),)),
                "/account": RoutePlan(0.002, ((StepPlan("profiles", "/me", 1.2),),)),
            },
            replicas=2,
            telling=NEW,
        ),
        "partner": ServicePlan(
            {
                "/availability": RoutePlan(0.002, ((_CHECK,),)),
                "/book": RoutePlan(0.003, ((StepPlan("reservations", "/book", 1.8),),)),
            },
            telling=TellingHabits(spans=True, sample=0.25, old=True, metrics=True, usage="container"),
        ),
        "search": ServicePlan(
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
        "availability": ServicePlan(
            {"/check": RoutePlan(0.004, ((StepPlan("inventory-db", "/rows", 0.6, retries=2, cache="cache"),),))},
            replicas=3,
            workers=8,
            pools={"inventory-db": 6},
            telling=TellingHabits(spans=True, export_ms=500, usage="process"),
            releases=_RELEASES,
        ),
        "rates": ServicePlan(
            {"/quote": RoutePlan(0.006)}, replicas=2, workers=8, telling=TellingHabits(metrics=True, usage="process")
        ),
        "reviews": ServicePlan({"/score": RoutePlan(0.004)}, telling=TellingHabits(logs="text")),
        "rooms": ServicePlan(
            {"/show": RoutePlan(0.005, ((StepPlan("content", "/text", 0.8), StepPlan("rates", "/quote", 0.8)),))},
            telling=TellingHabits(spans=True, export_ms=5000, usage="process", metrics_ms=5000),
            releases=_RELEASES,
        ),
        "content": ServicePlan({"/text": RoutePlan(0.003)}, workers=8, telling=NEW, releases=_RELEASES),
        "reservations": ServicePlan(
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
        "payments": ServicePlan(
            {"/charge": RoutePlan(0.005, ((StepPlan("cardnet", "/authorise", 0.7, retries=1),),))},
            workers=20,
            telling=OLD,
            releases=_RELEASES,
        ),
        "profiles": ServicePlan(
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
        "loyalty": ServicePlan(
            {"/points": RoutePlan(0.003)}, workers=8, telling=TellingHabits(spans=True, usage="process")
        ),
        "cache": ServicePlan({}, role="cache", store="redis", host="cache.hotel.internal"),
        "inventory-db": ServicePlan(
            {"/rows": RoutePlan(0.055)}, workers=1, store="postgresql", host="inventory-db.hotel.internal"
        ),
        "ledger-db": ServicePlan(
            {"/insert": RoutePlan(0.006), "/select": RoutePlan(0.003)},
            workers=4,
            store="postgresql",
            host="ledger-db.hotel.internal",
        ),
        "queue": ServicePlan({}, role="queue", telling=TellingHabits(metrics=True)),
        "confirmations": ServicePlan(
            {},
            role="consume",
            consumes=("queue", StepPlan("mailgate", "/send", 1.0, retries=1)),
            telling=TellingHabits(spans=True, logs="number", usage="process"),
        ),
        "cardnet": ServicePlan({"/authorise": RoutePlan(0.03)}, host="api.cardnet.example"),
        "mailgate": ServicePlan({"/send": RoutePlan(0.02)}, host="smtp.mailgate.example"),
    },
    {
        "search": EntryPlan("site", "/search", 7),
        "room": EntryPlan("site", "/room", 5),
        "book": EntryPlan("site", "/book", 3),
        "account": EntryPlan("site", "/account", 4),
        "partner-availability": EntryPlan("partner", "/availability", 6),
        "partner-book": EntryPlan("partner", "/book", 2),
    },
    queues=("queue",),
)
