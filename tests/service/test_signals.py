"""Servers and commands that are told to end, or whose terminal is closed: nothing that they started goes on."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainers.child_process import python

pytestmark = pytest.mark.service

# Under nohup tests ignore it, and so would what they start.
HEARD = ("env", "--default-signal=HUP")


def test_a_server_whose_terminal_is_closed_ends_in_order(tmp_path: Path, start_service: Callable[..., Any]) -> None:
    service = start_service(tmp_path / "home", within=HEARD)
    assert f"the service is at {service.url}" in service.log.read_text()
    service.process.send_signal(signal.SIGHUP)
    assert service.process.wait(60) == 128 + signal.SIGHUP
    assert service.processes() == []


@pytest.mark.parametrize("ending", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_a_demo_that_is_told_to_end_takes_its_service_along(
    tmp_path: Path, processes_of: Callable[[Path], list[Any]], ending: signal.Signals
) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALLASPRAK_")}
    with subprocess.Popen(
        [*HEARD, *python("service.cli", "demo")],
        env={**clean, "ALLASPRAK_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        next(line for line in demo.stdout if line.startswith("submitted"))
        demo.send_signal(ending)
        assert demo.wait(60) == 128 + ending
    deadline = time.monotonic() + 10
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(tmp_path) == []
