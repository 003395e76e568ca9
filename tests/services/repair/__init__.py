"""The repair on a real control plane: the demo's shop as Deployments, its customers, and `homeostat up` that may act there."""
