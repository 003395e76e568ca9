"""The manifests, rendered by kustomize and judged by a real API server; alerts and panels, read by Prometheus' own parser."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from tests.services import build
from tests.services.servers import cluster
from tests.unit.repo.test_deploy import DEPLOY, EXPOSED, OTHERS, expressions

pytestmark = pytest.mark.timeout(600)
OVERLAYS = sorted(p.name for p in (DEPLOY / "kubernetes" / "overlays").iterdir())
FIRST: Final = ("CustomResourceDefinition", "Namespace", "ServiceAccount")
"""What other objects need in order to be judged: these are made, all others only tried."""


def rendered(overlay: str) -> list[dict[str, Any]]:
    """An overlay's objects, as kustomize makes them."""
    folder = DEPLOY / "kubernetes" / "overlays" / overlay
    command = [str(build.built("kustomize") / "bin" / "kustomize"), "build", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [d for d in yaml.safe_load_all(done.stdout) if d]


class Judge:
    """Server-side apply with strict field validation. What it warns of counts as a mistake."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def apply(self, thing: dict[str, Any], *, really: bool) -> dict[str, Any]:
        """The object as the server would keep it (or keeps it, if `really`)."""
        query = {"fieldManager": "tests", "fieldValidation": "Strict", "force": "true"}
        query |= {} if really else {"dryRun": "All"}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        path = f"{await self._collection(thing)}/{thing['metadata']['name']}"
        async with self._session.patch(path, params=query, data=json.dumps(thing), headers=headers) as reply:
            body: dict[str, Any] = await reply.json()
            assert reply.status in {200, 201}, f"{thing['kind']} {thing['metadata']['name']}: {body.get('message')}"
            assert reply.headers.getall("Warning", []) == []
            return body

    async def create(self, thing: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and answer of an attempt to create."""
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        async with self._session.post(await self._collection(thing), params=query, json=thing) as reply:
            return reply.status, await reply.json()

    async def _collection(self, thing: dict[str, Any]) -> str:
        version, kind = thing["apiVersion"], thing["kind"]
        root = f"{self._url}/{'apis' if '/' in version else 'api'}/{version}"
        async with self._session.get(root) as reply:
            listed = (await reply.json()).get("resources", ())
        (found,) = (r for r in listed if r["kind"] == kind and "/" not in r["name"])
        namespace = f"/namespaces/{thing['metadata']['namespace']}" if found["namespaced"] else ""
        return f"{root}{namespace}/{found['name']}"


@pytest.fixture
async def judge(cluster_with_kwok: cluster.Cluster) -> AsyncIterator[Judge]:
    config = yaml.safe_load(cluster_with_kwok.kubeconfig("admin").read_text())
    token = config["users"][0]["user"]["token"]
    trust = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(cluster_with_kwok.ca_file)))
    async with aiohttp.ClientSession(connector=trust, headers={"Authorization": f"Bearer {token}"}) as session:
        yield Judge(session, cluster_with_kwok.url)


async def _prepared(judge: Judge, things: list[dict[str, Any]]) -> None:
    operator = [yaml.safe_load(p.read_text()) for p in sorted(build.built("prometheus-operator").glob("*.yaml"))]
    shop = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    for thing in sorted([*operator, shop, *things], key=lambda t: t["kind"] not in FIRST):
        if thing["kind"] in FIRST:
            await judge.apply(thing, really=True)
    await _established(judge, operator)


async def _established(judge: Judge, definitions: list[dict[str, Any]]) -> None:
    """Wait until the server knows the kinds: their conditions say so in the answer to an unchanged apply."""
    async with asyncio.timeout(60):
        for definition in definitions:
            while True:
                status = (await judge.apply(definition, really=True)).get("status", {})
                if any(c["type"] == "Established" and c["status"] == "True" for c in status.get("conditions") or ()):
                    break
                await asyncio.sleep(0.2)


@pytest.mark.parametrize("overlay", OVERLAYS)
async def test_the_api_server_accepts_every_object(judge: Judge, overlay: str) -> None:
    things = rendered(overlay)
    await _prepared(judge, things)
    kept = [await judge.apply(thing, really=False) for thing in things]
    kinds = {t["kind"] for t in kept}
    assert {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "ClusterRole", "ConfigMap", "Service"} <= kinds
    assert ({"ServiceMonitor", "PrometheusRule", "RoleBinding"} <= kinds) == (overlay == "production")


@pytest.mark.parametrize("overlay", OVERLAYS)
async def test_a_worker_is_admitted_where_pods_are_restricted(judge: Judge, overlay: str) -> None:
    things = rendered(overlay)
    await _prepared(judge, things)
    (worker,) = (t for t in things if t["kind"] == "Deployment")
    template = worker["spec"]["template"]
    metadata = {"name": "worker", "namespace": "homeostat", "labels": template["metadata"]["labels"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    status, body = await judge.create(pod)
    assert status == 201, body.get("message")
    rash = {**template["spec"], "securityContext": {}}
    status, body = await judge.create(pod | {"spec": rash})
    assert (status, "PodSecurity" in body["message"]) == (403, True), "the namespace restricts"


async def test_a_misspelt_field_would_be_noticed(judge: Judge) -> None:
    (worker,) = (t for t in rendered("observe") if t["kind"] == "Deployment")
    worker["spec"]["template"]["spec"]["terminationGracePeriod"] = 60
    await _prepared(judge, rendered("observe"))
    with pytest.raises(AssertionError, match="terminationGracePeriod"):
        await judge.apply(worker, really=False)


# --- Prometheus --------------------------------------------------------------------------------------------------------


def _promql(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(build.built("promql") / "bin" / "promql"), *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, check=False)


def test_prometheus_reads_the_alerts(tmp_path: Path) -> None:
    done = _promql("rules", str(DEPLOY / "prometheus" / "alerts.yaml"))
    assert (done.returncode, done.stderr) == (0, "")
    broken = tmp_path / "broken.yaml"
    broken.write_text('groups: [{name: g, rules: [{alert: A, expr: "sum(", for: 1m}]}]')
    done = _promql("rules", str(broken))
    assert done.returncode == 1
    assert "parse error" in done.stderr


def test_prometheus_parses_every_expression_and_finds_only_metrics_that_exist() -> None:
    typed = [e.replace("$__rate_interval", "5m") for e in expressions()]
    done = _promql("exprs", typed="\n".join(typed) + "\n")
    assert (done.returncode, done.stderr) == (0, "")
    named = [set(line.split()) for line in done.stdout.splitlines()]
    assert len(named) == len(typed)
    assert all(named), "an expression without a metric"
    assert set().union(*named) <= set(EXPOSED) | OTHERS
