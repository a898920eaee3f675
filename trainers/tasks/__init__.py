"""The tasks, by name."""

from typing import Any

from trainers.tasks.ner import NER
from trainers.tasks.pos import POS
from trainers.tasks.task import Task
from trainers.tasks.tydiqa import TYDIQA
from trainers.tasks.xnli import XNLI

TASKS: dict[str, Task[Any]] = {task.name: task for task in (NER, POS, TYDIQA, XNLI)}
