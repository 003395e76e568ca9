"""A Kubernetes control plane on loopback: etcd, API server, controller manager, scheduler, and on request kwok's fake nodes.

Nothing in it is made easier than in a real cluster: requests are authenticated, RBAC decides, admission plugins are on.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.services.build import built
from tests.services.servers.authority import Certificate, certificate, rsa_key
from tests.services.servers.process import ServerFailed, ServerProcess, answers, free_port

GROUPS: Final = {"admin": "system:masters", "homeostat": "homeostat"}
"""The users there are, by token, and their groups. `homeostat` may do what RBAC gives to it: at first, nothing."""
FAKE_NODE: Final = "kwok.x-k8s.io/node"
"""Annotation of the nodes whose pods kwok pretends to run; other nodes are left to their own kubelets."""


@dataclass
class Cluster:
    """A running control plane."""

    url: str
    ca_file: Path
    folder: Path
    processes: dict[str, ServerProcess] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def kubeconfig(self, user: str = "admin", namespace: str = "default") -> Path:
        """A kubeconfig file for one of the users."""
        if user not in self.tokens:
            raise ServerFailed(f"unknown user {user!r}; there are: {', '.join(self.tokens)}")
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)}}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": user, "context": {"cluster": "test", "user": user, "namespace": namespace}}],
            "current-context": user,
        }
        path = self.folder / f"kubeconfig-{user}-{namespace}.json"
        path.write_text(json.dumps(document))  # JSON is YAML
        return path

    async def request(self, method: str, path: str, body: Any = None, user: str = "admin") -> Any:
        """One JSON request to the API server; ServerFailed with its message if it refuses."""
        return await asyncio.to_thread(self._request, method, path, body, user)

    async def add_nodes(self, count: int, prefix: str = "fake") -> None:
        """Nodes of kwok's (needs `kwok=True`), and wait until they are ready."""
        names = [f"{prefix}-{n}" for n in range(count)]
        for name in names:
            await self.request("POST", "/api/v1/nodes", _fake_node(name))
        async with asyncio.timeout(120):
            while not {n["metadata"]["name"] for n in await self._nodes() if _is_ready(n)}.issuperset(names):
                await asyncio.sleep(0.1)

    async def _nodes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.request("GET", "/api/v1/nodes"))["items"]
        return found

    def _request(self, method: str, path: str, body: Any, user: str) -> Any:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.tokens[user]}", "Content-Type": kind},
            method=method,
        )
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        try:
            with urllib.request.urlopen(request, timeout=30, context=trust) as reply:
                text = reply.read()
        except urllib.error.HTTPError as e:
            with e:
                raise ServerFailed(f"{method} {path}: {e.code} {e.read().decode(errors='replace')[:500]}") from e
        return json.loads(text) if text.startswith(b"{") else text.decode()

    async def _ready(self) -> bool:
        try:
            answer = await self.request("GET", "/readyz")
            # Where pods are to be made their namespace's service account must exist, which the controller manager makes.
            return bool(answer == "ok")
        except (OSError, ServerFailed):
            return False


@asynccontextmanager
async def cluster(folder: Path, *, kwok: bool = False) -> AsyncIterator[Cluster]:
    """A control plane with its data in `folder`. `kwok`: nodes with the annotation FAKE_NODE seem to run their pods."""
    programs = {name: await asyncio.to_thread(built, name) for name in ("kubernetes", "etcd", *_if(kwok, "kwok"))}
    folder.mkdir(parents=True, exist_ok=True)
    server = certificate(folder / "tls", "apiserver")
    found = Cluster(f"https://127.0.0.1:{free_port()}", server.ca_file, folder)
    found.tokens = {user: os.urandom(16).hex() for user in GROUPS}
    async with AsyncExitStack() as stack:

        def process(name: str, *command: str | Path) -> ServerProcess:
            made = ServerProcess(name, [str(part) for part in command], folder)
            found.processes[name] = made
            stack.push_async_callback(made.stop)
            return made

        etcd_url = await _etcd(process, programs["etcd"])
        bin_ = programs["kubernetes"] / "bin"
        options = _api_server(found, server, etcd_url, rsa_key(folder / "tls" / "accounts.key"))
        await process("kube-apiserver", bin_ / "kube-apiserver", *options).start(found._ready)
        admin = found.kubeconfig()
        await process("kube-controller-manager", *_controllers(bin_, admin, server, folder)).start(
            lambda: _has_service_account(found)
        )
        await process("kube-scheduler", *_scheduler(bin_, admin)).start(_at_once)
        if kwok:
            port = free_port()
            await process("kwok", *_kwok(programs["kwok"], admin, port)).start(lambda: answers(port))
        yield found


def _if(wanted: bool, name: str) -> tuple[str, ...]:
    return (name,) if wanted else ()


async def _etcd(process: Any, folder: Path) -> str:
    clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    command = ["--data-dir=etcd", "--unsafe-no-fsync", f"--listen-client-urls={clients}"]
    command += [f"--advertise-client-urls={clients}", f"--listen-peer-urls={peers}"]
    command += [f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=default={peers}", "--log-level=warn"]
    await process("etcd", folder / "bin" / "etcd", *command).start(lambda: answers(int(clients.rpartition(":")[2])))
    return clients


def _api_server(found: Cluster, server: Certificate, etcd_url: str, accounts: Path) -> list[str]:
    tokens = found.folder / "tls" / "tokens.csv"
    tokens.write_text("".join(f'{found.tokens[user]},{user},{user},"{group}"\n' for user, group in GROUPS.items()))
    return [
        f"--etcd-servers={etcd_url}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",  # nobody looks for the API server through a Service here
        f"--secure-port={found.url.rpartition(':')[2]}",
        f"--tls-cert-file={server.cert_file}",
        f"--tls-private-key-file={server.key_file}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=Node,RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={accounts}",
        f"--service-account-signing-key-file={accounts}",
        "--allow-privileged=true",
    ]


def _controllers(bin_: Path, admin: Path, server: Certificate, folder: Path) -> list[str]:
    return [
        str(bin_ / "kube-controller-manager"),
        f"--kubeconfig={admin}",
        f"--service-account-private-key-file={folder / 'tls' / 'accounts.key'}",
        f"--root-ca-file={server.ca_file}",
        "--controllers=*,-node-ipam-controller,-cloud-node-lifecycle-controller,-service-lb-controller,-node-route-controller",
        "--horizontal-pod-autoscaler-sync-period=2s",  # 15 s by default, which each test of it would wait for
        "--leader-elect=false",
        "--secure-port=0",
        *_UNHURRIED,
    ]


def _scheduler(bin_: Path, admin: Path) -> list[str]:
    return [
        str(bin_ / "kube-scheduler"),
        f"--kubeconfig={admin}",
        "--leader-elect=false",
        "--secure-port=0",
        *_UNHURRIED,
    ]


_UNHURRIED: Final = ("--kube-api-qps=1000", "--kube-api-burst=2000")
"""Thousands of pods would take minutes at the rates meant for busy clusters."""


def _kwok(folder: Path, admin: Path, port: int) -> list[str]:
    return [
        str(folder / "bin" / "kwok"),
        f"--kubeconfig={admin}",
        f"--manage-nodes-with-annotation-selector={FAKE_NODE}=fake",
        f"--config={folder / 'stages.yaml'}",
        f"--server-address=127.0.0.1:{port}",
        # Else its nodes never say that they live, and are taken for dead every 50 s, with all that runs there.
        "--node-lease-duration-seconds=40",
    ]


async def _has_service_account(found: Cluster) -> bool:
    try:
        await found.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")
    except (OSError, ServerFailed):
        return False
    return True


async def _at_once() -> bool:
    return True


def _fake_node(name: str) -> Mapping[str, Any]:
    room = {"cpu": "64", "memory": "256Gi", "pods": "1000"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {FAKE_NODE: "fake"}, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": room, "capacity": room},
    }


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
