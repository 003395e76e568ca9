"""The actuator `kubernetes`: scale, restart and roll back Deployments and StatefulSets through the API server.

Here alone the Kubernetes client is imported (and, elsewhere, in the watch). `client` talks and maps errors, `workload` reads
what the server says, `changes` writes what it should do: both pure, on the JSON as it is, so that no field is lost on the way.
"""

from connectors.actuators.kubernetes.actuator import KubernetesActuator
from connectors.actuators.kubernetes.client import cluster_version

__all__ = ["KubernetesActuator", "cluster_version"]
