"""Dry run, webhooks and commands: the shipped checks, and every way a call can end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from connectors.actuators.command import CommandActuator
from connectors.actuators.dry_run import DryRunActuator
from connectors.actuators.http import explain
from connectors.actuators.idempotency import OncePerKey
from connectors.actuators.webhook import WebhookActuator, refused
from contracts.checks import actuator as checks
from contracts.errors import ActionFailed, ActuatorUnavailable, OutcomeUnknown, TargetNotFound
from contracts.ports import Applied, Mark, StepRequest, StepResult, Target
from contracts.settings import ActSettings
from tests.patience import PATIENCE_S

TARGET = Target("production", "shop/cart")


def step(action: str, key: str = "k", timeout_s: float = PATIENCE_S, **arguments: Any) -> StepRequest:
    return StepRequest(key, "run-1", "step-1", action, TARGET, arguments, None, timeout_s)


# --- dry run


@pytest.mark.parametrize("check", checks.CHECKS)
async def test_dry_run(check: checks.Check) -> None:
    dry = DryRunActuator()
    arguments: dict[str, dict[str, Any]] = {
        "scale": {"replicas": 4},
        "restart": {"strategy": "rolling"},
        "rollback": {"version": "7"},
        "flag": {"flag": "new", "to": "off"},
        "shift": {"caller": "shop/cart", "callee": "shop/pay", "path": "other"},
        "drain": {"node": "n1", "set": "aside"},
        "webhook": {"name": "pager"},
        "command": {"name": "flush"},
    }
    await check(checks.Subject(lambda: dry, TARGET, lambda: len(dry.recorded), arguments))


async def test_a_dry_run_shows_what_would_have_become() -> None:
    dry = DryRunActuator()
    await dry.apply(step("scale", "1", replicas=5))
    await dry.apply(step("rollback", "2"))
    state = await dry.describe(TARGET)
    assert (state.replicas, state.version, state.previous_version) == (5, "previous", "current")
    assert (await dry.describe(Target("staging", "shop/cart"))).replicas == 1
    assert [r.action for r in dry.recorded] == ["scale", "rollback"]


# --- webhooks


@dataclass
class Receiver:
    """Takes webhooks, and answers as told."""

    url: str = ""
    status: int = 200
    delay_s: float = 0.0
    cut: bool = False
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.got.append((request.headers["Idempotency-Key"], await request.json()))
        self.paths.append(request.raw_path)
        await asyncio.sleep(self.delay_s)
        if self.cut:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=self.status, text="told", headers={"Location": "/elsewhere"})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.add_routes([web.post("/secret-path", receiver.take), web.post("/secret-path/{flag}/{to}", receiver.take)])
    server = TestServer(app)
    await server.start_server()
    receiver.url = str(server.make_url("/secret-path"))
    yield receiver
    await server.close()


@pytest.fixture
async def hook(receiver: Receiver) -> AsyncIterator[WebhookActuator]:
    actuator = WebhookActuator(ActSettings(webhooks={"pager": receiver.url, "gone": "http://127.0.0.1:1/"}))
    yield actuator
    await actuator.close()


@pytest.mark.parametrize("check", checks.CHECKS)
async def test_webhook(check: checks.Check, receiver: Receiver) -> None:
    settings = ActSettings(webhooks={"pager": receiver.url})
    await check(
        checks.Subject(
            lambda: WebhookActuator(settings),
            TARGET,
            lambda: len(receiver.got),
            {"webhook": {"name": "pager"}},
            unlisted="pager",
            remembers=False,
        )
    )


async def test_what_a_webhook_gets(receiver: Receiver, hook: WebhookActuator) -> None:
    asked = step("webhook", "run-1/page/1", name="pager", body={"text": "look"})
    await hook.apply(replace(asked, mark=Mark("north", "webhook", 1)))
    about = {
        "key": "run-1/page/1",
        "run": "run-1",
        "step": "step-1",
        "environment": "production",
        "service": "shop/cart",
        "installation": "north",
    }
    assert receiver.got == [("run-1/page/1", {"text": "look", "homeostat": about})]


async def test_a_webhook_turns_flags_where_the_settings_say_so(receiver: Receiver) -> None:
    hooks = {"flags": receiver.url + "/{flag}/{to}", "pager": receiver.url}
    hook = WebhookActuator(ActSettings(webhooks=hooks, actions={"flag": "webhook:flags"}))
    assert hook.actions == {"webhook", "flag"}
    await hook.apply(step("flag", "run-1/off/1", flag="shop/new", to="off"))
    assert receiver.paths == ["/secret-path/shop%2Fnew/off"]
    ((key, body),) = receiver.got
    assert (key, body["flag"], body["to"]) == ("run-1/off/1", "shop/new", "off")
    assert (body["homeostat"]["action"], body["homeostat"]["service"]) == ("flag", "shop/cart")
    with pytest.raises(ActionFailed, match="webhook actuator can't shift"):
        await hook.apply(step("shift", "k2", caller="a", callee="b"))
    await hook.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, ActionFailed),
        (400, ActionFailed),
        (404, ActionFailed),
        (429, ActuatorUnavailable),
        (500, OutcomeUnknown),
        (503, OutcomeUnknown),
    ],
)
async def test_refused_by_a_webhook(
    status: int, error: type[Exception], receiver: Receiver, hook: WebhookActuator
) -> None:
    receiver.status = status
    with pytest.raises(error, match=f"pager answered {status}: told") as caught:
        await hook.apply(step("webhook", name="pager"))
    assert "secret-path" not in str(caught.value)
    assert len(receiver.got) == 1


async def test_a_webhook_that_does_not_answer(receiver: Receiver, hook: WebhookActuator) -> None:
    receiver.delay_s = PATIENCE_S
    asked = step("webhook", timeout_s=0.2, name="pager")
    while True:
        with pytest.raises((OutcomeUnknown, ActuatorUnavailable)) as caught:
            await hook.apply(asked)
        if isinstance(caught.value, OutcomeUnknown):
            break
        asked = replace(asked, timeout_s=2 * asked.timeout_s)  # the machine was too slow even to send it
    with pytest.raises(OutcomeUnknown, match="sent, and no answer"):
        await hook.apply(asked)  # in doubt it is not called again
    assert len(receiver.got) == 1
    assert await hook.applied(asked) is Applied.UNKNOWN


async def test_a_webhook_cut_off(receiver: Receiver, hook: WebhookActuator) -> None:
    receiver.cut = True
    with pytest.raises(OutcomeUnknown):
        await hook.apply(step("webhook", name="pager"))


async def test_a_webhook_that_is_not_there(hook: WebhookActuator) -> None:
    with pytest.raises(ActuatorUnavailable, match="webhook gone"):
        await hook.apply(step("webhook", name="gone"))


def _leaves(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind}.union(*(_leaves(k) for k in kind.__subclasses__() if k.__module__.startswith("aiohttp")))


def test_every_failure_of_the_client_is_mapped() -> None:
    unsent = {aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL}
    for kind in sorted(_leaves(aiohttp.ClientError), key=str):
        # Their constructors differ, and some print what made them: only the class matters here.
        error = type(kind.__name__, (kind,), {"__init__": lambda _: None, "__str__": lambda _: "broken"})()
        sure = ActuatorUnavailable if issubclass(kind, tuple(unsent)) else OutcomeUnknown
        assert type(explain(error, "x", effect=True)) is sure, kind
        assert type(explain(error, "x", effect=False)) is ActuatorUnavailable, kind


def test_every_status_of_a_webhook_is_mapped() -> None:
    for status in (*range(100, 200), *range(300, 600)):
        assert type(refused(status, "x")) in {ActionFailed, ActuatorUnavailable, OutcomeUnknown}


# --- commands


def commands(**named: str) -> CommandActuator:
    """Commands made of Python code."""
    return CommandActuator(ActSettings(commands={name: [sys.executable, "-c", code] for name, code in named.items()}))


WRITE = "import os, sys; open(sys.argv[1], 'a').write(os.environ['HOMEOSTAT_KEY'] + '\\n')"


@pytest.mark.parametrize("check", checks.CHECKS)
async def test_command(check: checks.Check, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    await check(
        checks.Subject(
            lambda: commands(write=WRITE),
            TARGET,
            lambda: len(file.read_text().splitlines()) if file.exists() else 0,
            {"command": {"name": "write", "args": [str(file)]}},
            unlisted="write",
            remembers=False,
        )
    )


async def test_a_command_gets_its_arguments_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEOSTAT_GRAPH__PASSWORD", "secret")
    code = (
        "import os, sys, json; env = {k: v for k, v in os.environ.items() if k.startswith('HOMEOSTAT')};"
        "json.dump([sys.argv[2:], env], open(sys.argv[1], 'w'))"
    )
    args = [str(tmp_path / "out"), "a b", "; rm -rf /", "$HOME", "*", 3]
    asked = step("command", "key/1", name="say", args=args)
    result = await commands(say=code).apply(replace(asked, mark=Mark("north", "command", 1)))
    words, env = json.loads((tmp_path / "out").read_text())
    assert words == ["a b", "; rm -rf /", "$HOME", "*", "3"]
    assert env == {
        "HOMEOSTAT_KEY": "key/1",
        "HOMEOSTAT_RUN": "run-1",
        "HOMEOSTAT_STEP": "step-1",
        "HOMEOSTAT_ENVIRONMENT": "production",
        "HOMEOSTAT_SERVICE": "shop/cart",
        "HOMEOSTAT_INSTALLATION": "north",
    }
    assert result.data == {"command": "say", "status": 0}


async def test_a_command_leads_traffic_elsewhere_where_the_settings_say_so(tmp_path: Path) -> None:
    code = "import sys, json; json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"
    vector = [
        sys.executable,
        "-c",
        code,
        str(tmp_path / "out"),
        '{"{caller}":"{path}"}',
        "--to={callee}",
        "{other}",
        "{service}",
    ]
    actuator = CommandActuator(ActSettings(commands={"mesh": vector}, actions={"shift": "command:mesh"}))
    assert actuator.actions == {"command", "shift"}
    await actuator.apply(step("shift", "k", caller="shop/cart", callee="shop/pay", path="other"))
    words = json.loads((tmp_path / "out").read_text())
    assert words == ['{"shop/cart":"other"}', "--to=shop/pay", "{other}", "shop/cart"]


@pytest.mark.parametrize("value", ["--all", "off\n"])
async def test_what_is_filled_in_makes_no_option(value: str) -> None:
    settings = ActSettings(commands={"turn": [sys.executable, "{to}"]}, actions={"flag": "command:turn"})
    with pytest.raises(ActionFailed, match="nothing to fill in"):
        await CommandActuator(settings).apply(step("flag", flag="new", to=value))


async def test_exit_status() -> None:
    actuator = commands(bad="print('no such cache'); raise SystemExit(3)", shot="import os; os.kill(os.getpid(), 11)")
    with pytest.raises(ActionFailed, match="command bad ended with status 3: no such cache"):
        await actuator.apply(step("command", name="bad"))
    with pytest.raises(OutcomeUnknown, match="killed by signal 11"):
        await actuator.apply(step("command", "k2", name="shot"))


async def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"open({str(pid_file)!r}, 'w').write(str(p.pid)); time.sleep(60)"
    )
    limit_s = 1
    while not pid_file.exists() or not pid_file.read_text():  # until it lives long enough to have a child
        with pytest.raises(OutcomeUnknown, match=f"killed after {limit_s} s"):
            await commands(slow=code).apply(step("command", timeout_s=limit_s, name="slow"))
        limit_s *= 2
    deadline = time.monotonic() + PATIENCE_S
    while _runs(int(pid_file.read_text())) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert not _runs(int(pid_file.read_text()))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_much_output_is_read_and_its_end_kept() -> None:
    with pytest.raises(ActionFailed, match=r"the end \(the end of 3000009 bytes, SHA-256 [0-9a-f]{64}\)$"):
        await commands(loud="print('x' * 3_000_000); print('the end'); exit(1)").apply(step("command", name="loud"))


@pytest.mark.parametrize("vector", [[], ["/no/such/program"], [os.devnull]])
async def test_what_is_no_program(vector: list[str]) -> None:
    with pytest.raises(ActionFailed, match="can't be run"):
        await CommandActuator(ActSettings(commands={"x": vector})).apply(step("command", name="x"))


async def test_unknown_names(hook: WebhookActuator) -> None:
    with pytest.raises(TargetNotFound, match="there are: gone, pager"):
        await hook.apply(step("webhook", name="page"))
    with pytest.raises(TargetNotFound, match="there are: a, b"):
        await commands(b="", a="").apply(step("command", name="c"))


# --- once per key


async def test_once_per_key() -> None:
    once, begun = OncePerKey(), 0

    async def fails() -> StepResult:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        raise ActionFailed("no")

    async def works() -> StepResult:
        return StepResult("yes")

    results = await asyncio.gather(*(once.run("k", fails) for _ in range(3)), return_exceptions=True)
    assert [type(r) for r in results] == [ActionFailed] * 3  # without effect, so each may try
    assert begun == 3
    assert once.applied("k") is Applied.UNKNOWN
    assert (await once.run("k", works)).text == "yes"
    assert (await once.run("k", fails)).text == "yes"
    assert once.applied("k") is Applied.YES


async def test_cut_off_in_the_middle_is_in_doubt() -> None:
    once = OncePerKey()

    async def hangs() -> StepResult:
        await asyncio.sleep(60)
        return StepResult("")

    task = asyncio.create_task(once.run("k", hangs))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(OutcomeUnknown):
        await once.run("k", hangs)


async def test_what_a_command_prints_is_told_without_secrets_and_escapes() -> None:
    script = "printf '\\033[31mlogin with password=hunter2xyz\\033[0m failed'; exit 3"
    actuator = CommandActuator(ActSettings(commands={"loose": ["sh", "-c", script]}))
    with pytest.raises(ActionFailed) as caught:
        await actuator.apply(step("command", name="loose"))
    assert caught.value.message == "command loose ended with status 3: login with password=<secret> failed"
