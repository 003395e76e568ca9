"""What plugin authors import, and the only module whose names stay: ports, what travels through them, errors, the check suites.

A plugin is one module that is registered by name under the entry-point group of its port: `homeostat.actuator` (a callable that takes
`ActSettings`) or `homeostat.detector` (one that takes `DetectSettings`). Run the check suite of its port on it: `checks.actuator`,
`checks.detector`.
"""

from __future__ import annotations

import contracts.checks.action
import contracts.checks.actuator
import contracts.checks.detector  # noqa: F401 - so that all are there: `checks.action`, `checks.actuator`, `checks.detector`
from contracts import checks
from contracts.actions import *  # noqa: F403 - all of them, and their list is theirs
from contracts.actions import __all__ as _actions
from contracts.errors import (
    ActionFailed,
    ActuatorUnavailable,
    Conflict,
    Forbidden,
    HomeostatError,
    InvalidPlugin,
    InvalidSettings,
    OutcomeUnknown,
    Permanent,
    PolicyUnavailable,
    Retryable,
    TargetNotFound,
    UnknownName,
)
from contracts.features import FEATURES, Feature, Signal
from contracts.frames import EvidenceFrame, FeatureFrame
from contracts.plugins import Plugin, PluginSettings
from contracts.ports import *  # noqa: F403 - all of them, and their list is theirs
from contracts.ports import __all__ as _ports
from contracts.settings import ActSettings, DetectSettings
from contracts.supervision import Supervised, once

__all__ = [  # noqa: PLE0604 - names, all of them
    *_actions,
    *_ports,
    "FEATURES",
    "ActSettings",
    "ActionFailed",
    "ActuatorUnavailable",
    "Conflict",
    "DetectSettings",
    "EvidenceFrame",
    "Feature",
    "FeatureFrame",
    "Forbidden",
    "HomeostatError",
    "InvalidPlugin",
    "InvalidSettings",
    "OutcomeUnknown",
    "Permanent",
    "Plugin",
    "PluginSettings",
    "PolicyUnavailable",
    "Retryable",
    "Signal",
    "Supervised",
    "TargetNotFound",
    "UnknownName",
    "checks",
    "once",
]
