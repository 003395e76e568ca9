"""The proving ground: a seeded simulator of service systems, their telemetry, their faults and what becomes of repairs.

Here live the laws (`laws.py`), what a system is (`blueprint.py`, `habits.py`), how systems are drawn (`configuration.py`, `topology.py`,
`soundness.py`), how one lives from second to second (`fleet.py`, `knobs.py`, `load.py`, `flow.py`, `system.py`) and request by request
(`requests.py`), what
befalls it (`influences.py`, `catalogue.py`, `faults.py`, `operations.py`), what is done to it (`twin_actuator.py`), what it sends
(`feature_rows.py`, `request_level.py`, `otlp_bytes.py`, `arrival.py`), and an episode with its truth (`truth.py`, `episode.py`). Never here:
anything of how the product detects, diagnoses or decides. It knows the contracts and nothing else of the product, and only the
application (and tests) import it.
"""
