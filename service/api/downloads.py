"""Downloads of kept models: exported by a process of its own, zipped while they are sent; and nothing stays of them."""

import asyncio
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

from trainers.artifacts.layout import downloads_folder, leftovers
from trainers.child_process import python

COMMAND = python("service.cli", "export")

CHUNK_BYTES = 2**20


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


async def export(request: Request, arguments: Sequence[str]) -> None:
    """Run `allasprak export` in a process of its own, since it takes the model's memory, and torch's.

    It ends with the request's client.

    Raises:
        HTTPException: 404 with what the command says, 503 if it was killed or the client has gone.
    """
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
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
        raise HTTPException(404, said.rpartition("\n")[2].removeprefix("allasprak: "))


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
    """Remove what downloads and uploads have left that a killed server did not end, and end what still writes to it."""
    left = leftovers(home)
    for process in psutil.process_iter() if left else ():
        with suppress(psutil.Error):
            if any(str(folder) in argument for argument in process.cmdline() for folder in left):
                process.kill()
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
