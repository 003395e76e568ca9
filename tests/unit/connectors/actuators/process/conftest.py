"""A process manager with small services, and an actuator on it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from connectors.actuators.process.manager import ManagedService, ProcessManager
from connectors.actuators.process.process_actuator import ProcessActuator
from contracts.settings import ActSettings
from tests.patience import PATIENCE_S

COMMAND = (sys.executable, "-S", str(Path(__file__).with_name("service.py")), "{port}", "{version}", "{instance}")
SERVICES = (
    ManagedService("cart", COMMAND, replicas=1, version="v1", ready_timeout_s=PATIENCE_S),
    ManagedService("shop/pay", COMMAND, replicas=2, version="v1", env={"STUBBORN": "1"}, ready_timeout_s=PATIENCE_S),
)


def exists(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[ProcessManager]:
    manager = ProcessManager(SERVICES, tmp_path / "state" / "manager.sqlite")
    await manager.start()
    yield manager
    pids = [i["pid"] for name in manager.names for i in manager.service(name)["instances"]]
    await manager.stop()
    assert not [p for p in pids if exists(p)], "processes left behind"


@pytest.fixture
async def actuator(manager: ProcessManager) -> AsyncIterator[ProcessActuator]:
    actuator = open_on(manager)
    yield actuator
    await actuator.close()


def open_on(manager: ProcessManager) -> ProcessActuator:
    """An actuator on it."""
    return ProcessActuator(ActSettings(process_manager=manager.url))


@pytest.fixture
def signal_all() -> Callable[[ProcessManager, str, int], None]:
    """Send a signal to every instance of a service."""

    def send(manager: ProcessManager, service: str, number: int) -> None:
        for instance in manager.service(service)["instances"]:
            os.kill(instance["pid"], number)

    return send
