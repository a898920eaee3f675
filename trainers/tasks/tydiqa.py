"""Question answering as in TyDi QA's gold passage task."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from trainers.examples import Example
from trainers.languages import LANGUAGES
from trainers.protocols import PAPER, RELEASED_CODE, TaskSettings
from trainers.sample_corpus import lexicon, questions
from trainers.tasks.hub import HubPart
from trainers.tasks.passages import ExtractiveQuestionAnswering
from trainers.tasks.task import Published

# How far from its offset an answer is looked for: our guess at the most blanks that can be lost.
LOST_BLANKS = 16

_PAPER = replace(
    PAPER.defaults,
    training=replace(PAPER.defaults.training, epochs=60, max_length=384),  # section 4.3; length: released code
    alpha=0.1,  # section 4.3
)

_RELEASED_CODE = replace(
    _PAPER,
    training=replace(
        _PAPER.training,
        epochs=30,
        learning_rate=3e-5,
        warmup_steps=500,
        weight_decay=1e-4,
        accumulation=4,
        batching="micro-batches",
    ),
    selection="last",
    k_counts_windows=True,
)


def _asked_in(question: Any, language: str) -> bool:
    """Ids begin with the language: "arabic-2387335860751143628-1"."""
    return language in LANGUAGES and str(question).startswith(f"{LANGUAGES[language].name.lower()}-")


def _question(_: str, id_: Any, context: Any, question: Any, answers: Any) -> Example:
    with suppress(KeyError, TypeError, ValueError, AttributeError):  # the task says what is wrong with their form
        answers = _aligned(context, answers["text"], answers["answer_start"])
    return {"id": id_, "context": context, "question": question, "answers": answers}


def _aligned(context: str, texts: list[str], offsets: list[int]) -> dict[str, list[Any]]:
    """Answers with the offsets at which they stand, next to the given ones; an answer that is not there keeps its own.

    The hub's script strips blanks from contexts and answers and leaves the offsets as they were
    (https://github.com/huggingface/datasets/issues/2585 is the same mistake in its SQuAD, where it was mended).
    """
    places = [_nearest(context, text, offset) for text, offset in zip(texts, offsets, strict=True)]
    return {"text": texts, "answer_start": places}


def _nearest(context: str, text: str, offset: int) -> int:
    near = range(max(0, offset - LOST_BLANKS), offset + LOST_BLANKS + 1)
    found = (place for place in near if context.startswith(text, place))
    return min(found, key=lambda place: abs(place - offset), default=offset)


class TyDiQA(ExtractiveQuestionAnswering):
    """The task `tydiqa`."""

    name = "tydiqa"
    settings: Mapping[str, TaskSettings] = {PAPER.name: _PAPER, RELEASED_CODE.name: _RELEASED_CODE}
    languages = ("ar", "bn", "en", "fi", "id", "ko", "ru", "sw", "te")
    hub = (
        HubPart(
            repository="google/xtreme",
            splits=("train", "dev"),
            configuration=lambda _: "tydiqa",
            columns=("id", "context", "question", "answers"),
            example=_question,
            language_column="id",
            is_in=_asked_in,
        ),
    )
    two_splits = True  # appendix A
    published = Published(encoder="xlm-roberta-base", metric="f1", languages=9)  # section 4.3; Table 6

    def sample(self, language: str, split: str) -> list[Example]:
        """One answer a question."""
        spacing = lexicon.load(language).spacing
        asked = []
        for number, question in enumerate(questions.questions(language, split)):
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


TYDIQA = TyDiQA()
