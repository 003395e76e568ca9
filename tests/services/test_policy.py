"""An OPA server with the built-in policy passes the shipped checks of a policy; with it away nothing is decided."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.policy import open_policy
from connectors.policy.rego import built_in
from contracts.checks import policy as checks
from contracts.errors import PolicyUnavailable
from tests.services.servers.opa import OpaServer, opa


@pytest.mark.parametrize("check", checks.CHECKS)
async def test_checks(check: checks.Check, opa_server: OpaServer) -> None:
    await check(lambda: open_policy(opa_server.document))


async def test_the_server_answers_as_the_interpreter_in_the_process_does(opa_server: OpaServer) -> None:
    for change in ({}, {"environment": ""}, {"action": "delete-everything"}, {"target": None}):
        question = {**checks.QUESTION, **change}
        server, process = open_policy(opa_server.document), built_in()
        try:
            assert await server.evaluate(question) == await process.evaluate(question), change
        finally:
            await server.close()
            await process.close()


async def test_away_and_back(opa_server: OpaServer) -> None:
    policy = open_policy(opa_server.document)
    try:
        before = await policy.evaluate(checks.QUESTION)
        await opa_server.kill()
        with pytest.raises(PolicyUnavailable, match=r"is OPA running at act\.policy\?"):
            await policy.evaluate(checks.QUESTION)
        await opa_server.start()
        assert await policy.evaluate(checks.QUESTION) == before
    finally:
        await policy.close()


async def test_a_document_the_server_does_not_have_denies(opa_server: OpaServer) -> None:
    policy = open_policy(f"{opa_server.url}/v1/data/nothing/here")
    try:
        verdict = await policy.evaluate(checks.QUESTION)
    finally:
        await policy.close()
    assert not verdict.allowed


async def test_a_policy_of_ones_own(tmp_path: Path) -> None:
    rule = tmp_path / "own.rego"
    rule.write_text('package homeostat\n\nallow := false\n\ndeny contains "not on Fridays"\n')
    async with opa(tmp_path / "opa", rule) as server:
        policy = open_policy(server.document)
        try:
            verdict = await policy.evaluate(checks.QUESTION)
        finally:
            await policy.close()
    assert (verdict.allowed, verdict.denials) == (False, ("not on Fridays",))
