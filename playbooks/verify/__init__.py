"""Did it help? Features after an action against before it, the forecast had nothing been done, and untouched peers. Pure."""

from playbooks.verify.levels import Level, LevelKey, Point
from playbooks.verify.verifier import Verification, Verifier

__all__ = ["Level", "LevelKey", "Point", "Verification", "Verifier"]
