"""Systems drawn from a seed: who calls whom, how often and how patiently, on how many instances, nodes and zones."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator

from twin.blueprint import CallPlan, EntryPlan, Role, ServicePlan, SystemPlan
from twin.configuration import Configuration, Split, between, generator_of, pick
from twin.habits import STYLES, Habit, draw_habit

_NOUNS = (
    *("cart", "checkout", "catalog", "payment", "orders", "users", "search", "pricing", "stock", "shipping", "reviews"),
    *("basket", "auth", "profile", "media", "feed", "quote", "ledger", "invoice", "billing", "fraud", "geo", "tax"),
    *("coupon", "wishlist", "session", "email", "sms", "audit", "report", "ads", "recommend", "banner", "returns"),
    *("loyalty", "gift", "store", "depot", "route", "driver", "booking", "seat", "ticket", "fare", "menu", "kitchen"),
)
_THIRD = ("pay", "maps", "mail", "sms", "tax", "fraud", "weather", "bank", "identity")


def draw_system(
    split: Split,
    configuration: Configuration,
    seed: int,
    services: int | None = None,
    style: str | None = None,
    attempt: int = 0,
) -> SystemPlan:
    """The system of a seed, with about `services` services where that is said; another one for each `attempt`."""
    r = generator_of(split, seed, f"system{attempt or ''}")
    style = style or pick(r, configuration.styles)
    size = services or max(5, round(between(r, configuration.services)))
    graph = _Graph(r, configuration, size)
    kept = between(r, STYLES[style].sampled)  # whoever begins a trace decides for all who are on its way
    alike: dict[str, Any] = {"sampled": kept}
    if STYLES[style].together:
        late = between(r, STYLES[style].delay_s)
        alike |= {"delay_s": late, "metrics_delay_s": late, "logs_delay_s": late}
    tells = generator_of(split, seed, f"in_flight{attempt or ''}").random(len(graph.nodes)) < STYLES[style].in_flight
    plans = [
        _service(r, configuration, name, role, replace(draw_habit(r, STYLES[style]), in_flight=told, **alike))
        for (name, role), told in zip(graph.nodes, tells.tolist(), strict=True)
    ]
    rate = between(r, configuration.rate)
    weights = r.dirichlet(np.full(len(graph.entries), 2.0))
    entries = tuple(EntryPlan(s, float(rate * max(w, 0.05))) for s, w in zip(graph.entries, weights, strict=True))
    calls, levels = _levelled(graph.calls, len(plans))
    plans = _sized(r, configuration, plans, calls, entries, levels)
    calls = _patient(r, plans, calls, levels)
    return SystemPlan(
        environment=("prod", "production", "live", "eu-1")[int(r.integers(4))],
        style=style,
        services=tuple(plans),
        calls=tuple(sorted(calls, key=lambda c: (levels[c.caller], c.caller, c.callee))),
        entries=entries,
        levels=tuple(levels),
        nodes=max(2, round(size / between(r, (2.0, 8.0)))),
        zones=int(r.integers(1, 4)),
    )


class _Graph:
    """Names, roles and calls, before anything has a number."""

    def __init__(self, r: Generator, c: Configuration, size: int) -> None:
        self.r, self.c = r, c
        self.nodes: list[tuple[str, Role]] = []
        self.calls: list[CallPlan] = []
        self.entries: list[int] = []
        self._namespaces = ("", "", "shop", "core")[int(r.integers(4)) :][:1]
        gateways = 1 + int(r.random() < 0.3) + int(size > 60)
        for i in range(gateways):
            self.entries.append(self._add(f"gateway-{i}" if i else "gateway", Role.GATEWAY))
        stores = max(1, round(size * r.uniform(0.12, 0.25)))
        third = int(r.integers(0, max(2, size // 10)))
        inner = max(2, size - gateways - stores - third)
        services = self._wire(inner)
        self._stores(services, stores)
        for i in range(third):
            at = self._add(f"external:{_THIRD[i % len(_THIRD)]}{i // len(_THIRD) or ''}.example", Role.THIRD_PARTY)
            self._call(services[int(r.integers(len(services)))], at)
        self._cycle(services)

    def _add(self, name: str, role: Role) -> int:
        namespace = self._namespaces[0]
        own = role in {Role.GATEWAY, Role.SERVICE, Role.WORKER}
        if namespace and own and "/" not in name:
            name = f"{namespace}/{name}"
        if any(known == name for known, _ in self.nodes):
            name = f"{name}-{len(self.nodes)}"
        self.nodes.append((name, role))
        return len(self.nodes) - 1

    def _wire(self, inner: int) -> list[int]:
        services: list[int] = []
        tiers: list[list[int]] = [list(self.entries)]
        degree = dict.fromkeys(self.entries, 1.0)
        depth = max(2, round(math.log2(inner) * self.r.uniform(0.7, 1.3)))
        for i in range(inner):
            queued = i > 1 and self.r.random() < self.c.queued
            suffix = f"-{i // len(_NOUNS)}" if i >= len(_NOUNS) else ""
            name = f"{_NOUNS[i % len(_NOUNS)]}{suffix}"
            if i > 2 and self.r.random() < self.c.namesakes:
                name = f"batch/{_NOUNS[int(self.r.integers(min(i, len(_NOUNS))))]}"
            at = self._add(name, Role.WORKER if queued else Role.SERVICE)
            if self.c.wiring == "layers":
                tier = min(len(tiers), 1 + i * depth // inner)
                callers = tiers[tier - 1]
                if tier == len(tiers):
                    tiers.append([])
                tiers[tier].append(at)
                caller = callers[int(self.r.integers(len(callers)))]
            else:
                names = sorted(degree)
                weight = np.array([degree[n] for n in names])
                caller = names[int(self.r.choice(len(names), p=weight / weight.sum()))]
            self._call(caller, at, queued=queued)
            degree[caller] = degree.get(caller, 0.0) + 1.0
            degree[at] = 1.0
            services.append(at)
        more = int(inner * (between(self.r, self.c.fan_out) - 1.0))
        for _ in range(more):
            a, b = sorted(int(x) for x in self.r.choice(len(services), 2, replace=False))
            if self.nodes[services[b]][1] is Role.SERVICE:
                self._call(services[a], services[b])
        return services

    def _stores(self, services: list[int], stores: int) -> None:
        for i in range(stores):
            owner = services[int(self.r.integers(len(services)))]
            cache = self.r.random() < 0.35
            short = self.nodes[owner][0].rpartition("/")[2]
            system = ("redis", "memcached")[int(self.r.integers(2))] if cache else "postgresql"
            at = self._add(f"db:{system}/{short}{i}", Role.CACHE if cache else Role.DATABASE)
            sharers = {
                owner,
                *(services[int(x)] for x in self.r.integers(len(services), size=int(self.r.integers(0, 4)))),
            }
            for sharer in sorted(sharers):
                self._call(sharer, at)

    def _cycle(self, services: list[int]) -> None:
        if len(services) > 3 and self.r.random() < self.c.cyclic:
            forward = [c for c in self.calls if c.callee in services and c.caller in services and not c.queued]
            if forward:
                chosen = forward[int(self.r.integers(len(forward)))]
                self.calls.append(
                    CallPlan(chosen.callee, chosen.caller, float(self.r.uniform(0.02, 0.15)), 2.0, back=True)
                )

    def _call(self, caller: int, callee: int, *, queued: bool = False) -> None:
        if caller == callee or any((c.caller, c.callee) == (caller, callee) for c in self.calls):
            return
        r, role = self.r, self.nodes[callee][1]
        per_request = float(r.uniform(0.2, 1.0) if r.random() < 0.5 else 1.0 + (r.random() < 0.2))
        optional = role is Role.CACHE or (role is not Role.DATABASE and r.random() < self.c.optional)
        retries = int(r.integers(1, 4)) if r.random() < self.c.retried and not queued else 0
        self.calls.append(
            CallPlan(
                caller,
                callee,
                per_request if caller not in self.entries else max(0.15, per_request / 2),
                timeout_s=1.0,
                retries=retries,
                optional=optional,
                parallel=bool(r.random() < 0.25) and not queued,
                queued=queued,
                network_s=between(r, (0.0002, 0.003)) * (20 if role is Role.THIRD_PARTY else 1),
            )
        )


def _service(r: Generator, c: Configuration, name: str, role: Role, habit: Habit) -> ServicePlan:
    store = role in {Role.DATABASE, Role.CACHE, Role.THIRD_PARTY}
    work = between(r, c.work_s) * {Role.CACHE: 0.1, Role.DATABASE: 0.4, Role.THIRD_PARTY: 2.0}.get(role, 1.0)
    return ServicePlan(
        name=name,
        role=role,
        habit=habit,
        instances=1 if store else max(1, round(between(r, c.instances))),
        threads=round(between(r, (8, 128))),
        cores=float(2 ** int(r.integers(0, 3))),
        work_s=max(work, 2e-4),
        spread=between(r, c.spread),
        cpu_share=float(r.uniform(0.1, 0.9)) if not store else float(r.uniform(0.05, 0.3)),
        error_rate=between(r, c.error_rate),
        memory=float(r.uniform(0.2, 0.6)),
        start_s=between(r, (2.0, 12.0)),
        routes=int(r.integers(1, 8)),
    )


def _levelled(calls: list[CallPlan], size: int) -> tuple[list[CallPlan], list[int]]:
    """Longest distance from an entry, by calls that close no cycle. Calls that would close one are said to."""
    forward = [c for c in calls if not c.back]
    levels = [0] * size
    for _ in range(size):
        changed = False
        for c in forward:
            if levels[c.callee] <= levels[c.caller]:
                levels[c.callee], changed = levels[c.caller] + 1, True
        if not changed:
            break
    return calls, levels


def _sized(
    r: Generator,
    c: Configuration,
    plans: list[ServicePlan],
    calls: list[CallPlan],
    entries: tuple[EntryPlan, ...],
    levels: list[int],
) -> list[ServicePlan]:
    """Each service gets threads and cores for the requests that come to it."""
    rate = [0.0] * len(plans)
    for e in entries:
        rate[e.service] += e.rate
    for call in sorted((x for x in calls if not x.back), key=lambda x: levels[x.caller]):
        rate[call.callee] += rate[call.caller] * call.per_request
    hold = [p.work_s * math.exp(p.spread**2 / 2) for p in plans]
    for call in sorted((x for x in calls if not x.back and not x.queued), key=lambda x: -levels[x.caller]):
        hold[call.caller] += call.per_request * (hold[call.callee] + call.network_s)
    out = []
    for plan, arriving, held in zip(plans, rate, hold, strict=True):
        used = between(r, c.utilisation)
        cpu = arriving * plan.work_s * math.exp(plan.spread**2 / 2) * plan.cpu_share / plan.instances
        threads = max(plan.threads, math.ceil(arriving * held / plan.instances / used))
        cores = max(0.25, plan.cpu_share, min(cpu / used, 64.0))
        out.append(replace(plan, threads=threads, cores=cores))
    return out


def _patient(r: Generator, plans: list[ServicePlan], calls: list[CallPlan], levels: list[int]) -> list[CallPlan]:
    """Callers wait some multiple of what an answer usually takes, in the round numbers that people configure."""
    slow = [p.work_s * math.exp(2.5 * p.spread) for p in plans]
    for call in sorted((x for x in calls if not x.back and not x.queued), key=lambda x: -levels[x.caller]):
        slow[call.caller] += call.per_request * (slow[call.callee] + call.network_s)
    steps = np.array([0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0])
    out = []
    for call in calls:
        wanted = slow[call.callee] * between(r, (3.0, 20.0))
        out.append(replace(call, timeout_s=float(steps[min(int(np.searchsorted(steps, wanted)), len(steps) - 1)])))
    return out
