"""Treebanks of Universal Dependencies: which files a language has, and how they are fetched."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

import xtreme_r_hub
from hub_server import Fault, Hub
from trainers.artifacts.layout import fetched_data
from trainers.data import treebanks
from trainers.data.conllu import examples
from trainers.data.published_counts import ACCEPT_VARIABLE
from trainers.data.treebanks import URL_VARIABLE, git_name, treebank_files
from trainers.data.xtreme_r import XtremeRSource, fetch
from trainers.examples import DataError
from trainers.tasks import TASKS
from trainers.trial import DataReference

LATER = {"lt", "pl", "ro", "uk", "wo"}


# The table


def test_files_are_those_of_the_language_alone() -> None:
    for one in treebank_files():
        assert one.file.startswith(f"{one.language}_")
        assert one.release == ("r2.7" if one.language in LATER else "r2.5")
        assert len(one.sha1) == 40
        assert Counter(split in one.file for split in ("train", "dev", "test"))[True] == 1
    assert len({one.file for one in treebank_files()}) == len(treebank_files())


def test_the_languages_are_those_of_the_paper_and_three_that_have_a_test_set_alone() -> None:
    splits: dict[str, set[str]] = {}
    for one in treebank_files():
        splits.setdefault(one.language, set()).add(one.split)
    assert set(splits) == {*TASKS["pos"].languages, "th", "tl", "yo"}
    lacking = {language: found for language, found in splits.items() if found != {"train", "dev", "test"}}
    assert lacking == {"kk": {"train", "test"}, "th": {"test"}, "tl": {"test"}, "yo": {"test"}}


def test_the_files_are_in_alphabetical_order() -> None:
    keys = [(one.language, one.file) for one in treebank_files()]
    assert keys == sorted(keys)


def test_the_list_agrees_with_that_of_a_script_for_the_same_releases() -> None:
    """`xtreme_r_hub` has its list from elsewhere, with treebanks of other languages and without text."""
    theirs = {path.removeprefix("UniversalDependencies/") for path in xtreme_r_hub.treebanks()}
    ours = {f"{one.treebank}/{one.release}/{one.file}" for one in treebank_files()}
    without_text = {"UD_Arabic-NYUAD", "UD_English-ESL", "UD_Japanese-BCCWJ"}
    others = {"UD_Ancient_Greek", "UD_Classical_Chinese", "UD_Old_Russian", "UD_Old_French", "UD_Swiss_German"}
    left_out = {path for path in theirs if path.split("/")[0] in without_text or path.split("-")[0] in others}
    assert ours == theirs - left_out


def test_where_they_are_fetched_from(monkeypatch: pytest.MonkeyPatch) -> None:
    [one] = [one for one in treebank_files() if one.file == "el_gdt-ud-dev.conllu"]
    rest = "/UD_Greek-GDT/r2.5/el_gdt-ud-dev.conllu"
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    assert one.url == f"https://raw.githubusercontent.com/UniversalDependencies{rest}"
    monkeypatch.setenv(URL_VARIABLE, "http://mirror/ud")
    assert one.url == f"http://mirror/ud{rest}"


def test_contents_have_the_name_that_git_gives_them(tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    path.write_bytes(b"# text\n1\tA\n" * 1000)
    asked = subprocess.run(["git", "hash-object", "--no-filters", path], capture_output=True, text=True, check=True)
    assert git_name(path) == asked.stdout.strip()


# Fetching


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({}, xtreme_r_hub.treebanks()) as server:
        monkeypatch.setenv(URL_VARIABLE, f"{server.endpoint}/UniversalDependencies")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server


@pytest.fixture
def accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the server are not the published ones."""
    monkeypatch.setenv(ACCEPT_VARIABLE, "1")


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The files of the server are the released ones, of which nobody has counted the sentences."""
    path = tmp_path / "content"
    known = []
    for one in treebank_files():
        path.write_text(xtreme_r_hub.treebanks()[f"UniversalDependencies/{one.treebank}/{one.release}/{one.file}"])
        known.append(replace(one, sha1=git_name(path)))
    monkeypatch.setattr(treebanks, "treebank_files", lambda: tuple(known))
    monkeypatch.setattr("trainers.data.published_counts.published_counts", dict)


def sentences(home: Path, language: str, split: str) -> list[tuple[str, int]]:
    """Of which file each sentence is, by its last word, and its number of words."""
    data = XtremeRSource().open(DataReference("xtreme-r", None), "pos", home)
    return [(one["tokens"][-1], len(one["tokens"])) for one in data.examples(language, split)]  # type: ignore[arg-type]


@pytest.mark.usefixtures("server", "released")
def test_a_language_has_the_sentences_of_its_treebanks_in_the_order_of_their_files(tmp_path: Path) -> None:
    assert fetch("pos", ["de", "fr"], tmp_path, print) == []
    files = {
        "train": ["de_gsd", *["de_hdt"] * 4],
        "dev": ["de_gsd", "de_hdt"],
        "test": ["de_gsd", "de_hdt", "de_lit", "de_pud"],
    }
    for split, expected in files.items():
        whole = [
            (name, len(example["tokens"]))
            for name, path in zip(expected, paths("de", split), strict=True)
            for _, example in examples(xtreme_r_hub.treebanks()[path].splitlines(), "de")
        ]
        assert sentences(tmp_path, "de", split) == whole
    assert {name for name, _ in sentences(tmp_path, "fr", "train")} == {
        "fr_gsd",
        "fr_partut",
        "fr_sequoia",
        "fr_spoken",
    }


def paths(language: str, split: str) -> list[str]:
    """The files of a language at the server, in alphabetical order of their names."""
    found = [path for path in xtreme_r_hub.treebanks() if f"/{language}_" in path and f"-ud-{split}" in path]
    return sorted(found, key=lambda path: path.split("/")[-1])


@pytest.mark.usefixtures("server", "released")
def test_a_language_without_a_split_has_the_others(tmp_path: Path) -> None:
    fetch("pos", ["kk", "th"], tmp_path, print)
    root = fetched_data(tmp_path, "xtreme-r") / "pos"
    found = {language: {path.stem for path in (root / language).glob("*.jsonl")} for language in ("kk", "th")}
    assert found == {"kk": {"train", "test"}, "th": {"test"}}


@pytest.mark.usefixtures("released")
def test_the_files_are_fetched_once_and_then_removed(server: Hub, tmp_path: Path) -> None:
    told: list[str] = []
    fetch("pos", ["el"], tmp_path, told.append)
    names = ["el_gdt-ud-dev.conllu", "el_gdt-ud-test.conllu", "el_gdt-ud-train.conllu"]
    assert [request.path.split("/")[-1] for request in server.requests] == names
    head = "fetching pos: el (1 of 1)"
    assert told == [head, *(f"{head}: {name} ({number} of 3)" for number, name in enumerate(names, 1))]
    fetch("pos", ["el"], tmp_path, told.append)
    assert len(server.requests) == 3
    assert not list(fetched_data(tmp_path, "xtreme-r").rglob("*.conllu*"))


@pytest.mark.usefixtures("released")
def test_what_two_experiments_need_at_once_is_fetched_once(server: Hub, tmp_path: Path) -> None:
    server.order(Fault(path="*", wait=0.2))
    both = [Thread(target=fetch, args=("pos", ["yo"], tmp_path, print)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(server.requests) == 1
    assert len(sentences(tmp_path, "yo", "test")) == xtreme_r_hub.SENTENCES["test"]


@pytest.mark.usefixtures("released", "waited")
def test_the_next_attempt_fetches_what_is_lacking_and_goes_on_in_what_is_begun(server: Hub, tmp_path: Path) -> None:
    broken = Fault(path="*/el_gdt-ud-test.conllu", break_after=500)
    gone = Fault(path="*/el_gdt-ud-test.conllu", status=404, times=None)
    server.order(broken, gone)
    with pytest.raises(DataError, match=r"el_gdt-ud-test\.conllu: HTTP 404"):
        fetch("pos", ["el"], tmp_path, print)
    assert not (fetched_data(tmp_path, "xtreme-r") / "pos" / "el").exists()
    gone.times = 0
    asked = len(server.requests)
    fetch("pos", ["el"], tmp_path, print)
    again = [(request.path.split("-")[-1], request.range) for request in server.requests[asked:]]
    assert again == [("test.conllu", "bytes=500-"), ("train.conllu", None)]
    assert len(sentences(tmp_path, "el", "test")) == xtreme_r_hub.SENTENCES["test"]


@pytest.mark.usefixtures("released")
def test_a_beginning_of_something_else_is_not_continued(server: Hub, tmp_path: Path) -> None:
    folder = fetched_data(tmp_path, "xtreme-r") / ".downloads" / "pos-el"
    folder.mkdir(parents=True)
    (folder / "el_gdt-ud-dev.conllu.part").write_text("<html>an older file</html>")
    fetch("pos", ["el"], tmp_path, print)
    ranges = [request.range for request in server.requests if request.path.endswith("dev.conllu")]
    assert ranges == ["bytes=26-", None]


def test_a_file_that_is_not_the_released_one_is_refused(server: Hub, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"el_gdt-ud-dev\.conllu: Git calls it \w{40}, and 9a276be.* in the release r2\.5"
    ):
        fetch("pos", ["el"], tmp_path, print)
    with pytest.raises(DataError, match="Git calls it"):  # it is fetched again
        fetch("pos", ["el"], tmp_path, print)
    assert len(server.requests) == 2


@pytest.mark.usefixtures("server", "accepted")
def test_where_other_files_are_accepted_it_is_said(tmp_path: Path) -> None:
    for _ in range(2):
        others, counts = fetch("pos", ["tl"], tmp_path, print)
        assert others == "pos, tl: other files than those of the release: tl_trg-ud-test.conllu"
        assert counts == "pos, tl: test has 6 examples instead of 55"


@pytest.mark.usefixtures("server", "accepted")
def test_a_language_without_treebanks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no treebank of the language 'tlh'"):
        fetch("pos", ["tlh"], tmp_path, print)


@pytest.mark.usefixtures("accepted")
def test_a_malformed_line_is_an_error_with_file_and_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = "UniversalDependencies/UD_Tagalog-TRG/r2.5/tl_trg-ud-test.conllu"
    with Hub({}, {path: "# text = A\n1\tA\n"}) as server:
        monkeypatch.setenv(URL_VARIABLE, f"{server.endpoint}/UniversalDependencies")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for attempt in (1, 2):  # it is fetched again: it may have been the page of a proxy
            with pytest.raises(DataError, match=r"tl_trg-ud-test\.conllu: line 2: 2 columns"):
                fetch("pos", ["tl"], tmp_path, print)
            assert len(server.requests) == attempt
