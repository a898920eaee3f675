"""The formats of files of examples."""

from collections.abc import Sequence
from typing import Any

from trainers.data.conll import CONLL
from trainers.data.conllu import CONLLU
from trainers.data.format import Format
from trainers.data.json_files import JSON_LINES, SQUAD
from trainers.data.tables import CSV, TSV
from trainers.tasks.task import Task
from trainers.trial import SPLITS

FORMATS = (JSON_LINES, CONLLU, CONLL, SQUAD, TSV, CSV)


def by_extension(task: Task[Any], formats: Sequence[Format] = FORMATS) -> dict[str, Format]:
    """The formats that the files of a task may have, by the extension of their names."""
    return {extension: one for one in formats if one.suits(task) for extension in one.extensions}


def is_nearly_a_split(name: str) -> bool:
    """Whether a file's name has a split's name or an extension of some format, however it is written or goes on."""
    begin, *extensions = name.casefold().split(".")
    known = {extension for one in FORMATS for extension in one.extensions}
    return begin in SPLITS or (begin != "" and any(f".{extension}" in known for extension in extensions))
