"""What this process may use of the machine: CPUs and memory, within CPU affinity and the limits of cgroups.

A limit counts for a whole group of processes, and for the groups below it: the smallest on the way to the root counts.
The files are those of the kernel's documentation (admin-guide/cgroup-v2, admin-guide/cgroup-v1/memory,
scheduler/sched-bwc). Cpusets need no look: they are part of the affinity.
"""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def cpus(root: Path = ROOT) -> int:
    """CPUs that this process may keep busy, at least one: a quota of two and a half is two.

    Args:
        root: of the file system whose `proc` and mounts are read.
    """
    quotas = [quota for folder in _groups("cpu", root) if (quota := _quota(folder)) is not None]
    return max(1, int(min([len(os.sched_getaffinity(0)), *quotas])))


def memory(root: Path = ROOT) -> int:
    """Bytes that this process and those beside it in its group may take; swap is not counted.

    Args:
        root: of the file system whose `proc` and mounts are read.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    names = ("memory.max", "memory.high", "memory.limit_in_bytes")
    limits = [limit for folder in _groups("memory", root) for name in names if (limit := _number(folder / name))]
    return min([physical, *limits])


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of this process's cgroups that may have limits of a controller, of version 1 and of version 2."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for top, mounted in _mounts(controller if controllers else None, root):
            # where a container sees its own group alone, the mount is that group
            inside = os.path.relpath(group, top)
            folder = mounted if inside.startswith("..") else mounted / inside
            yield from (one for one in (folder, *folder.parents) if one.is_relative_to(mounted))


def _mounts(controller: str | None, root: Path) -> Iterator[tuple[str, Path]]:
    """Where hierarchies with a controller are mounted, or that of version 2: the group at its top, and the folder."""
    for line in _lines(root / "proc/self/mountinfo"):
        fields, _, kind = line.partition(" - ")
        _, _, _, top, mounted, *_ = fields.split(" ")
        system, _, options = kind.split(" ", 2)  # the options of others may have blanks (Docker Desktop's in WSL)
        if system == "cgroup2" if controller is None else system == "cgroup" and controller in options.split(","):
            yield top, root / mounted.lstrip("/")


def _quota(folder: Path) -> float | None:
    """CPUs by the group's time per period; None if there is no limit."""
    if line := _first_line(folder / "cpu.max"):
        quota, _, period = line.partition(" ")
        return None if quota == "max" else int(quota) / int(period)
    allowed, every = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return allowed / every if allowed and every and allowed > 0 else None


def _number(file: Path) -> int | None:
    line = _first_line(file)
    return int(line) if line and line != "max" else None


def _first_line(file: Path) -> str:
    return next(iter(_lines(file)), "")


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_bytes().decode(errors="surrogateescape")  # the name of a mount may have any bytes
    except OSError:
        return []
    return [line for line in text.split("\n") if line]
