"""What may be done about a cause, whether to do it, and what came of it.

Here live the playbook language (`language`: schema, conditions, lint), the built-in library (`library`), the decision with every
candidate's score (`decision`), the guards (`guards`), runs (`runs`: the state machine as a table, and the executor around it),
verification (`verify`), learning (`learning`), and the chain of audit records (`audit`). Never here: a broker, a database or a call
to a target; the effects of `runs` go through ports that connectors implement. Never an import of a sibling wing.
"""
