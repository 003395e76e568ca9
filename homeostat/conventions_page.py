"""docs/conventions.md: the table of conventions for people, made from the data that decoders use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from connectors.otlp.convention_table import MUST_NAME, OF_REQUESTS, MetricRow
from connectors.otlp.conventions import Conventions, standard
from contracts.features import FEATURES

_REQUESTS: Final = "`metric_request_rate`, `metric_error_rate`, `metric_latency_*`"
_HEAD: Final = """# Conventions

Generated from `connectors/otlp/conventions.toml`. [telemetry.md](telemetry.md#metrics) says how it is used and how to add to it.
"""


def page() -> str:
    """The whole page."""
    table = standard()
    prometheus = (
        "Names with dots are also found as Prometheus has them: underscores for dots, the unit's word behind, `_total` for counters. "
        "A star stands for any ending. "
        f"Rows of {_names(table.table.views.features)} are views of one fact: of a service the first that was told of within five "
        "minutes counts, the others are counted as `other_view`. So are rows of durations with one `part of`."
    )
    parts = [
        _HEAD,
        f"## Metrics\n\n{prometheus}\n\n{_metrics(table)}",
        f"## Whom a point is about\n\n{_subjects(table)}",
        f"## Attributes\n\nOf metric points also with underscores for dots. The first that is there counts.\n\n{_attributes(table)}",
        f"## Failures\n\n{_failures(table)}",
        f"## Units\n\nIn any case where they are words of more than three letters; `{{…}}` counts as 1.\n\n{_units(table)}",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _metrics(table: Conventions) -> str:
    listed = sorted(table.table.metric, key=_order)
    rows = [
        f"| {_feature(row)} | {_names(row.names)} | {_how(row)} | {row.source} |"
        for _, group in groupby(listed, key=_order)
        for row in group
    ]
    return "| feature | metrics | how they are read | from |\n|---|---|---|---|\n" + "\n".join(rows)


def _order(row: MetricRow) -> int:
    kinds = {**dict.fromkeys(OF_REQUESTS, len(FEATURES)), "unused": len(FEATURES) + 1}
    return kinds.get(row.kind, list(FEATURES).index(row.feature) if row.feature else 0)


def _feature(row: MetricRow) -> str:
    return {**dict.fromkeys(OF_REQUESTS, _REQUESTS), "unused": "none"}.get(row.kind, f"`{row.feature}`")


def _how(row: MetricRow) -> str:
    kinds = {
        "level": "a level",
        "counter": "a counter: becomes a rate",
        "duration": "durations",
        "requests": "a counter of requests",
        "failures": "a counter of those that failed",
        "unused": f"not at all: {row.reason}" if row.reason else "not at all",
    }
    return "; ".join([kinds[row.kind], *_conditions(row)])


def _conditions(row: MetricRow) -> Iterator[str]:
    if row.part_of:
        yield f"part of: {row.part_of}"
    if row.scope:
        yield f"of scopes named like `{row.scope}`"
    if row.only is not None:
        yield f"only {_names(row.only.values)} of {_names(row.only.keys[:1])}" + (
            ", taken from 1" if row.complement else ""
        )
    if row.served is not None:
        yield f"only {_names(row.served.values)} of {_names(row.served.keys)}"
    if row.kind_required:
        yield "only points that say `span.kind` server or consumer"
    yield from _calls(row)
    if row.summed:
        yield f"what differs only in {_names(row.summed[:2])} is added"
    if row.largest:
        yield f"the largest of all {_names(row.largest[:1])}s"
    if row.subject:
        yield f"of the [{row.subject}](#whom-a-point-is-about)"
    if row.unit == MUST_NAME:
        yield "must name its unit"
    elif row.unit not in ("", "1", "By", "{cpu}"):
        yield f"in `{row.unit}` where it names no unit"


def _calls(row: MetricRow) -> Iterator[str]:
    if row.calls == "graph":
        yield "calls of `client` to `server`" + (" alone" if row.calls_only else ", too")
    elif row.calls:
        yield "calls of whom attributes name as a peer, where `span.kind` is client or producer"
    if row.rank:
        yield f"rank {row.rank}: only where nothing of a lower one counts the same requests"


def _subjects(table: Conventions) -> str:
    rows = []
    for s in table.subjects.values():
        labels = "; ".join(f"`{attribute}` from {_names(names)}" for attribute, names in s.labels.items())
        named = f", as `{s.node}`" if s.node else ""
        rows.append(f"| {s.name} | {s.text}{named} | {labels} | {'its sender' if s.otherwise else 'nobody'} |")
    return "| subject | is | found by | else it is about |\n|---|---|---|---|\n" + "\n".join(rows)


def _attributes(table: Conventions) -> str:
    rows = [f"| {row.fact} | {row.text} | {_names(row.keys)} |" for row in table.table.attribute]
    return "| fact | what it is | attributes |\n|---|---|---|\n" + "\n".join(rows)


def _failures(table: Conventions) -> str:
    j = table.table.judgement
    ranges = [
        ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in part)
        for part in (j.http.failed, j.http.failed_for_caller)
    ]
    rpc = [_names(n for n in j.rpc.names if n in part) for part in (j.rpc.failed, j.rpc.failed_for_caller)]
    rows = [
        ("http_status", ranges[0], ranges[1]),
        ("rpc_status", *rpc),
        ("error_type", f"a code as above; else anything but {_names(sorted(j.error.none - {''}))}", "the same"),
        ("error_flag, exception_escaped", "`true`, `1`, `yes`", "the same"),
        ("outcome", _names(sorted(j.outcome.failed)), "the same"),
        ("status_text", _names(sorted(j.status.failed)), "the same"),
        ("response_flags", f"without an HTTP status: {_names(sorted(j.flags.failed))}", "the same"),
    ]
    body = "\n".join(f"| {fact} | {failed} | {caller} |" for fact, failed, caller in rows)
    return f"Codes decide before all else; other codes of clients' making are no failures.\n\n| fact | failed | for who called |\n|---|---|---|\n{body}"


def _units(table: Conventions) -> str:
    rows = [f"| {row.dimension} | {row.factor:g} | {_names(row.written)} |" for row in table.table.unit]
    return "| dimension | factor | written |\n|---|---|---|\n" + "\n".join(rows)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
