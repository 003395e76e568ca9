"""Durable runs of playbooks: a state machine as a table, and those who tell it what happened and do what it says.

executor              the public face: events in, and the loop of every run: observe, react, carry out
events, observation   what can happen to a run; what has happened, by journal, switches and clock
machine, reactions    the table: state and event in, next state and commands out, with their words; `diagram` draws it
commands              what the machine wants: records, and work
recorder, conductor   write the records of a transition in one transaction; do the work, whose result is an event
plan, progress        what a run is, and where it stands, read from the journal; `situation` is what guards of the table ask about
run, expiry, ports    a run in memory; when it is too old; what an executor is made of
permission, guarding  may this be done now: switches, policy, guards; `authenticity`: is this decision or answer believed
preflight, arguments  is the effect sane on the target as it is; what its arguments come to there
effects               one effect through an actuator, and what became of it; `actuator_calls` asks an actuator without effect
identities            what a run really touches, which must not change under way
switches              the kill switch and autonomy in force, by the log that carries them
telemetry_view        recent evidence and incidents of an environment; `serving`: which of its services are at work
audit_trail           audit records: durable first, published in order, acknowledged before an effect
journal_records       facts that must outlive a process; `reporting`: what is told of a run to the rest of the loop
"""

from playbooks.runs.executor import Executor
from playbooks.runs.plan import key_of, run_of
from playbooks.runs.ports import ExecutorWiring

__all__ = ["Executor", "ExecutorWiring", "key_of", "run_of"]
