"""A kubelet of processes: Deployments on a real API server become local processes that serve, hang, crash and are replaced.

It registers one Node, runs one process for each pod bound to it, probes readiness, reports status as a kubelet does, and removes
what is deleted after its grace period. There are no images: a container is its command, and knows its image's tag from `IMAGE_TAG`.
"""

from tests.services.kubelet.api import Api
from tests.services.kubelet.kubelet import ProcessKubelet

__all__ = ["Api", "ProcessKubelet"]
