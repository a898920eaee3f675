"""XTREME on the Hugging Face hub, through `datasets`, fetched into the layout of `folder.py`."""

import json
import operator
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trainers.data.folder import FolderData, open_folder
from trainers.data.source import RemoteSource
from trainers.examples import DataError, Example
from trainers.languages import LANGUAGES, languages_of
from trainers.tasks import TASKS
from trainers.trial import DataReference, Split

# Configurations, splits and columns are those of the two dataset cards (https://huggingface.co/datasets/google/xtreme
# and .../facebook/xnli) and of the script that made XTREME's files (datasets/xtreme/xtreme.py in huggingface/datasets).
# It is XTREME: of XTREME-R's languages PAN-X lacks az, gu, lt, pa, pl, qu, ro and uk, udpos lt, pl, ro, uk and wo.
REPOSITORY = "google/xtreme"
XNLI_REPOSITORY = "facebook/xnli"

# The hub's names of our splits.
SPLITS: dict[Split, str] = {"train": "train", "dev": "validation", "test": "test"}

# Our languages as "udpos.<name>" spells them (Universal Dependencies' names) and, in lower case, TyDi QA's ids.
NAMES = {code: language.name for code, language in LANGUAGES.items()} | {"zh": "Chinese"}

# How far from its offset an answer of TyDi QA is looked for: our guess at the most blanks that can be lost.
LOST_BLANKS = 16


@dataclass(frozen=True)
class _Part:
    """Splits of a task that come from the same configuration.

    Attributes:
        splits: ours.
        configuration: its name, given a language's code.
        columns: those that an example needs.
        example: our example, given an id and the values of the columns, classes by their names.
        language_column: tells rows apart where the configuration has all languages.
        is_in: whether a row is in a language, given the value of that column and the language's code.
        repository: where it is.
    """

    splits: tuple[Split, ...]
    configuration: Callable[[str], str]
    columns: tuple[str, ...]
    example: Callable[..., Example]
    language_column: str | None = None
    is_in: Callable[[Any, str], bool] = operator.eq
    repository: str = REPOSITORY


def _name(language: str) -> str:
    return NAMES.get(language, language)


def _asked_in(question: Any, language: str) -> bool:
    """TyDi QA's ids begin with the language: "arabic-2387335860751143628-1"."""
    return str(question).startswith(f"{_name(language).lower()}-")


def _tagged(_: str, tokens: Any, tags: Any) -> Example:
    return {"tokens": tokens, "tags": tags}


def _question(_: str, id_: Any, context: Any, question: Any, answers: Any) -> Example:
    with suppress(KeyError, TypeError, ValueError, AttributeError):  # the task says what is wrong with their form
        answers = _aligned(context, answers["text"], answers["answer_start"])
    return {"id": id_, "context": context, "question": question, "answers": answers}


def _aligned(context: str, texts: list[str], offsets: list[int]) -> dict[str, list[Any]]:
    """Answers with the offsets at which they stand, next to the given ones; an answer that is not there keeps its own.

    The hub's script strips blanks from contexts and answers and leaves the offsets as they were
    (https://github.com/huggingface/datasets/issues/2585 is the same mistake in its SQuAD, where it was mended).
    """
    places = [_nearest(context, text, offset) for text, offset in zip(texts, offsets, strict=True)]
    return {"text": texts, "answer_start": places}


def _nearest(context: str, text: str, offset: int) -> int:
    near = range(max(0, offset - LOST_BLANKS), offset + LOST_BLANKS + 1)
    found = (place for place in near if context.startswith(text, place))
    return min(found, key=lambda place: abs(place - offset), default=offset)


def _pair(id_: str, premise: Any, hypothesis: Any, label: Any) -> Example:
    return {"id": id_, "premise": premise, "hypothesis": hypothesis, "label": label}


PARTS: dict[str, tuple[_Part, ...]] = {
    # Rahimi et al. (2019)'s splits of WikiANN.
    "ner": (
        _Part(
            splits=("train", "dev", "test"),
            configuration=lambda language: f"PAN-X.{language}",
            columns=("tokens", "ner_tags"),
            example=_tagged,
        ),
    ),
    # All treebanks of Universal Dependencies 2.5 (XTREME-R: 2.7). The hub's script leaves out lines with "_" as form or
    # tag: of multiword tokens the syntactic words remain, where XTREME's own scripts keep the token in their place
    # (--replace_subtokens_with_fused_forms). So "_" is no class of the hub's; a tag that is not universal is an error.
    "pos": (
        _Part(
            splits=("train", "dev", "test"),
            configuration=lambda language: f"udpos.{_name(language)}",
            columns=("tokens", "pos_tags"),
            example=_tagged,
        ),
    ),
    "tydiqa": (
        _Part(
            splits=("train", "dev"),
            configuration=lambda _: "tydiqa",
            columns=("id", "context", "question", "answers"),
            example=_question,
            language_column="id",
            is_in=_asked_in,
        ),
    ),
    # XTREME's XNLI has no training set; the other repository has MultiNLI ("en") and its machine translations.
    "xnli": (
        _Part(
            splits=("dev", "test"),
            configuration=lambda _: "XNLI",
            columns=("sentence1", "sentence2", "gold_label"),
            example=_pair,
            language_column="language",
        ),
        _Part(
            splits=("train",),
            configuration=lambda language: language,
            columns=("premise", "hypothesis", "label"),
            example=_pair,
            repository=XNLI_REPOSITORY,
        ),
    ),
}


class XtremeRSource(RemoteSource):
    """XTREME-R, of which each language is fetched when the first experiment needs it: `"xtreme-r"`."""

    name = "xtreme-r"
    is_published = True

    def open(self, reference: DataReference, task: str, home: Path) -> FolderData:
        """The examples of a task that have been fetched."""
        return open_folder(self.folder(home), task, home)

    def languages(self, value: None, task: str) -> tuple[str, ...]:
        """Codes of the languages that the paper used for a task."""
        return languages_of(task)

    def fetch(self, value: None, task: str, languages: Iterable[str], home: Path) -> None:
        """Fetch languages of a task from the hub, as `trainers.data.xtreme_r.fetch`."""
        fetch(task, languages, self.folder(home))

    def folder(self, home: Path) -> Path:
        """Where the fetched languages lie."""
        return home / "data" / self.name

    def describe(self, home: Path) -> list[dict[str, Any]]:
        """Its languages of each task, fetched or not."""
        tasks = {task: {"languages": list(languages_of(task))} for task in TASKS}
        return [{"name": self.name, "kind": "hub", "tasks": tasks}]

    def words(self, value: None) -> str:
        """As in a spec."""
        return self.name

    def title(self, value: None) -> str:
        """Its name in print."""
        return "XTREME-R"


def fetch(
    task: str,
    languages: Iterable[str],
    root: Path,
    repository: str = REPOSITORY,
    xnli_repository: str = XNLI_REPOSITORY,
) -> None:
    """Fetch languages of a task into `<root>/<task>/<language>/<split>.jsonl`; what lies there already stays.

    A language's folder appears when all its splits are complete, never before. Splits that the hub does not have are
    left out: udpos has no dev set for Kazakh and only a test set for Tagalog, Thai and Yoruba, tydiqa no test set.

    Args:
        task: "ner", "pos", "tydiqa" or "xnli".
        languages: their codes.
        root: where to put them.
        repository: XTREME on the hub, or a folder with the same files.
        xnli_repository: likewise XNLI, for its training sets.

    Raises:
        DataError: the hub cannot be reached or has no such language, a column is missing, or a row is not as the task
            needs it; the message names repository, configuration, split and row.
    """
    load = cache(_load)
    repositories = {REPOSITORY: repository, XNLI_REPOSITORY: xnli_repository}
    for language in languages:
        folder = root / task / language
        if folder.is_dir():
            continue
        with _complete(folder) as unfinished:
            for part in PARTS[task]:
                where = repositories[part.repository], part.configuration(language)
                _write_part(part, task, language, load(*where), ", ".join(where), unfinished)


def _load(repository: str, configuration: str) -> Any:
    from datasets import load_dataset

    try:
        return load_dataset(repository, configuration)
    except Exception as error:  # whatever its HTTP and Parquet libraries raise
        raise DataError(f"{repository}, {configuration}: {error}") from error


@contextmanager
def _complete(folder: Path) -> Iterator[Path]:
    """A folder to write into that gets its name at the end, and goes if there is none."""
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if not folder.is_dir():
            unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_part(part: _Part, task: str, language: str, hub: Any, where: str, folder: Path) -> None:
    """Write those of a part's splits that the hub has for a language."""
    splits = {split: f"{where}, {SPLITS[split]}" for split in part.splits if SPLITS[split] in hub}
    places = {split: _places(part, language, hub[SPLITS[split]], splits[split]) for split in splits}
    if not any(places.values()):
        raise DataError(f"{where}: nothing in the language {language!r}")
    for split, own in places.items():
        if own:
            rows = zip(own, _values(part, hub[SPLITS[split]].select(own)), strict=True)
            _write_lines(folder / f"{split}.jsonl", _examples(part, task, split, rows, splits[split]))


def _write_lines(path: Path, examples: Iterable[Example]) -> None:
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(example, ensure_ascii=False) + "\n" for example in examples)


def _examples(
    part: _Part, task: str, split: Split, rows: Iterable[tuple[int, list[Any]]], where: str
) -> Iterator[Example]:
    for number, (place, values) in enumerate(rows):
        example = part.example(f"{split}-{number}", *values)
        problem = TASKS[task].problem(example)
        if problem is not None:
            raise DataError(f"{where}, row {place}: {problem}")
        yield example


def _places(part: _Part, language: str, rows: Any, where: str) -> Sequence[int]:
    """Numbers of the rows that are in a language."""
    own = () if part.language_column is None else (part.language_column,)
    missing = [column for column in (*part.columns, *own) if column not in rows.column_names]
    if missing:
        raise DataError(f"{where}: no column {missing[0]!r} among {', '.join(rows.column_names)}")
    if part.language_column is None:
        return range(len(rows))
    return [place for place, value in enumerate(rows[part.language_column][:]) if part.is_in(value, language)]


def _values(part: _Part, rows: Any) -> Iterator[list[Any]]:
    """The values of the columns in each row, classes by their names."""
    features = [rows.features[column] for column in part.columns]
    classes = [getattr(getattr(feature, "feature", feature), "names", []) for feature in features]
    for row in rows:
        yield [_named(names, row[column]) for names, column in zip(classes, part.columns, strict=True)]


def _named(names: Sequence[str], value: Any) -> Any:
    """A class, or all of a list, by name; what is no class stays as it is."""
    if isinstance(value, list):
        return [_named(names, each) for each in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value
