"""The formats of files of examples."""

from collections.abc import Sequence
from typing import Any

from trainers.data.conll import CONLL
from trainers.data.conllu import CONLLU
from trainers.data.format import Format
from trainers.data.json_files import JSON_LINES, SQUAD
from trainers.data.tables import CSV, TSV
from trainers.tasks.task import Task

FORMATS = (JSON_LINES, CONLLU, CONLL, SQUAD, TSV, CSV)


def by_extension(task: Task[Any], formats: Sequence[Format] = FORMATS) -> dict[str, Format]:
    """The formats that the files of a task may have, by the extension of their names."""
    return {extension: one for one in formats if one.suits(task) for extension in one.extensions}
