"""A cluster on loopback, and a kubeconfig that leads to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from connectors.actuators.kubernetes import KubernetesActuator
from contracts.settings import ActSettings, BindingSettings
from tests.unit.connectors.actuators.kubernetes.api_server import ApiServer

BOUND = {"production": BindingSettings()}


def kubeconfig(folder: Path, url: str) -> Path:
    """A file as `kubectl` writes it, with a token."""
    file = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t0ken"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }
    file.write_text(json.dumps(document))
    return file


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    server = ApiServer()
    http = TestServer(server.app())
    await http.start_server()
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, f"http://127.0.0.1:{http.port}")))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    yield server
    await http.close()


@pytest.fixture
async def actuator(cluster: ApiServer) -> AsyncIterator[KubernetesActuator]:
    actuator = KubernetesActuator(ActSettings(kube_context="here", environments=BOUND))
    yield actuator
    await actuator.close()
