"""Extractive question answering, as in SQuAD and TyDi QA's gold passage task: the answer is a span of the context.

Windows and the search for the best span are those of the SQuAD and XTREME scripts. Both are in this file, which is long
for that: the search needs what the windows know of their tokens.
"""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any

from trainers.examples import Example
from trainers.tasks import squad
from trainers.tasks.errors import Error, Mark
from trainers.tasks.frame import Frame
from trainers.tasks.scores import Fraction
from trainers.tasks.task import ExampleError, Task, Window, is_blank, missing_text, shown

# In tokens, as in XTREME's scripts and the authors' code.
MAX_QUESTION = 64
STRIDE = 128  # how far a window's beginning is from the last one's
MAX_ANSWER = 30

N_BEST = 20  # starts and ends of a window that are tried together

# Kinds of errors: no word is right, or some are, or they stand in another order.
NO_ANSWER, NO_OVERLAP, PARTIAL = "no answer", "no overlap", "partial"

Span = tuple[int, int]  # first, after the last
Candidate = tuple[float, int, int]  # start logit + end logit, first character, character after the last


@dataclass(frozen=True)
class PassageWindow(Window):
    """A question and a piece of its context.

    Attributes:
        context: positions of the piece in `input_ids`.
        owned: positions of those of its tokens that have maximal context here: a span may start there only.
        spans: characters in the whole context of each of the piece's tokens.
        answer: positions of the gold answer's first and last token; 0 and 0 if it is not wholly here.
    """

    context: range
    owned: range
    spans: list[Span]
    answer: tuple[int, int]


class ExtractiveQuestionAnswering(Task[PassageWindow]):
    """The part of a task that those over questions and passages share."""

    metric = "f1"
    metrics_names = ("f1", "exact_match")
    model_class = "AutoModelForQuestionAnswering"
    pipeline = "question-answering"
    reading = "pieces"

    def problem(self, example: object) -> str | None:
        """What is wrong with an example as read from a file; None if nothing."""
        fields = ("id", "context", "question")
        missing = missing_text(example, *fields)
        if missing is not None:
            return missing
        assert isinstance(example, dict)
        empty = next((field for field in fields if is_blank(example[field])), None)
        return f"{empty!r} is empty" if empty is not None else _problem_of_answers(example)

    def label_set(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Empty: the head tells apart no labels."""
        return ()

    def text(self, example: Example) -> str:
        """Question and context."""
        return f"{example['question']} {example['context']}"

    def cut(self, tokens: int, max_length: int) -> tuple[int, int]:
        """One window, or as many as reach the end by STRIDE; all but the last are full."""
        last = tokens + 4
        windows = 1 + max(0, -(-(last - max_length) // STRIDE))
        return windows, (windows - 1) * max_length + last - (windows - 1) * STRIDE

    def gold(self, example: Example) -> list[str]:
        """The texts of all answers."""
        texts: list[str] = example["answers"]["text"]
        return texts

    def features(
        self, examples: Sequence[Example], labels: Sequence[str], tokenizer: Any, max_length: int
    ) -> list[PassageWindow]:
        """The question, cut to 64 tokens, with as much of the context as fits, from every 128th token on.

        Where fewer than 256 fit, each window begins in the middle of the last: a short answer is whole in one of them.

        Raises:
            ExampleError: beside the question no room is left for the context, or the context has no token.
        """
        if not examples:
            return []
        questions = tokenizer([example["question"] for example in examples], add_special_tokens=False, verbose=False)
        contexts = tokenizer(
            [example["context"] for example in examples],
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        frame = Frame(tokenizer, 2)
        windows = []
        for place, example in enumerate(examples):
            question, context = questions["input_ids"][place][:MAX_QUESTION], contexts["input_ids"][place]
            room = max_length - frame.special - len(question)
            if room < 1 or not context:
                raise ExampleError(place, _why_no_window(example, len(question), max_length, room))
            spans = list(_character_spans(example["context"], contexts["offset_mapping"][place]))
            answer = _answer_tokens(spans, example["answers"])
            first = frame.before[1] + len(question)
            held = list(_held(len(context), room))
            for piece, owned in zip(held, _owned(held), strict=True):
                ids, types = frame.around(question, context[piece.start : piece.stop])
                shift = first - piece.start
                windows.append(
                    PassageWindow(
                        example=place,
                        input_ids=ids,
                        token_types=types,
                        supervised=1,
                        context=range(first, first + len(piece)),
                        owned=range(owned.start + shift, owned.stop + shift),
                        spans=spans[piece.start : piece.stop],
                        answer=_inside(answer, piece, shift),
                    )
                )
        return windows

    def targets(self, windows: Sequence[PassageWindow], length: int) -> dict[str, list[Any]]:
        """`start_positions` and `end_positions` [batch]; the first special token where the answer is not inside."""
        return {
            "start_positions": [window.answer[0] for window in windows],
            "end_positions": [window.answer[1] for window in windows],
        }

    def loss(self, outputs: Any, batch: Mapping[str, Any]) -> Any:
        """The mean cross-entropy of start and end over each window's own positions.

        The model's own loss takes the padding for possible answers, so that it depends on the longest window of the
        batch.
        """
        padding = batch["attention_mask"] == 0  # [batch, length]
        losses = [
            logits.float().masked_fill(padding, -inf).log_softmax(-1).gather(1, batch[target][:, None]).mean().neg()
            for logits, target in ((outputs.start_logits, "start_positions"), (outputs.end_logits, "end_positions"))
        ]
        return sum(losses) / len(losses)

    def decode(self, outputs: Any, windows: Sequence[PassageWindow]) -> list[Candidate | None]:
        """The best span of each window; None if none of the pairs that are tried is a span.

        As in SQuAD's script, the pairs are those of the 20 best starts and the 20 best ends among all positions,
        special tokens and question included; of equals the first positions.

        Args:
            outputs: `start_logits` and `end_logits` [batch, length].
            windows: those of the batch.
        """
        starts, ends = outputs.start_logits.float(), outputs.end_logits.float()
        positions = starts.new_tensor(range(starts.shape[1]))

        def within(ranges: list[range]) -> Any:  # [batch, length]
            bounds = starts.new_tensor([(one.start, one.stop) for one in ranges])
            return (positions >= bounds[:, :1]) & (positions < bounds[:, 1:])

        here = within([range(len(window.input_ids)) for window in windows])
        first = _places_of_best(starts.masked_fill(~here, -inf))  # [batch, best]
        last = _places_of_best(ends.masked_fill(~here, -inf))
        starts = starts.masked_fill(~within([window.owned for window in windows]), -inf).gather(1, first)
        ends = ends.masked_fill(~within([window.context for window in windows]), -inf).gather(1, last)
        sums = starts[:, :, None] + ends[:, None, :]  # [batch, best, best]
        steps = last[:, None, :] - first[:, :, None]
        best, pair = sums.masked_fill((steps < 0) | (steps >= MAX_ANSWER), -inf).flatten(1).max(1)
        first = first.gather(1, pair[:, None] // last.shape[1])[:, 0]
        last = last.gather(1, pair[:, None] % last.shape[1])[:, 0]
        return [
            _candidate(window, *found)
            for window, *found in zip(windows, best.tolist(), first.tolist(), last.tolist(), strict=True)
        ]

    def predictions(
        self,
        examples: Sequence[Example],
        windows: Sequence[PassageWindow],
        decoded: Sequence[Candidate | None],
        labels: Sequence[str],
    ) -> list[str]:
        """The text of the best span of all windows of each example, of equals the first; "" if there is none."""
        best: list[Candidate] = [(-inf, 0, 0)] * len(examples)
        for window, candidate in zip(windows, decoded, strict=True):
            if candidate is not None and candidate[0] > best[window.example][0]:
                best[window.example] = candidate
        return [
            example["context"][first:after].strip() for example, (_, first, after) in zip(examples, best, strict=True)
        ]

    def fractions(self, gold: Sequence[Sequence[str]], predictions: Sequence[str]) -> list[dict[str, Fraction]]:
        """SQuAD's `f1` and `exact_match`: of a question its score against the gold answer that suits best."""
        return [
            {
                "f1": (max(squad.f1(answer, found) for answer in answers), 1),
                "exact_match": (max(squad.exact_match(answer, found) for answer in answers), 1),
            }
            for answers, found in zip(gold, predictions, strict=True)
        ]

    def parts(self, example: Example) -> dict[str, str | list[str]]:
        """Question and context."""
        return {"question": example["question"], "context": example["context"]}

    def gold_marks(self, example: Example) -> list[Mark]:
        """The answers, each place once."""
        texts, offsets = example["answers"]["text"], example["answers"]["answer_start"]
        places = {(first, first + len(text)) for text, first in zip(texts, offsets, strict=True)}
        return [Mark("context", place) for place in sorted(places)]

    def marks(self, example: Example, prediction: str) -> list[Mark]:
        """The predicted answer, where it stands in the context; of several places the one next to the gold answer."""
        gold, context = example["answers"]["answer_start"][0], example["context"]
        places = [one for one in range(len(context)) if context.startswith(prediction, one)] if prediction else []
        first = min(places, key=lambda place: abs(place - gold), default=None)
        return [] if first is None else [Mark("context", (first, first + len(prediction)))]

    def errors(self, gold: Sequence[str], prediction: str) -> list[Error]:
        """Whether there is no answer, none that shares a word with a gold one, or one that is right in part."""
        if any(squad.exact_match(answer, prediction) for answer in gold):
            return []
        shares = any(squad.f1(answer, prediction) for answer in gold)
        return [Error(PARTIAL if shares else NO_OVERLAP if prediction else NO_ANSWER)]


def _problem_of_answers(example: Example) -> str | None:
    answers = example.get("answers")
    texts, offsets = (answers.get("text"), answers.get("answer_start")) if isinstance(answers, dict) else (None, None)
    if (
        not isinstance(texts, list)
        or not isinstance(offsets, list)
        or not len(texts) == len(offsets) > 0
        or not all(isinstance(text, str) for text in texts)
        or not all(type(offset) is int for offset in offsets)
    ):
        return (
            f"'answers' of {shown(example['id'])} is not"
            ' {"text": [strings], "answer_start": [whole numbers]}, as many of both and at least one'
        )
    for text, offset in zip(texts, offsets, strict=True):
        if is_blank(text):
            return f"an answer of {shown(example['id'])} is empty"
        there = example["context"][offset : offset + len(text)] if offset >= 0 else ""
        if there != text:
            return (
                f"at offset {offset} of the context of {shown(example['id'])} stands {shown(there)},"
                f" not the answer {shown(text)}"
            )
    return None


def _why_no_window(example: Example, question: int, max_length: int, room: int) -> str:
    if room < 1:
        return (
            f"a window of {max_length} tokens has no room for the context of {shown(example['id'])}"
            f" beside its question of {question} and special tokens"
        )
    return f"the tokenizer leaves nothing of the context of {shown(example['id'])}"


def _character_spans(context: str, offsets: Sequence[Span]) -> Iterator[Span]:
    """Characters of each token, without white space, which some tokenizers count in.

    Marks that no token has belong to the one before them: normalization composed them with its last character.
    """
    for (first, after), (following, _) in pairwise([*offsets, (len(context), len(context))]):
        while after < following and unicodedata.category(context[after]).startswith("M"):
            after += 1
        first = after - len(context[first:after].lstrip())
        yield first, first + len(context[first:after].rstrip())


def _answer_tokens(spans: Sequence[Span], answers: dict[str, Any]) -> range | None:
    """The tokens that the first gold answer touches; None if the tokenizer leaves nothing of it."""
    begin: int = answers["answer_start"][0]
    end = begin + len(answers["text"][0])
    touched = [place for place, (first, after) in enumerate(spans) if first < end and after > begin]
    return range(touched[0], touched[-1] + 1) if touched else None


def _inside(answer: range | None, piece: range, shift: int) -> tuple[int, int]:
    """Positions of the answer's first and last token; 0 and 0 unless the piece has all of it."""
    if answer is None or answer.start < piece.start or answer.stop > piece.stop:
        return 0, 0
    return answer.start + shift, answer.stop - 1 + shift


def _held(count: int, room: int) -> Iterator[range]:
    """The tokens of the context that each window holds; the last holds the end."""
    step = min(STRIDE, (room + 1) // 2)
    first = 0
    while first + room < count:
        yield range(first, first + room)
        first += step
    yield range(first, count)


def _owned(held: Sequence[range]) -> Iterator[range]:
    """The tokens that have maximal context in each window: the lesser of what stands left and right of them.

    As in SQuAD's script a hundredth of the window's length is added, and of equals the first counts.
    """
    owners: list[int] = []
    owner = 0
    for place in range(held[-1].stop):
        while owner + 1 < len(held) and _context(place, held[owner + 1]) > _context(place, held[owner]):
            owner += 1
        owners.append(owner)
    for owner in range(len(held)):
        yield range(bisect_left(owners, owner), bisect_right(owners, owner))


def _context(place: int, held: range) -> int:
    return 100 * min(place - held.start, held.stop - 1 - place) + len(held) if place in held else -1


def _places_of_best(logits: Any) -> Any:
    """Positions [batch, best] of the 20 largest logits [batch, length] of each row, of equals the first ones."""
    return logits.sort(dim=1, descending=True, stable=True).indices[:, :N_BEST]


def _candidate(window: PassageWindow, score: float, first: int, last: int) -> Candidate | None:
    if not score > -inf:  # nor if it is NaN
        return None
    begin = window.context.start
    return score, window.spans[first - begin][0], window.spans[last - begin][1]
