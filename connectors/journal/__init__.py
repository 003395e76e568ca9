"""The durable record of runs: what was intended, applied and found, and the audit trail before it is published."""
