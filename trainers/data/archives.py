"""Archives (zip, tar, tar.gz), read safely: one regular file after another, nothing written by its name."""

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from trainers.examples import DataError

# Read at once: a zip's directory, or what a tar says of a file, which would fill the memory.
MAX_DIRECTORY_BYTES = 2**22

# Of a file in an archive, and of all: the treebanks of Universal Dependencies have some 3 GB.
MAX_FILE_BYTES = 2**30
MAX_BYTES = 2**35
MAX_FILES = 100_000

# What the libraries raise for an archive that is broken, encrypted, or compressed in a way that they do not know.
UNREADABLE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, NotImplementedError, RuntimeError, EOFError, zlib.error,
    lzma.LZMAError,
)  # fmt: skip


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turns what is raised for an archive that is none, or that the service may not read, into DataError."""
    try:
        yield
    except DataError:
        raise
    except (*UNREADABLE, ValueError) as error:  # ValueError where a zip says that it begins before its beginning
        raise DataError(f"{what} that can be read: {error}") from error
    except PermissionError as error:
        raise DataError(f"{Path(str(error.filename)).name} cannot be read ({error.strerror})") from error
    except OSError as error:
        if error.errno is None:  # of gzip and bz2, not of the disk
            raise DataError(f"{what} that can be read: {error}") from error
        raise


def bounded(file: IO[bytes]) -> IO[bytes]:
    """The file, which refuses with DataError to be read in pieces larger than `MAX_DIRECTORY_BYTES`."""
    return cast(IO[bytes], _Bounded(file))


class _Bounded:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.seekable, self.tell, self.close = file.seek, file.seekable, file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY_BYTES:
            raise DataError(f"its directory has {size / 2**20:.0f} MiB; allowed: {MAX_DIRECTORY_BYTES / 2**20:g} MiB")
        return self._file.read(size)


def members(file: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """(name, content) of each regular file of a zip, a tar or a gzipped tar; links and devices are passed over.

    A content is read before the next one is asked for.

    Raises:
        DataError: the archive is larger than allowed.
        UNREADABLE, OSError: it cannot be read; `readable` makes DataError of them, also while contents are read.
    """
    begin = file.read(4)
    file.seek(0)
    if begin.startswith(b"PK"):
        yield from _of_zip(file)
    else:
        packed = begin.startswith(b"\x1f\x8b")
        yield from _of_tar(cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file)


def _of_zip(file: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(bounded(file)) as archive:
        for info in archive.infolist():
            if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16):
                _check(info.filename, info.file_size, info.file_size)
                with archive.open(info) as content:
                    yield info.filename, content


def _of_tar(file: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=bounded(file), mode="r:") as archive:
        for number, info in enumerate(archive):
            if number >= MAX_FILES:
                raise DataError(f"it has more files than allowed: {MAX_FILES}")
            _check(info.name, info.size if info.isreg() else 0, info.offset_data + info.size)
            if info.isreg() and (content := archive.extractfile(info)) is not None:
                with content:
                    yield info.name, content


def _check(name: str, size: int, total: int) -> None:
    if size > MAX_FILE_BYTES:
        raise DataError(f"{name[:200]!r} is larger than allowed: {MAX_FILE_BYTES / 2**30:g} GiB")
    if total > MAX_BYTES:
        raise DataError(f"unpacked it is larger than allowed: {MAX_BYTES / 2**30:g} GiB")
