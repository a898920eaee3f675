"""Memory of processes that live long."""

import contextlib
import gc
import importlib
import subprocess
import sys
import threading
import time
import weakref

import pytest

from trainers import memory

# Cycles of which some live on for a while, as those of answers do, until there is a full collection.
UNTIL_COLLECTED = """
import gc
from trainers import memory

class Cycle:
    def __init__(self):
        self.me = self

loaded = [Cycle() for _ in range(100_000)]
memory.freeze()
before, made, alive = gc.get_stats()[2]["collections"], 0, []
while gc.get_stats()[2]["collections"] == before and made < 2_000_000:
    made, alive = made + 1, [*alive[-200:], Cycle()]
print(made)
"""


@pytest.mark.service
def test_garbage_is_collected_soon_however_much_was_loaded() -> None:
    made = subprocess.run([sys.executable, "-c", UNTIL_COLLECTED], capture_output=True, text=True, check=True).stdout
    assert int(made) < 200_000


@pytest.mark.parametrize("most", [10**9, -(10**9)])
def test_all_garbage_is_collected_where_that_is_quick(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(memory, "MOST_BLOCKS", most)
    gc.collect()
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        cycle = Cycle()
        gone = weakref.ref(cycle)
        del cycle
        memory.collect(sys.getallocatedblocks())
        assert (gone() is None) == (most > 0)
    finally:
        if is_enabled:
            gc.enable()


def test_tuples_are_filled_while_all_garbage_is_collected() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    over = threading.Event()

    def collect() -> None:
        while not over.is_set():
            memory.collect(sys.getallocatedblocks())

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert len(tuple(number for number in range(1000))) == 1000
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_no_garbage_is_collected_while_libraries_are_loaded() -> None:
    seen = [gc.isenabled()]
    with contextlib.suppress(ImportError), memory.growing():
        seen.append(gc.isenabled())
        raise ImportError
    assert [*seen, gc.isenabled()] == [True, False, True]


@pytest.mark.service
def test_what_trainings_load_is_loaded_without_what_they_do_not_need() -> None:
    code = "import sys, trainers.one_trial; print('transformers.modeling_utils' in sys.modules, 'scipy' in sys.modules)"
    loads = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loads.split() == ["True", "False"]


def test_modules_are_hidden_for_a_while_unless_they_were_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    with memory.without("gc", "wave"):
        assert importlib.import_module("gc") is gc
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("wave")
    assert importlib.import_module("wave").__name__ == "wave"


class Cycle:
    def __init__(self) -> None:
        self.me = self
