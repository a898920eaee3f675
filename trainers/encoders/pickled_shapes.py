"""The shapes of the tensors in a pickle, which a process of its own reads: `trainers.encoders.pickled_shapes <n>`.

No pickle is executed, and yet a small one can ask for more time and memory than there is. The process reads n pickles
from its input and then that with the tensors, and writes their shapes by name, or why there are none, as JSON.
"""

import json
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import IO, Any

from trainers.child_process import python
from trainers.encoders.encoder import EncoderError
from trainers.encoders.weights import Shapes

# What is read of a file at most: the directory of its archive and its pickle, which are small without the values.
MOST_PICKLE_BYTES = 2**23

# What the process may take: seconds of its own and of the network, and memory.
SECONDS, PATIENCE, MEMORY = 3, 60.0, 2**29

# The largest answer that is read, and the most dimensions of a tensor in it.
MOST_ANSWER_BYTES, MOST_DIMENSIONS = 2**26, 64

BLOCK_BYTES = 2**16

# What is raised for a file that is none, or that states wrong numbers.
UNREADABLE = (
    ValueError, StopIteration, NotImplementedError, RuntimeError, LookupError, OverflowError, EOFError, struct.error,
    zlib.error, zipfile.BadZipFile,
)  # fmt: skip

DTYPES = ("float16", "bfloat16", "float32", "float64", "int64", "int32", "uint8", "int8", "bool")


def shapes(file: IO[bytes]) -> Shapes:
    """The shape of each tensor in a file that `torch.save` has written, without its values.

    Args:
        file: the file, of which little is read: the directory of its zip archive and the pickle in it, or in the format
            before torch 1.6 the beginning.

    Raises:
        EncoderError: it is no such file, or holds anything but tensors, or takes too much to be read.
    """
    bounded = _Bounded(file)
    try:
        with _opened(bounded) as (content, before):
            answer = _ask(content, before)
    except UNREADABLE as error:
        answer = f"{type(error).__name__}: {error}"
    if isinstance(answer, str):
        raise EncoderError(f"it is not a file of tensors that torch.save wrote: {answer}")
    return answer


@contextmanager
def _opened(file: "_Bounded") -> Iterator[tuple[Any, int]]:
    """The pickles in a file, and how many there are before that with the tensors."""
    if not zipfile.is_zipfile(file):
        file.seek(0)
        yield file, 3  # the magic number, the protocol, the system
        return
    with zipfile.ZipFile(file) as archive:
        inner = next((one for one in archive.infolist() if one.filename.endswith("data.pkl")), None)
        if inner is None:
            raise ValueError("there is no data.pkl in the archive")
        if inner.file_size > MOST_PICKLE_BYTES:
            raise ValueError(f"{inner.filename} has {inner.file_size} bytes; allowed: up to {MOST_PICKLE_BYTES}")
        with archive.open(inner) as content:
            yield content, 0


class _Bounded:
    """A file of which no more than `MOST_PICKLE_BYTES` are read. ValueError where more are asked for."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._file, self._left = file, MOST_PICKLE_BYTES

    def read(self, size: int = -1) -> bytes:
        """As a file's."""
        if size > self._left:
            raise ValueError(f"more than {MOST_PICKLE_BYTES} bytes lie beside the values of its tensors")
        content = self._file.read(self._left + 1 if size < 0 else size)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"more than {MOST_PICKLE_BYTES} bytes lie beside the values of its tensors")
        return content


def _ask(content: Any, before: int) -> Shapes | str:
    """What the process answers, which is given no more of the content than it reads."""
    command = python(__name__, str(before))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        timer = Timer(PATIENCE, process.kill)
        timer.start()
        try:
            with suppress(BrokenPipeError), process.stdin as pipe:  # it closes the pipe when it has read enough
                while block := content.read(BLOCK_BYTES):
                    pipe.write(block)
                    pipe.flush()
            answer = process.stdout.read(MOST_ANSWER_BYTES)
        finally:
            timer.cancel()
            process.kill()
    try:
        found: Shapes | str = json.loads(answer)
    except ValueError:
        return f"reading it takes more than {SECONDS} s or {MEMORY // 2**20} MB"
    return found


# The process


def main() -> None:
    """Read pickles from the input, as many as the command line says and one more, and write the shapes in the last."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer: Shapes | str = _read(int(sys.argv[1]))
    except MemoryError:
        sys.exit(1)
    except Exception as error:  # a pickle makes anything fail
        answer = f"{type(error).__name__}: {error}"[:400]
    with suppress(BrokenPipeError):
        sys.stdin.buffer.close()
    sys.stdout.write(json.dumps(answer))


def _read(before: int) -> Shapes:
    for _ in range(before):
        _Shapes(sys.stdin.buffer).load()
    saved = _Shapes(sys.stdin.buffer).load()
    if not isinstance(saved, dict):
        raise pickle.UnpicklingError(f"it holds no tensors by their names, but {type(saved).__name__}")
    return {name: list(size) for name, size in saved.items() if type(name) is str and _is_size(size)}


def _is_size(size: object) -> bool:
    if type(size) is not tuple or len(size) > MOST_DIMENSIONS:
        return False
    return all(type(one) is int and 0 <= one < 2**63 for one in size)


class _Shapes(pickle.Unpickler):
    """Makes of each tensor its size."""

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda _storage, _offset, size, *_: tuple(size),
            ("torch._utils", "_rebuild_parameter"): lambda size, *_: size,
            ("torch", "Size"): tuple,
        }
        if module in ("torch", "torch.storage") and (name.endswith("Storage") or name in DTYPES):
            return name
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is no tensor")
        return known[module, name]

    def persistent_load(self, pid: Any) -> None:
        """A storage, which is not read."""


if __name__ == "__main__":
    main()
