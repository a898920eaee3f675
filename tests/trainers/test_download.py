"""Downloads over HTTP from a server that breaks off, refuses and asks to wait."""

import email.utils
import errno
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from hub_server import Fault, Hub
from trainers.data import download as downloads
from trainers.data.download import ATTEMPTS, Patience, download
from trainers.examples import DataError

CONTENT = bytes(range(256)) * 1000
PATH = "files/a.conllu"


@pytest.fixture
def server() -> Iterator[Hub]:
    with Hub({}, {PATH: CONTENT}) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Download:
    """One to a file of the test's."""

    def __init__(self, server: Hub, folder: Path) -> None:
        self.server, self.path = server, folder / "a.part"
        self.told: list[str] = []

    def __call__(self, path: str = PATH) -> None:
        download(f"{self.server.endpoint}/{path}", self.path, self.told.append)

    def ranges(self) -> list[str | None]:
        return [request.range for request in self.server.requests]


@pytest.fixture
def fetched(server: Hub, tmp_path: Path) -> Download:
    return Download(server, tmp_path)


def test_a_file_is_what_the_server_has(fetched: Download) -> None:
    fetched()
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.ranges() == [None]
    assert fetched.told == []


@pytest.mark.parametrize("reset", [False, True])
def test_a_broken_download_goes_on_where_it_broke_off(fetched: Download, waited: list[float], reset: bool) -> None:
    fetched.server.order(Fault(path="*", times=2, break_after=70_000, reset=reset))
    fetched()
    assert fetched.path.read_bytes() == CONTENT
    first, *others = fetched.ranges()
    assert first is None
    assert len(others) == 2
    starts = [int(given.removeprefix("bytes=").removesuffix("-")) for given in others if given]
    assert reset or starts == [70_000, 140_000]
    assert waited == [2.0, 2.0] if not reset else waited


def test_what_an_earlier_call_left_is_its_beginning(fetched: Download) -> None:
    fetched.path.write_bytes(CONTENT[:1234])
    fetched()
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.ranges() == ["bytes=1234-"]


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more"])
def test_what_has_no_rest_is_fetched_anew(fetched: Download, left: bytes) -> None:
    fetched.path.write_bytes(left)
    fetched()
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.ranges() == [f"bytes={len(left)}-", None]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_status_that_passes_is_waited_out(fetched: Download, waited: list[float], status: int) -> None:
    fetched.server.order(Fault(path="*", status=status, times=3))
    fetched()
    assert fetched.path.read_bytes() == CONTENT
    assert waited == [2.0, 4.0, 8.0]
    assert fetched.told[1] == f"{fetched.server.endpoint}/{PATH}: HTTP {status}; the next attempt is in 4 s"


def test_the_server_says_how_long_to_wait(fetched: Download, waited: list[float]) -> None:
    fetched.server.order(Fault(path="*", status=429, retry_after=77), Fault(path="*", status=503, retry_after=0))
    fetched()
    assert waited == [77.0, 0.0]


def test_it_may_say_so_by_a_date(fetched: Download, waited: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    fault = Fault(path="*", status=503)
    fault.retry_after = date  # type: ignore[assignment]
    fetched.server.order(fault)
    monkeypatch.setattr("trainers.data.download.datetime", None)  # our clock may be wrong
    fetched()
    [seconds] = waited
    assert 90 < seconds <= 101


@pytest.mark.parametrize("name", ["ALL_PROXY", "http_proxy"])
@pytest.mark.parametrize("scheme", ["socks5", "socks4", "socks"])  # the last as desktops' settings have it
def test_a_socks_proxy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, scheme: str) -> None:
    monkeypatch.setenv(name, f"{scheme}://127.0.0.1:9")
    with pytest.raises(DataError, match=r"names a SOCKS proxy .* not supported; allowed: an HTTP proxy"):
        download("http://files.invalid/a.conllu", tmp_path / "a.part", print)


def test_a_pause_that_is_too_long_is_an_error_at_once(fetched: Download, waited: list[float]) -> None:
    fetched.server.order(Fault(path="*", status=429, retry_after=3600))
    with pytest.raises(
        DataError, match=r"a\.conllu could not be fetched \(HTTP 429, and the server asks to wait 3600 s"
    ):
        fetched()
    assert not waited


def test_what_does_not_pass_is_given_up_and_the_next_call_goes_on(fetched: Download, waited: list[float]) -> None:
    broken = Fault(path="*", break_after=50_000)
    down = Fault(path="*", status=503, times=None)
    fetched.server.order(broken, down)
    with pytest.raises(
        DataError, match=r"/files/a\.conllu could not be fetched \(HTTP 503\).* the next attempt goes on"
    ):
        fetched()
    assert fetched.path.read_bytes() == CONTENT[:50_000]
    assert len(fetched.server.requests) == ATTEMPTS == len(waited) + 1
    down.times = 0
    fetched()
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.ranges()[-1] == "bytes=50000-"


def test_a_download_that_gets_further_each_time_is_not_given_up(fetched: Download, waited: list[float]) -> None:
    fetched.server.order(Fault(path="*", break_after=20_000, times=3 * ATTEMPTS))
    fetched()
    assert fetched.path.read_bytes() == CONTENT


def test_what_is_not_there_is_an_error_at_once(fetched: Download, waited: list[float]) -> None:
    with pytest.raises(DataError, match=r"/files/b\.conllu: HTTP 404$"):
        fetched("files/b.conllu")
    assert not waited
    assert not fetched.path.exists()


def test_no_address_is_an_error_at_once(tmp_path: Path, waited: list[float]) -> None:
    with pytest.raises(DataError, match=r"/a: InvalidURL"):
        download("http://127.0.0.1:port/a", tmp_path / "a", print)
    assert not waited


def test_a_server_that_refuses_the_whole_file_as_a_part_is_an_error(fetched: Download, waited: list[float]) -> None:
    fetched.server.order(Fault(path="*", times=None, status=416))
    fetched.path.write_bytes(b"begun")
    with pytest.raises(DataError, match=r"HTTP 416$"):
        fetched()
    assert not waited


def test_a_server_that_cannot_be_reached_is_named(tmp_path: Path, waited: list[float]) -> None:
    with Hub({}) as server:
        url = f"{server.endpoint}/{PATH}"
    with pytest.raises(DataError, match=rf"{url} could not be fetched \(ConnectError"):
        download(url, tmp_path / "a", print)
    assert len(waited) == ATTEMPTS - 1


@pytest.mark.parametrize("error", [ConnectionError("lost"), TimeoutError()], ids=repr)
def test_errors_of_other_libraries_may_pass_as_well(waited: list[float], error: Exception) -> None:
    told: list[str] = []
    Patience("a file", told.append).wait(error)
    assert waited == [2.0]
    assert told == [f"a file: {type(error).__name__}{': lost' if str(error) else ''}; the next attempt is in 2 s"]


@pytest.mark.parametrize(
    "error",
    [OfflineModeIsEnabled("offline"), ConnectionError("not reached: OfflineModeIsEnabled"), ValueError("bad"),
     FileNotFoundError("none")],
    ids=repr,
)  # fmt: skip
def test_what_cannot_pass_is_an_error_at_once(waited: list[float], error: Exception) -> None:
    wrapped = ConnectionError("not reached") if isinstance(error, OfflineModeIsEnabled) else error
    wrapped.__cause__ = error if wrapped is not error else None
    with pytest.raises(DataError, match=f"a file: {type(wrapped).__name__}: {wrapped}"):
        Patience("a file", print).wait(wrapped)
    assert not waited


def test_how_much_is_there_is_told(fetched: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "REPORT_SECONDS", -1.0)
    fetched()
    assert set(fetched.told) == {"a.conllu, 0 of 0 MiB"}


def test_a_full_disk_is_no_interruption(fetched: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(folder: Path, size: int) -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    monkeypatch.setattr(downloads, "need_room", no_room)
    with pytest.raises(OSError, match="the disk is full"):
        fetched()
    assert len(fetched.server.requests) == 1


def test_the_hub_s_own_header_says_how_long_to_wait(waited: list[float]) -> None:
    answer = httpx2.Response(429, headers={"RateLimit": '"api";r=0;t=250'}, request=httpx2.Request("GET", "http://a"))
    with pytest.raises(httpx2.HTTPStatusError) as caught:
        answer.raise_for_status()
    Patience("a file", print).wait(caught.value)
    assert waited == [251]
