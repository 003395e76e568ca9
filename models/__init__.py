"""Models of normal: features in, calibrated and explained anomalies out.

Here live the vectorised bank over all series (`service`), the adapters to online and refitted detectors (`adapters`), calibration to
p-values (`calibration`), fusion with false-discovery control (`fusion`), the life of an anomaly (`episodes`), and snapshots of what
was learnt (`snapshots`). Functions of arrays and event time. Never here: input or output, clocks, the graph, playbooks, or any import
of a sibling wing.
"""
