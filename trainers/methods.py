"""The methods of section 3, each in a few lines: what is trained, on what, from where, and what selects the weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from trainers.surgery.rules import Rule, pcgrad, surgery
from trainers.trial import Selection


class Bench(Protocol):
    """What a method works with: a model, its data, and a training loop. Nothing else is within a method's reach.

    Examples are named by their places among the training data. No method sees a dev set.
    """

    @property
    def source(self) -> Sequence[int]:
        """The source language's training examples."""

    @property
    def shots(self) -> Sequence[int]:
        """All targets' shots together."""

    @property
    def batch_size(self) -> int:
        """The batch size of source and mixed training."""

    @property
    def k(self) -> int:
        """The number of shots, which is the batch size of adapting (section 4.3)."""

    def start_from_source_model(self) -> None:
        """Take the weights that source training selected."""

    def train(self, examples: Sequence[int], batch_size: int, rule: Rule | None = None) -> None:
        """Train on these examples, with surgery by a rule if one is given."""


def zero_shot(bench: Bench) -> None:
    """Source data only."""
    bench.train(bench.source, bench.batch_size)


def adapt(bench: Bench) -> None:
    """Source training, then fine-tuning on the shots: of ONE target (`ord-FS`, section 3.1) or all (`mix-FT`, 3.2)."""
    bench.start_from_source_model()
    bench.train(bench.shots, bench.k)


def naive_mix_train(bench: Bench) -> None:
    """One step: source data and all targets' shots, shuffled together (section 3.3)."""
    bench.train([*bench.source, *bench.shots], bench.batch_size)


def gradient_mix_train(bench: Bench) -> None:
    """`naive-mix-train` with stochastic gradient surgery (section 3.5, Algorithm 1)."""
    bench.train([*bench.source, *bench.shots], bench.batch_size, rule=surgery)


def pcgrad_mix_train(bench: Bench) -> None:
    """`gradient-mix-train` with PCGrad over the same two gradients in Eq. 1's place: a rival, not in the paper."""
    bench.train([*bench.source, *bench.shots], bench.batch_size, rule=pcgrad)


@dataclass(frozen=True)
class Method:
    """A method as the planner sees it.

    `selection` is what selects its weights, None for what the protocol says of source and mixed training. `few_shot`:
    it trains on shots (zero-shot has K = 0). `adapts`: it starts from the source-trained model. `model_per_target`:
    each target language has a model of its own. `surgery`: alpha counts. `trajectory` names the method whose training
    it shares, if it is another selection of the same.
    """

    train: Callable[[Bench], None]
    selection: Selection | None = None
    few_shot: bool = True
    adapts: bool = False
    model_per_target: bool = False
    surgery: bool = False
    trajectory: str | None = None


SOURCE_TRAINING = "zero-shot"  # what two-stage methods start from is the very model that zero-shot scores

METHODS: dict[str, Method] = {
    SOURCE_TRAINING: Method(zero_shot, few_shot=False),
    "ord-FS": Method(adapt, "last", adapts=True, model_per_target=True),
    "ord-FS+dev": Method(adapt, "target-dev", adapts=True, model_per_target=True, trajectory="ord-FS"),
    "mix-FT": Method(adapt, "last", adapts=True),
    "naive-mix-train": Method(naive_mix_train),
    "gradient-mix-train": Method(gradient_mix_train, surgery=True),
    "pcgrad-mix-train": Method(pcgrad_mix_train, surgery=True),
}
