"""One label per word: what named entities and parts of speech have in common."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from trainers.examples import Example
from trainers.protocols import TaskSettings
from trainers.tasks.errors import Error, Mark, Reading, taken_for
from trainers.tasks.frame import Frame
from trainers.tasks.task import ExampleError, Task, Window, is_blank, shown

# Positions without a label: special tokens, padding and all but a word's first token (the loss ignores this index).
UNLABELLED = -100

# White space as Unicode and tokenizers have it: Python counts four control characters among it.
WHITE_SPACE = re.compile(r"[^\S\x1c-\x1f]*")

# Of a sentence; the longest of Universal Dependencies has fewer than 1,000. One without an end would fill the memory.
MAX_WORDS = 10_000

# Of a tag, which stands in tables.
MAX_TAG_CHARACTERS = 200

Span = tuple[int, int]  # characters: first, after the last


@dataclass(frozen=True)
class TaggingWindow(Window):
    """A run of a sentence's words.

    Attributes:
        words: their places in the sentence.
        positions: of each word's first token in `input_ids`.
        labels: of each word, as a place in the label set.
    """

    words: list[int]
    positions: list[int]
    labels: list[int]


class Tagging(Task[TaggingWindow]):
    """The part of a task that tagging tasks share.

    Attributes:
        tag: what a tag looks like.
        kind_of_tag: the same in words.
        unplaced: the tag that is predicted for a word of which the tokenizer leaves nothing.
    """

    model_class = "AutoModelForTokenClassification"
    pipeline = "token-classification"
    reading: Reading = "words"
    tag: re.Pattern[str]
    kind_of_tag: str
    unplaced: str

    def problem(self, example: object) -> str | None:
        """What is wrong with an example as read from a file; None if nothing."""
        if not isinstance(example, dict):
            return "not a JSON object"
        for field in ("tokens", "tags"):
            values = example.get(field)
            if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                return f"{field!r} is not a list of strings"
        tokens, tags = example["tokens"], example["tags"]
        if all(map(is_blank, tokens)):
            return "no tokens" if not tokens else "all tokens are empty or white space"
        if len(tokens) != len(tags):
            return f"{len(tokens)} tokens but {len(tags)} tags"
        if len(tokens) > MAX_WORDS:
            return f"{len(tokens):,} tokens; allowed: {MAX_WORDS:,}"
        return next((problem for tag in tags if (problem := self._problem_of_tag(tag))), None)

    def _problem_of_tag(self, tag: str) -> str | None:
        if not self.tag.fullmatch(tag):
            return f"{shown(tag)} is not {self.kind_of_tag}"
        if len(tag) > MAX_TAG_CHARACTERS or not tag.isprintable():
            return f"the tag {shown(tag)}; allowed: up to {MAX_TAG_CHARACTERS} characters that can be printed"
        return None

    def labels_of(self, example: Example) -> set[str]:
        """The tags of an example."""
        return set(example["tags"])

    def text(self, example: Example) -> str:
        """The words, with a blank between them; those that are blank themselves are left out."""
        return " ".join(example["tokens"][word] for word in _written(example["tokens"]))

    def cut(self, tokens: int, max_length: int) -> tuple[int, int]:
        """As few windows as they fill, with two special tokens each."""
        windows = max(1, -(-tokens // (max_length - 2)))
        return windows, tokens + 2 * windows

    def gold(self, example: Example) -> list[str]:
        """The tags."""
        tags: list[str] = example["tags"]
        return tags

    def features(
        self, examples: Sequence[Example], labels: Sequence[str], tokenizer: Any, max_length: int
    ) -> list[TaggingWindow]:
        """Windows of at most `max_length` tokens, special tokens included; long sentences are split between words.

        Words have the tokens that they have in running text, with blanks between them: many tokenizers tell a word's
        beginning by the blank before it. A word's label stands on its first token. A word that the tokenizer drops
        altogether has no position.

        Raises:
            ExampleError: a word alone is longer than a window.
        """
        if not examples:
            return []
        index = {label: place for place, label in enumerate(labels)}
        encoded = tokenizer(
            [self.text(example) for example in examples],
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        frame = Frame(tokenizer, 1)
        room = max_length - frame.special
        windows = []
        for place, example in enumerate(examples):
            pieces = _pieces_by_word(example["tokens"], encoded["input_ids"][place], encoded["offset_mapping"][place])
            longest = max(pieces, key=lambda word: len(pieces[word]), default=None)
            if longest is not None and len(pieces[longest]) > room:
                raise ExampleError(
                    place,
                    f"the word {shown(example['tokens'][longest])} has {len(pieces[longest])} tokens;"
                    f" a window of {max_length} holds {room} beside special tokens",
                )
            for words in _filled(pieces, room):
                ids, types = frame.around([id_ for word in words for id_ in pieces[word]])
                positions = list(accumulate((len(pieces[word]) for word in words[:-1]), initial=frame.before[0]))
                chosen = [index[example["tags"][word]] for word in words]
                windows.append(TaggingWindow(place, ids, types, len(words), words, positions, chosen))
        return windows

    def targets(self, windows: Sequence[TaggingWindow], length: int) -> dict[str, list[Any]]:
        """`labels` [batch, length]: each word's label at its first token."""
        rows = []
        for window in windows:
            row = [UNLABELLED] * length
            for position, label in zip(window.positions, window.labels, strict=True):
                row[position] = label
            rows.append(row)
        return {"labels": rows}

    def decode(self, outputs: Any, windows: Sequence[TaggingWindow]) -> list[list[int]]:
        """The most probable label of each word of each window, from `outputs.logits` [batch, length, labels]."""
        best = outputs.logits.argmax(-1).tolist()
        return [[row[position] for position in window.positions] for row, window in zip(best, windows, strict=True)]

    def predictions(
        self,
        examples: Sequence[Example],
        windows: Sequence[TaggingWindow],
        decoded: Sequence[Sequence[int]],
        labels: Sequence[str],
    ) -> list[list[str]]:
        """Predicted tags, as many as each example has words; `unplaced` for words without a position."""
        tags = [[self.unplaced] * len(example["tokens"]) for example in examples]
        for window, found in zip(windows, decoded, strict=True):
            for word, label in zip(window.words, found, strict=True):
                tags[window.example][word] = labels[label]
        return tags

    def one_label(self, predictions: Sequence[list[str]]) -> str | None:
        """The tag that every word has; None if they differ."""
        return super().one_label([tag for tags in predictions for tag in tags])

    def parts(self, example: Example) -> dict[str, str | list[str]]:
        """The words."""
        return {"tokens": example["tokens"]}

    def marks(self, example: Example, prediction: Sequence[str]) -> list[Mark]:
        """Each word with its tag, unless a task has pieces of several words."""
        return [Mark("tokens", (place, place + 1), tag) for place, tag in enumerate(prediction)]

    def errors(self, gold: Sequence[str], prediction: Sequence[str]) -> list[Error]:
        """Each word with a wrong tag: which tag is taken for which."""
        pairs = enumerate(zip(gold, prediction, strict=True))
        wrong = ((place, tag, found) for place, (tag, found) in pairs if tag != found)
        return [Error(taken_for(tag, found), *[(place, place + 1)] * 2) for place, tag, found in wrong]


def as_released(paper: TaskSettings) -> TaskSettings:
    """The settings of the protocol `released-code`, given those of `paper`: each value is that of the scripts."""
    training = replace(
        paper.training, accumulation=16, schedule_first=True, evaluate_every=100, batching="micro-batches"
    )
    return replace(paper, training=training, oracle_sample=2)


def tagged(_: str, tokens: Any, tags: Any) -> Example:
    """An example of a row of the hub's."""
    return {"tokens": tokens, "tags": tags}


def _written(words: Sequence[str]) -> list[int]:
    """The places of words that are more than blank."""
    return [place for place, word in enumerate(words) if not WHITE_SPACE.fullmatch(word)]


def _pieces_by_word(words: Sequence[str], ids: Sequence[int], spans: Sequence[Span]) -> dict[int, list[int]]:
    """The tokens of each word that has any, given the characters of each token in `Tagging.text`.

    A token belongs to the word of its first character that is no blank; one that is only blank to the word after it,
    or to the last.
    """
    written = _written(words)
    text = " ".join(words[word] for word in written)
    ends = [end - 1 for end in accumulate(len(words[word]) + 1 for word in written[:-1])]  # the last has all the rest
    pieces: dict[int, list[int]] = {}
    for id_, (first, after) in zip(ids, spans, strict=True):
        blank = WHITE_SPACE.match(text, first, after)
        begin = blank.end() if blank and blank.end() < after else first
        word = written[bisect_right(ends, begin)]
        pieces.setdefault(word, []).append(id_)
    return pieces


def _filled(pieces: dict[int, list[int]], room: int) -> Iterator[list[int]]:
    """Words, in order, in as few runs of at most `room` tokens as filling each in turn gives."""
    run: list[int] = []
    taken = 0
    for word, ids in pieces.items():
        if run and taken + len(ids) > room:
            yield run
            run, taken = [], 0
        run.append(word)
        taken += len(ids)
    if run:
        yield run
