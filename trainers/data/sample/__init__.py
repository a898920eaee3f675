"""A small artificial corpus in ten languages, for trying the software.

This is a SAMPLE: every sentence is generated from a few sentence patterns and a short word list for its language, and
every gold label follows from how the sentence was built. It is regular and easy, its people and organisations are
invented, and its train, dev and test splits come from the same patterns. Scores on it show that the software runs;
they say nothing about XTREME-R, about any natural text, or about how well one language transfers to another.
"""

from typing import Any

from trainers.data.sample.corpus import LANGUAGES, SPLITS
from trainers.tasks import TASKS

__all__ = ["LANGUAGES", "SPLITS", "examples", "tasks"]


def tasks() -> tuple[str, ...]:
    """Names of the tasks that have examples here (`trainers.tasks.task.Task.sample`)."""
    return tuple(name for name, task in TASKS.items() if task.sample is not None)


def examples(task: str, language: str, split: str) -> list[dict[str, Any]]:
    """Labelled examples of one split, the same at every call. They are the caller's own to change.

    Raises:
        ValueError: for an unknown task, language or split; the message names what is allowed.
    """
    sample = TASKS[task].sample if task in TASKS else None
    if sample is None:
        raise ValueError(f"the sample corpus has no task {task!r}; choose one of {', '.join(tasks())}")
    for value, allowed, kind in ((language, LANGUAGES, "language"), (split, SPLITS, "split")):
        if value not in allowed:
            raise ValueError(f"the sample corpus has no {kind} {value!r}; choose one of {', '.join(allowed)}")
    return sample(language, split)
