"""A language's examples on their way into a folder, `<task>/<language>/<split>.jsonl`: it appears complete, or not."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from trainers.examples import DataError, Example
from trainers.tasks import TASKS
from trainers.trial import Split

# Of a language: splits, each with (place in words, example). Each split is read before the next one is asked for.
Splits = Iterator[tuple[Split, Iterator[tuple[str, Example]]]]


def write_language(folder: Path, task: str, splits: Splits) -> None:
    """Write the examples of a language into a folder, unless it is there by then. A split without any is left out.

    Raises:
        DataError: an example is not as the task needs it, or there is none.
    """
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        for split, examples in splits:
            with (unfinished / f"{split}.jsonl").open("x", encoding="utf-8") as lines:
                lines.writelines(_checked(task, examples))
            if not (unfinished / f"{split}.jsonl").stat().st_size:
                (unfinished / f"{split}.jsonl").unlink()
        if not any(unfinished.iterdir()):
            raise DataError(f"there are no examples of {task} in {folder.name!r}")
        if not folder.is_dir():
            unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _checked(task: str, examples: Iterable[tuple[str, Example]]) -> Iterator[str]:
    for place, example in examples:
        if problem := TASKS[task].problem(example):
            raise DataError(f"{place}: {problem}")
        yield json.dumps(example, ensure_ascii=False) + "\n"
