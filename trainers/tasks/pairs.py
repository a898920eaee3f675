"""Natural language inference: whether a premise entails a hypothesis, contradicts it or does neither."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.examples import Example
from trainers.tasks.frame import Frame
from trainers.tasks.scores import accuracy
from trainers.tasks.task import ExampleError, Window, missing_text, shown

LABELS = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class PairWindow(Window):
    """A premise and a hypothesis; `label` is a place in the label set."""

    label: int


class NaturalLanguageInference:
    """The task `xnli`."""

    name = "xnli"
    metric = "accuracy"
    metrics_names: tuple[str, ...] = ("accuracy",)
    model_class = "AutoModelForSequenceClassification"

    def problem(self, example: object) -> str | None:
        """What is wrong with an example as read from a file; None if nothing."""
        missing = missing_text(example, "premise", "hypothesis", "label")
        if missing is not None:
            return missing
        assert isinstance(example, dict)
        label = example["label"]
        return f"{shown(label)} is not a label ({', '.join(LABELS)})" if label not in LABELS else None

    def labels_of(self, example: Example) -> set[str]:
        """The label of an example."""
        return {example["label"]}

    def label_set(self, labels: Sequence[str]) -> tuple[str, ...]:
        """All three labels, whichever occur."""
        return LABELS

    def stratum(self, example: Example) -> str:
        """The label: K shots are drawn of each class (section 4.3, "N-way K-shot")."""
        return self.gold(example)

    def text(self, example: Example) -> str:
        """Premise and hypothesis."""
        return f"{example['premise']} {example['hypothesis']}"

    def cut(self, sub_words: int, max_length: int) -> tuple[int, int]:
        """One window, with up to four special tokens."""
        return 1, min(sub_words + 4, max_length)

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
            [example["premise"] for example in examples],
            [example["hypothesis"] for example in examples],
            truncation="longest_first",
            max_length=max_length,
        )
        typed = "token_type_ids" in tokenizer.model_input_names
        windows = []
        for place, (example, ids) in enumerate(zip(examples, encoded["input_ids"], strict=True)):
            if len(ids) == max_length:  # others were not cut
                _check_length(place, example, tokenizer, max_length)
            types = encoded["token_type_ids"][place] if typed else []
            windows.append(PairWindow(place, ids, types, 1, labels.index(self.gold(example))))
        return windows

    def targets(self, windows: Sequence[PairWindow], length: int) -> dict[str, list[Any]]:
        """`labels` [batch]."""
        return {"labels": [window.label for window in windows]}

    def loss(self, outputs: Any, batch: Mapping[str, Any]) -> Any:
        """The model's own: the mean cross-entropy."""
        return outputs.loss

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

    def metrics(self, gold: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
        """`accuracy`, in percent."""
        return {"accuracy": accuracy(gold, predictions)}


XNLI = NaturalLanguageInference()


def _check_length(place: int, example: Example, tokenizer: Any, max_length: int) -> None:
    """ExampleError for a pair that the encoder could not read uncut; a tokenizer that knows no limit has a huge one."""
    [ids] = tokenizer([example["premise"]], [example["hypothesis"]], verbose=False)["input_ids"]
    limit = max(tokenizer.model_max_length, max_length)
    if len(ids) > limit:
        raise ExampleError(
            place,
            f"the pair with the premise {shown(example['premise'])} has {len(ids)} sub-words;"
            f" the encoder reads {limit}",
        )
