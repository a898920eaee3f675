"""One label per pair of texts: what natural language inference and its like have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainers.examples import Example
from trainers.sample_corpus import lexicon
from trainers.sample_corpus.pairs import MakePair, pairs
from trainers.tasks.errors import Error, taken_for
from trainers.tasks.frame import Frame
from trainers.tasks.scores import Fraction, equal
from trainers.tasks.task import ExampleError, Task, Window, is_blank, missing_text, shown


@dataclass(frozen=True)
class PairWindow(Window):
    """Both texts of a pair; `label` is a place in the label set."""

    label: int


class PairClassification(Task[PairWindow]):
    """The part of a task that those over pairs of texts share.

    Attributes:
        fields: the names of both texts in an example, whose `label` is one of `labels`.
        labels: in the order of the head.
    """

    metric = "accuracy"
    metrics_names = ("accuracy",)
    model_class = "AutoModelForSequenceClassification"
    pipeline = "text-classification"
    fields: tuple[str, str]
    labels: tuple[str, ...]

    def problem(self, example: object) -> str | None:
        """What is wrong with an example as read from a file; None if nothing."""
        missing = missing_text(example, *self.fields, "label")
        if missing is not None:
            return missing
        assert isinstance(example, dict)
        if all(is_blank(example[field]) for field in self.fields):
            return f"{' and '.join(map(repr, self.fields))} are both empty"
        label = example["label"]
        return f"{shown(label)} is not a label ({', '.join(self.labels)})" if label not in self.labels else None

    def labels_of(self, example: Example) -> set[str]:
        """The label of an example."""
        return {example["label"]}

    def label_set(self, labels: Sequence[str]) -> tuple[str, ...]:
        """All labels, whichever occur."""
        return self.labels

    def stratum(self, example: Example) -> str:
        """The label: K shots are drawn of each class (section 4.3, "N-way K-shot")."""
        return self.gold(example)

    def text(self, example: Example) -> str:
        """Both texts."""
        return " ".join(example[field] for field in self.fields)

    def gold(self, example: Example) -> str:
        """The label."""
        return str(example["label"])

    def features(
        self, examples: Sequence[Example], labels: Sequence[str], tokenizer: Any, max_length: int
    ) -> list[PairWindow]:
        """One window an example; a pair longer than `max_length` loses the end of the longer of the two.

        Raises:
            ExampleError: a pair is longer than the encoder, whatever `max_length`, could read, or `max_length` has room
                for no pair at all.
        """
        if not examples:
            return []
        special = Frame(tokenizer, 2).special
        if max_length < special + 2:
            raise ExampleError(0, f"a window of {max_length} has no room for a pair beside {special} special tokens")
        encoded = tokenizer(
            *([example[field] for example in examples] for field in self.fields),
            truncation="longest_first",
            max_length=max_length,
        )
        typed = "token_type_ids" in tokenizer.model_input_names
        windows = []
        for place, (example, ids) in enumerate(zip(examples, encoded["input_ids"], strict=True)):
            if len(ids) == max_length:  # others were not cut
                self._check_length(place, example, tokenizer, max_length)
            types = encoded["token_type_ids"][place] if typed else []
            windows.append(PairWindow(place, ids, types, 1, labels.index(self.gold(example))))
        return windows

    def targets(self, windows: Sequence[PairWindow], length: int) -> dict[str, list[Any]]:
        """`labels` [batch]."""
        return {"labels": [window.label for window in windows]}

    def decode(self, outputs: Any, windows: Sequence[PairWindow]) -> list[int]:
        """The most probable label of each window, from `outputs.logits` [batch, labels]."""
        best: list[int] = outputs.logits.argmax(-1).tolist()
        return best

    def predictions(
        self,
        examples: Sequence[Example],
        windows: Sequence[PairWindow],
        decoded: Sequence[int],
        labels: Sequence[str],
    ) -> list[str]:
        """The label of each example."""
        return [labels[label] for label in decoded]

    def fractions(self, gold: Sequence[str], predictions: Sequence[str]) -> list[dict[str, Fraction]]:
        """`accuracy` over pairs."""
        return [{"accuracy": equal([label], [found])} for label, found in zip(gold, predictions, strict=True)]

    def parts(self, example: Example) -> dict[str, str | list[str]]:
        """Both texts."""
        return {field: example[field] for field in self.fields}

    def errors(self, gold: str, prediction: str) -> list[Error]:
        """Which label is taken for which."""
        return [] if gold == prediction else [Error(taken_for(gold, prediction))]

    def _check_length(self, place: int, example: Example, tokenizer: Any, max_length: int) -> None:
        """ExampleError for a pair that the encoder could not read uncut.

        A tokenizer that knows no limit has a huge one.
        """
        first, _ = self.fields
        [ids] = tokenizer(*([example[field]] for field in self.fields), verbose=False)["input_ids"]
        limit = max(tokenizer.model_max_length, max_length)
        if len(ids) > limit:
            raise ExampleError(
                place,
                f"the pair with the {first} {shown(example[first])} has {len(ids)} tokens; the encoder reads {limit}",
            )

    def sampled(self, language: str, split: str, make: MakePair) -> list[Example]:
        """Examples for the sample corpus, as many of each label, of sentences that `make` gives."""
        first, second = self.fields
        spacing = lexicon.load(language).spacing
        return [
            {
                "id": f"{language}-{split}-{number}",
                first: spacing.join(pair.first.forms)[0],
                second: spacing.join(pair.second.forms)[0],
                "label": pair.label,
            }
            for number, pair in enumerate(pairs(language, self.name, self.labels, make)[split])
        ]
