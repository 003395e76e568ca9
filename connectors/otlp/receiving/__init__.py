"""What both OTLP receivers share: limits on what is in flight, decompression, and messages put together before the log.

The receivers themselves are `connectors.otlp.receivers`. Never here: what telemetry says; only whether it can be read.
"""
