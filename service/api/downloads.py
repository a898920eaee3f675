"""Downloads of kept models: exported by a process of its own, zipped while they are sent; and nothing stays of them."""

import asyncio
import logging
import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import psutil
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from service.engine.processes import ProcessId, is_mine, read_down, started, write_down
from trainers.artifacts import layout
from trainers.artifacts.layout import downloads_folder, leftovers
from trainers.child_process import python

log = logging.getLogger(__name__)

COMMAND = python("service.cli", "export")

CHUNK_BYTES = 2**20

# Until what was killed is gone.
END_SECONDS = 5.0


class ExportError(RuntimeError):
    """A model was not exported; the message is the last line of what the command says."""


async def scratch(request: Request) -> AsyncIterator[Path]:
    """A dependency: a folder for one answer, removed once that is sent, or its client has gone."""
    place = downloads_folder(request.app.state.environment().home)
    if not place.parent.is_dir():
        raise HTTPException(503, "the home of the service was removed")
    place.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=place))
    try:
        yield folder
    finally:
        with anyio.CancelScope(shield=True):
            await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)


async def export(request: Request, folder: Path, arguments: Sequence[str]) -> None:
    """Run `allasprak export` in a process of its own, since it takes the model's memory, and torch's.

    It ends with the request's client. The folder of its answer, from `scratch`, says which process it is: should this
    one be killed, the next server ends it.

    Raises:
        ExportError: the command failed.
        HTTPException: 503 if it was killed or the client has gone.
    """
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    with suppress(psutil.NoSuchProcess, OSError):
        this = ProcessId(process.pid, started(process.pid))
        home = request.app.state.environment().home
        write_down(layout.export_file(home, folder.name), home, this)
    done, gone = asyncio.create_task(process.communicate()), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            raise HTTPException(503, "the client has gone")
    finally:
        gone.cancel()
        with suppress(ProcessLookupError):
            process.kill()
        with anyio.CancelScope(shield=True):
            said = (await done)[1].decode(errors="replace").strip()
    if process.returncode is None or process.returncode < 0:
        raise HTTPException(503, "the export was killed, for memory perhaps; ask again", {"Retry-After": "60"})
    if process.returncode:
        raise ExportError(said.rpartition("\n")[2])


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def zipped(folder: Path) -> Iterator[bytes]:
    """A zip of a folder, its name included, piece by piece; it is not compressed, since weights do not get smaller."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            about = zipfile.ZipInfo.from_file(path, path.relative_to(folder.parent))
            with path.open("rb") as source, archive.open(about, "w") as to:
                while chunk := source.read(CHUNK_BYTES):
                    to.write(chunk)
                    yield sink.taken()
    yield sink.taken()


class _Sink:
    """What was written and not yet taken: a file without places, for which zipfile never goes back."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        """Part of a file."""

    def close(self) -> None:
        """Part of a file."""

    def taken(self) -> bytes:
        data = bytes(self._held)
        self._held.clear()
        return data


def sweep(home: Path) -> None:
    """Remove what downloads and uploads have left that a killed server did not end, and end its exports.

    What any other process names in its command is left, and said: nobody knows whose that is.
    """
    for folder in leftovers(home):
        written = read_down(layout.export_file(home, folder.name), home)
        export = written.process.find() if written is not None else None
        if export is not None and _is_ours(export):
            with suppress(psutil.Error):
                export.kill()
                export.wait(END_SECONDS)
        if (user := _user_of(folder)) is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            log.warning("%s is left where it is: the process %s uses it", folder, user)


def _is_ours(process: psutil.Process) -> bool:
    """Whether a process is of this user, and of this Python."""
    with suppress(psutil.Error):
        return is_mine(process) and process.exe() == psutil.Process().exe()
    return False


def _user_of(folder: Path) -> int | None:
    """A process whose command names a folder, or something in it."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(folder == Path(argument) or folder in Path(argument).parents for argument in process.cmdline()):
                return int(process.pid)
    return None
