"""Where a command line begins and ends: Ctrl-C is silent also while its modules are loaded, which takes a second."""

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from types import FrameType
from typing import NoReturn

# What shells say of a process that Ctrl-C has ended.
INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run one of all commands."""
    _start("service.cli")


def asking() -> None:
    """Run one of the commands that ask a service."""
    _start("service.commands")


def _start(module: str) -> None:
    """Run the commands of a module. A process that was started without Ctrl-C, as in the background, stays so."""
    before = signal.getsignal(signal.SIGINT)
    ending = _leave if before == signal.default_int_handler else before
    signal.signal(signal.SIGINT, ending)
    run: Callable[[], None] = import_module(module).main
    signal.signal(signal.SIGINT, before)
    try:
        run()
    except KeyboardInterrupt:  # a second one, while the first was seen to
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, ending)


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End at once: nothing is begun yet, or everything is over."""
    os._exit(INTERRUPTED)
