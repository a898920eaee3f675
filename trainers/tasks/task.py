"""What every task can do, from examples to a model's input and from its output to scores, and what it says of itself.

A task is one object in one file. It needs a name, its metrics, the class of its model, and the methods that are
abstract here; all else has a default.
"""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from trainers.examples import Example
from trainers.protocols import PROTOCOLS, TaskSettings
from trainers.tasks.errors import WRONG, Error, Mark, Reading
from trainers.tasks.hub import HubPart
from trainers.tasks.scores import Fraction, percent

# Longest piece of an example that a message shows.
SHOWN = 80


@dataclass(frozen=True)
class Window:
    """A piece of one example that fits the encoder.

    Attributes:
        example: place of its example among those given to `Task.features`.
        input_ids: tokens, special tokens included.
        token_types: their segments; empty where the tokenizer has none.
        supervised: how many terms the loss averages over.
    """

    example: int
    input_ids: list[int]
    token_types: list[int]
    supervised: int


class ExampleError(ValueError):
    """No window can hold an example.

    Attributes:
        place: its place among the examples given to `Task.features`.
        message: why.
    """

    def __init__(self, place: int, message: str) -> None:
        super().__init__(place, message)
        self.place, self.message = place, message

    def __str__(self) -> str:
        return self.message


W = TypeVar("W", bound=Window)


@dataclass(frozen=True, kw_only=True)
class Published:
    """What Xu and Murray (2022) published of a task.

    Attributes:
        encoder: the one that they fine-tuned, as the hub calls it.
        metric: our name for the score that they give.
        languages: how many they average over, the source included.
    """

    encoder: str
    metric: str
    languages: int


class Task(ABC, Generic[W]):
    """A task without state.

    Attributes:
        name: as in requests and in folders of data.
        metric: the score that selects checkpoints.
        metrics_names: all scores, in order.
        model_class: the class of `transformers` that has the encoder and a head.
        pipeline: what the Hugging Face hub calls such tasks; None if it has no word for it.
        settings: its own under a protocol, by the protocol's name; where there are none, the protocol's defaults count.
        languages: codes of those that its published data have, in alphabetical order; for the paper's tasks those
            that it used of XTREME-R.
        hub: where the Hugging Face hub has its data as XTREME-R uses them; nowhere if empty.
        has_treebanks: XTREME-R's data are treebanks of Universal Dependencies (`trainers.data.treebanks`).
        two_splits: its data may come without a test set (appendix A, see `trainers.data.splits`).
        sample: its examples in the sample corpus, given a language and a split; None if it has none there.
        published: what the paper published of it; None if it is not in the paper.
        reading: how a person reads its examples beside predictions (`parts`, `marks`).
    """

    name: str
    metric: str
    metrics_names: tuple[str, ...]
    model_class: str
    pipeline: str | None = None
    settings: Mapping[str, TaskSettings] = {}
    languages: tuple[str, ...] = ()
    hub: tuple[HubPart, ...] = ()
    has_treebanks: bool = False
    two_splits: bool = False
    sample: Callable[[str, str], list[Example]] | None = None
    published: Published | None = None
    reading: Reading = "values"

    def under(self, protocol: str) -> TaskSettings:
        """The settings that count under a protocol, which is given by its name."""
        return self.settings.get(protocol, PROTOCOLS[protocol].defaults)

    @abstractmethod
    def problem(self, example: object) -> str | None:
        """What is wrong with an example as read from a file; None if nothing. All else takes examples without one."""

    def oddity(self, example: Example) -> str | None:
        """What is odd about an example, but taken as it is, in the same words for the same thing; None if nothing."""
        return None

    def labels_of(self, example: Example) -> set[str]:
        """Names of the labels that occur in an example; none where labels are not from a set."""
        return set()

    def label_set(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The labels that a head tells apart, in its order, given those that occur in its training data."""
        return tuple(labels)

    def stratum(self, example: Example) -> str:
        """K shots are drawn of each stratum; where it is always the same, of all examples."""
        return ""

    @abstractmethod
    def text(self, example: Example) -> str:
        """The parts of an example that are tokenized, as running text."""

    def cut(self, tokens: int, max_length: int) -> tuple[int, int]:
        """About how many windows an example of this many tokens makes, and the tokens in all of them.

        One window, with up to four special tokens, unless a task says otherwise.
        """
        return 1, min(tokens + 4, max_length)

    @abstractmethod
    def gold(self, example: Example) -> Any:
        """What a prediction is compared with."""

    @abstractmethod
    def features(self, examples: Sequence[Example], labels: Sequence[str], tokenizer: Any, max_length: int) -> list[W]:
        """The windows of all examples, in order.

        Args:
            examples: without a `problem`.
            labels: the label set.
            tokenizer: a fast tokenizer of `transformers`.
            max_length: tokens of a window, special tokens included.

        Raises:
            ExampleError: no window can hold an example.
        """

    @abstractmethod
    def targets(self, windows: Sequence[W], length: int) -> dict[str, list[Any]]:
        """What the model's loss takes beside the input: [batch] or [batch, length].

        Args:
            windows: those of a batch.
            length: of the batch's longest window, to which all are padded.
        """

    def loss(self, outputs: Any, batch: Mapping[str, Any]) -> Any:
        """The mean loss over a batch's supervised terms, a tensor; padding has no part in it.

        The model's own, unless a task says otherwise.

        Args:
            outputs: the model's output for the batch.
            batch: its input and `targets`, as tensors.
        """
        return outputs.loss

    @abstractmethod
    def decode(self, outputs: Any, windows: Sequence[W]) -> list[Any]:
        """The small part of a model's output that predictions need, one plain value per window.

        It depends neither on padding nor on the batch's other windows.

        Args:
            outputs: the model's output for a batch, with `logits` or `start_logits` and `end_logits`.
            windows: those of the batch.
        """

    @abstractmethod
    def predictions(
        self, examples: Sequence[Example], windows: Sequence[W], decoded: Sequence[Any], labels: Sequence[str]
    ) -> list[Any]:
        """One prediction per example.

        Args:
            examples: the examples.
            windows: all of their windows.
            decoded: per window what `decode` made of its output.
            labels: the label set.
        """

    def one_label(self, predictions: Sequence[Any]) -> str | None:
        """What every one of several predictions is: such a model has learnt nothing. None if they differ."""
        first, *others = predictions or [None]
        return str(first) if others and all(one == first for one in others) else None

    @abstractmethod
    def fractions(self, gold: Sequence[Any], predictions: Sequence[Any]) -> list[dict[str, Fraction]]:
        """What each example adds to each metric, by name, in the order of `metrics_names`.

        A metric is the quotient of two sums over examples: correct and all words for accuracy, twice the correct and
        all entities of both sides for F1, an answer's own score and 1 for a mean over questions. Tests over examples
        resample these parts (`service.reports.item_tests`).
        """

    def parts(self, example: Example) -> dict[str, str | list[str]]:
        """What a person reads of an example: its texts by name, a text that is given in tokens as these."""
        return {"text": self.text(example)}

    def marks(self, example: Example, prediction: Any) -> list[Mark]:
        """The pieces of an example's parts that a prediction is about, in their order; none where it marks none."""
        return []

    def gold_marks(self, example: Example) -> list[Mark]:
        """The same of its gold value."""
        return self.marks(example, self.gold(example))

    def errors(self, gold: Any, prediction: Any) -> list[Error]:
        """The errors of a prediction; none if it is right. Where a task tells apart no kinds, one that says so."""
        return [] if prediction == gold else [Error(WRONG)]

    def metrics(self, gold: Sequence[Any], predictions: Sequence[Any]) -> dict[str, float]:
        """Scores in percent by name, in the order of `metrics_names`."""
        of_each = self.fractions(gold, predictions)
        return {name: percent(one[name] for one in of_each) for name in self.metrics_names}


def missing_text(example: object, *fields: str) -> str | None:
    """What is wrong with an example that should have a string in each of these fields; None if nothing."""
    if not isinstance(example, dict):
        return "not a JSON object"
    wrong = next((field for field in fields if not isinstance(example.get(field), str)), None)
    return f"{wrong!r} is not a string" if wrong is not None else None


def is_blank(text: str) -> bool:
    """Whether a text has only white space and characters that control or format: no tokenizer makes a token of it."""
    return all(character.isspace() or unicodedata.category(character) in {"Cc", "Cf"} for character in text)


def shown(text: str) -> str:
    """A text in quotes, cut to what a message can hold."""
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}..."
