"""An API server on loopback that speaks list and watch, and the way to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from connectors.kubernetes.access import open_access
from connectors.kubernetes.cluster_api import ClusterApi
from tests.patience import PATIENCE_S
from tests.unit.connectors.kubernetes.list_watch import ListWatchServer


async def until(condition: Callable[[], object], what: str = "", patience_s: float = PATIENCE_S) -> None:
    """Wait until something holds."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f"not in {patience_s} s: {what}"
        await asyncio.sleep(0.01)


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ListWatchServer]:
    found = ListWatchServer()
    http = TestServer(found.app())
    await http.start_server()
    file = tmp_path / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{http.port}"}}],
        "users": [{"name": "u", "user": {"token": "t0ken"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }
    file.write_text(json.dumps(document))
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    yield found
    found.disconnect()
    await http.close()


@pytest.fixture
async def api(server: ListWatchServer) -> AsyncIterator[ClusterApi]:
    found = ClusterApi(open_access("here"))
    yield found
    with contextlib.suppress(Exception):
        await found.close()
