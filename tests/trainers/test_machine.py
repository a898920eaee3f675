"""What the machine really gives: limits of cgroups of both versions, as files say them and as the kernel has them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainers import machine

ALL_CPUS = len(os.sched_getaffinity(0))
ALL_MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

V2 = "30 23 0:26 {top} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = """31 23 0:27 {top} /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct
32 23 0:28 {top} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"""


@pytest.fixture(autouse=True)
def _many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def write(root: Path, group: str, mounts: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group)
    mounted = f"22 1 8:1 / / rw - ext4 /dev/vda rw\n{mounts}\n"
    (root / "proc/self/mountinfo").write_bytes(mounted.encode(errors="surrogateescape"))
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return root


def test_without_limits_all_that_there_is(tmp_path: Path) -> None:
    for root in (tmp_path, write(tmp_path / "v2", "0::/\n", V2.format(top="/"), {"a/cpu.max": "1 1"})):
        assert (machine.cpus(root), machine.memory(root)) == (8, ALL_MEMORY)


@pytest.mark.parametrize(
    ("files", "cpus", "memory"),
    [
        ({"a/b/cpu.max": "100000 100000", "a/b/memory.max": "3221225472"}, 1, 3 * 2**30),
        ({"a/b/cpu.max": "250000 100000", "a/b/memory.max": "max"}, 2, ALL_MEMORY),
        ({"a/b/cpu.max": "20000 100000"}, 1, ALL_MEMORY),  # a fifth of a CPU is one that is slow
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000", "a/memory.max": "1048576"}, 3, 2**20),
        ({"a/b/memory.max": "2097152", "a/b/memory.high": "1048576"}, 8, 2**20),
        ({"a/b/cpu.max": "1600000 100000", "a/b/memory.max": str(2**60)}, 8, ALL_MEMORY),
    ],
)
def test_version_2_has_the_smallest_limit_on_the_way_to_the_root(
    tmp_path: Path, files: dict[str, str], cpus: int, memory: int
) -> None:
    root = write(tmp_path, "0::/a/b\n", V2.format(top="/"), files)
    assert (machine.cpus(root), machine.memory(root)) == (cpus, memory)


@pytest.mark.parametrize("top", ["/", "/docker/c0ffee"])
def test_version_1_also_in_a_container_that_sees_its_own_group_alone(tmp_path: Path, top: str) -> None:
    inside = "docker/c0ffee/" if top == "/" else ""
    files = {
        f"cpu,cpuacct/{inside}cpu.cfs_quota_us": "150000",
        f"cpu,cpuacct/{inside}cpu.cfs_period_us": "100000",
        "cpu,cpuacct/elsewhere/cpu.cfs_quota_us": "1",
        f"memory/{inside}memory.limit_in_bytes": "3221225472",
    }
    group = "5:cpu,cpuacct:/docker/c0ffee\n4:memory:/docker/c0ffee\n1:name=systemd:/docker/c0ffee\n0::/\n"
    root = write(tmp_path, group, V1.format(top=top), files)
    assert (machine.cpus(root), machine.memory(root)) == (1, 3 * 2**30)


def test_version_1_without_limits_has_minus_one_and_a_number_larger_than_any_memory(tmp_path: Path) -> None:
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
    }
    root = write(tmp_path, "5:cpu,cpuacct:/\n4:memory:/\n", V1.format(top="/"), files)
    assert (machine.cpus(root), machine.memory(root)) == (8, ALL_MEMORY)


@pytest.mark.parametrize(
    "other",
    [
        # as Docker Desktop mounts its folder in WSL
        r"40 23 0:30 / /Docker/host rw - 9p drvfs rw,aname=drvfs;path=C:\Program Files\Docker;symlinkroot=/mnt/",
        "41 23 8:17 / /media/caf\udce9 rw - ext4 /dev/sdb1 rw",
        "42 23 8:18 / /media/a\fb\x85c\u2028d\re rw - ext4 /dev/sdb2 rw",
        "43 23 0:31 / /media/none rw - fuse.x  rw",
    ],
)
def test_other_mounts_may_be_called_anything(tmp_path: Path, other: str) -> None:
    files = {"a/cpu.max": "100000 100000", "a/memory.max": "3221225472"}
    root = write(tmp_path, "0::/a\n", f"{other}\n{V2.format(top='/')}", files)
    assert (machine.cpus(root), machine.memory(root)) == (1, 3 * 2**30)


def test_the_kernel_s_own_limits(real_groups: list[Path]) -> None:
    join = f"for folder in {list(map(str, real_groups))}: open(folder + '/cgroup.procs', 'w').write('0')"
    code = f"{join}\nfrom trainers import machine\nprint(machine.cpus(), machine.memory())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["1", str(3 * 2**30)]
