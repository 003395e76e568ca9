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
ENDED_NATS: Final = 6.0
LESS_LEFT: Final = 0.2
FEWEST_LEFT: Final = 0.1
"""Nats by which the newest requests must be as usual rather than as at the worst for it to be over as well; the part of the worst that counts as
over where less is usual; and the part of what usually follows a request that at the worst still does: one event shall not decide. By hand, as
`FAILURES_END`, but less: what was thin takes long to tell either way."""

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
"""With this much evidence from this many requests, one window is enough; or of two services, whoever they are."""
AGREES_FROM: Final = 1.5
"""Decades that the loudest neighbour must show to agree, after what looking at all of them costs (Bonferroni); both together must show what
two windows do (twice `detect.open_p`). By hand."""
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
SLOW_CADENCE_NS: Final = 5 * SECOND
"""Signals whose windows are further apart need two quiet ones to end an episode. By hand."""
LOUD: Final = 2.0
"""Joint decades from which it is kept on record why a service is loud. By hand."""
LOAD_WEIGHT: Final = 0.2
"""Weight of a new window in how much more than usual is asked of a service. By hand."""
SHIFT_FORGOTTEN_NS: Final = 30 * SECOND
"""A departure that opened nothing and was not seen for this long is over. By hand."""
HOLE_NS: Final = 20 * SECOND
"""A series without rows for longer than this was not watched: what comes first then is not what is usual, and nothing opens for
as long. After missing rows, for as long as they lasted."""
SPEAKS: Final = 1.0
"""Decades from which a feature is named in an anomaly. By hand."""

# --- how much more is asked for in one environment (models.strictness) --------------------------------------------------------------------

FALSE_PER_WEEK: Final = 0.03
"""False openings of a service per week, as detection is tuned. Simulated (tuning laws, seed 2, nothing wrong and nothing else going on): with
bars that are 2, 1.5 and 1 decades lower 21, 3.5 and none open, so 0.1 by a tenth per decade and 0.02 by the slope seen: between them. What goes
on in real systems comes on top: that is what verdicts are for."""
STRICTEST: Final = 1.5
"""Decades by which at most more is asked for: what opens an episode and these are what a single slow window may show (5.5, `SLOW` in
models.service.columns), so that a hard fault takes no window more. What leaves hardly a doubt (`HARD_DECADES`) counts as it is anyway."""
LOOSEST: Final = -0.5
"""Decades by which at most less is asked for: then slow requests of a thin service (`THIN_CAP`) still open nothing alone. By hand."""
VERDICTS_COUNT_NS: Final = 28 * DAY
"""For how long a person's verdict counts. By hand: systems and their noise change; who still suffers says so again."""
LEAST_ACCEPTED: Final = 0.5
"""False incidents within `VERDICTS_COUNT_NS` that a budget is worth at the least. Jeffreys' prior of a Poisson rate: half an event."""

# --- several opinions (models.fusion, models.calibration, models.service.evidence) ------------------------------------------------------

EARNED: Final[Mapping[str, Mapping[str, tuple[float, float]]]] = {}
"""What members beside the bank have earned where they start, by family of features: suspicions that they had alone and that came
true, and that came to nothing. Simulated (tuning seeds)."""
CLAIM_NS: Final = 60 * SECOND
"""After this long, nothing has come of a suspicion. By hand."""
SHARE_NEEDED: Final = 0.9
"""Share of a member's own suspicions that must come true, at the least, for it to count. By hand: the precision asked of all."""
MOST_WEIGHT: Final = 0.3
"""Weight of a member that is always right: its p-values count divided by it. By hand."""
WILSON_Z: Final = 1.645
"""Standard deviations of the one-sided 95 % bound of that share. Convention."""
SUPPORT: Final = 1.0
"""Another signal may at most multiply what a signal says itself by this: it can't speak for one that sees nothing. Simulated."""
SIGNALS_ADD: Final = 0.5
"""How much of the second signal's decades counts beside the first: signals of one service are dependent. By hand."""
LEAST_P: Final = 1e-12
"""Nobody is surer than this. Convention: beyond, tails are extrapolation."""
TAIL_FROM: Final = 0.9
"""Quantile of the reference above which the tail is modelled. Convention of peaks over threshold (Siffer et al. 2017: 0.98, of more)."""
BASE_Q: Final = 0.95
"""Quantile where the bank's tails begin. Convention of peaks over threshold."""

# --- failures among requests (models.service.failing) ------------------------------------------------------------------------------------

FAILURES_TOLERATED: Final = (1.25, 0.0007)
"""Factor and share by which more than the usual may fail. By hand: a thousandth of all requests is nobody's incident."""
FAILURES_WORSE: Final = (2.0, 4.0, 10.0, 30.0)
"""Shares that are tested for, as multiples of what is tolerated: one test each. By hand."""
LEAST_WORSE: Final = 0.004
"""What the least of them adds to what is tolerated. By hand."""
FAILURES_PER_WINDOW: Final = 5.0
"""Nats that one window adds to a test: failures that come together are one event. By hand; two windows have to agree."""
FAILURES_MOST: Final = 23.0
"""Nats that a test may reach: ten decades."""
FAILURES_END: Final = 8.0
"""Nats from which the share is taken to be back: wrong once in e^8 windows of a lasting fault, and then it must be found anew."""
FAILURES_CLUMP: Final = 3.0
"""Times the variance of chance that failures may vary without being a fault. By hand: more is harm, not habit."""
FEWEST_FAILURES: Final = 4.0
"""Failures of one window below which it says nothing alone. By hand."""
SUDDEN_FAILURES: Final = 0.12
BRIEF_DECADES: Final = 5.0
"""Share of failures from which one window alone may open an anomaly, and what a window of fewer says at most: a connection that broke
takes a few requests with it. By hand."""
PATIENCE: Final = 2.0
"""Times the usual 95th percentile of latency that a request may take before it is far too slow. By hand."""
SLOW_TOLERATED: Final = (1.5, 0.008)
SLOW_WHEN_NEW: Final = (4.0, 0.03)
"""Factor and share by which more than the usual may be, and for half a minute after a new version was seen. By hand."""
KNOWN_SLOW: Final = 300.0
KNOWN_RECORDS: Final = 60.0
"""Requests (log records) from which the usual share of slow ones (of error records) is known well enough to be compared with. By hand:
failures need none, a service that fails from its first minute is broken."""
HELD_S: Final = 30.0
"""Seconds for which what was seen is held before it becomes known, once or twice. By hand."""
FAILURES_USUAL_S: Final = 900.0
"""Half-life of the usual share. By hand."""

# --- sources that repeat themselves, resources that are used up (models.service.silence, models.saturation) ----------------------------

STUCK_RUN: Final = 4.0
"""Repeats from which a value may be stuck. Simulated."""
STUCK_FEATURES: Final = 3
"""Features of a row that have to be stuck together: one alone may well be constant. Simulated."""
SLOW_NS: Final = 30 * SECOND
"""Readings further apart than this are means over that time: each is a busy spell, not a spike. By hand."""
SATURATED: Final = 0.6
SATURATED_DECADES: Final = 7.0
"""Share of its limit from which a resource in slow readings is taken to hold the service up, and how sure that is. Train Ticket."""
COUNT_FLOOR: Final = 0.03
"""Share of a count's transformed location that is added to its floor: load is never quite even. Simulated."""
LEAST_COUNT_SIGMA: Final = 0.9
"""Spread of a transformed count: no arrivals are taken to be more regular than Poisson's (few of them only look so), whose is 1
(Anscombe 1948)."""

# --- slow changes (models.forecast) -------------------------------------------------------------------------------------------------------

TREND_FIRM: Final = 5.0
"""Standard errors that a slope must be from nothing. By hand: every series is asked again and again."""
TREND_CORRELATED: Final = 1.5
"""Times the error of a slope if neighbouring means were independent. By hand."""
TREND_LEAST: Final = 5
TREND_STEPS: Final = 5
"""Means that a line (and what was before it) needs; those of a course since it departed. By hand."""
TREND_LOAD: Final = 0.3
"""Share by which what is asked of a service must climb, over the time of a trend, for its latency to climb with that. By hand."""
TREND_RISE: Final = (0.1, 0.03)
"""What a trend must exceed all that was known by: logarithm of latency, share of a limit. By hand."""
TREND_NOISE: Final = (0.02, 0.002)
"""Noise of a mean at the least, of the same. By hand."""
TREND_HARM: Final = 2.0
"""Times the usual latency that counts as harm where a forecast is made. By hand."""
TREND_DECADES: Final = 7.0
"""How sure a forecast of harm is. By hand."""
TREND_HALF: Final = 0.35
"""Part of the slope that each half of a trend must have by itself: else it is a step on a slope. By hand."""
TREND_BACK: Final = 0.25
"""Part of the way from the usual to where harm was foreseen, below which a feature is back. By hand."""
CLIMBED_NS: Final = 300 * SECOND
"""A level of which a trend was seen this lately has not settled. By hand."""
TREND_LASTS: Final = 3
"""Means for which a forecast holds unless it is made again. By hand."""

# --- what users feel (models.service.symptoms) --------------------------------------------------------------------------------------------

NOTICED_FACTOR: Final = 1.3
"""Times its usual latency from which a service is noticed to be slower. By hand."""
NOTICED_WHEN_NEW: Final = 2.0
"""The same for half a minute after a new version was seen: caches are cold. By hand."""
DROP_LEFT: Final = 0.6
"""Share of the usual requests below which work is taken to be left undone. By hand."""
DROP_SUDDEN: Final = (0.35, 0.5)
"""Part of a drop that the last minute may show already where it is sudden, of what three and ten seconds show: more is a load that falls
over minutes. By hand."""
DIP_SIGMAS: Final = 2.0
DIP_LEFT: Final = 0.8
"""Standard deviations by which, and share of the usual requests below which, one window has far fewer. By hand."""
DIP_LEAST: Final = 20.0
"""Usual requests per window below which one window can't tell a dip from chance. By hand: two deviations are nearly half of them."""
DIP_LONGER: Final = 2.0
DIP_USUAL: Final = 1.0
DIP_MOST: Final = 5.0
DIP_FADES: Final = 0.9995
"""Times the longest dip that ended by itself that a drop must last, how long such a dip is taken to be where none is known and can be at
most, and what is kept of it per window (half after 23 minutes). By hand, on tuning seeds of simulated systems that lose batches."""
EBB_USUAL: Final = 0.9
EBB_LEFT: Final = 0.55
"""Shares of the usual requests that are told apart one by one: what still counts as usual, and what is a drop. By hand, around `DROP_LEFT`."""
EBB_KNOWN: Final = 200.0
"""Requests that the usual rate must rest on before it is compared with. By hand."""
EBB_PER_WINDOW: Final = 5.0
"""Nats that one window adds at the most: a batch that was lost is one event. By hand; three windows have to agree."""
EBB_MOST: Final = 25.0
"""Nats that the test may reach: ten decades."""
EBB_COSTS: Final = 1.5
"""Decades that are taken off: counts are less alike than chance has it. By hand, on tuning seeds of simulated systems in which nothing is wrong."""
EBB_END: Final = 5.0
"""Nats from which requests are taken to be back. By hand, less than for failures: who asks for more shows it at once."""
EBB_SUSPECTED: Final = 3.0
EBB_SUDDEN: Final = 0.35
"""Nats at which it is looked whether requests became fewer suddenly, and part of what ten seconds show then that the last minute may show
already. By hand: it is passed eleven seconds after a step, and in a fall over a minute before that is a drop."""
EBB_WITHIN: Final = 25.0
EBB_READINGS: Final = 4.0
"""Windows (readings of a metric, where these are longer) of a drop within which it may open an anomaly. By hand: what takes longer to tell may
be a load that falls."""
STILL_SLOW: Final = 0.4
"""Part of the logarithm of `NOTICED_FACTOR` by which the newest window has to be slower for an anomaly to open. By hand."""

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
SETTLED_MEANS: Final = 4
"""Means of a course below which nothing is known of whether it has settled."""
CEASED: Final = 0.1
"""Share of the least that was expected below which a count is taken to have ceased. By hand."""
STEADY: Final = 1.3
"""Times the share of failures of its first half that a course's second half may have where it doesn't climb. By hand."""
FORMER_NS: Final = DAY
"""For how long the level before an adoption is remembered."""
RETURNED_NS: Final = 10 * SECOND
"""A level that was normal before is normal again after this long."""

SUSPICIOUS_P: Final = 0.05
"""P-value from which another member's word is looked at beside the leader's. By hand: its weight is still to be paid for."""

# --- operations of a service (models.operation_watch); windows are of five seconds -------------------------------------------------------------

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
OPERATION_BACK_AFTER: Final = 4
OPERATION_BACK: Final = 7.0
OPERATION_SURE: Final = 0.9
OPERATION_FORGETS: Final = 60
"""Windows that are as usual before it is over; as many where its latest requests are beyond doubt, by so many nats of the likelihood of its
illness (of which at most so large a share of failures is believed); and without any request before nothing is known of it any more. By
hand."""
