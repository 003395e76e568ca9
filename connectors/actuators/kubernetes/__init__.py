"""The actuator `kubernetes`: scale, restart and roll back Deployments, StatefulSets and DaemonSets through the API server.

It reaches the API server by the transport of `connectors.kubernetes`, which maps its errors. `clusters` knows which
cluster an environment stands for, `client` asks it, `workload_reader` reads, `actuator` acts. `workload`, `revisions`, `autoscaler` and `ownership` say what the server's JSON means and `changes` what it
should become: all pure, on the JSON as it is, so that no field is lost on the way.
"""

from connectors.actuators.kubernetes.client import cluster_version
from connectors.actuators.kubernetes.clusters import KubernetesActuator

__all__ = ["KubernetesActuator", "cluster_version"]
