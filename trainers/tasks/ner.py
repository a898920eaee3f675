"""Named entity recognition: words and IOB2 tags to features, a token classifier's output to entities and F1."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.examples import Example

# Positions that carry no label: special tokens and all but a word's first sub-word (the loss ignores this index).
UNLABELLED = -100

TAG = re.compile(r"O|[BI]-\S+")


@dataclass(frozen=True)
class Window:
    """A piece of one sentence that fits the encoder.

    `words` are the places in the sentence of the labelled positions, in order; `labels` is None without gold tags.
    """

    example: int
    input_ids: list[int]
    labels: list[int]
    words: list[int]


class NamedEntityRecognition:
    """The task `ner`."""

    name = "ner"
    metric = "f1"
    model_class = "AutoModelForTokenClassification"

    def problem(self, example: object) -> str | None:
        """What is wrong with an example as it was read; None if nothing."""
        if not isinstance(example, dict):
            return "not a JSON object"
        for field in ("tokens", "tags"):
            values = example.get(field)
            if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                return f"{field!r} is not a list of strings"
        tokens, tags = example["tokens"], example["tags"]
        if not tokens:
            return "no tokens"
        if len(tokens) != len(tags):
            return f"{len(tokens)} tokens but {len(tags)} tags"
        wrong = next((tag for tag in tags if not TAG.fullmatch(tag)), None)
        return f"{wrong!r} is not an IOB2 tag (O, B-<type> or I-<type>)" if wrong is not None else None

    def labels_of(self, example: Example) -> set[str]:
        """The tags of an example."""
        return set(example["tags"])

    def label_set(self, tags: Sequence[str]) -> tuple[str, ...]:
        """All tags of the entity types that occur, O first."""
        types = sorted({tag[2:] for tag in tags if tag != "O"})
        return ("O", *(f"{prefix}-{type_}" for type_ in types for prefix in "BI"))

    def features(
        self, examples: Sequence[Example], labels: Sequence[str], tokenizer: Any, max_length: int
    ) -> list[Window]:
        """Windows of at most `max_length` sub-words, special tokens included; long sentences are split between words.

        A word's label stands on its first sub-word. A word that the tokenizer drops altogether has no position; a
        word longer than a window is cut.
        """
        index = {label: place for place, label in enumerate(labels)}
        encoded = tokenizer(
            [example["tokens"] for example in examples], is_split_into_words=True, add_special_tokens=False
        )
        before, after = _special_tokens(tokenizer)
        room = max_length - len(before) - len(after)
        windows = []
        for place, example in enumerate(examples):
            pieces = _pieces_by_word(encoded["input_ids"][place], encoded.word_ids(place))
            for words in _filled(pieces, room):
                ids = [id_ for word in words for id_ in pieces[word][:room]]
                targets = [
                    label
                    for word in words
                    for label in (
                        index[example["tags"][word]],
                        *[UNLABELLED] * (min(len(pieces[word]), room) - 1),
                    )
                ]
                windows.append(
                    Window(
                        place,
                        [*before, *ids, *after],
                        [*[UNLABELLED] * len(before), *targets, *[UNLABELLED] * len(after)],
                        words,
                    )
                )
        return windows

    def predictions(
        self,
        examples: Sequence[Example],
        windows: Sequence[Window],
        outputs: Sequence[Sequence[int]],
        labels: Sequence[str],
    ) -> list[list[str]]:
        """Predicted tags, as many as each example has words; O for words without a position.

        Args:
            examples: the examples.
            windows: their windows.
            outputs: per window the predicted label at each of its positions.
            labels: the label set.
        """
        tags = [["O"] * len(example["tokens"]) for example in examples]
        for window, output in zip(windows, outputs, strict=True):
            labelled = [place for place, label in enumerate(window.labels) if label != UNLABELLED]
            for word, place in zip(window.words, labelled, strict=True):
                tags[window.example][word] = labels[output[place]]
        return tags

    def metrics(self, examples: Sequence[Example], predictions: Sequence[Sequence[str]]) -> dict[str, float]:
        """Entity-level F1 in percent."""
        return {self.metric: entity_f1([example["tags"] for example in examples], predictions)}


NER = NamedEntityRecognition()


def entities(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(type, first word, word after the last) of each entity, as seqeval 1.2.2 finds them in its default mode.

    An entity begins at a B, and also at an I that follows O or another type; it ends before the next beginning or O.
    """
    kind, first = "", 0
    for place, tag in enumerate([*tags, "O"]):
        continues = tag.startswith("I-") and tag[2:] == kind
        if continues:
            continue
        if kind:
            yield kind, first, place
        kind, first = tag[2:], place


def entity_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Micro-averaged F1 in percent over exact entities (type and both ends) of all sentences; 0 without any match."""
    gold_entities = {(place, *entity) for place, tags in enumerate(gold) for entity in entities(tags)}
    found = {(place, *entity) for place, tags in enumerate(predicted) for entity in entities(tags)}
    correct = len(gold_entities & found)
    return 100.0 * 2 * correct / (len(gold_entities) + len(found)) if correct else 0.0


def _pieces_by_word(ids: Sequence[int], word_ids: Sequence[int | None]) -> dict[int, list[int]]:
    pieces: dict[int, list[int]] = {}
    for id_, word in zip(ids, word_ids, strict=True):
        if word is not None:
            pieces.setdefault(word, []).append(id_)
    return pieces


def _filled(pieces: dict[int, list[int]], room: int) -> Iterator[list[int]]:
    """Words, in order, in as few runs of at most `room` sub-words as filling each in turn gives."""
    run: list[int] = []
    taken = 0
    for word, ids in pieces.items():
        if run and taken + len(ids) > room:
            yield run
            run, taken = [], 0
        run.append(word)
        taken += min(len(ids), room)
    if run:
        yield run


def _special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after one sequence."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    place = next(place for place in range(len(full)) if full[place : place + len(bare)] == bare)
    return full[:place], full[place + len(bare) :]
