"""Did it help? Features after an action against before it, the forecast had nothing been done, and untouched peers. Pure."""

from playbooks.verify.levels import Level, Point, SeriesKey
from playbooks.verify.verifier import Finding, Verifier

__all__ = ["Finding", "Level", "Point", "SeriesKey", "Verifier"]
