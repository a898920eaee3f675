"""Places: in the home, in another folder, and on S3 the same holds of what is written, replaced, listed and removed.

What is told apart by the place, such as a process that is killed, or a store that is gone, follows.
"""

import errno
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from s3_server import BUCKET, S3Server
from trainers.artifacts import scratch, url_place
from trainers.artifacts.folder_place import FolderPlace
from trainers.artifacts.object_store import ObjectStore
from trainers.artifacts.place import Place, PlaceLostError
from trainers.artifacts.places import problem_of
from trainers.artifacts.url_place import UrlPlace

PLACES = pytest.mark.parametrize("artifacts", ["home", "folder", "s3"], indirect=True)
S3 = pytest.mark.parametrize("artifacts", ["s3"], indirect=True)


class Killed(BaseException):
    """As sudden as a signal: nothing in the code catches it."""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The name of a state: the model that a selection chose."""
    return tmp_path / "models" / "digest" / "last"


def write(place: Place, state: Path, content: str, *others: Path) -> None:
    with place.writing(state, *others, size=len(content)) as folder:
        (folder / "one").write_text(content)
        (folder / "two").write_text(content * 2)


def write_half(place: Place, state: Path) -> None:
    with place.writing(state, size=0) as folder:
        (folder / "one").write_text("half")
        raise Killed


def write_half_a_file(place: Place, path: Path) -> None:
    with place.writing_file(path, 10) as file:
        file.write_text("half")
        raise Killed


def read(place: Place, state: Path) -> str | None:
    """What both files have; None if there is no such state."""
    with place.reading(state) as folder:
        if folder is None:
            return None
        assert {path.name for path in folder.iterdir()} == {"one", "two"}
        assert (folder / "two").read_text() == (folder / "one").read_text() * 2
        return (folder / "one").read_text()


# The same everywhere


@PLACES
def test_a_state_appears_whole_and_is_replaced_whole(place: Place, state: Path) -> None:
    assert read(place, state) is None
    assert place.written(state) is None
    begin = time.time()
    for content in ("first", "second", "third"):
        write(place, state, content)
        assert read(place, state) == content
    with pytest.raises(Killed):
        write_half(place, state)
    assert read(place, state) == "third"
    written = place.written(state)
    assert written is not None
    assert begin - 2 < written < time.time() + 2


@PLACES
def test_a_state_may_have_several_names_and_each_is_replaced_by_itself(place: Place, state: Path) -> None:
    others = [state.with_name(name) for name in ("source-dev", "target-dev:de")]
    write(place, state, "of all", *others)
    assert [read(place, one) for one in (state, *others)] == ["of all"] * 3
    write(place, state, "new")
    write(place, state, "newer")
    assert [read(place, one) for one in (state, *others)] == ["newer", "of all", "of all"]
    assert place.complete(state.parent) == ["last", "source-dev", "target-dev:de"]


@PLACES
def test_a_file_appears_whole_and_is_replaced_and_removed(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "predictions" / "digest" / "zh.test.0.1.arrow"
    assert not place.has_file(path)
    with pytest.raises(FileNotFoundError), place.reading_file(path) as file:
        file.read_text()
    place.remove_file(path)
    for content in ("first", "second"):
        with place.writing_file(path, 10) as file:
            file.write_text(content)
        with place.reading_file(path) as file:
            assert file.read_text() == content
            assert file.name == path.name
    assert place.has_file(path)
    assert place.complete(path.parent) == [path.name]
    with pytest.raises(Killed):
        write_half_a_file(place, path)
    with place.reading_file(path) as file:
        assert file.read_text() == "second"
    place.remove_file(path)
    assert not place.has_file(path)
    assert place.complete(path.parent) == []


@PLACES
def test_what_lies_in_a_place_is_listed_counted_and_removed(place: Place, tmp_path: Path, state: Path) -> None:
    kept, gone, detached = (tmp_path / "models" / digest for digest in ("kept", "gone", "detached"))
    assert place.names(kept.parent) == []
    assert place.taken([kept, gone]) == (0, 0.0)
    for digest in (kept, gone, detached):
        for selection in ("last", "source-dev"):
            write(place, digest / selection, "x" * 1000)
    assert place.names(kept.parent) == ["detached", "gone", "kept"]
    taken = place.taken([kept])
    assert 2 * 3000 <= taken.bytes < 2 * 3000 + 1000  # a manifest takes some
    assert taken.written > time.time() - 60
    assert place.taken([kept, gone]).bytes == 2 * taken.bytes
    place.remove(gone)
    place.remove(gone)
    assert read(place, gone / "last") is None
    clear_up = place.detach(detached)
    assert read(place, detached / "last") is None
    assert place.complete(detached) == []
    clear_up()
    assert place.names(kept.parent) == ["kept"]
    assert read(place, kept / "source-dev") == "x" * 1000
    assert str(kept.relative_to(tmp_path)) in place.shown(kept)


@PLACES
def test_a_place_that_can_be_used_passes_its_check_which_leaves_nothing(
    place: Place, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place.check()
    if isinstance(place, UrlPlace):
        assert request.getfixturevalue("s3_server").keys(place.store.url) == {}
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_another_folder_is_laid_out_as_a_home(tmp_path: Path, state: Path) -> None:
    write(FolderPlace(tmp_path, tmp_path / "other"), state, "there")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    (tmp_path / "other" / "models").rename(tmp_path / "models")
    assert read(FolderPlace(tmp_path), state) == "there"


# On S3 alone


def counted(monkeypatch: pytest.MonkeyPatch, fatal: int) -> None:
    """Kill the process at so many objects that are written, before or after that, as the number is even or odd."""
    count = 0

    def kills(act: Any) -> Any:
        def replaced(self: ObjectStore, *arguments: Any) -> None:
            nonlocal count
            count += 1
            if count > fatal // 2:
                raise Killed
            act(self, *arguments)
            if count == fatal // 2 and fatal % 2:
                raise Killed

        return replaced

    monkeypatch.setattr(ObjectStore, "send", kills(ObjectStore.send))
    monkeypatch.setattr(ObjectStore, "write", kills(ObjectStore.write))


@S3
@pytest.mark.parametrize("fatal", range(6))
def test_killed_at_any_object_it_leaves_the_state_before_and_what_was_left_is_removed(
    place: Place, state: Path, s3_server: S3Server, artifacts: str, monkeypatch: pytest.MonkeyPatch, fatal: int
) -> None:
    write(place, state, "before")
    with monkeypatch.context() as patched:
        counted(patched, fatal)
        with pytest.raises(Killed):
            write(place, state, "after")
    assert read(place, state) == "before"
    assert place.complete(state.parent) == ["last"]
    assert len(s3_server.keys(artifacts)) == 3 + min(fatal // 2, 2)
    write(place, state, "next")  # what was left may be of a process that is writing it
    assert read(place, state) == "next"
    monkeypatch.setattr(url_place, "ABANDONED_SECONDS", -60.0)
    write(place, state, "last")
    assert read(place, state) == "last"
    assert len(s3_server.keys(artifacts)) == 3


@S3
def test_killed_after_the_manifest_it_leaves_the_new_state(
    place: Place, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, state, "before")
    with monkeypatch.context() as patched:
        counted(patched, 7)
        with pytest.raises(Killed):
            write(place, state, "after")
    assert read(place, state) == "after"


@S3
def test_two_that_write_a_state_at_once_leave_one_of_both(place: Place, state: Path) -> None:
    writers = [threading.Thread(target=write, args=(place, state, content * 100)) for content in "abcdef"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        found = read(place, state)
        assert found is None or len(set(found)) == 1
    for writer in writers:
        writer.join()
    assert read(place, state) in [content * 100 for content in "abcdef"]


@S3
def test_what_is_being_read_may_be_replaced(place: Place, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, state, "before")
    receive, count = ObjectStore.receive, 0

    def slow(self: ObjectStore, key: str, file: Path) -> None:
        nonlocal count
        count += 1
        if count == 2:  # it has one of two files
            with monkeypatch.context() as patched:
                patched.setattr(ObjectStore, "receive", receive)
                write(place, state, "after")
        receive(self, key, file)

    monkeypatch.setattr(ObjectStore, "receive", slow)
    assert read(place, state) == "after"
    assert count == 4


@S3
def test_a_state_whose_objects_are_gone_is_none_and_a_damaged_one_is_an_error(
    place: UrlPlace, state: Path, s3_server: S3Server, artifacts: str
) -> None:
    write(place, state, "whole")
    [one] = [key for key in s3_server.keys(artifacts) if key.endswith("/one")]
    place.store.write(one, b"wohle")
    with pytest.raises(OSError, match="/one is damaged"):
        read(place, state)
    place.store.delete(one)
    assert read(place, state) is None


# Gone for a while


@S3
def test_a_store_that_is_gone_is_waited_for_and_that_is_said(place: UrlPlace, state: Path, s3_server: S3Server) -> None:
    write(place, state, "before")
    place.store = replace(place.store, patience=60.0)
    warnings: list[str] = []

    class Back(logging.Handler):
        """Lets the store answer again once it is waited for."""

        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage())
            s3_server.find()

    back = Back(logging.WARNING)
    logging.getLogger("trainers.artifacts").addHandler(back)
    s3_server.lose()
    try:
        write(place, state, "after")
    finally:
        s3_server.find()
        logging.getLogger("trainers.artifacts").removeHandler(back)
    assert read(place, state) == "after"
    assert len(warnings) == 2
    assert "is waited for, up to 60 s: " in warnings[0]
    assert "answers again, after " in warnings[1]


@S3
def test_a_store_that_stays_away_is_an_error_and_changes_nothing(
    place: Place, state: Path, s3_server: S3Server
) -> None:
    write(place, state, "before")
    lost = rf"^s3://{BUCKET}/.* was tried for .* s: .*NETWORK_CONNECTION"
    with s3_server.lost(), pytest.raises(PlaceLostError, match=lost):
        write(place, state, "after")
    assert read(place, state) == "before"


@S3
def test_a_full_local_disk_is_an_error_at_once(place: UrlPlace, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, state, "before")
    place.store = replace(place.store, patience=600.0)
    monkeypatch.setattr("trainers.artifacts.atomic.RESERVE_BYTES", 2**62)
    with pytest.raises(OSError, match="the disk is full") as caught:
        write(place, state, "after")
    assert caught.value.errno == errno.ENOSPC


# What cannot be used


class Refuses(BaseHTTPRequestHandler):
    """Answers every request as S3 does one without permission."""

    def do_GET(self) -> None:
        content = b"<Error><Code>AccessDenied</Code><Message>not for you</Message></Error>"
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def refusing() -> Iterator[str]:
    """The URL of an S3 server that refuses everything."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_place_without_its_bucket_fails_its_check(tmp_path: Path, s3_server: S3Server) -> None:
    with pytest.raises(OSError, match=r"NO_SUCH_BUCKET|[Bb]ucket"):
        UrlPlace(tmp_path, "s3://no-such-bucket/prefix", 600.0).check()


def test_a_place_that_refuses_fails_its_check(
    tmp_path: Path, s3_server: S3Server, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", refusing)
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        UrlPlace(tmp_path, f"s3://{BUCKET}/prefix", 600.0).check()


@pytest.mark.parametrize(
    "url",
    ["s3://bucket", "s3://bucket/a/b", "s3://bucket?region=eu-north-1", "gs://bucket/a", "abfs://a@b/c", "file:///a"],
)
def test_a_url_that_may_name_a_place(url: str) -> None:
    assert problem_of(url) is None


@pytest.mark.parametrize("url", ["s3", "s3://", "s3:///a", "/a", "file://a", "file:a", "http://a/b", "s3:bucket",
                                 "file:///a#1", "file:///a?b"])  # fmt: skip
def test_a_url_that_names_none(url: str) -> None:
    problem = problem_of(url)
    assert problem is not None
    assert problem.startswith(f"is {url!r}; allowed: ")


def test_a_key_in_a_url_is_refused_and_not_repeated() -> None:
    problem = problem_of("s3://AKIA:secret@bucket/a")
    assert problem is not None
    assert "AWS_SECRET_ACCESS_KEY" in problem
    assert "secret@" not in problem


# Folders for a while, and the end of a process


def test_what_killed_processes_have_left_is_removed_and_nothing_that_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    code = "from trainers.artifacts.scratch import scratch\nwith scratch(0) as f: print(f, flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    theirs = Path(process.stdout.readline().strip())
    assert theirs.parent == tmp_path
    (tmp_path / "allasprak-of-others").mkdir()
    monkeypatch.setattr(scratch, "LOCK_SECONDS", 0.0)
    with scratch.scratch(0) as first, scratch.scratch(0) as second:
        assert theirs.is_dir()
        process.send_signal(signal.SIGKILL)
        process.wait()
        with scratch.scratch(0):
            assert not theirs.exists()
            assert first.is_dir()
            assert second.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["allasprak-of-others"]


@pytest.mark.service
@S3
def test_a_process_that_has_used_a_store_ends_cleanly(artifacts: str) -> None:
    code = """
import sys
from pathlib import Path
from trainers.artifacts.url_place import UrlPlace
place = UrlPlace(Path("/home"), sys.argv[1], 600.0)
with place.writing(Path("/home/models/a/last"), size=0) as folder:
    (folder / "one").write_text("1")
print(place.names(Path("/home/models")))
"""
    done = subprocess.run([sys.executable, "-c", code, artifacts], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['a']\n", "")
