"""A small artificial corpus in ten languages, for trying the software.

This is a SAMPLE: every sentence is generated from a few sentence patterns and a short word list for its language, and
every gold label follows from how the sentence was built. It is regular and easy, its people and organisations are
invented, and its train, dev and test splits come from the same patterns. Scores on it show that the software runs;
they say nothing about XTREME-R, about any natural text, or about how well one language transfers to another.
"""

from trainers.data.sample.corpus import LANGUAGES, SPLITS, derivations

__all__ = ["LANGUAGES", "SPLITS", "TASKS", "examples"]

TASKS: tuple[str, ...] = ("ner",)


def examples(task: str, language: str, split: str) -> list[dict[str, list[str]]]:
    """Labelled sentences of one split, each ``{"tokens": [...], "tags": [...]}``, the same at every call.

    For ``ner`` the tags are IOB2 over PER, LOC and ORG. The lists are the caller's own to change.

    Raises:
        ValueError: for an unknown task, language or split; the message names what is allowed.
    """
    for value, allowed, kind in ((task, TASKS, "task"), (language, LANGUAGES, "language"), (split, SPLITS, "split")):
        if value not in allowed:
            raise ValueError(f"the sample corpus has no {kind} {value!r}; choose one of {', '.join(allowed)}")
    return [
        {"tokens": [word.form for word in derivation.terminals], "tags": [word.tag for word in derivation.terminals]}
        for derivation in derivations(language, split)
    ]
