"""Memory of processes that live long: garbage is collected soon, and freed memory goes back to the system."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Objects that take so many blocks of memory, about 200,000 of them, are looked through in about 50 ms.
MOST_BLOCKS = 500_000


@contextmanager
def growing() -> Iterator[None]:
    """Collect no garbage while what stays is made, libraries or examples.

    They leave none, and looking for it took a fifth of the time of imports, and half of that of reading 120,000
    sentences with their windows.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Hide modules from imports, unless they are loaded: a library may load what is there, needed or not."""
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def release() -> None:
    """Collect reference cycles (models are in some), then return free heap and CUDA memory to the system.

    Each trial runs in its own thread, so glibc would keep the heap of every trial and reuse none: the sample experiment
    took 6.1 GB instead of 3.7.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def freeze() -> int:
    """Exempt all objects that there are from garbage collection (`gc.freeze`), for a process that has loaded its code.

    Returns how many blocks of memory they take (`sys.getallocatedblocks`).

    Full collections wait until the objects that have grown old since the last one are a quarter of those that it left.
    The one after freezing leaves none; without it, garbage would wait for the frozen ones' sake.
    """
    gc.collect()
    gc.freeze()
    gc.collect()
    return sys.getallocatedblocks()


def collect(frozen: int) -> None:
    """Collect all garbage, unless there is so much that all threads would wait for longer than about 50 ms.

    Objects are not counted: `gc.get_objects` takes hold of tuples that other threads still fill from generators, which
    then fail with a SystemError (https://github.com/python/cpython/issues/39117).

    Args:
        frozen: what `freeze` returned.
    """
    if sys.getallocatedblocks() - frozen < MOST_BLOCKS:
        gc.collect()


def share_heaps() -> None:
    """Let all threads that start from now on share two heaps.

    By default glibc gives each thread of a server its own heap, and memory freed there to no other thread (mallopt(3),
    M_ARENA_MAX).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-8, 2)
