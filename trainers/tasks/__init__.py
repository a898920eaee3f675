"""The tasks, by name."""

from trainers.tasks.ner import NER

TASKS = {task.name: task for task in (NER,)}
