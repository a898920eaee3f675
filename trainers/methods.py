"""The methods of section 3, each in a few lines: what is trained, on what, from where, and what selects the weights."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cache, partial
from inspect import getdoc
from typing import Protocol

from trainers.selections import Kind, of_average, of_target
from trainers.surgery.rules import RULES, GradientSurgery, Rule
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
        """The number of shots of a target, which is the batch size of adapting (section 4.3)."""

    def start_from_source_model(self) -> None:
        """Take the weights that source training selected."""

    def train(self, examples: Sequence[int], batch_size: int, rule: type[Rule] | None = None) -> None:
        """Train on these examples, with surgery by a rule if one is given."""


def zero_shot(bench: Bench) -> None:
    """Source data only."""
    bench.train(bench.source, bench.batch_size)


def ordinary_few_shot(bench: Bench) -> None:
    """Source training, then fine-tuning on the shots of one target (section 3.1)."""
    _fine_tune(bench)


def mix_fine_tune(bench: Bench) -> None:
    """Source training, then fine-tuning on the shots of all targets together (section 3.2)."""
    _fine_tune(bench)


def _fine_tune(bench: Bench) -> None:
    bench.start_from_source_model()
    bench.train(bench.shots, bench.k)  # those of the targets that the trial is of


def naive_mix_train(bench: Bench) -> None:
    """One step: source data and all targets' shots, shuffled together (section 3.3)."""
    bench.train([*bench.source, *bench.shots], bench.batch_size)


def gradient_mix_train(bench: Bench) -> None:
    """`naive-mix-train` with stochastic gradient surgery (section 3.5, Algorithm 1)."""
    bench.train([*bench.source, *bench.shots], bench.batch_size, rule=GradientSurgery)


def rival_mix_train(bench: Bench, rule: type[Rule]) -> None:
    """`gradient-mix-train` with another rule over the same two gradients in Eq. 1's place: not in the paper."""
    bench.train([*bench.source, *bench.shots], bench.batch_size, rule=rule)


@dataclass(frozen=True)
class Method:
    """A method as the planner sees it.

    Attributes:
        selection: the kind of what selects its weights; None for what the protocol says of source and mixed training.
        few_shot: it trains on shots (zero-shot has K = 0).
        adapts: it starts from the source-trained model.
        model_per_target: each target language has a model of its own.
        rule: the name of its conflict rule; None for a method without surgery.
        trajectory: the method whose training it shares, if it is another selection of the same.
    """

    train: Callable[[Bench], None]
    _: KW_ONLY
    selection: Kind | None = None
    few_shot: bool = True
    adapts: bool = False
    model_per_target: bool = False
    rule: str | None = None
    trajectory: str | None = None

    def selections(self, targets: Sequence[str], protocols: Selection, average: int) -> tuple[Selection, ...]:
        """The names of its selections for a model of these targets: several where each target has an epoch of its own.

        Args:
            targets: the targets that are scored.
            protocols: what the protocol says of source and mixed training.
            average: the number of epochs that are averaged.
        """
        if self.selection is None:
            return (protocols,)
        if self.selection == "average":
            return (of_average(average),)
        if self.selection == "target-dev" and not self.model_per_target:
            return tuple(of_target(target) for target in targets)
        return (self.selection,)

    @property
    def mixes(self) -> bool:
        """Whether it trains on source data and shots together."""
        return self.few_shot and not self.adapts

    @property
    def surgery(self) -> bool:
        """Whether it operates on gradients, so that alpha counts."""
        return self.rule is not None


SOURCE_TRAINING = "zero-shot"  # what two-stage methods start from is the very model that zero-shot scores

PAPER: dict[str, Method] = {
    SOURCE_TRAINING: Method(zero_shot, few_shot=False),
    "ord-FS": Method(ordinary_few_shot, selection="last", adapts=True, model_per_target=True),
    "ord-FS+dev": Method(
        ordinary_few_shot, selection="target-dev", adapts=True, model_per_target=True, trajectory="ord-FS"
    ),
    "mix-FT": Method(mix_fine_tune, selection="last", adapts=True),
    "naive-mix-train": Method(naive_mix_train),
    "gradient-mix-train": Method(gradient_mix_train, rule=GradientSurgery.name),
}

# Further selections of the paper's trainings: each target's best epoch on its dev set (Figure 5 has that of
# gradient-mix-train), and without a dev set the mean of the last epochs' weights. Trainings of their own, without a dev
# set: those whose best epoch shots select that are not trained on.
FEW_SHOT = ("ord-FS", "mix-FT", "naive-mix-train", "gradient-mix-train")

FURTHER: dict[str, Method] = {
    **{f"{name}+dev": replace(PAPER[name], selection="target-dev", trajectory=name) for name in FEW_SHOT[1:]},
    **{f"{name}+average": replace(PAPER[name], selection="average", trajectory=name) for name in FEW_SHOT},
    **{f"{name}+held-out": replace(PAPER[name], selection="held-out") for name in FEW_SHOT},
}

NAMED = {**PAPER, **FURTHER}

MIX_TRAIN = "-mix-train"


class Methods(Mapping[str, Method]):
    """The paper's methods, their further selections, and `<rule>-mix-train` for each other rule, of any package."""

    def __getitem__(self, name: str) -> Method:
        if name in NAMED:
            return NAMED[name]
        rule = name.removesuffix(MIX_TRAIN)
        if rule == name:
            raise KeyError(name)
        return _rival(RULES[rule])

    def __iter__(self) -> Iterator[str]:
        yield from NAMED
        yield from (name for rule in RULES if (name := f"{rule}{MIX_TRAIN}") not in NAMED)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@cache
def _rival(rule: type[Rule]) -> Method:
    return Method(partial(rival_mix_train, rule=rule), rule=rule.name)


METHODS = Methods()

# What a selection adds to the words for a training, where it is not the usual one.
SELECTED: Mapping[Kind, str] = {
    "target-dev": "The epoch that is best on the target's dev set counts.",
    "average": "The mean of the last epochs' weights counts.",
    "held-out": "The epoch that is best on shots held out of training counts.",
}


def described(name: str) -> str:
    """What a method does, in a line. KeyError if there is none of this name."""
    method = METHODS[name]
    if isinstance(method.train, partial):  # with a rule of its own
        train = f"`naive-mix-train` with the rule of {_first_line(RULES[str(method.rule)]).rstrip('.:')}."
    else:
        train = _first_line(method.train)
    selected = SELECTED.get(method.selection) if method.selection is not None else None
    return train if selected is None else f"{train} {selected}"


def _first_line(of: object) -> str:
    return " ".join((getdoc(of) or "").partition("\n\n")[0].split())
