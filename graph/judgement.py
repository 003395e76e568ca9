"""The constants of judgement of diagnosis, each with where it comes from: the one place where weights and thresholds of evidence,
ranking, grouping and of what becomes an incident are set.

Sources, by name:

by hand        set by the author's judgement against the synthetic shop of the unit tests (ten services, one fault at a time); not
               fitted
Train Ticket   the four recorded incidents (docs/benchmarks.md): rules were developed on them, so figures taken on them are no proof
rca            public labelled failure cases (petshop, nezha, sockshop), by `homeostat.bench.diagnosis`, fitted to one half of the
               cases (`tuned`, by a hash of their names); single failures of the other were read, too
learnt         by `tools/learn_weights.py`: the likelihood of the culprits of 75 episodes of the proving ground's tuning seeds and of the
               `tuned` half of rca (each case counted three times); on 75 other episodes the calibration error fell from 0.157 to 0.089,
               and of suspects at least 90 % sure 9 of 107 were wrong instead of 24 of 150
innocents      simulated traffic that changes without a fault (tests/scenarios/test_innocents.py), where nobody may be blamed
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from contracts.features import FeatureKind
from contracts.units import SECOND
from contracts.verdicts import CauseKind

# --- is a change more than chance (graph.evidence.shifts, .situation) --------------------------------------------------------------------

PEER_SHARE: Final = 0.5
"""Share of the peers' median spread below which no spread is believed. rca: sockshop, where a row that hardly moves wins without it."""
FLOOR: Final[Mapping[FeatureKind, float]] = {
    FeatureKind.LATENCY: 0.08,  # nats
    FeatureKind.RATIO: 0.02,
    FeatureKind.COUNT: 0.3,  # per second
    FeatureKind.UTILIZATION: 0.02,
    FeatureKind.LEVEL: 1e-9,
}
"""Spread below which none is believed, by kind. By hand."""
MIN_BEFORE: Final = 4
"""Windows (ratios: trials) that must be known from before. By hand."""
REFERENCE_TRIALS: Final = 20.0
"""Ratios deviate in units of the binomial spread of this many trials. By hand."""
BENT_FROM: Final = 4.0
"""Deviations from which tails are taken to be heavier than a Gaussian's. By hand: window statistics have such tails."""
DETECTED_SHARE: Final = 0.5
"""What detection's own decades count for, where they point the same way. By hand."""
SHRUNK: Final = 20.0
"""Windows seen before for which the peers' spread counts: with fewer a row's own is hardly known (empirical Bayes). rca: Train Ticket,
tuning half."""
WELL_KNOWN: Final = 40.0
"""Windows (or requests) seen before from which what is usual is known as well as matters. By hand."""
HALVED: Final = 2.0
SURE_DECADES: Final = 4.0
"""Strength is the logarithm of one and the deviation over `HALVED`, held back below `SURE_DECADES` (one in ten thousand). By hand."""
LEAST_STRENGTH: Final = 0.05
LEAST_FINDING: Final = 0.02
"""Strength below which a change (a finding) is none. By hand."""
DECAY: Final = 0.5 ** (1 / 600.0)
"""Of what is usual, per window: a half-life of 600 windows. By hand; detection of low traffic has the same."""

SLOW_METRICS: Final = 5.0
LOOKS: Final = 2.0
"""Windows for one look of metrics from which they are slow, and looks since the onset of which the last is not of before it as well. By
hand."""
AMID_WINDOWS: Final = 30
"""Windows for which another incident has held a service from which what that one made of it is what was before. By hand: as long as a
pending case is also judged by lately."""

# --- one service: resources, logs, releases (graph.evidence.local, .log_records): by hand ---------------------------------------------------------------

MISSING_LEAST: Final = 5.0
MISSING_FROM: Final = 3.0
MISSING_SHARE: Final = 0.4
MISSING_SIGMAS: Final = 0.5
"""A template must have come so often before, be due so often since, and so much of it be missing, by so many standard deviations. rca:
Train Ticket, both halves seen; they lie on a plateau."""
MISSING_BUNCHES: Final = 0.3
MISSING_MIX: Final = 0.2
"""Records of a template vary at least by so much of a Poisson variable's variance around those they keep step with, and in proportion by
such a share. By hand."""
MISSING_UNSURE: Final = 4.0
"""Records for which a template is taken to come independently of the one that it seems to keep step with (empirical Bayes): of a few of each, of
the most similar of many, the step is mostly chance. rca: Train Ticket, both halves' totals seen; 2 to 8 lie on a plateau."""
MISSING_PER_SIGMA: Final = 0.6
MISSING_MOST: Final = 2.0
"""Strength of each deviation more, and the most. rca: Train Ticket, both halves seen."""
MISSING_BEHIND: Final = 0.5
"""What is missing of a callee accounts for so much of it at its callers. By hand: half of the best callee's evidence."""

CPU_FAR: Final = 0.5
CPU_FAR_SHARE: Final = 0.3
"""A CPU busy for less of its limit than `CPU_FAR` is hardly starved: its evidence counts less, down to `CPU_FAR_SHARE` when idle."""
BUSY_RATIO: Final = 2.0
"""Times the usual CPU from which a processor is busy with something else, where no more is asked for. By hand."""
WAITING_MOST: Final = 3.0
"""What work that piles up may say at most: from an empty queue any is infinitely more. By hand."""
STUCK_MORE: Final = 3.0
STUCK_LEAST: Final = 2.0
STUCK_ASKED: Final = 1.1
STUCK_LASTS: Final = 3.0
"""Times the usual requests in flight (of so many at least) from which some are stuck, while no more than so many times as much is asked, and
there are so many times more than those that end account for, by Little's law (Operations Research 9, 1961). By hand: latencies are those
of the slowest, and of a service's instances the mean is known."""
STALLED_LEFT: Final = 0.1
"""Share of its usual messages that a consumer which takes no more may still seem to take: those on their way at the onset. By hand."""
SERVES_LESS: Final = 0.8
"""Share of its usual requests below which a service does less, where work waits for it. By hand: between `DEMAND_MORE`'s inverse and chance."""
INSTANCE_APART: Final = 1.5
INSTANCES_APART: Final = 0.8
"""Strength of one instance that is sick while all others of its service are well, and of several, but not all. By hand: what they share (code,
configuration, callees, load) is no reason then."""
APART_EXPLAINED: Final = 0.25
"""What that counts for while callees account for what the service shows. By hand."""
GROUND_SICK: Final = 0.5
GROUND_TOGETHER_NS: Final = 8 * SECOND
"""Strength of a symptom of its own from which a service that runs on one node alone speaks against that, and how far from the onset it may have
fallen ill. By hand."""
GROUND_ALONE: Final = 0.6
GROUND_SPLIT: Final = 0.5
GROUND_UNPLACED: Final = 0.4
GROUND_SURE: Final = 2.0
GROUND_WELL: Final = 0.5
"""What such a service counts, where one of which only the instances there are sick counts 1; what one of those counts whose trouble callees
account for; a sick database of which it is not known where it runs; how much it takes to be as sure as can be, where the cluster says nothing;
and what one counts that is well there. By hand."""
GROUND_ALIVE_NS: Final = 3 * SECOND
"""How much longer ago than its siblings an instance may have been heard of that counts as well. By hand: requests come by chance; exporters that send
every five seconds only make it count less often."""
SHARE_LEAST: Final = 0.1
SHARE_SIGMAS: Final = 2.0
SHARE_APART: Final = 0.15
SHARE_BALANCED: Final = 0.4
SHARE_ASKED: Final = 5.0
SHARE_KEPT: Final = 0.2
"""Share of its calls that a service must lose to lose some; how far beyond chance, and by which share of the calls besides, as a node may run more of
its instances than another does, what is lost may differ from what runs on a place; the share of that that is lost at least, once
calls are balanced among those that are left; how many calls must be due to what runs there, and the share of
them that may be lost at most, for it to be well there. By hand."""
ASKED_TIMES: Final = 3.0
"""Times the usual calls that an additional request of users may make. By hand: as where more of a service is decided on."""
GROUND_EXPLAINED: Final = 0.25
"""What the trouble of a service counts that what it runs on accounts for. By hand: as what callees account for of one instance."""
MEMORY_MORE: Final = 1.15
"""Times the usual memory from which it has grown."""
DEMAND_MORE: Final = 1.3
DEMAND_LEAST: Final = 0.2
DEMAND_LOAD: Final = 0.5
"""Times the usual requests (of at least so many per second) that are more demand, where the service shows so much load."""
NEW_LOGS_MOST: Final = 1.5
"""What new texts in the logs may say at most."""
RECORDS_REQUESTS: Final = 3.0
RECORDS_MORE: Final = 1.5
RECORDS_SIGMAS: Final = 1.0
RECORDS_PER_SIGMA: Final = 0.5
"""Error records per request, of at least so many requests: times the usual, standard deviations (Anscombe) from which they count, and
strength for each beyond."""
LOG_ERRORS_MOST: Final = 2.0
RECORDS_ENOUGH: Final = 0.1
RECORDS_OF_A_FAILURE: Final = 5.0
"""What error records may say at most, and from how many extra for each request they say it; how many a caller may write for one failed
call (a stack trace, retries, its own failure). By hand."""
SHAPE_SIGMAS: Final = 2.0
SHAPE_LESS: Final = 0.7
SHAPE_MORE: Final = 1.4
SHAPE_PER_SIGMA_LESS: Final = 0.35
SHAPE_PER_SIGMA_MORE: Final = 0.15
SHAPE_MOST: Final = 2.0
"""Log records per request outside of these times the usual. Fewer weigh more: work left out is what faults do. Train Ticket."""
OVERWHELMS: Final = 2.0
"""Times its usual calls that a released service makes of a database from which what that suffers is its doing, if they are most. By hand."""
RELEASE_STRENGTH: Final = 1.5
RELEASE_FRESH_S: Final = 60.0
RELEASE_FADES_S: Final = 120.0
RELEASE_AFTER_S: Final = 5.0
RELEASE_JUST: Final = 1.5
RELEASE_JUST_S: Final = 15.0
"""A release before the onset: strength, seconds for which it is fresh, its half-life then, and how far after the onset one may seem
to be; times the strength it has where it came just before the onset, and within how many seconds that is."""
FLAG_FADES_S: Final = 30.0
FLAG_BACK_S: Final = 60.0
"""The half-life of a changed flag as a reason, once it did not come just before the onset: it works within seconds, a release as it is rolled out; and
how long one that was given back its value since the onset still explains what is seen. By hand."""
REPLACES: Final = frozenset({"deploy", "restart", "start", "scale"})
REPLACED_NS: Final = 20 * SECOND
REPLACED_PATIENCE_NS: Final = 10 * SECOND
"""Kinds of change that begin processes anew; how long before the onset one may have come, and how long after it calls whose answers nobody has
told of are not missed: new processes tell of themselves when their exporters have begun. By hand."""
TAKES_CAPACITY: Final = frozenset({"oom", "restart", "eviction", "start", "scheduling", "node"})
"""Kinds of change that leave a service with fewer instances."""
BEFELL: Final[Mapping[str, tuple[float, CauseKind | None]]] = {
    "oom": (1.2, CauseKind.LEAK),
    "restart": (1.0, CauseKind.CRASH),
    "eviction": (0.8, CauseKind.CRASH),
    "start": (1.0, CauseKind.CRASH),
    "probe": (0.8, CauseKind.HANG),
    "scheduling": (0.5, CauseKind.SATURATION),
    "node": (0.7, None),
}
"""What befell a service's instances, by kind of change (docs/telemetry.md): strength, and the mechanism it speaks for. Less than what a
service shows by itself."""
BEFELL_MANY: Final = 1.5
BEFELL_AGAIN: Final = 0.25
"""Times its strength that a kind may speak for, however often it is told, and what each further time adds."""
BEFELL_FRESH_S: Final = 60.0
BEFELL_FADES_S: Final = 60.0
"""An event this long before the onset speaks in full; then half of it fades in as much time again."""

# --- along the calls (graph.evidence.spread) ----------------------------------------------------------------------------------------------

SLOWER: Final = 1.1
MORE_FAIL: Final = 0.005
"""Times the usual latency (share of failures beyond the usual) from which a service shows a symptom. By hand."""
SUBTRACT: Final = 0.5
"""Share of the best callee's evidence taken off a caller where seconds can't be compared. rca: about half does best on petshop."""
UNEXPLAINED: Final = 0.05
"""Share of a fully explained symptom that still counts. By hand."""
OPERATION_MOST: Final = 2.0
"""Strength of one operation that stands out, at most. By hand: it is a part of its service."""
CALLEE_LEAST: Final = 0.1
CALLER_LEAST: Final = 0.2
"""Strength from which a callee explains something, and from which a caller's view of a callee counts. By hand."""
MOSTLY: Final = 0.5
PARTLY: Final = 0.1
"""Explained share from which a callee is said to account for a symptom, and for part of it. By hand."""
LEAST_CALLS: Final = 0.05
MOST_CALLS: Final = 8.0
"""Bounds of calls per request, where they weigh what a callee adds. By hand."""
ONE_CALLER: Final = 0.4
"""What one caller out of many counts, who alone sees a callee suffer. By hand."""
HARM_HOPS: Final = 8
REACH_FULL: Final = 0.5
REACH_LEAST: Final = 0.1
OTHER_KIND: Final = 0.3
HARDLY: Final = 0.25
APART_SHARE: Final = 0.5
"""How far harm is followed down the calls; the share of it from which a symptom counts in full, and what one counts of which users feel
nothing, or that is of another kind than the incident's; below which it is said so; and what a symptom counts of a service of which it is
not known whom it calls. rca: petshop (Train Ticket the last), tuning half."""
BEHIND_SHARE: Final = 0.75
"""What a symptom of a service without spans counts of whoever it passes calls on to, of whom nothing is heard since. By hand: it may be
that one's, and mostly is its own."""
RIVAL_SHARE: Final = 0.2
"""What is left of a finding that somebody else explains better. By hand."""
ERRORS_ENOUGH: Final = 3.0
"""Failed requests beyond the usual from which a share of failures counts in full: one request that fails is no failing service. By hand."""
TAIL: Final[Mapping[str, float]] = {"latency_p50": 1.0, "latency_p95": 0.1, "latency_p99": 0.02}
"""Calls per request from which a callee that is slow makes that quantile of its caller's requests slow: a quantile is made by the slowest
of them (twice the share beyond it). By the definition of a quantile; others count by the calls per request alone."""
AMISS_BETWEEN: Final = 0.5
WAY_LOST: Final = 0.9
WAY_NATS: Final = 4.0
WAY_AS_MANY: Final = 0.05
WAY_COUNTS: Final = 0.3
WAY_MISSES: Final = 0.4
WAY_SELDOM: Final = 4.0
WAY_LEAST: Final = 0.5
ALONE_SURE: Final = 0.6
"""Share of some callers' calls that must be without an answer, how seldom (one over e to the power of so much) they would lose so many of all
that are lost by chance, and how many of others' must have an answer, of those, for it to be the way to a service and none of its instances that
is lost: of a service with two instances half of each caller's calls are lost. How many calls must be lost, of the requests that a service served,
for those to be missed where it counts them, and the share of them that may be missing there if it is the way. Times likelier an instance is
missed than a way is lost before anything tells; how sure of which it is one is at least; and of whom one caller alone calls in vain for a
part, that an instance hangs: either is as likely, and what is not singled out is asked about. By hand."""
TOLD_ELSEWHERE: Final = 0.6
SLOWEST: Final = 0.05
FAST: Final = 0.3
"""Share of the wait for calls (of their failures) of which the callee shows nothing from which they are amiss on the way; the share of calls
beyond the quantile by which waits are judged (by definition); and the strength below which calls and their callee are as quick as usual
(who waits in vain gives up, and the callee may yet answer). By hand."""
INSTANCE_SHARE: Final = 0.05
"""Share of the calls of all callers that must fail for an instance to be gone: one of twenty. By hand: fewer are lost on the way."""
KEPT_OTHERWISE: Final = 1.5
KEPT_SIGMAS: Final = 1.5
KEPT_LAG: Final = 2.0
"""Times fewer (or more) spans than requests account for, and standard deviations of their number, from which another share of them is kept
than before; and how many windows of spans there may be for one of metrics. By hand: as `streams.windows.usual.LESS`, and few, as metrics
bear it out and nothing but a comparison is left out."""
UNANSWERED: Final = 3.0
UNANSWERED_SHARE: Final = 0.05
"""Calls, and share of them, that must go without an answer to say so of a callee that answers the others: some are always on their way.
By hand."""
BLOCKED_NS: Final = 15 * SECOND
BLOCKED_LESS: Final = 0.9
BLOCKED_DECADES: Final = 3.0
"""Requests that hang have timed out by then; before, fewer than this share of requests, this surely, means that some still hang. By
hand."""
SERVES: Final = 0.4
"""Share of its usual requests from which a service is not silent. innocents."""
LEAST_ASKED: Final = 0.25
ASKED_ENOUGH: Final = 1.5
"""Share of the missing calls that must be known to have been made, and times that share that counts as all. innocents."""
TIMEOUT_S: Final = 0.8
TIMEOUT_TIMES: Final = 5.0
TIMING_OUT: Final = (0.75, 0.25, 0.1)
"""Seconds beyond the usual, and times it, from which a request has probably waited for a time-out; the share of requests that do so
where that is the median, the 95th, the 99th percentile. By hand: clients' time-outs are seldom shorter than a second."""
MIX: Final = 0.2
"""Relative uncertainty of how many calls a request makes: the mix of requests varies. innocents."""
FEW_CALLS: Final = 0.4
KEPT_SHARE: Final = 0.7
LEAST_EXPECTED: Final = 3.0
LOST_SIGMAS: Final = 1.2
"""Share of the expected calls below which they are lost, and from which they are made as before; calls that must be expected (made) to
say so; and how far beyond chance. Train Ticket."""
CONCERNED: Final = 0.1
"""Share of a caller's failed requests that must be of routes which make a call, for its callee to be the reason of failures. By hand: two
troubles may come at once."""
LEAST_DISTRESS: Final = 0.3
IN_DISTRESS: Final = 0.5
"""Strength from which a caller suffers, and from which it may be stuck in the very call that is missing. innocents."""
SILENCE_SIGMAS: Final = 1.5
SILENCE_WEIGHT: Final = 2.0
"""How far beyond chance calls must be missing for a silence, and its strength per nat of that. By hand."""
COMPLAINTS_ENOUGH: Final = 5.0
COMPLAINTS_PATIENCE_NS: Final = 3 * SECOND
HUSHED_LEFT: Final = 0.3
"""Error records beyond the usual that say whom their writer could not reach; how much longer than it is usually late somebody must have told
nothing, or what share of its requests is left at most, for that to be believed. By hand."""
ALL_SILENT: Final = 0.1
ALIKE_FEWER: Final = 1.5
"""What is left where all callees of a caller fall silent: it no longer calls (innocents); and times the answers of a silent one below which
another is silent as well. By hand: what a caller no longer does it leaves out of all its calls alike."""
SILENT_FROM: Final = 0.5
SILENT_EXPLAINS: Final = 0.9
"""Strength from which a callee is silent, and the share of its callers' symptoms that this explains. By hand."""
ENTRY_RATE: Final = 1.0
ENTRY_LEFT: Final = 0.6
ENTRY_SILENT: Final = 0.2
ENTRY_SHARE: Final = 0.5
ENTRY_WINDOWS: Final = 10.0
"""Of a service that nobody is seen calling: requests per second that it must have had, the share of them below which work is left undone
(as detection has it), and below which it is silent, and what that counts, as users may be absent; windows without any
request where nothing else tells of it. By hand."""
LOSSY_LEAST: Final = 0.3
LOSSY_RATIO: Final = 1.5
LOSSY_S: Final = 0.003
COVERS_MORE: Final = 1.4
"""Time lost between services: strength, times the usual and seconds beyond it from which a call loses time, and how much more of the
loss the other side must cover to be blamed. Train Ticket."""
PATTERN_REQUESTS: Final = 4.0
PATTERN_WEIGHT: Final = 1.5
PATTERN_NONE_LOST: Final = 0.75
PATTERN_EACH_LOST: Final = 0.25
PATTERN_MOST_LOST: Final = 1.5
CALLED_BEFORE: Final = 0.7
CALLED_BEFORE_SPREADS: Final = 0.3
CALLER_BESIDE: Final = 0.5
CALLER_ALONE: Final = 0.8
"""Calls that no longer follow (after Nezha: Yu et al., FSE 2023): requests that must be seen, strength per nat beyond chance, more for
each call lost; shares for callees that were called before (less for each of many), for the caller beside them, and alone. Train Ticket."""
MORE_CALLS: Final = 1.5
MORE_CALLS_SIGMAS: Final = 3.0
MORE_CALLS_MOST: Final = 1.5
"""Times the calls for each request from which a service does something else than before, how far beyond chance that must be, and what it may
say at most. By hand."""
SWAPPED_SHARE: Final = 0.5
"""Share of the missing calls that may go to other callees before it is taken for other requests. innocents."""

# --- ranking (graph.ranking) --------------------------------------------------------------------------------------------------------------

WEIGHTS: Final[Mapping[str, float]] = {
    "latency": 0.74,
    "errors": 1.63,
    "silence": 1.53,
    "network": 1.43,
    "pattern": 0.57,
    "operation": 1.0,
    "calls": 0.32,
    "cold_cache": 0.2,
    "cpu": 0.89,
    "memory": 0.64,
    "restarts": 0.8,
    "instance": 1.13,
    "waiting": 0.61,
    "demand": 0.41,
    "log_errors": 0.55,
    "new_logs": 0.39,
    "log_shape": 0.5,
    "missing_logs": 2.2,
    "release": 1.0,
    "flag": 1.0,
    "shrunk": 1.0,
    "oom": 1.12,
    "restart": 1.0,
    "eviction": 1.0,
    "start": 1.0,
    "probe": 1.0,
    "scheduling": 1.0,
    "node": 1.0,
    "ground": 1.0,
}
"""Score for each unit of strength of a channel. learnt; what occurs in hardly any of its cases (`operation`, `restarts`, and from `shrunk` on) is
as it was set by hand."""
DIMINISHING: Final = 0.5
"""What each further reason of one kind counts against the one before. By hand: reasons of one service depend on each other."""
TEMPERATURE: Final = 0.85
VIOLATED_TEMPERATURE: Final = 0.18
BACKGROUND: Final = 0.41
HARMED_BACKGROUND: Final = 0.17
VIOLATED_BACKGROUND: Final = 0.035
"""Score per nat of probability (and where an objective is known to be violated), and the score of "none of these": in quiet, where users suffer,
and where an objective is known to be violated. learnt."""
INNOCENT: Final = 0.2
"""What hints count (resources, logs) of a service that is seen to serve as before. By hand: innocence is evidence."""
OBSERVER_SHARE: Final = 0.4
"""What evidence at a mere observer is worth: it sees its callee's trouble, not its own. rca: petshop, whose observers win without it."""
DEPENDENCY_SHARE: Final = 0.8
"""What evidence of a node without telemetry of its own is worth. By hand."""
MOST_PRIOR: Final = 2.5
PRIOR_FULL: Final = 0.5
"""What all changes around a service together may add to its score, and the score of its own from which they do. By hand."""
LEAK_VOTES: Final = 0.8
"""Weight from which growing memory names the kind of fault. By hand."""

# --- what becomes an incident, and when it is told (graph.diagnosis): by hand ----------------------------------------------------------------

CALLEE_HOPS: Final = 4
CALLER_HOPS: Final = 3
"""How far from the anomalies causes and effects are looked for."""
BYSTANDERS: Final = 5
BYSTANDERS_IN_ALL: Final = 20
"""How many others who call a callee are looked at, and of all callees together: those that call most, for what it costs to look."""
ALONE_DECADES: Final = 6.0
TOGETHER_DECADES: Final = 3.0
AGREE_DECADES: Final = 7.0
OPENS_FROM: Final = 0.8
"""What a service that stands alone must show; together with others, so much each, and so much of the three strongest; and the score that the
leader must have where users feel nothing."""
SURE: Final[Mapping[str, float]] = {"silence": 4.0, "pattern": 2.5, "operation": 4.0}
SURE_STRENGTH: Final = 0.8
"""Decades that a unit of strength stands for, in channels without a decade of their own, and the strength from which it does."""
MIN_WINDOWS: Final = 4.0
MIN_REQUESTS: Final = 10.0
"""Windows with requests since onset before a service's latency counts; two are enough with so many requests in them."""
MIN_FAILURES: Final = 3.0
SUFFERS_FAILURES: Final = 0.02
MANY_FAILURES: Final = 8.0
SUFFERS_FEW: Final = 0.005
SUFFERS_RATIO: Final = 1.25
"""Failed requests before an error rate counts, and the share beyond the usual from which requests suffer; the same for a smaller share,
which must be beyond doubt; and times the usual latency."""
CRITICAL_FAILURES: Final = 0.05
CRITICAL_SLOWER: Final = 2.0
CRITICAL_QUIET: Final = 0.1
"""At an entry: share of failures, times the usual latency, share of the usual requests that make an incident critical."""
BURNS_FAST: Final = 14.4
"""Times as fast as its error budget allows: what at an entry with an objective is critical. 2 % of thirty days' budget in an hour
(The Site Reliability Workbook, chapter 5)."""
FELT_NS: Final = 10 * SECOND
FELT: Final = 0.2
UNDONE: Final = frozenset({"errors", "silence", "pattern", "network", "waiting"})
"""How far back users' present state is looked at; strength from which users at an entry, or a service, are said to suffer; channels of work
that is not done, of which entries may tell nothing (messages, what may be left out)."""
ONSET_SHARE: Final = 0.3
"""Anomalies with less than this share of the strongest one's decades don't say when it began."""
LASTS_NS: Final = 60 * SECOND
"""Time after which late requests keep an incident open only while somebody is seen to suffer: a level that lasts and harms nobody is the new
normal. By hand: as long as pooled evidence takes."""
SLIGHTLY: Final = 1.5
"""Times what is expected at most that something may take and keep no incident open by itself: whether somebody suffers is looked at. By hand."""
LATELY_NS: Final = 30 * SECOND
"""A case that is long pending is also judged by so much: a fault may set in where something harmless had been unusual for long."""
SAME_CAUSE: Final = 0.8
"""Share of the leader's score from which the runner-up, too, may tie two incidents together."""
LIKELY: Final = 0.5
"""Probability from which two incidents have the same culprit: likelier than all others together."""
MOVED: Final = 0.15
"""Change of a probability that is worth an update."""
LEADS: Final = 0.2
"""Probability, before or after, from which another leader is worth one. By hand."""
OTHERWISE: Final = 2.0
"""Times the weight that it had from which what a cause mostly shows is news. By hand."""
OVERWHELMING: Final = 0.95
"""Probability from which a leader need not be waited for."""
AHEAD_NS: Final = 3 * SECOND
"""How long a case waits for the evidence of the windows that its anomalies were found in. By hand: rows come two seconds after a window's begin."""
YOUNG_NS: Final = 15 * SECOND
"""For how long after its onset a case is judged with each row that comes, and not once a window. By hand: by then most are decided."""
HEARD_NS: Final = 2 * SECOND
PATIENCE_NS: Final = 12 * SECOND
PATIENCE_SILENT_NS: Final = 6 * SECOND
PATIENCE_LATE: Final = 1.5
"""So much of the time since the onset must be known of those whom a suspect calls; how long they are waited for at most, by a suspect that answers
nobody (most calls have been given up by then), and times how late they usually are so much longer. By hand."""
BEHIND: Final = 2
"""Windows by which calls usually come behind others from which those of the last windows may still come. By hand."""
OFTEN: Final = 0.05
"""Calls per request from which a callee is one that matters."""
