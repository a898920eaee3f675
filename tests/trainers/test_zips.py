"""Broken and hostile zips: refused with words, at once, and with nothing left behind."""

import bz2
import errno
import io
import random
import shutil
import struct
import time
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from trainers.artifacts import atomic
from trainers.data import archives, folder, zips
from trainers.data.datasets import add_zip
from trainers.data.json_files import JSON_LINES
from trainers.data.tables import TSV
from trainers.examples import DataError
from trainers.tasks import TASKS

EXAMPLE = '{"tokens": ["Ana", "left"], "tags": ["B-PER", "O"]}\n'
WRONG = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff\xff", b"\0\0")


def zipped(method: int = zipfile.ZIP_DEFLATED, content: bytes = EXAMPLE.encode(), is_large: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for split in ("train", "dev", "test"):
            with archive.open(f"ner/en/{split}.jsonl", "w", force_zip64=is_large) as to:
                to.write(content)
    return out.getvalue()


SEEDS = [zipped(method) for method in (0, 8, 12, 14)] + [zipped(is_large=True)]


def mutant(seed: int) -> bytes:
    """A zip of which some bytes are others or lacking: mostly those of its directory, which is at its end."""
    draw = random.Random(seed)
    content = bytearray(draw.choice(SEEDS))
    for _ in range(draw.choice([1, 1, 2, 4])):
        place = max(0, len(content) - draw.randrange(1, 400 if draw.random() < 0.6 else len(content)))
        match draw.randrange(4):
            case 0 | 1:
                content[place] = draw.randrange(256)
            case 2:
                new = draw.choice(WRONG)
                content[place : place + len(new)] = new
            case _:
                del content[place : place + draw.randrange(1, 30)]
    return bytes(content)


def refusals(home: Path, seeds: range) -> Counter[str]:
    """What became of mutants: "taken", or "refused" with words that have no path of this machine."""
    found = Counter[str]()
    for seed in seeds:
        try:
            add_zip(home, "mine", io.BytesIO(mutant(seed)))
        except DataError as error:
            found["refused" if str(error).strip() and str(home) not in str(error) else f"in bad words: {error}"] += 1
        else:
            shutil.rmtree(home / "datasets" / "mine")
            found["taken"] += 1
        assert not list((home / "datasets").iterdir())
    return found


def test_a_broken_zip_is_refused_with_words_whatever_is_broken(tmp_path: Path) -> None:
    found = refusals(tmp_path, range(400))
    assert found.keys() == {"refused", "taken"}
    assert found["refused"] > 300


@pytest.mark.slow
def test_tens_of_thousands_of_broken_zips_are_refused_with_words(tmp_path: Path) -> None:
    assert refusals(tmp_path, range(1000, 41_000)).keys() == {"refused", "taken"}


RAISED = [
    ValueError("seek"), IndexError("tuple"), struct.error("unpack"), NotImplementedError("method"), zlib.error("data"),
    EOFError(), RuntimeError("password"), zipfile.BadZipFile("CRC"), OverflowError("int"), KeyError("name"),
    OSError("Invalid data stream"), OSError(errno.EINVAL, "Invalid argument"),
]  # fmt: skip


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_what_the_library_raises_for_a_broken_file_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def read(*_: Any) -> bytes:
        raise error

    monkeypatch.setattr(zipfile.ZipExtFile, "read", read)
    with pytest.raises(DataError, match=r"not a zip: ner/en/train\.jsonl is no file that can be read: ."):
        add_zip(tmp_path, "mine", io.BytesIO(zipped()))


def test_a_zip_with_a_password_or_a_rare_compression_is_refused_by_its_file(tmp_path: Path) -> None:
    content = bytearray(zipped())
    entry = content.index(b"PK\1\2")
    content[entry + 8] |= 1  # the flag of encryption
    with pytest.raises(DataError, match=r"'ner/en/train\.jsonl' has a password; allowed: none"):
        add_zip(tmp_path, "mine", io.BytesIO(bytes(content)))
    for method, name in ((zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "lzma")):
        with pytest.raises(DataError, match=rf"train\.jsonl' is compressed by {name}; allowed: deflate"):
            add_zip(tmp_path, "mine", io.BytesIO(zipped(method)))


def test_an_upload_leaves_nothing_but_its_dataset(tmp_path: Path) -> None:
    """Each left a file in a cache for every split, that was added or not, which nobody ever read or removed."""
    wrong = io.BytesIO(zipped())
    with zipfile.ZipFile(wrong, "a") as archive:
        archive.writestr("ner/zz/test.jsonl", "{")
    with pytest.raises(DataError, match="not a line of JSON"):
        add_zip(tmp_path, "mine", wrong)
    add_zip(tmp_path, "mine", io.BytesIO(zipped()))
    assert [path.name for path in tmp_path.iterdir()] == ["datasets"]
    assert sorted(path.name for path in (tmp_path / "datasets" / "mine").iterdir()) == ["data", "dataset.json"]


def test_a_few_bytes_do_not_become_hundreds_of_megabytes(tmp_path: Path) -> None:
    lines = b"\n" * 2**20
    assert len(bz2.compress(lines * 50)) < 200
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("ner/en/test.jsonl", "w") as to:
        for _ in range(60):
            to.write(lines)
    begin = time.process_time()
    with pytest.raises(DataError, match="unpacked it is larger than allowed: 36 MiB, for a ratio of 200"):
        add_zip(tmp_path, "mine", out)
    assert time.process_time() - begin < 5
    assert not list((tmp_path / "datasets").iterdir())


def test_members_that_share_their_bytes_count_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive read member by member, as those of XTREME's folder, is bounded as a whole."""
    monkeypatch.setattr(archives, "BYTES_OF_ANY", 1000)
    monkeypatch.setattr(archives, "MAX_RATIO", 1)
    file = io.BytesIO(zipped(content=b" " * 600))
    with pytest.raises(DataError, match="larger than allowed"), archives.readable("none"):
        list(archives.members(file))


def test_unpacking_and_checking_end_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as of_zips:
        of_zips.setattr(zips, "MAX_SECONDS", -1.0)
        with pytest.raises(DataError, match="to unpack it takes longer than allowed"):
            add_zip(tmp_path, "mine", io.BytesIO(zipped()))
    monkeypatch.setattr("trainers.data.datasets.MAX_SECONDS", -60.0)
    with pytest.raises(DataError, match=r"^ner/en/train\.jsonl, line 1: to check it takes longer than allowed"):
        add_zip(tmp_path, "mine", io.BytesIO(zipped()))


def test_a_disk_that_fills_up_is_no_fault_of_the_zip_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda _: usage._replace(free=atomic.RESERVE_BYTES + 10))
    with pytest.raises(OSError, match="the disk is full") as caught:
        add_zip(tmp_path, "mine", io.BytesIO(zipped()))
    assert caught.value.errno == errno.ENOSPC
    assert not list((tmp_path / "datasets").iterdir())


def test_a_split_of_more_examples_than_allowed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_EXAMPLES", 2)
    with pytest.raises(DataError, match=r"ner/en/train\.jsonl, line 3: more examples than allowed: 2 of a split"):
        add_zip(tmp_path, "mine", io.BytesIO(zipped(content=EXAMPLE.encode() * 3)))


def test_a_line_of_many_names_is_read_once(tmp_path: Path) -> None:
    """100,000 keys or columns of which one is twice: not each compared with every other one."""
    begin = time.process_time()
    (tmp_path / "a.jsonl").write_text("{" + ", ".join(f'"{number}": 1' for number in [*range(99_999), 7]) + "}")
    with pytest.raises(DataError, match="the key '7' stands twice"):
        list(JSON_LINES.read(tmp_path / "a.jsonl", TASKS["ner"], "en"))
    (tmp_path / "a.tsv").write_text("\t".join(map(str, [*range(30_000), 29_999])) + "\n")
    with pytest.raises(DataError, match="the column '29999' twice"):
        list(TSV.read(tmp_path / "a.tsv", TASKS["xnli"], "en"))
    assert time.process_time() - begin < 2
