"""What may be done about a cause, whether to do it, and what came of it.

Here live the playbook language (schema, conditions, lint), the built-in library, the decision with every candidate's
score, the guards, the state machine of a run, verification and learning: values in, next step out. Never here: an
effect on a target, a clock, a broker or a database; the executor's effects go through ports that connectors implement.
Never an import of a sibling wing.
"""
