"""Servers and commands that are told to end, or whose terminal is closed: nothing that they started goes on."""

import os
import signal
import subprocess
import sys
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


MOMENTS = {
    "while it is loaded": "sys.meta_path.insert(0, Interrupting())",
    "a second one": "commands._code = streams.drop_untaken = interrupt",
    "a second one at the very end": "commands._code = interrupt; atexit.register(interrupt)",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_is_silent_whenever_it_comes(moment: str) -> None:
    before = "" if moment == "while it is loaded" else "from service import commands, streams"
    program = f"""
import atexit, os, signal, sys
from service.entry import main
{before}

def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)

class Interrupting:
    def find_spec(self, name, *_):
        if name == "numpy":
            interrupt()

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run in the background
{MOMENTS[moment]}
main()
"""
    done = subprocess.run([sys.executable, "-c", program, "prune"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
