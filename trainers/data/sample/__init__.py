"""A small artificial corpus in ten languages, for trying the software.

This is a SAMPLE: every sentence is generated from a few sentence patterns and a short word list for its language, and
every gold label follows from how the sentence was built. It is regular and easy, its people and organisations are
invented, and its train, dev and test splits come from the same patterns. Scores on it show that the software runs;
they say nothing about XTREME-R, about any natural text, or about how well one language transfers to another.
"""

from collections.abc import Callable
from typing import Any

from trainers.data.sample import lexicon as lexicons
from trainers.data.sample.corpus import LANGUAGES, SPLITS, derivations
from trainers.data.sample.pairs import pairs
from trainers.data.sample.questions import questions

__all__ = ["LANGUAGES", "SPLITS", "TASKS", "examples"]


def examples(task: str, language: str, split: str) -> list[dict[str, Any]]:
    """Labelled examples of one split, the same at every call. They are the caller's own to change.

    ner
        ``{"tokens": [...], "tags": [...]}``, IOB2 over PER, LOC and ORG.
    pos
        ``{"tokens": [...], "tags": [...]}``, universal parts of speech of the same sentences.
    tydiqa
        ``{"id", "context", "question", "answers": {"text": [one], "answer_start": [its first character]}}``.
    xnli
        ``{"id", "premise", "hypothesis", "label"}``, as many of each label as of any other.

    Raises:
        ValueError: for an unknown task, language or split; the message names what is allowed.
    """
    for value, allowed, kind in ((task, TASKS, "task"), (language, LANGUAGES, "language"), (split, SPLITS, "split")):
        if value not in allowed:
            raise ValueError(f"the sample corpus has no {kind} {value!r}; choose one of {', '.join(allowed)}")
    return _EXAMPLES[task](language, split)


def _ner(language: str, split: str) -> list[dict[str, Any]]:
    return [
        {"tokens": [word.form for word in derivation.terminals], "tags": [word.tag for word in derivation.terminals]}
        for derivation in derivations(language, split)
    ]


def _pos(language: str, split: str) -> list[dict[str, Any]]:
    return [
        {"tokens": [word.form for word in derivation.terminals], "tags": [word.upos for word in derivation.terminals]}
        for derivation in derivations(language, split)
    ]


def _tydiqa(language: str, split: str) -> list[dict[str, Any]]:
    spacing = lexicons.load(language).spacing
    asked = []
    for number, question in enumerate(questions(language, split)):
        tokens = [form for sentence in question.text for form in sentence.forms]
        context, starts = spacing.join(tokens)
        first, last = question.answer[0], question.answer[-1]
        answer = context[starts[first] : starts[last] + len(tokens[last])]
        asked.append(
            {
                "id": f"{language}-{split}-{number}",
                "context": context,
                "question": spacing.join(question.asked.forms)[0],
                "answers": {"text": [answer], "answer_start": [starts[first]]},
            }
        )
    return asked


def _xnli(language: str, split: str) -> list[dict[str, Any]]:
    spacing = lexicons.load(language).spacing
    return [
        {
            "id": f"{language}-{split}-{number}",
            "premise": spacing.join(pair.premise.forms)[0],
            "hypothesis": spacing.join(pair.hypothesis.forms)[0],
            "label": pair.label,
        }
        for number, pair in enumerate(pairs(language, split))
    ]


_EXAMPLES: dict[str, Callable[[str, str], list[dict[str, Any]]]] = {
    "ner": _ner,
    "pos": _pos,
    "tydiqa": _tydiqa,
    "xnli": _xnli,
}
TASKS: tuple[str, ...] = tuple(_EXAMPLES)
