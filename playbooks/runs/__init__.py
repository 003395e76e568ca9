"""Durable runs of playbooks: a pure state machine (`machine`), and the shell that does what it says (`executor`).

plan, progress        what a run is, and where it stands, read from the journal
machine               journal entry + situation -> next command; pure
executor, conductor   events in, commands carried out
gate, guarding        may this be done now: switches, circuit, guards, policy
preflight, arguments  is the effect sane on the target as it is
effects               one effect through an actuator, and what became of it
trail                 audit records: durable first, published in order, acknowledged before an effect
"""

from playbooks.runs.executor import Executor
from playbooks.runs.plan import key_of, run_of
from playbooks.runs.ports import ExecutorWiring

__all__ = ["Executor", "ExecutorWiring", "key_of", "run_of"]
