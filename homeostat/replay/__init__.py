"""Replay, composed: of recorded telemetry through new stages (`recording`), and of what stages recorded on the log (`log`)."""
