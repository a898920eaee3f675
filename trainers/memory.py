"""Freed memory, given back to the machine: a worker's process goes on with other trials."""

import ctypes
import gc
import sys


def release() -> None:
    """Collect reference cycles (a model lies in some), then return free heap and CUDA memory.

    Each trial runs in a thread of its own, so glibc would keep every trial's heap and use none of them again: the
    sample experiment took 6.1 GB instead of 3.7.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
