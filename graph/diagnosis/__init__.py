"""The diagnosis of one environment: evidence, anomalies and changes in; incidents with ranked causes and graph writes out."""

from graph.diagnosis.engine import DiagnosisEngine

__all__ = ["DiagnosisEngine"]
