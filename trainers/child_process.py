"""How modules of allasprak are run in other processes, and in this one: text is UTF-8, whatever the locale says."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, MappingProxyType

# What `python` has as options, for processes that others start.
VARIABLES: Mapping[str, str] = MappingProxyType({"PYTHONSAFEPATH": "1", "PYTHONUTF8": "1"})


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module.

    A file of the same name in the current folder does not hide it (-P), and text is UTF-8, whatever the locale says.
    """
    return [sys.executable, "-P", "-X", "utf8", "-m", module, *arguments]


def leave_removed_folder() -> None:
    """Go to the root where the current folder was removed: nothing starts there that asks for its name, as Ray does."""
    try:
        Path.cwd()
    except FileNotFoundError:
        os.chdir("/")


@contextmanager
def ended_in_order() -> Iterator[None]:
    """In this context a process that is told to end, or whose terminal is closed, leaves as it does for an exception.

    What it has begun is undone by the blocks that it is in. Signals that it was started without stay ignored.
    """
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # not all on Windows
    ending = [one for one in signals if signal.getsignal(one) == signal.SIG_DFL]
    for one in ending:
        signal.signal(one, _leave)
    try:
        yield
    finally:
        for one in ending:
            signal.signal(one, signal.SIG_DFL)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def require_utf_8() -> None:
    """Begin this process anew where the locale, which may know ASCII alone, sets how files are named."""
    if sys.getfilesystemencoding() != "utf-8" and sys._xoptions.get("utf8") != "0":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
