"""Treebanks of Universal Dependencies, as XTREME-R's pos has them: all of a language, in the order of their files.

`universal_dependencies.csv` lists the files of each language: those that begin with its code ("el_" is Greek, "grc_" is
Ancient Greek) in version 2.5, or 2.7 for the languages that XTREME-R adds to XTREME (lt, pl, ro, uk, wo).

Its sources are the Git repositories of the treebanks at the tags r2.5 and r2.7, of which `sha1` is the name of each
file in Git, and the lists of each release in UniversalDependencies/docs-automation (valdan/releases.json). UD_French-
Spoken stands there under its present name. UD_Arabic-NYUAD, UD_English-ESL and UD_Japanese-BCCWJ are left out: their
text may not be distributed, and no sentence of theirs remains.
"""

import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from trainers.data import conllu
from trainers.data.download import Tell, download
from trainers.data.fetched import Splits
from trainers.data.published_counts import accepts_differences, not_as_published
from trainers.examples import DataError, Example
from trainers.trial import SPLITS, Split

# Where the repositories are; the environment variable may name a mirror: <url>/<treebank>/<release>/<file>.
URL = "https://raw.githubusercontent.com/UniversalDependencies"
URL_VARIABLE = "ALLASPRAK_TREEBANKS_URL"


@dataclass(frozen=True, kw_only=True)
class TreebankFile:
    """A file of a treebank.

    Attributes:
        language: its code.
        treebank: the repository, such as "UD_Greek-GDT".
        release: the tag, such as "r2.5".
        file: its name.
        sha1: what Git calls its contents.
    """

    language: str
    treebank: str
    release: str
    file: str
    sha1: str

    @property
    def split(self) -> Split:
        """The split that it is a part of, by its name."""
        return next(split for split in SPLITS if split in self.file)

    @property
    def url(self) -> str:
        """Where it is fetched from."""
        return f"{os.environ.get(URL_VARIABLE) or URL}/{self.treebank}/{self.release}/{self.file}"


@cache
def treebank_files() -> tuple[TreebankFile, ...]:
    """All files, by language and then by name."""
    with Path(__file__).with_name("universal_dependencies.csv").open(encoding="utf-8", newline="") as table:
        return tuple(TreebankFile(**row) for row in csv.DictReader(table))


def fetch_files(language: str, folder: Path, tell: Tell) -> list[str]:
    """Fetch the files of a language into a folder; what is there stays, and what is begun is continued.

    Args:
        language: its code.
        folder: where to put them.
        tell: is told which is being fetched.

    Returns:
        The names of those that are not as they were released, which the service accepts.

    Raises:
        DataError: there is no treebank of the language, a file could not be fetched, or is not as it was released.
    """
    files = _of(language)
    folder.mkdir(parents=True, exist_ok=True)
    others = []
    for number, one in enumerate(files, 1):
        path = folder / one.file
        if not path.is_file():
            tell(f"{one.file} ({number} of {len(files)})")
            _fetch(one, path, tell)
        if (found := git_name(path)) != one.sha1:
            others.append(one.file)
            if not accepts_differences():
                path.unlink()
                raise not_as_published(f"{one.url}: Git calls it {found}, and {one.sha1} in the release {one.release}")
    return others


def examples(language: str, folder: Path) -> Splits:
    """Each split with its examples, and where they stand: file and line.

    Args:
        language: its code.
        folder: has its files.

    Raises:
        DataError: a line of a file is malformed.
    """
    files = _of(language)
    for split in SPLITS:
        if names := [one.file for one in files if one.split == split]:
            yield split, _sentences(folder, names, language)


def _of(language: str) -> list[TreebankFile]:
    """The files of a language, in alphabetical order. DataError: there are none."""
    found = sorted((one for one in treebank_files() if one.language == language), key=lambda one: one.file)
    if not found:
        raise DataError(f"Universal Dependencies: no treebank of the language {language!r} is listed")
    return found


def _fetch(one: TreebankFile, path: Path, tell: Tell) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    was_begun = unfinished.is_file()
    download(one.url, unfinished, tell)
    if was_begun and git_name(unfinished) != one.sha1:  # the beginning was of something else
        unfinished.unlink()
        download(one.url, unfinished, tell)
    unfinished.replace(path)


def git_name(path: Path) -> str:
    """What Git calls a file's contents: the SHA-1 of their size and themselves."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _sentences(folder: Path, names: list[str], language: str) -> Iterator[tuple[str, Example]]:
    for name in names:
        with (folder / name).open(encoding="utf-8", newline="\n") as lines:
            try:
                for line, example in conllu.examples(lines, language):
                    yield f"{name}, line {line}", example
            except (DataError, UnicodeDecodeError) as error:
                (folder / name).unlink()  # an accepted file may be the page of a proxy: it is fetched again
                raise DataError(f"{name}: {error}") from error
