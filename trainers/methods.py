"""The methods of section 3, each in a few lines: what is trained, on what, from where, and what selects the weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Bench(Protocol):
    """What a method works with: a model, its data, and a training loop. Nothing else is within a method's reach.

    Examples are named by their places among the training data.
    """

    @property
    def source(self) -> Sequence[int]:
        """The source language's training examples."""

    @property
    def shots(self) -> Sequence[int]:
        """All targets' shots together."""

    def train(
        self, examples: Sequence[int], batch_size: int, select_on_source_dev: bool = False, surgery: bool = False
    ) -> None:
        """Train on these examples. A dev set is read only to select on the source's; else the last weights count."""

    def start_from_source_model(self) -> None:
        """Take the weights that source training selected."""

    @property
    def batch_size(self) -> int:
        """The batch size of source and mixed training."""


def zero_shot(bench: Bench) -> None:
    """Source data only."""
    bench.train(bench.source, bench.batch_size, select_on_source_dev=True)


def ordinary_few_shot(bench: Bench) -> None:
    """Source training, then adapting to ONE target's K shots, one batch an epoch (section 4.3)."""
    bench.start_from_source_model()
    bench.train(bench.shots, batch_size=len(bench.shots))


def naive_mix_train(bench: Bench) -> None:
    """One step: source data and all targets' shots, shuffled together (section 3.3)."""
    bench.train([*bench.source, *bench.shots], bench.batch_size, select_on_source_dev=True)


def gradient_mix_train(bench: Bench) -> None:
    """`naive-mix-train` with stochastic gradient surgery (section 3.5, Algorithm 1)."""
    bench.train([*bench.source, *bench.shots], bench.batch_size, select_on_source_dev=True, surgery=True)


@dataclass(frozen=True)
class Method:
    """A method as the planner sees it.

    `few_shot`: it trains on shots (zero-shot has K = 0). `adapts`: it starts from the source-trained model.
    `model_per_target`: each target language has a model of its own. `surgery`: alpha counts.
    """

    train: Callable[[Bench], None]
    few_shot: bool = True
    adapts: bool = False
    model_per_target: bool = False
    surgery: bool = False


SOURCE_TRAINING = "zero-shot"  # what two-stage methods start from is the very model that zero-shot scores

METHODS: dict[str, Method] = {
    SOURCE_TRAINING: Method(zero_shot, few_shot=False),
    "ord-FS": Method(ordinary_few_shot, adapts=True, model_per_target=True),
    "naive-mix-train": Method(naive_mix_train),
    "gradient-mix-train": Method(gradient_mix_train, surgery=True),
}
