"""The constants of judgement of detection, each with where it comes from: the one place where its thresholds and weights are set.

Sources, by name:

by hand        set by the author's judgement, checked by tests; not fitted to anything
Train Ticket   the four recorded incidents (docs/benchmarks.md) and seven more of that data set (Nezha: Yu et al., FSE 2023), on which the
               rules for low traffic were tuned; figures taken on them are no proof of how they do elsewhere
simulated      `homeostat bench quality`: simulated telemetry, on which the bank was tuned (seeds there)
"""

from __future__ import annotations

from typing import Final

NS: Final = 1_000_000_000

# --- low traffic: what is pooled over the last half minute and minute (models.low_traffic.watch) ------------------------------------

LOW_TRAFFIC: Final = 5.0
"""Requests per second below which windows of a second say too little of a service. By hand: above, they hold enough requests."""
LOOKS_EVERY_NS: Final = 5 * NS
LOOK_SPANS_NS: Final = (30 * NS, 60 * NS)
"""How often, and how far back, low traffic is looked at. Train Ticket: with a request every few seconds, fewer hold too few."""
MIX: Final = 0.2
"""Relative uncertainty of what follows a request: the mix of requests varies. By hand; diagnosis reckons with the same."""
FEW_CALLS: Final = 0.4
"""Share of the expected calls below which they count as no longer made. By hand; diagnosis reckons with the same."""
SWAPPED_SHARE: Final = 0.5
"""Share of the missing calls that may go to other callees before it is taken for other requests, not a fault. By hand."""
MORE_RECORDS: Final = 1.5
"""Times the expected error records from which there are more than usual. By hand; diagnosis reckons with the same."""
LEAST_POOLED_REQUESTS: Final = 4.0
LEAST_REQUESTS_FOR_RECORDS: Final = 3.0
"""Requests in a look below which missing calls (error records per request) say nothing. By hand."""
LEAST_KNOWN_EVENTS: Final = 8.0
"""Calls (requests) that must be known from before: fewer make a comparison too wide to say anything. By hand."""
LEAST_LEVEL: Final = 0.5
"""Decades below which a reason is not named. By hand."""
ADDS_SECOND: Final = 0.5
ADDS_THIRD: Final = 0.3
"""What the second and third reason add to the first: those of one service depend on each other (cf. Brown 1975). By hand, as in the
bank."""
UNUSUAL_SIGMAS: Final = 2.0
"""Standard deviations of the range that is told as expected. Convention (about 95 %)."""
OPENS_LEVEL: Final = 2.7
"""Decades from which a level opens an anomaly: the most that three slow calls can show after twenty that were not (1 in 540,
the rank test of models.service.pooled). Train Ticket: levels of quiet times reach 2.6."""
ABOVE_QUIET: Final = 1.25
"""Times the highest level that the same service had in quiet times. By hand, before there were p-values; Train Ticket."""
MATURE_WINDOWS: Final = 100
"""Windows with requests after which quiet times are known; before, as many times more is needed as are missing. Train Ticket: all
false levels above 2.7 fall in the first 70."""
OVER_SHARE: Final = 0.4
"""Share of the level it opened with below which an anomaly is over. By hand."""
