"""Archives (zip, tar, tar.gz), read safely: one regular file after another, nothing written by its name."""

import errno
import gzip
import os
import stat
import struct
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

# Unpacked bytes for each byte of an archive, beyond those that every archive may have: text has some 10, a bomb 1,000.
MAX_RATIO = 200
BYTES_OF_ANY = 24 * 2**20

# Of a zip. Python unpacks others (bzip2, LZMA) in pieces that may fill the memory, and few programs write them.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
RARE_METHODS = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "lzma"}

# What the libraries raise for an archive that is broken, encrypted, or compressed in a way that they do not know: a zip
# that states wrong numbers makes them look for what is not there.
UNREADABLE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, NotImplementedError, RuntimeError, EOFError, zlib.error,
    ValueError, LookupError, struct.error, OverflowError, MemoryError,
)  # fmt: skip


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turns what is raised for an archive that is none, or that the service may not read, into DataError."""
    try:
        yield
    except DataError:
        raise
    except UNREADABLE as error:
        raise DataError(f"{what} that can be read: {str(error) or type(error).__name__}") from error
    except PermissionError as error:
        raise DataError(f"{Path(str(error.filename)).name} cannot be read ({error.strerror})") from error
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # of gzip, or a seek before the beginning; not of the disk
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


def limit_of(file: IO[bytes], most: int) -> int:
    """The bytes that an archive may have unpacked, at most `most`; the file is at its beginning afterwards."""
    packed = file.seek(0, os.SEEK_END)
    file.seek(0)
    return min(most, BYTES_OF_ANY + MAX_RATIO * packed)


def require_known(info: zipfile.ZipInfo) -> None:
    """Refuse with DataError a file of a zip that is compressed in another way than `METHODS`, or encrypted."""
    if info.compress_type not in METHODS:
        name = RARE_METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise DataError(
            f"not a zip that is read here: {info.filename[:200]!r} is compressed by {name}; allowed: deflate, or none"
        )
    if info.flag_bits & 1:
        raise DataError(f"not a zip that is read here: {info.filename[:200]!r} has a password; allowed: none")


def members(file: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """(name, content) of each regular file of a zip, a tar or a gzipped tar; links and devices are passed over.

    A content is read before the next one is asked for.

    Raises:
        DataError: the archive is larger than allowed.
        UNREADABLE, OSError: it cannot be read; `readable` makes DataError of them, also while contents are read.
    """
    most = limit_of(file, MAX_BYTES)
    begin = file.read(4)
    file.seek(0)
    if begin.startswith(b"PK"):
        yield from _of_zip(file, most)
    else:
        packed = begin.startswith(b"\x1f\x8b")
        yield from _of_tar(cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file, most)


def _of_zip(file: IO[bytes], most: int) -> Iterator[tuple[str, IO[bytes]]]:
    total = 0
    with zipfile.ZipFile(bounded(file)) as archive:
        for info in archive.infolist():
            if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16):
                total += info.file_size  # no more of it is read, even if there is more
                _check(info.filename, info.file_size, total, most)
                require_known(info)
                with archive.open(info) as content:
                    yield info.filename, content


def _of_tar(file: IO[bytes], most: int) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=bounded(file), mode="r:") as archive:
        for number, info in enumerate(archive):
            if number >= MAX_FILES:
                raise DataError(f"it has more files than allowed: {MAX_FILES}")
            _check(info.name, info.size if info.isreg() else 0, info.offset_data + info.size, most)
            if info.isreg() and (content := archive.extractfile(info)) is not None:
                with content:
                    yield info.name, content


def _check(name: str, size: int, total: int, most: int) -> None:
    if size > MAX_FILE_BYTES:
        raise DataError(f"{name[:200]!r} is larger than allowed: {MAX_FILE_BYTES / 2**30:g} GiB")
    if total > most:
        raise too_large(most)


def too_large(most: int) -> DataError:
    """The error of an archive that has more than `most` bytes unpacked."""
    return DataError(
        f"unpacked it is larger than allowed: {most / 2**20:,.0f} MiB, for a ratio of {MAX_RATIO} and"
        f" {BYTES_OF_ANY / 2**20:g} MiB beyond it"
    )
