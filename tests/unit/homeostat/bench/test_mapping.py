"""A day of the OpenTelemetry demo's kind of telemetry: nearly all points and callees are understood, and the rest is listed."""

from __future__ import annotations

from collections import Counter

import pytest
from click.testing import CliRunner

from connectors.otlp.conventions import standard
from connectors.otlp.decode import decode
from contracts.topics import OTLP_LOGS, OTLP_METRICS
from homeostat.bench.astronomy.instruments import instruments
from homeostat.bench.astronomy.shop_day import ShopDay
from homeostat.bench.astronomy.shop_services import SERVICES
from homeostat.bench.mapping import understood
from homeostat.cli.app import cli


@pytest.mark.parametrize("seed", [11, 12])
def test_nearly_all_is_understood_and_the_rest_is_listed(seed: int) -> None:
    found = understood(ShopDay(seed, moments=4))
    assert found.mapped_share >= 0.95
    assert found.known_share >= 0.95
    assert found.named_share >= 0.99
    assert found.mapped + found.ignored + sum(found.unread.values()) == found.points, "each point is counted once"
    listed = "\n".join(found.lines())
    assert all(metric.name in listed for metric in found.unread)


def test_what_is_not_understood_is_what_the_shop_has_made_up() -> None:
    own = {metric.name for metric in understood(ShopDay(moments=1)).unread}
    assert all(name.startswith(("app.", "app_", "quotes")) for name in own), own


def test_a_table_without_rows_understands_nothing_and_says_so() -> None:
    """The figures are of the table: without its rows for metrics all points are listed."""
    import msgspec

    from connectors.otlp.conventions import Conventions

    found = understood(ShopDay(moments=1), Conventions(msgspec.structs.replace(standard().table, metric=())))
    assert found.mapped == 0
    assert sum(found.unread.values()) == found.points > 1000


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert list(ShopDay(3, moments=2).messages()) == list(ShopDay(3, moments=2).messages())
    assert list(ShopDay(3, moments=1).messages()) != list(ShopDay(4, moments=1).messages())


def test_all_services_send_and_errors_are_seen_in_logs_without_severity() -> None:
    services: set[str] = set()
    worst: Counter[str] = Counter()
    for topic, _, payload in ShopDay(moments=1).messages():
        decoded = decode(topic, payload)
        services |= {r.service.rpartition("/")[2] for r in decoded.resources}
        if topic == OTLP_LOGS and decoded.logs is not None:
            worst[decoded.resources[0].service.rpartition("/")[2]] = int(decoded.logs.severity.max())
        assert topic != OTLP_METRICS or not decoded.skipped.get("invalid_field")
    assert set(SERVICES) <= services
    assert worst["checkout"] == worst["payment"] == 17, "their errors name no severity but in the body"


def test_instruments_have_a_point_for_each_combination() -> None:
    (found,) = instruments("a.b|C|{x}|one=1,2;two=true,no")
    assert list(found.points) == [{"one": a, "two": b} for a in (1, 2) for b in (True, "no")]


def test_who_feeds_no_feature_says_why() -> None:
    assert all(row.reason for row in standard().table.metric if row.kind == "unused")


def test_the_command_prints_both_shares() -> None:
    done = CliRunner().invoke(cli, ["bench", "mapping"])
    assert done.exit_code == 0, done.output
    assert "mapped (" in done.stdout
    assert "ignored by name (" in done.stdout
    assert "callees are known" in done.stdout
