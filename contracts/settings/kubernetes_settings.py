"""Settings of a cluster as a source."""

from __future__ import annotations

from pydantic import Field

from contracts.settings.section import Section


class KubernetesSettings(Section):
    """A cluster as a source of topology and changes."""

    watch: bool = Field(False, description="whether to watch a cluster; one worker of a group does")
    context: str = Field("", description="kubeconfig context; empty: in-cluster or current")
    environment: str = Field("", description="environment of the cluster's services; empty: `environment`")
    namespaces: tuple[str, ...] = Field((), description="namespaces to watch; empty: all")
    service_labels: tuple[str, ...] = Field(
        ("app.kubernetes.io/name", "app"),
        description="labels that name a pod's service where its containers' OpenTelemetry settings don't, best first",
    )
    resync_s: float = Field(1800.0, ge=10, description="a whole list again this often, in case an event was missed")
