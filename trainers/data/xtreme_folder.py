"""The folder that XTREME's own scripts make of the data that they download, and the archives that they make it from.

The scripts are `scripts/download_data.sh` and `utils_preprocess.py` of google-research/xtreme. They remove the labels
of test sets; the archives have all splits with their labels. Of a split that is in both, the archive counts.
"""

import csv
import re
import shutil
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO

from trainers.data.archives import members, readable
from trainers.data.conllu import examples as of_treebank
from trainers.data.fetched import Splits
from trainers.data.format import MAX_LINE_BYTES, lines_of, text_lines
from trainers.data.json_files import questions
from trainers.data.treebanks import treebank_files
from trainers.digests import digest
from trainers.examples import LANGUAGE_CODE, DataError, Example
from trainers.languages import LANGUAGES
from trainers.tasks import TASKS
from trainers.trial import SPLITS, Split

Lines = Iterator[tuple[int, str]]

# Releases of Universal Dependencies; the later one is for the languages that XTREME-R adds to XTREME.
TREEBANKS = "ud-treebanks-v2.5.tgz"
LATER_TREEBANKS = "ud-treebanks-v2.7.tgz"

# "el_gdt-ud-train.conllu", of a large treebank also "de_hdt-ud-train-a-1.conllu": the code tells the language.
TREEBANK_FILE = re.compile(r"([a-z]+)_[a-z0-9_]+-ud-[a-z0-9-]+\.conllu")

TYDIQA_TRAIN = "tydiqa-goldp-v1.1-train.json"

# Archived, or as the scripts unpack and rename it.
TYDIQA_DEV = ("tydiqa-goldp-v1.1-dev.tgz", "tydiqa-goldp-v1.1-dev.json", "tydiqa-goldp-v1.1-dev/*.json")

# By task, the folder of what the scripts make, and the archives.
MADE = {"ner": "panx", "pos": "udpos", "tydiqa": "tydiqa", "xnli": "xnli"}
ARCHIVES = {
    "ner": ("panx_dataset/*.tar.gz", "AmazonPhotos.zip"),
    "pos": (TREEBANKS, LATER_TREEBANKS),
    "tydiqa": (TYDIQA_TRAIN, *TYDIQA_DEV),
    "xnli": ("XNLI-1.0.zip", "XNLI-MT-1.0.zip"),
}

# How far below the root files are looked for.
DEPTHS = ("", "*/", "*/*/", "*/*/*/")


class XtremeFolder:
    """What there is of a task in a folder, or at most three folders below it.

    Args:
        root: the folder.
        task: one of `ARCHIVES`.
    """

    def __init__(self, root: Path, task: str) -> None:
        self.root, self.task = root, task

    def digest(self) -> str:
        """Tells the files apart from others, by their paths, sizes and times of change."""
        paths = [*self._files(self._made("*")), *chain(*map(self._files, ARCHIVES[self.task]))]
        status = [(path, path.stat()) for path in paths]
        return digest([[str(path), found.st_size, found.st_mtime_ns] for path, found in status])

    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that have a test set with labels; for tydiqa, which has none, a dev set."""
        made = {path.stem.removeprefix("test-") for path in self._files(self._made("test-*")) if _has_labels(path)}
        there = {name for name in ARCHIVES[self.task] if self._files(name)}
        found: Iterable[str] = ()
        match self.task:
            case "ner":
                found = self._panx_archives()
            case "pos":
                found = [language for language in TASKS["pos"].languages if _release(language) in there]
            case "tydiqa" if there - {TYDIQA_TRAIN}:
                found = TASKS["tydiqa"].languages
            case "xnli" if "XNLI-1.0.zip" in there:
                found = TASKS["xnli"].languages
        return tuple(sorted(code for code in made.union(found) if re.fullmatch(LANGUAGE_CODE, code)))

    def unpack(self, languages: Iterable[str], folder: Path) -> None:
        """Write the treebanks of languages below a folder, as `splits` needs them; each archive is read once."""
        wanted = set(languages)
        for archive in sorted({_release(language) for language in wanted}):
            with readable(f"{archive}: no archive"):
                for name, content in self._members(archive):
                    found = TREEBANK_FILE.fullmatch(name)
                    if found and found[1] in wanted and _release(found[1]) == archive:
                        (folder / found[1]).mkdir(parents=True, exist_ok=True)
                        with (folder / found[1] / name).open("wb") as to:
                            shutil.copyfileobj(content, to)

    def splits(self, language: str, treebanks: Path) -> Splits:
        """The splits of a language; none if there is nothing of it.

        Args:
            language: its code.
            treebanks: the folder to which those of the language have been unpacked.

        Raises:
            DataError: a line is malformed; the message begins with the file.
        """
        match self.task:
            case "ner":
                published = self._panx(language)
            case "pos":
                published = _universal_dependencies(treebanks / language, language)
            case "tydiqa":
                published = self._tydiqa(language)
            case _:
                published = self._xnli(language)
        given: set[Split] = set()
        for split, examples in chain(published, self._preprocessed(language)):
            if split not in given:
                given.add(split)
                yield split, examples

    def _made(self, name: str) -> str:
        """The end of the path of what the scripts make."""
        return f"{MADE[self.task]}/{name}.tsv"

    def _files(self, end: str) -> list[Path]:
        """Files by the end of their path, those of the nearest folder first."""
        return [path for depth in DEPTHS for path in sorted(self.root.glob(f"{depth}{end}")) if path.is_file()]

    def _members(self, archive: str) -> Iterator[tuple[str, IO[bytes]]]:
        """(name without folders, content) of each file of an archive; nothing where there is no such archive."""
        for path in self._files(archive)[:1]:
            with path.open("rb") as file, readable(f"{path.name}: no archive"):
                for name, content in members(file):
                    yield PurePosixPath(name).name, content

    def _preprocessed(self, language: str) -> Splits:
        """What the scripts made."""
        for split in SPLITS:
            for path in self._files(self._made(f"{split}-{language}"))[:1]:
                if _has_labels(path):
                    read = _rows(path, split) if self.task == "xnli" else _tagged(text_lines(path), prefixed=False)
                    yield split, _placed(path.name, read)

    def _panx_archives(self) -> set[str]:
        """The languages that have an archive, alone or in that of all."""
        names = [path.name for path in self._files("panx_dataset/*.tar.gz")]
        names += [name for name, _ in self._members("AmazonPhotos.zip")]
        return {name.removesuffix(".tar.gz") for name in names if name.endswith(".tar.gz")}

    def _panx(self, language: str) -> Splits:
        archive = f"{language}.tar.gz"
        alone = self._members(f"panx_dataset/{archive}")
        within = (
            (PurePosixPath(name).name, content)
            for outer, packed in self._members("AmazonPhotos.zip")
            if outer == archive
            for name, content in members(packed)
        )
        with readable(f"{archive}: no archive"):
            for name, content in chain(alone, within):
                for split in SPLITS:
                    if name == split:
                        yield split, _placed(f"{archive}, {name}", _tagged(lines_of(content), prefixed=True))

    def _tydiqa(self, language: str) -> Splits:
        begin = f"{LANGUAGES[language].name.lower()}-" if language in LANGUAGES else "-"
        for split, asked in self._asked.items():
            own = [(place, one) for place, one in asked if str(one["id"]).startswith(begin)]
            if own:
                yield split, iter(own)

    @cached_property
    def _asked(self) -> dict[Split, list[tuple[str, Example]]]:
        """All questions, in all languages."""
        found: dict[Split, list[tuple[str, Example]]] = {"train": [], "dev": []}
        for path in self._files(TYDIQA_TRAIN)[:1]:
            with path.open("rb") as file:
                found["train"] += _placed(path.name, enumerate(questions(file), start=1), "question")
        dev = [path for name in TYDIQA_DEV for path in self._files(name)]
        unpacked = [
            path for path in dev if path.parent == dev[0].parent and path.parent.name == "tydiqa-goldp-v1.1-dev"
        ]
        for path in unpacked or dev[:1]:
            packed = path.suffix == ".tgz"
            with path.open("rb") as file:
                for name, content in members(file) if packed else [(path.name, file)]:
                    document = PurePosixPath(name).name
                    if document.endswith(".json") and not document.startswith("."):
                        found["dev"] += _placed(document, enumerate(questions(content), start=1), "question")
        return found

    def _xnli(self, language: str) -> Splits:
        columns = ("sentence1", "sentence2", "gold_label")
        for name, content in self._members("XNLI-1.0.zip"):
            for split in SPLITS:
                if name == f"xnli.{split}.tsv":
                    yield split, _placed(name, _pairs(lines_of(content), columns, split, language))
        for name, content in self._members("XNLI-MT-1.0.zip"):
            if name == f"multinli.train.{language}.tsv":
                yield "train", _placed(name, _pairs(lines_of(content), ("premise", "hypo", "label"), "train", language))


def _release(language: str) -> str:
    """The archive of the release that XTREME-R takes a language's treebanks from."""
    is_later = any(one.language == language and one.release == "r2.7" for one in treebank_files())
    return LATER_TREEBANKS if is_later else TREEBANKS


def _has_labels(path: Path) -> bool:
    """Whether the first line of what the scripts made has labels: one column more than those without."""
    with path.open("rb") as file:
        return file.readline(MAX_LINE_BYTES).count(b"\t") == (2 if path.parent.name == "xnli" else 1)


def _placed(name: str, examples: Iterable[tuple[int, Example]], unit: str = "line") -> Iterator[tuple[str, Example]]:
    """Examples with the places in words. DataErrors get the name of the file."""
    try:
        with readable("no file in an archive"):
            for place, example in examples:
                yield f"{name}, {unit} {place}", example
    except DataError as error:
        raise DataError(f"{name}, {error}") from error


def _tagged(lines: Lines, *, prefixed: bool) -> Iterator[tuple[int, Example]]:
    """Sentences of a token and its tag a line; of tokens with a prefix ("de:Haus") that goes."""
    tokens: list[str] = []
    tags: list[str] = []
    first = 0
    for number, line in chain(lines, [(0, "")]):
        if line.strip("\r\n"):
            first = first if tokens else number
            columns = line.strip("\r\n").split("\t")
            if len(columns) != 2:
                raise DataError(f"line {number}: {len(columns)} columns; allowed: a token and its tag, between a tab")
            tokens.append(columns[0].partition(":")[2] if prefixed else columns[0])
            tags.append(columns[1])
        elif tokens:
            yield first, {"tokens": tokens, "tags": tags}
            tokens, tags = [], []


def _universal_dependencies(folder: Path, language: str) -> Splits:
    """All treebanks of a language, in the order of their files' names."""
    paths = sorted(folder.glob("*.conllu"), key=lambda path: path.name)
    for split in SPLITS:
        mine = [path for path in paths if next((one for one in SPLITS if one in path.name), None) == split]
        if mine:
            yield split, chain.from_iterable(_treebank(path, language) for path in mine)


def _treebank(path: Path, language: str) -> Iterator[tuple[str, Example]]:
    return _placed(path.name, of_treebank((line for _, line in text_lines(path)), language))


def _pairs(lines: Lines, columns: tuple[str, str, str], split: Split, language: str) -> Iterator[tuple[int, Example]]:
    """Pairs of a language, from columns of a table with a header and without quotes."""
    _, header = next(lines, (1, ""))
    places = {name: place for place, name in enumerate(header.rstrip("\r\n").split("\t"))}
    if missing := [name for name in columns if name not in places]:
        raise DataError(f"line 1: no column {missing[0]!r}")
    count = 0
    for number, line in lines:
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) <= max(places[name] for name in columns):
            raise DataError(f"line {number}: {len(cells)} columns; allowed: {len(places)}, as in the header")
        if "language" not in places or cells[places["language"]].strip() == language:
            yield number, _pair(f"{split}-{count}", [cells[places[name]] for name in columns])
            count += 1


def _rows(path: Path, split: Split) -> Iterator[tuple[int, Example]]:
    """Pairs as the scripts write them: quoted where they have to be, without a header."""
    reader = csv.reader((line for _, line in text_lines(path)), delimiter="\t")
    begin = 1
    try:
        for count, row in enumerate(reader):
            if len(row) != 3:
                raise DataError(f"line {begin}: {len(row)} columns; allowed: 3")
            yield begin, _pair(f"{split}-{count}", row)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"line {begin}: not a row as the scripts write it ({error})") from error


def _pair(id_: str, cells: list[str]) -> Example:
    premise, hypothesis, label = (cell.strip() for cell in cells)
    label = "contradiction" if label == "contradictory" else label
    return {"id": id_, "premise": premise, "hypothesis": hypothesis, "label": label}
