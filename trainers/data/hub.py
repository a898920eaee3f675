"""XTREME-R on the Hugging Face hub, through `datasets`, fetched into the layout of `folder.py`."""

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from trainers.examples import DataError, Example

REPOSITORY = "google/xtreme"

# The hub's names of our splits.
SPLITS = {"train": "train", "dev": "validation", "test": "test"}


def _ner_example(row: dict[str, Any], tags: Callable[[int], str]) -> Example:
    return {"tokens": list(row["tokens"]), "tags": [tags(tag) for tag in row["ner_tags"]]}


def fetch(task: str, languages: Iterable[str], root: Path, repository: str = REPOSITORY) -> None:
    """Fetch languages of a task into `<root>/<task>/<language>/<split>.jsonl`; what lies there already stays.

    A language's folder appears when all its splits are complete, never before.

    Args:
        task: "ner" (PAN-X; Rahimi et al. 2019, as in XTREME's configurations "PAN-X.<language>").
        languages: their codes.
        root: where to put them.
        repository: a dataset on the hub, or a folder with the same files.

    Raises:
        DataError: the hub cannot be reached, or has no such language.
    """
    from datasets import load_dataset

    for language in languages:
        folder = root / task / language
        if folder.is_dir():
            continue
        try:
            splits = load_dataset(repository, f"PAN-X.{language}")
        except (ConnectionError, OSError, ValueError) as error:
            raise DataError(f"{repository}, PAN-X.{language}: {error}") from error
        unfinished = folder.with_name(f".{language}.{os.getpid()}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            for split, hub_split in SPLITS.items():
                tags = splits[hub_split].features["ner_tags"].feature.int2str
                with (unfinished / f"{split}.jsonl").open("w", encoding="utf-8") as lines:
                    for row in splits[hub_split]:
                        lines.write(json.dumps(_ner_example(row, tags), ensure_ascii=False) + "\n")
            if not folder.is_dir():
                unfinished.replace(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
