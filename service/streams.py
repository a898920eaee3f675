"""Standard streams of a command that nobody reads, or that were closed before it began."""

import io
import os
import sys
from pathlib import Path


def open_closed() -> None:
    """Open standard streams that are closed as /dev/null, before a file or a connection gets their numbers.

    What is written is UTF-8, whatever the locale says.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            os.set_inheritable(number, True)
    sys.stdout, sys.stderr = sys.stdout or _nothing(), sys.stderr or _nothing()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def drop_untaken() -> None:
    """Forget what nobody takes: Python writes it when it ends, and complains of a closed pipe or a full disk."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


def _nothing() -> io.TextIOWrapper:
    return Path(os.devnull).open("w", encoding="utf-8")
