"""What changed between two sights of an object: `f(old, new, context) -> list[Change]`, one per kind, all pure.

`old` is None at the first sight, `new` is None once the object is gone. Times are the API server's wherever it tells them,
so that two workers who see the same say the same.
"""

from connectors.kubernetes.diff.context import DiffContext
from connectors.kubernetes.diff.nodes import node_changes
from connectors.kubernetes.diff.notices import notice_changes
from connectors.kubernetes.diff.pods import deletion, pod_changes
from connectors.kubernetes.diff.workloads import autoscaler_changes, release_changes, workload_changes

__all__ = [
    "DiffContext",
    "autoscaler_changes",
    "deletion",
    "node_changes",
    "notice_changes",
    "pod_changes",
    "release_changes",
    "workload_changes",
]
