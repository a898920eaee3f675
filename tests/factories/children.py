"""The processes that a test has started."""

import contextlib

import psutil


def children(words: str = "") -> list[psutil.Process]:
    """This process's running children whose command line has these words. One may end while it is looked at."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie's command line is empty, or raises it
            if child.status() != psutil.STATUS_ZOMBIE and words in " ".join(child.cmdline()):
                found.append(child)
    return found
