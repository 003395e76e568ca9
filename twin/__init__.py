"""The proving ground: a seeded simulator of service systems, their telemetry, their faults and what becomes of repairs.

Here live the laws (`laws.py`), what a system is (`blueprint.py`, `habits.py`), how systems are drawn (`configuration.py`, `topology.py`),
how one lives from second to second (`fleet.py`, `knobs.py`, `flow.py`, `system.py`), what befalls it (`influences.py`, `faults.py`,
`catalogue.py`, `operations.py`), what is done to it (`twin_actuator.py`), what it sends (`feature_rows.py`), and an episode with its
truth (`truth.py`, `episode.py`). Never here: anything of how the product detects, diagnoses or decides. It knows the contracts and
nothing else of the product, and only the application (and tests) import it.
"""
