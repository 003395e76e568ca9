"""Every built-in sink passes the suite that ships for all of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from connectors.sinks import open_sinks
from contracts.checks import sink as suite
from contracts.checks.sink import SinkSubject, published
from contracts.errors import InvalidSettings, Permanent, Retryable, UnknownName
from contracts.settings import SinkSettings
from contracts.topics import INCIDENTS


def test_unknown_names_and_missing_settings_are_said() -> None:
    assert open_sinks(SinkSettings()) == []
    with pytest.raises(UnknownName, match=r"unknown sink 'fil' \(did you mean 'file'\? valid: file, pager, webhook\)"):
        open_sinks(SinkSettings(use=("fil",)))
    for name in ("file", "pager", "webhook"):
        with pytest.raises(InvalidSettings, match=rf"set sinks\.{name}"):
            open_sinks(SinkSettings(use=(name,)))


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda c: c.__name__)
async def test_file(check: Callable[[SinkSubject], Awaitable[None]], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    file = folder / "events.jsonl"
    settings = SinkSettings(use=("file",), file=file)

    def received() -> list[str]:
        return [json.loads(line)["id"] for line in file.read_text("utf-8").splitlines()] if file.exists() else []

    @asynccontextmanager
    async def away() -> AsyncIterator[None]:
        folder.rename(tmp_path / "gone")
        yield
        (tmp_path / "gone").rename(folder)

    await check(SinkSubject(lambda: open_sinks(settings)[0], received, away))


async def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"id": "cut o')
    (sink,) = open_sinks(SinkSettings(use=("file",), file=file))
    event = published(1)
    await sink.deliver([event])
    cut, line = file.read_bytes().splitlines()
    assert cut == b'{"id": "cut o'
    assert json.loads(line) == {
        "id": event.id,
        "topic": INCIDENTS,
        "key": event.key,
        "event": json.loads(event.value),
    }


async def test_a_new_file_is_its_owners_and_stays_as_its_owner_wants_it(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    (sink,) = open_sinks(SinkSettings(use=("file",), file=file))
    await sink.deliver([published(1)])
    assert file.stat().st_mode & 0o077 == 0
    file.chmod(0o644)
    await sink.deliver([published(2)])
    assert file.stat().st_mode & 0o777 == 0o644


class Hook:
    """A receiver of webhooks."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.status = 200
        self.server = TestServer(self._application())

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/hook", self._take)
        return application

    async def _take(self, request: web.Request) -> web.Response:
        if self.status == 200:
            body = await request.json()
            assert request.headers["Idempotency-Key"] == body["id"]
            self.received.append(body["id"])
        return web.Response(status=self.status)

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        self.status = 503
        yield
        self.status = 200

    @property
    def settings(self) -> SinkSettings:
        return SinkSettings(use=("webhook",), webhook=SecretStr(str(self.server.make_url("/hook"))))


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    found = Hook()
    await found.server.start_server()
    yield found
    await found.server.close()


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda c: c.__name__)
async def test_webhook(check: Callable[[SinkSubject], Awaitable[None]], hook: Hook) -> None:
    await check(SinkSubject(lambda: open_sinks(hook.settings)[0], lambda: hook.received, hook.away))


@pytest.mark.parametrize(
    ("status", "error"), [(400, Permanent), (404, Permanent), (302, Permanent), (429, Retryable), (500, Retryable)]
)
async def test_what_a_webhook_answers_says_whether_to_come_again(
    status: int, error: type[Exception], hook: Hook
) -> None:
    hook.status = status
    (sink,) = open_sinks(hook.settings)
    with pytest.raises(error, match=str(status)):
        await sink.deliver([published(1)])
    await sink.close()


async def test_the_address_stays_out_of_messages() -> None:
    (sink,) = open_sinks(SinkSettings(use=("webhook",), webhook=SecretStr("http://127.0.0.1:1/secret-place")))
    with pytest.raises(Retryable) as told:
        await sink.deliver([published(1)])
    assert "secret-place" not in str(told.value)
    await sink.close()
