"""OpenTelemetry in: bytes of a collector or an SDK become columns, and receivers put those bytes on the topics.

Here live the decoders (protobuf, JSON, `telemetry.raw`), identity and semantic conventions, the OTLP/gRPC and OTLP/HTTP
receivers, and the reader of recordings. Never here: windows, rates, percentiles or anything that remembers what an
earlier message said; a decoder is a function of one message.
"""
