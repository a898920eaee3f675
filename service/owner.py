"""Whose a pool, its drivers and a database are: a home on a machine. Nobody else may read what lies in the home.

A pid alone says neither: another machine and a container have others, and a home that was copied has those of the
original in its files.
"""

import logging
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

# What our processes write is for their user alone.
UMASK = 0o077


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A home on a machine.

    Attributes:
        home: its path.
        folder: its device and inode, which no copy has.
        host: the name of the machine.
        place: where a pid names one process: a boot of a machine, and there the machine itself or a container.
    """

    home: str
    folder: str
    host: str
    place: str

    def is_same_as(self, other: "Owner") -> bool:
        """Whether both are one home on one machine since it was started; the home may have been renamed."""
        return (self.folder, self.place) == (other.folder, other.place)


def owner_of(home: Path) -> Owner:
    """A home that is there, on this machine (proc_sys_kernel(5): boot_id; pid_namespaces(7))."""
    state = home.stat()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return Owner(
        home=str(home),
        folder=f"{state.st_dev}:{state.st_ino}",
        host=socket.gethostname(),
        place=f"{boot} {Path('/proc/self/ns/pid').readlink()}",
    )


def make_private(home: Path) -> None:
    """Make a home, or close one to other users. What this process and its children write is private from now on.

    Raises:
        ValueError: it is a folder such as /tmp, in which all users have files, or it is no folder.
    """
    os.umask(UMASK)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"ALLASPRAK_HOME is {home}, which is no folder, or lies in none") from error
    mode = home.stat().st_mode
    if mode & stat.S_ISVTX:
        raise ValueError(f"ALLASPRAK_HOME is {home}, which several users share; allowed: a folder of its own")
    if mode & UMASK:
        try:
            home.chmod(stat.S_IMODE(mode) & ~UMASK)
        except OSError as error:
            log.warning("other users may read or write in %s, and it cannot be changed: %s", home, error.strerror)
