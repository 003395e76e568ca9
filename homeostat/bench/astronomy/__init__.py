"""A day of telemetry of the OpenTelemetry demo's kind: what an astronomy shop of twenty services in twelve languages sends through a Collector.

Written after public conventions, SDKs and receivers: which attributes, scopes, instruments and log shapes each emits. Nothing here is tuned
to what Homeostat reads; what it reads of it is measured by `homeostat.bench.mapping`.
"""
