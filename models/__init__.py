"""Models of normal: features in, calibrated and explained anomalies out.

Here live the vectorised bank over all series (`service`), what is pooled where single windows hold too little (`low_traffic`), general series (`series`), the adapters to online and refitted detectors (`adapters`), calibration to
p-values (`calibration`), fusion with false-discovery control (`fusion`), the life of an anomaly (`episodes`, stepped by `episode_judge`), what becomes normal (`level_adoption`), how much more than usual is asked for in an environment (`strictness`), snapshots of what
was learnt (`snapshots`), and all constants of judgement with their sources (`judgement`). Functions of arrays and event time. Never here: input or output, clocks, the graph, playbooks, or any import
of a sibling wing.
"""
