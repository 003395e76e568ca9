"""The simulator beside real processes: the drawn shop has the real one's plan, laws are read off both alike, and what is off is said."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from contracts.units import SECOND
from homeostat.cli.app import cli
from homeostat.demo.shop.blueprint import LOAD, SHOP
from homeostat.realism.beside import beside_drawn
from homeostat.realism.compared import LATENCY, PROPAGATION, RECOVERY, TIMING, compared, until_well
from homeostat.realism.course import LOADS, SecondSeen, SeenSpan, ShopCourse, Stretch, by_second
from homeostat.realism.drawn_shop import DrawnShop, plan_of
from homeostat.realism.reading_otlp import spans_of
from homeostat.realism.real_shop import SpanListener
from homeostat.realism.realism_page import realism_page
from tests.patience import LONG_S

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_S)]


@pytest.fixture(scope="module")
def drawn() -> ShopCourse:
    return DrawnShop("request", 7, 2.0).run()


def test_the_drawn_shop_has_the_real_ones_plan() -> None:
    plan = plan_of(2.0)
    names = {i: s.name for i, s in enumerate(plan.services)}
    calls = {(names[c.caller], names[c.callee]) for c in plan.calls}
    expected = {
        (name if name != "frontend" else f"frontend{path}", callee)
        for name, blueprint in SHOP.items()
        for path, route in blueprint.routes.items()
        for callee, _ in route.calls
    }
    assert calls == expected
    assert {names[e.service]: e.rate for e in plan.entries} == {f"frontend{path}": rate for path, rate in LOAD.items()}
    by_name = {s.name: s for s in plan.services}
    assert (by_name["catalog"].threads, by_name["catalog"].work_s) == (1, 0.020)
    assert [s.name for s in plan.services if not s.tells] == ["bank"]
    assert all(plan.levels[c.caller] < plan.levels[c.callee] for c in plan.calls)


def test_a_course_beside_itself_is_nowhere_off(drawn: ShopCourse) -> None:
    laws = compared(drawn, [drawn])
    assert {x.law for x in laws} == {LATENCY, PROPAGATION, RECOVERY, TIMING}
    for x in laws:
        assert x.ratio.value == pytest.approx(1.0), x.figure
        assert x.ratio.low is not None
        assert x.ratio.high is not None
        assert x.ratio.low <= 1.0 <= x.ratio.high
        assert "off" not in x.line()


def test_what_is_twice_as_slow_is_told_as_that(drawn: ShopCourse) -> None:
    slower = {
        name: {s: row._replace(p50_s=2 * row.p50_s) for s, row in known.items()}
        for name, known in drawn.seconds.items()
    }
    other = ShopCourse("window", drawn.stretches, slower, [], {}, [2.0])
    found = {x.figure: x for x in compared(drawn, [other])}
    at = found["catalog p50 at 1 times the load"]
    assert at.ratio.value == pytest.approx(2.0)
    assert "<- off" in at.line()
    assert found["catalog p95 at 1 times the load"].ratio.value == pytest.approx(1.0)


def test_more_load_is_slower_and_failures_are_passed_on_in_the_drawn_shop(drawn: ShopCourse) -> None:
    figures = {x.figure: x.real.value or 0.0 for x in compared(drawn, [drawn])}
    assert figures[f"catalog p95 at {LOADS[-1]:g} times the load"] > 2 * figures["catalog p95 at 0.5 times the load"]
    assert figures["failures of cart that frontend/cart passes on"] == pytest.approx(1.0, abs=0.25)
    assert figures["from a failure of cart to frontend/cart's"] > 0.0
    assert figures["seconds until users are served as before"] > 1.0


def test_users_are_well_after_three_good_seconds() -> None:
    good, bad = SecondSeen(9, 0.0, 0.02, 0.03), SecondSeen(9, 0.5, 0.02, 0.03)
    seen = {second: bad if 20 <= second < 24 or second == 26 else good for second in range(60)}
    course = ShopCourse("real", [Stretch("load", 1.0, 0.0, 15.0)], {"frontend/cart": seen})
    assert until_well(course, Stretch("restart", 0.0, 20.0, 40.0)) == 7.0
    assert until_well(course, Stretch("restart", 0.0, 22.5, 27.0)) == 4.5, "never in that time: to its end"


def test_seconds_are_those_in_which_requests_end_and_calls_are_none() -> None:
    spans = [
        SeenSpan("cart", True, b"1", b"", 1.9, 2.1, False, 2.3),
        SeenSpan("cart", True, b"2", b"", 2.1, 2.5, True, 2.6),
        SeenSpan("cart", False, b"3", b"1", 2.0, 2.05, False, 2.3),
    ]
    assert by_second(spans) == {"cart": {2: SecondSeen(2.0, 0.5, pytest.approx(0.3), pytest.approx(0.39))}}


async def test_what_a_service_sends_is_taken_with_its_time() -> None:
    data = TracesData()
    group = data.resource_spans.add()
    for key, value in (("service.name", "frontend"), ("service.namespace", "shop")):
        said = group.resource.attributes.add(key=key)
        said.value.string_value = value
    span = group.scope_spans.add().spans.add(
        span_id=b"1" * 8, kind=Span.SPAN_KIND_SERVER, start_time_unix_nano=SECOND, end_time_unix_nano=3 * SECOND
    )
    span.attributes.add(key="http.route").value.string_value = "/buy"
    async with (
        SpanListener() as listener,
        aiohttp.ClientSession() as session,
        session.post(f"{listener.address}/v1/traces", data=data.SerializeToString()) as reply,
    ):
        assert reply.status == 200
    ((what, arrived_ns, body),) = listener.messages
    (found,) = spans_of(body, SECOND, 5.0)
    assert (what, arrived_ns > 0) == ("traces", True)
    assert found == SeenSpan("frontend/buy", True, b"1" * 8, b"", 0.0, 2.0, False, 5.0)


def test_the_page_shows_every_law_of_all_sides(drawn: ShopCourse) -> None:
    drawn.start_s = [2.0]
    found = beside_drawn(drawn, 8)
    assert [c.name for c in found.drawn] == ["request", "window"]
    page = realism_page(found.real, found.drawn, found.laws)
    assert page.count("<svg") == 8
    assert "nan" not in page
    assert all(f"<h2>{law.capitalize()}</h2>" in page for law in (LATENCY, PROPAGATION, RECOVERY, TIMING))


@pytest.mark.parametrize("option", ["--html", "--json"])
def test_a_page_of_what_is_not_measured_is_refused(tmp_path: Path, option: str) -> None:
    refused = CliRunner().invoke(cli, ["bench", "twin", option, str(tmp_path / "x")])
    assert refused.exit_code != 0
    assert "add --realism" in refused.output
