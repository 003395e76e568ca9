"""Decisions put on their topic as the decide stage would, one after the other over many environments."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid

import confluent_kafka

from contracts.events import Decision, Option, encode
from contracts.topics import DECISIONS, partition_of
from contracts.verdicts import Autonomy, CauseKind, DecisionVerdict

ENVIRONMENTS = 24
"""One at a time in each: a run must be over before the next decision of its environment."""


class Decisions:
    """One every `every_s`; `made` are those on the topic."""

    def __init__(self, bootstrap: str, partitions: int, every_s: float) -> None:
        self.made: dict[str, str] = {}
        self._partitions, self._every_s = partitions, every_s
        self._task: asyncio.Task[None] | None = None
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 300_000,
                "log_level": 0,
                "reconnect.backoff.max.ms": 200,
            }
        )

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="decisions")

    async def stop(self) -> None:
        """End; all that were made are on the topic on return."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        assert not await asyncio.to_thread(self._producer.flush, 60), "decisions were not taken"

    async def _run(self) -> None:
        for number in itertools.count():
            environment = f"env-{number % ENVIRONMENTS}"
            decision = decision_of(environment, f"nothing-{number}")
            partition = partition_of(environment, self._partitions)
            value = encode(decision)
            # Twice now and then: a decision may be delivered again, and must not be carried out again.
            for _ in range(2 if number % 5 == 0 else 1):
                self._producer.produce(DECISIONS, value, key=decision.incident, partition=partition)
            self.made[decision.id] = environment
            self._producer.poll(0)
            await asyncio.sleep(self._every_s)


def decision_of(environment: str, target: str) -> Decision:
    """To carry out `note` on a target."""
    now, chosen = time.time_ns(), Option(playbook="note", playbook_version="1.0", target=target, score=1.0, tier=1)
    return Decision(
        id=uuid.uuid4().hex,
        incident=f"incident-{target}",
        environment=environment,
        time_ns=now,
        verdict=DecisionVerdict.ACT,
        autonomy=Autonomy.ACT,
        cause=CauseKind.UNKNOWN,
        cause_service=target,
        cause_probability=0.9,
        onset_ns=now,
        chosen=chosen,
        options=(chosen,),
        world_hash="chaos",
        text="chaos",
    )
