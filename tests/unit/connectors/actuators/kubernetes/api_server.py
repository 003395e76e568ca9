"""Enough of an API server and its controllers for a Deployment and a StatefulSet, on loopback.

Objects and errors are files in tests/testdata/kubernetes, in the form in which API servers give them. What this server adds is
the behaviour that clients rely on: resourceVersion and generation, optimistic locking, server-side apply and managedFields, JSON
patches, evictions with their uid preconditions and budgets; and controllers that act a little later, so that a client which does not wait is seen.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

DATA = Path(__file__).resolve().parents[4] / "testdata" / "kubernetes"
STATUSES: dict[str, Any] = json.loads((DATA / "statuses.json").read_text())
APPLY, JSON_PATCH = "application/apply-patch+yaml", "application/json-patch+json"
OF_OBJECT = ("apiVersion", "kind")
OF_METADATA = ("name", "namespace", "uid", "resourceVersion")
Json = dict[str, Any]
ARGO = "/apis/argoproj.io/v1alpha1/namespaces/shop"
SCALING = "/apis/autoscaling/v2/namespaces/shop"


CLUSTER = "0c6e5f6e-1111-4a52-8a3d-2f3b9d1c7a10"


class Refused(Exception):
    """Answer with a Status."""

    def __init__(self, code: int, message: str = "", *, budget: bool = False) -> None:
        super().__init__(message)
        self.code, self.status = code, copy.deepcopy(STATUSES["429-budget" if budget else str(code)])
        if message:
            self.status["message"] = message


@dataclass
class Misbehaviour:
    """What to do instead of, or after, one request: refuse with `code`, stay silent, or cut the line."""

    method: str
    code: int = 0
    silent: bool = False
    cut: bool = False
    after: bool = False  # after having the effect


def load(name: str) -> Any:
    return json.loads((DATA / name).read_text())


def node(name: str) -> Json:
    ready = {"type": "Ready", "status": "True"}
    metadata = {"name": name, "resourceVersion": "1", "annotations": {}}
    return {"metadata": metadata, "spec": {}, "status": {"conditions": [ready]}}


@dataclass
class ApiServer:
    """`requests` are those that could change something; `stuck`: the controllers do nothing."""

    workloads: dict[str, Json] = field(
        default_factory=lambda: {
            "deployments/cart": load("deployment.json"),
            "statefulsets/queue": load("statefulset.json"),
        }
    )
    replica_sets: list[Json] = field(default_factory=lambda: load("replicasets.json")["items"])
    controller_revisions: list[Json] = field(default_factory=lambda: load("controllerrevisions.json")["items"])
    pods: list[Json] = field(default_factory=lambda: load("pods.json")["items"])
    autoscalers: list[Json] = field(default_factory=list)
    budgets: list[Json] = field(default_factory=list)
    nodes: list[Json] = field(default_factory=lambda: [node(f"node-{n}") for n in "abcd"])
    forbidden: set[str] = field(default_factory=set)  # kinds that may not be read
    disruptions: int | None = None  # how many evictions a PodDisruptionBudget still allows
    requests: list[tuple[str, str, str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # paths of all requests
    misbehaviours: deque[Misbehaviour] = field(default_factory=deque)
    before_patch: list[Callable[[], None]] = field(default_factory=list)
    """What somebody else does just before each patch is taken."""
    stuck: bool = False
    effects: int = 0
    version: int = 6000
    created: int = 0

    def app(self) -> web.Application:
        apps, core = "/apis/apps/v1/namespaces/shop", "/api/v1/namespaces/shop"
        kinds = "/{kind:deployments|statefulsets|daemonsets}"
        app = web.Application(middlewares=[self._answer])
        app.add_routes(
            [
                web.get("/version", self._version),
                web.get("/api/v1/namespaces/kube-system", self._kube_system),
                web.get("/api/v1/nodes", self._list_nodes),
                web.get("/api/v1/nodes/{name}", self._get_node),
                web.patch("/api/v1/nodes/{name}", self._patch_node),
                web.get(apps + "/replicasets", self._list_replica_sets),
                web.get(core + "/pods", self._list_pods),
                web.post(core + "/pods/{name}/eviction", self._evict_pod),
                web.get(apps + "/controllerrevisions", self._list_controller_revisions),
                web.get(SCALING + "/horizontalpodautoscalers", self._list_autoscalers),
                web.get(SCALING.replace("/shop", "/default") + "/horizontalpodautoscalers", self._list_autoscalers),
                web.patch(SCALING + "/horizontalpodautoscalers/{name}", self._patch_autoscaler),
                web.get(apps + kinds, self._list_workloads),
                web.get(apps + kinds + "/{name}", self._get_workload),
                web.patch(apps + kinds + "/{name}", self._patch_workload),
                web.get(ARGO + "/{kind:rollouts}/{name}", self._get_workload),
                web.patch(ARGO + "/{kind:rollouts}/{name}", self._patch_workload),
                web.get("/apis/policy/v1/namespaces/shop/poddisruptionbudgets", self._list_budgets),
            ]
        )
        return app

    @property
    def cart(self) -> Json:
        return self.workloads["deployments/cart"]

    def touch(self, thing: Json) -> None:
        """A write: a new resourceVersion."""
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)

    # --- requests

    @web.middleware
    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.raw_path)
        if request.method != "GET":
            body = json.loads(await request.read() or b"null")
            self.requests.append((request.method, request.path, request.headers.get("Content-Type", ""), body))
        wrong = self.misbehaviours[0] if self.misbehaviours else None
        if wrong is None or wrong.method != request.method:
            return await self._handled(request, handler)
        self.misbehaviours.popleft()
        if wrong.after:
            await self._handled(request, handler)
        if wrong.silent:
            await asyncio.sleep(1.0)
        if wrong.cut or wrong.silent:
            assert request.transport is not None
            request.transport.close()
        return web.json_response(STATUSES[str(wrong.code or 500)], status=wrong.code or 500)

    async def _handled(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            for kind in self.forbidden:
                if f"/{kind}" in request.path:
                    raise Refused(403, f'{kind} is forbidden: User "u" cannot list resource "{kind}" in API group "g"')
            response: web.StreamResponse = await handler(request)
        except Refused as e:
            return web.json_response(e.status, status=e.code)
        except web.HTTPNotFound:
            return web.json_response(STATUSES["404"], status=404)
        return response

    async def _kube_system(self, _: web.Request) -> web.Response:
        return web.json_response({"kind": "Namespace", "metadata": {"name": "kube-system", "uid": CLUSTER}})

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response(load("version.json"))

    def _found(self, request: web.Request) -> Json:
        kind, name = request.match_info["kind"], request.match_info["name"]
        if f"{kind}/{name}" not in self.workloads:
            raise Refused(404, f'{kind}.apps "{name}" not found')
        return self.workloads[f"{kind}/{name}"]

    async def _get_workload(self, request: web.Request) -> web.Response:
        found = self._found(request)
        answer = web.json_response(found)
        if not self.stuck:
            self._control(found)  # the next who asks sees it
        return answer

    async def _list_workloads(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        return web.json_response({"items": [w for k, w in self.workloads.items() if k.startswith(kind)]})

    async def _list_replica_sets(self, request: web.Request) -> web.Response:
        return web.json_response({"items": _selected(self.replica_sets, request)})

    async def _list_pods(self, request: web.Request) -> web.Response:
        return web.json_response({"items": _selected(self.pods, request)})

    async def _list_controller_revisions(self, request: web.Request) -> web.Response:
        return web.json_response({"items": _selected(self.controller_revisions, request)})

    async def _list_autoscalers(self, request: web.Request) -> web.Response:
        return web.json_response({"items": self.autoscalers})

    async def _list_budgets(self, _: web.Request) -> web.Response:
        return web.json_response({"items": self.budgets})

    async def _list_nodes(self, _: web.Request) -> web.Response:
        return web.json_response({"items": self.nodes})

    def _node(self, request: web.Request) -> Json:
        name = request.match_info["name"]
        found = next((n for n in self.nodes if n["metadata"]["name"] == name), None)
        if found is None:
            raise Refused(404, f'nodes "{name}" not found')
        return found

    async def _get_node(self, request: web.Request) -> web.Response:
        return web.json_response(self._node(request))

    async def _patch_node(self, request: web.Request) -> web.Response:
        found, body = self._node(request), json.loads(await request.read())
        if "nodes-patched" in self.forbidden:
            raise Refused(403, 'nodes is forbidden: User "u" cannot patch resource "nodes" in API group ""')
        if body["metadata"].pop("resourceVersion") != found["metadata"]["resourceVersion"]:
            raise Refused(409)
        for part, told in (
            (found["metadata"]["annotations"], body["metadata"]["annotations"]),
            (found["spec"], body["spec"]),
        ):
            part.update(told)
            for key in [k for k, v in part.items() if v is None]:  # a strategic merge deletes what is null
                del part[key]
        self.touch(found)
        return web.json_response(found)

    async def _patch_autoscaler(self, request: web.Request) -> web.Response:
        found = next(a for a in self.autoscalers if a["metadata"]["name"] == request.match_info["name"])
        return await self._patched(request, found)

    async def _patch_workload(self, request: web.Request) -> web.Response:
        return await self._patched(request, self._found(request))

    async def _patched(self, request: web.Request, found: Json) -> web.Response:
        kind, body = request.headers["Content-Type"], json.loads(await request.read())
        if self.before_patch:
            self.before_patch.pop(0)()
            self.touch(found)
        changed = copy.deepcopy(found)
        if kind == APPLY:
            assert (request.query["fieldManager"], request.query["force"]) == ("homeostat", "true")
            _apply(changed, body, "homeostat")
        elif kind == JSON_PATCH:
            for operation in body:
                _edit(changed, operation)
        else:
            raise Refused(400)
        for identity in ("uid", "resourceVersion"):
            if changed["metadata"][identity] != found["metadata"][identity]:
                raise Refused(409)
        if changed["spec"].get("replicas", 1) < 0:
            raise Refused(422)
        marked = changed["kind"] == "Deployment" and _marks(changed) != _marks(found)
        if marked or changed["spec"] != found["spec"]:  # of a Deployment annotations count, too
            changed["metadata"]["generation"] = changed["metadata"].get("generation", 0) + 1
        self.effects += changed["spec"] != found["spec"]
        self.touch(changed)
        found.clear()
        found.update(changed)
        return web.json_response(found)

    async def _evict_pod(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        pod = next((p for p in self.pods if p["metadata"]["name"] == name), None)
        if pod is None:
            raise Refused(404, f'pods "{name}" not found')
        options = json.loads(await request.read())["deleteOptions"]
        if options["preconditions"]["uid"] != pod["metadata"]["uid"]:
            raise Refused(409, "the UID in the precondition does not match the UID in record")
        if len(self.budgets) > 1:
            raise Refused(
                500, "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            )
        if self.disruptions == 0:
            raise Refused(429, budget=True)
        self.disruptions = None if self.disruptions is None else self.disruptions - 1
        pod["metadata"] |= {"deletionTimestamp": "2026-03-02T11:00:30Z", "deletionGracePeriodSeconds": 30}
        self.touch(pod)
        self.effects += 1
        return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201}, status=201)

    # --- controllers

    def _control(self, workload: Json) -> None:
        for autoscaler in self.autoscalers:
            if autoscaler["spec"]["scaleTargetRef"]["name"] == workload["metadata"]["name"]:
                least = autoscaler["spec"]["minReplicas"]
                if workload["spec"]["replicas"] < least:
                    workload["spec"]["replicas"] = least
                    workload["metadata"]["generation"] += 1
                    self.touch(workload)
        status, count = workload["status"], workload["spec"].get("replicas", 1)
        if workload["kind"] == "Deployment" and self._sets_of(workload):
            hash_ = self._roll_out(workload)
            keep = [
                p
                for p in self.pods
                if p["metadata"]["labels"]["pod-template-hash"] == hash_ and "deletionTimestamp" not in p["metadata"]
            ]
            while len(keep) < count:
                keep.append(self._new_pod(hash_))
            self.pods = keep[:count]
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), count)
        status |= counts | {"observedGeneration": workload["metadata"]["generation"]}
        if workload["kind"] == "Rollout":  # it says so in a text
            generation = str(workload["metadata"]["generation"])
            status |= {"observedGeneration": generation, "restartedAt": workload["spec"].get("restartAt")}

    def _roll_out(self, deployment: Json) -> str:
        """The pod-template-hash of the ReplicaSet for its template, which is made or brought forward."""
        wanted, mine = deployment["spec"]["template"], self._sets_of(deployment)
        found = next((s for s in mine if _plain(s["spec"]["template"]) == _plain(wanted)), None)
        newest = max(int(s["metadata"]["annotations"]["deployment.kubernetes.io/revision"]) for s in mine)
        if found is None:
            found = copy.deepcopy(mine[0])
            self.created += 1
            hash_ = f"new{self.created}"
            found["metadata"] |= {"name": f"cart-{hash_}", "uid": f"set-{hash_}"}
            found["metadata"]["labels"]["pod-template-hash"] = hash_
            found["spec"]["template"] = copy.deepcopy(wanted)
            found["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = hash_
            found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "0"
            self.replica_sets.append(found)
        marks = found["metadata"]["annotations"]
        if int(marks["deployment.kubernetes.io/revision"]) != newest:
            marks["deployment.kubernetes.io/revision"] = str(newest + 1)
        deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = marks[
            "deployment.kubernetes.io/revision"
        ]
        return str(found["metadata"]["labels"]["pod-template-hash"])

    def _sets_of(self, deployment: Json) -> list[Json]:
        uid = deployment["metadata"]["uid"]
        return [s for s in self.replica_sets if s["metadata"]["ownerReferences"][0]["uid"] == uid]

    def _new_pod(self, hash_: str) -> Json:
        self.created += 1
        pod = copy.deepcopy(load("pods.json")["items"][0])
        pod["metadata"] |= {"name": f"cart-{hash_}-{self.created}", "uid": f"pod-{self.created}"}
        pod["metadata"]["labels"]["pod-template-hash"] = hash_
        owner = next(s for s in self.replica_sets if s["metadata"]["labels"]["pod-template-hash"] == hash_)
        pod["metadata"]["ownerReferences"][0]["uid"] = owner["metadata"]["uid"]
        pod["metadata"]["creationTimestamp"] = f"2026-03-02T12:00:{self.created:02}Z"
        return pod


def _marks(thing: Json) -> Json:
    return thing["metadata"].get("annotations") or {}


def _plain(template: Json) -> Json:
    template = copy.deepcopy(template)
    template["metadata"]["labels"].pop("pod-template-hash", None)
    return template


def _selected(things: list[Json], request: web.Request) -> list[Json]:
    pairs = dict(part.split("=") for part in request.query["labelSelector"].split(","))
    return [t for t in things if pairs.items() <= t["metadata"]["labels"].items()]


def _apply(target: Json, body: Json, manager: str) -> None:
    """Server-side apply by force: the fields of `body` are the manager's now; what it applied before and leaves out goes."""
    entries = target["metadata"].setdefault("managedFields", [])
    before = next((e for e in entries if (e["manager"], e["operation"]) == (manager, "Apply")), None)
    mine = {p: v for p, v in _leaves(body) if not (p[0] in OF_OBJECT or (p[0] == "metadata" and p[1] in OF_METADATA))}
    for path in _paths(before["fieldsV1"]) if before else ():
        if path not in mine:
            _put(target, path, None)
    for path, value in mine.items():
        _put(target, path, value)
    for name in OF_METADATA:
        target["metadata"][name] = body["metadata"].get(name, target["metadata"][name])
    fields: Json = {}
    for path in mine:
        _put(fields, tuple(f"f:{part}" for part in path), {})
    entries[:] = [e for e in entries if e is not before]
    entries.append({"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields})


def _leaves(thing: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in thing.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _paths(fields: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, below in fields.items():
        here = (*path, key.removeprefix("f:"))
        yield from _paths(below, here) if below else (here,)


def _put(target: Json, path: tuple[str, ...], value: Any) -> None:
    """Set a field; None removes it (of a workload's replicas the server's default is one)."""
    for part in path[:-1]:
        target = target.setdefault(part, {})
    if value is not None:
        target[path[-1]] = value
    elif path[-1] == "replicas":
        target[path[-1]] = 1
    else:
        target.pop(path[-1], None)


def _edit(target: Json, operation: Json) -> None:
    """RFC 6902: add, replace and test in objects."""
    *path, last = (p.replace("~1", "/").replace("~0", "~") for p in operation["path"].split("/")[1:])
    for part in path:
        target = target[part]
    assert operation["op"] in {"add", "replace", "test"}
    if operation["op"] == "test":
        if target.get(last) != operation["value"]:
            raise Refused(422, "the server rejected our request due to an error in our request")
        return
    if operation["op"] == "replace" and last not in target:
        raise Refused(422)
    target[last] = operation["value"]
