"""Encodings of telemetry besides OTLP, made OTLP of: spans of Jaeger and Zipkin, Prometheus' remote write, log lines.

Each module says in OTLP's words what a foreign message holds, and judges nothing: what names and values mean is for the table of
conventions, which thereby is the same for all. Nothing in here knows of topics or settings; `connectors.encodings.sources` is the way in.
"""
