"""The tasks, by name: those of this package, and those that other packages bring."""

from typing import Any

from trainers.registry import Registry
from trainers.tasks.ner import NER
from trainers.tasks.pawsx import PAWSX
from trainers.tasks.pos import POS
from trainers.tasks.task import Task
from trainers.tasks.tydiqa import TYDIQA
from trainers.tasks.xnli import XNLI

TASKS: Registry[Task[Any]] = Registry("allasprak.tasks", (NER, POS, TYDIQA, XNLI, PAWSX), kind=Task)
