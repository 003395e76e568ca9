"""The constants of judgement of detection, each with where it comes from: the one place where its thresholds and weights are set.

Sources, by name:

by hand        set by the author's judgement, checked by tests; not fitted to anything
Train Ticket   the four recorded incidents (docs/benchmarks.md) and seven more of that data set (Nezha: Yu et al., FSE 2023), on which the
               rules for low traffic were tuned; figures taken on them are no proof of how they do elsewhere
simulated      `homeostat bench quality` (homeostat.bench.detection): simulated telemetry with ten kinds of faults, on which the bank and what
               stands around it were tuned

Two tables stand beside this one, because their rows are those of another: what the bank assumes of each feature and how much it may
say alone (models.service.columns), and how fast it learns (models.service.tuning); both are simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from contracts.units import DAY, SECOND

# --- low traffic: what is pooled over the last half minute and minute (models.low_traffic.watch) ------------------------------------

LOW_TRAFFIC: Final = 5.0
"""Requests per second below which windows of a second say too little of a service. By hand: above, they hold enough requests."""
LOOKS_EVERY_NS: Final = 5 * SECOND
LOOK_SPANS_NS: Final = (30 * SECOND, 60 * SECOND)
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

# --- pooled latency of low traffic (models.service.pooled, models.low_traffic.latency): by hand, checked on simulated and Train Ticket ---

POOL_HELD: Final = 12
POOL_HELD_NS: Final = 60 * SECOND
"""The newest observations of a series that are compared with all before: so many, and not older. By hand."""
POOL_LEAST_HELD: Final = 5
POOL_LEAST_KNOWN: Final = 8
"""Observations that a t-test needs now (and from before). By hand: with fewer the normal approximation to it is poor."""
POOL_LEAST_RUN: Final = 3
"""Observations in a row from which ranks count. By hand: two slow requests are two slow requests."""
POOL_RUN_NS: Final = 10 * SECOND
"""The newest must be spread over this long to count by rank: requests of one moment share their fate. By hand."""
POOL_TOP_FADES: Final = 0.005
"""How much of its logarithm the slowest known loses with each that becomes known. By hand."""
POOL_WINSOR: Final = 2.0
"""Departures count for at most this many standard deviations: many have to agree. Convention (Huber's k is 1.3 to 2)."""
POOL_WIDER: Final = 1.3
"""Neighbouring requests share their moment, so their mean varies more than if they were independent. Simulated."""
POOL_LEAST_SIGMA: Final = 0.25
"""Spread of a logarithm below which none is believed. By hand: latency is never steadier than by a quarter."""
POOL_MEMORY: Final = 1.0 / 400.0
"""Weight of a new observation in what is known, at the least. By hand: hours, at low traffic."""
POOL_THIN_RATE: Final = 2.0
"""Requests per second below which a series' latency is pooled. Simulated: above, windows of a second do better."""
POOL_RATE_WEIGHT: Final = 0.02
"""Weight of a new window in the usual rate, at the least. By hand."""
POOL_MOST_DECADES: Final = 9.0
"""What a pool may say at most: as much as the bank. By hand."""
THIN_CAP: Final = 3.0
"""Decades that slow requests of a thin service may give while the last of them, pooled, are as they should be. By hand: less than
what opens an episode."""
AGREES: Final = 4.0
"""Decades from which the pooled latency says so too: what opens an episode elsewhere (`detect.open_p`)."""
POOL_SPEAKS: Final = 5.0
POOL_RATIO: Final = 1.5
"""Pooled latency opens an episode by itself from these decades and this many times what was usual. Train Ticket."""

# --- what follows requests at low traffic (models.low_traffic.counts) ------------------------------------------------------------------

DECAY: Final = 0.5 ** (1 / 600.0)
"""Of what is known of the usual, per window with requests: a half-life of 600 windows, as diagnosis has it. By hand."""
LEAD: Final = 2
"""Windows left out between what is looked at and what it is compared with: it may have begun in them. By hand, as in diagnosis."""

# --- episodes (models.episodes): by hand, checked on simulated ---------------------------------------------------------------------------

LOOK_BACK: Final = 3
"""Windows among which `detect.open_windows` must agree."""
HARD_DECADES: Final = 7.0
HARD_REQUESTS: Final = 30
"""With this much evidence from this many requests, one window is enough."""
EMPTY_PER_QUIET: Final = 8
"""So many windows without a request count like one that was seen to be quiet."""
UNEASY: Final = 1.0
"""Decades from which a window belongs to the run that may become an episode; its first one is the onset."""
ONSET_NS: Final = 6 * SECOND
"""An onset lies at most this far before the opening: unease may be left over from something else."""
UPDATE_NS: Final = SECOND
"""Pause between two updates of an episode."""
MATERIAL: Final = 1.0
"""Decades by which the evidence must have changed to be told again."""
TOLD_DECADES: Final = 2.0
"""Decades below which a window is no reason to tell an episode again."""
EDGE_SPEAKS: Final = 3.0
"""Decades of lost time between two services from which an edge may open an episode of its own."""
CADENCES: Final = 3
"""A service whose telemetry comes rarely is not stale before so many of its usual intervals."""
VIEW_WINDOWS: Final = 3
VIEW_NS: Final = 90 * SECOND
"""A signal's evidence counts beside another's for this many of its windows, and never longer than that."""
HOLE_NS: Final = 20 * SECOND
"""A series without rows for longer than this was not watched: what comes first then is not what is usual, and nothing opens for
as long. After missing rows, for as long as they lasted."""
SPEAKS: Final = 1.0
"""Decades from which a feature is named in an anomaly. By hand."""

# --- several opinions (models.fusion, models.calibration, models.service.evidence) ------------------------------------------------------

DETECTOR_WEIGHTS: Final[Mapping[str, float]] = {"bank": 0.7, "river": 0.15, "pyod": 0.15}
OTHERS_WEIGHT: Final = 0.15
"""Weights of the detectors in the Cauchy combination (Liu & Xie 2020), and of one that is not named. Simulated: the bank leads."""
SUPPORT: Final = 2.0
"""Helpers may at most multiply the leader's decades by this: alone they open nothing. Simulated."""
SIGNALS_ADD: Final = 0.5
"""How much of the second signal's decades counts beside the first: signals of one service are dependent. By hand."""
CONTENT_P: Final = 0.9
"""P-values above count as this in the Cauchy combination, so that one contented detector can't shout down others (Fang et al. 2023)."""
LEAST_P: Final = 1e-12
"""Nobody is surer than this. Convention: beyond, tails are extrapolation."""
TAIL_FROM: Final = 0.9
"""Quantile of the reference above which the tail is modelled. Convention of peaks over threshold (Siffer et al. 2017: 0.98, of more)."""
BASE_Q: Final = 0.95
"""Quantile where the bank's tails begin. Convention of peaks over threshold."""

# --- sources that repeat themselves, resources that are used up (models.service.silence, models.saturation) ----------------------------

STUCK_RUN: Final = 4.0
"""Repeats from which a value may be stuck. Simulated."""
STUCK_FEATURES: Final = 3
"""Features of a row that have to be stuck together: one alone may well be constant. Simulated."""
SLOW_NS: Final = 15 * SECOND
"""Readings further apart than this are means over that time: each is a busy spell, not a spike. By hand."""
SATURATED: Final = 0.6
SATURATED_DECADES: Final = 7.0
"""Share of its limit from which a resource in slow readings is taken to hold the service up, and how sure that is. Train Ticket."""
COUNT_FLOOR: Final = 0.03
"""Share of a count's transformed location that is added to its floor: load is never quite even. Simulated."""
LEAST_COUNT_SIGMA: Final = 0.9
"""Spread of a transformed count: no arrivals are taken to be more regular than Poisson's (few of them only look so), whose is 1
(Anscombe 1948)."""

# --- harm and adoption (models.harm, models.adoption): by hand ---------------------------------------------------------------------------

SLOWER: Final = 1.5
"""Times the highest latency expected before from which users are taken to notice."""
NOTICED_S: Final = 0.01
"""Seconds of added latency below which nobody does."""
FEWER: Final = 0.5
"""Share of the least traffic expected before below which work is taken to be left undone."""
USED_UP: Final = 0.9
"""Share of its limit from which a resource is taken to hold its service up."""
BROKEN: Final = 0.1
"""Share of failing requests from which a service without an objective is broken, whatever was usual."""
JUDGED_OVER: Final = 60
"""Windows with requests over which an objective is judged."""
PROMISE_KEPT: Final = 1.0 - 2.0 / (JUDGED_OVER + 1.0)
"""What is kept per window of requests and failures: the exponential mean that is as old as a plain one over `JUDGED_OVER`."""
PROMISE_OVER: Final = 0.85
"""What is kept of broken promises per window that keeps them."""
FORGOTTEN_FAILURES: Final = 0.5
FORGOTTEN_WINDOWS: Final = 0.1
"""Failures (slow windows) left below which a promise has nothing to remember."""
LEAST_REQUESTS: Final = 30
LEAST_WINDOWS: Final = 10
"""Requests (windows) that must be seen before an objective is judged."""
BROKEN_SIGMAS: Final = 5.0
"""Standard deviations by which failures must exceed what the objective allows: some million to one. Convention."""
BROKEN_DECADES: Final = 7.0
"""How sure a broken promise is: enough to open by itself (`HARD_DECADES`)."""
HARM_DECADES: Final = 3.0
"""Evidence from which one window's departure counts as harm by itself; what lasts shows in its mean."""
MOST_SLOW: Final = 0.5
"""Share of windows slower than promised from which a service is too slow."""
BUCKET_NS: Final = 5 * SECOND
"""Width of the first means of a feature's course in an episode."""
SETTLED: Final = 0.15
"""Share of the shift by which the second half of its course may still move on."""
FORMER_NS: Final = DAY
"""For how long the level before an adoption is remembered."""
RETURNED_NS: Final = 10 * SECOND
"""A level that was normal before is normal again after this long."""

# --- operations of a service (models.operations); windows are of five seconds -------------------------------------------------------------

OPERATION_SPANS: Final = (2, 6)
"""Windows that are judged together: ten seconds, half a minute. By hand."""
OPERATION_LOOKS: Final = 2
"""Windows in a row that must agree. By hand."""
OPERATION_DECADES: Final = 7.0
"""Evidence that an operation must show in each of them. By hand: some thousand operations are looked at 17,000 times a day."""
OPERATION_FEWEST: Final = 8.0
OPERATION_BEFORE: Final = 5.0
"""Requests, and windows of before, from which anything is said of an operation. By hand."""
OPERATION_PRIOR: Final = 20.0
"""Windows of its own that weigh as much as what all operations do. By hand."""
OPERATION_SINCE: Final = 720.0
"""Windows over which what is usual decays: an hour. By hand."""
OPERATION_SIGMAS: Final = 0.75
"""Standard deviations of a route's own by which it must be slower than usual. By hand."""
OPERATION_APART: Final = 1.5
"""Times as much as the rest of its service that an operation must be slower. By hand: else the service is slow, and tells so itself."""
OPERATION_FAILURES: Final = 4.0
OPERATION_MORE_FAIL: Final = 0.1
"""Failures, and the share of requests beyond what is usual, from which an operation fails. By hand."""
OPERATION_TRIALS: Final = 50.0
"""Requests without failure that are assumed of every operation before anything is known. By hand."""
OPERATION_CLOSES_AFTER: Final = 6
OPERATION_FORGETS: Final = 60
"""Windows that are as usual before it is over, and without any request before nothing is known of it any more. By hand."""
