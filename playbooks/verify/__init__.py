"""Did it help? What was seen after an action against before it, against the forecast of had nothing been done, and against untouched
peers. Pure.

verifier          the verdict, sequential; `attribution`: whose doing a recovery is
watched_series    windows as they come; `levels`: what is kept of them; `natural_course`: the forecast, with an interval
judging, peers    one window, a streak of them; services that the action can't have touched
"""

from playbooks.verify.levels import Level, LevelKey, Point
from playbooks.verify.verifier import Verification, Verifier
from playbooks.verify.watched_series import Intervention

__all__ = ["Intervention", "Level", "LevelKey", "Point", "Verification", "Verifier"]
