"""Models of normal: features in, calibrated and explained anomalies out.

Here live the vectorised bank over all series, the adapters to online and refitted detectors, calibration to p-values,
fusion with false-discovery control, drift, and the lifecycle of a model (versions, champion and challenger, snapshots).
Pure functions of arrays and event time. Never here: input or output, clocks, the graph, playbooks, or any import of a
sibling wing.
"""
