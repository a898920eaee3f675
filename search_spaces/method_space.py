"""The space of a method's candidates: values of its searched hyperparameters, each tried at every seed."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from search_spaces.searchers import GridSearcher, Searcher
from search_spaces.spaces import SEARCHABLE, Space, highest, is_search, lowest
from search_spaces.spec import ExperimentSpec
from trainers.methods import METHODS
from trainers.tasks import TASKS
from trainers.trial import Schedule, Training, TrialConfig


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Values of the searchable hyperparameters.

    None stands for the protocol's value, and for the alpha of a method without surgery.
    """

    alpha: float | Schedule | None = None
    learning_rate: float | Schedule | None = None
    batch_size: int | None = None
    epochs: int | None = None

    def surgery_alpha(self, spec: ExperimentSpec, targets: int) -> float | Schedule:
        """The probability of surgery for a model of this many targets: the candidate's, or else the protocol's."""
        if self.alpha is not None:
            return self.alpha
        return TASKS[spec.task].under(spec.protocol).surgery_alpha(targets)

    def training(self, spec: ExperimentSpec) -> Training:
        """The protocol's hyperparameters for the task, overridden by the spec's values and then the candidate's."""
        given = spec.training.model_dump(exclude_none=True, exclude={"max_test_examples", *SEARCHABLE})
        own = {name: value for name, value in vars(self).items() if name != "alpha" and value is not None}
        return replace(TASKS[spec.task].under(spec.protocol).training, **given, **own)


class MethodSpace:
    """The candidates of one method of a spec.

    Args:
        spec: the spec that sets the hyperparameters.
        method: the name of the method, or of the trajectory that several methods share.

    Attributes:
        spaces: the searchable hyperparameters that the spec sets and that affect the method, by name. Alpha affects
            methods with surgery only.
        searched: those of `spaces` that have more than one value.
    """

    def __init__(self, spec: ExperimentSpec, method: str) -> None:
        has_surgery = METHODS[method].surgery
        self.spaces = {name: space for name, space in spaces_of(spec).items() if has_surgery or name != "alpha"}
        self.searched = {name: space for name, space in self.spaces.items() if is_search(space)}
        searcher = spec.search.searcher
        self._searcher: Searcher = searcher if self.searched else GridSearcher(seed=searcher.seed)

    def candidates(self) -> list[Candidate]:
        """The candidates that are known before anything is trained; none where the searcher proposes them later."""
        named: list[dict[str, Any]] = [
            dict(zip(self.spaces, combination, strict=True)) for combination in self._searcher.combinations(self.spaces)
        ]
        return [Candidate(**values) for values in named]

    @cached_property
    def count(self) -> int:
        """The number of candidates, those that are proposed later included."""
        return self._searcher.count(self.spaces)

    def label(self, candidate: Candidate) -> str:
        """A candidate's searched values in words, such as "alpha 0.5"; empty where nothing is searched."""
        return ", ".join(f"{name} {_shown(getattr(candidate, name))}" for name in self.searched)

    def candidate_of(self, config: TrialConfig) -> Candidate:
        """The candidate that a trial of the method belongs to."""
        values = searchable_values(config)
        return Candidate(**{name: values[name] for name in self.spaces})


def spaces_of(spec: ExperimentSpec) -> dict[str, Space]:
    """The searchable hyperparameters that a spec sets, by name."""
    given = {name: spec.alpha if name == "alpha" else getattr(spec.training, name) for name in SEARCHABLE}
    return {name: space for name, space in given.items() if space is not None}


def searched_spaces(spec: ExperimentSpec) -> dict[str, Space]:
    """The hyperparameters that are searched for any of a spec's methods, by name; empty where nothing is searched."""
    return {name: space for method in spec.methods for name, space in MethodSpace(spec, method).searched.items()}


def searched_names(label: str) -> list[str]:
    """The hyperparameters that the label of a candidate (`MethodSpace.label`) has values of."""
    return [name for name in SEARCHABLE if any(part.startswith(f"{name} ") for part in label.split(", "))]


def searchable_values(config: TrialConfig) -> dict[str, Any]:
    """A trial's values of the searchable hyperparameters, by name."""
    return {name: config.alpha if name == "alpha" else getattr(config.training, name) for name in SEARCHABLE}


def epoch_range(spec: ExperimentSpec) -> tuple[int, int]:
    """The fewest and the most epochs that a training of a spec may have."""
    epochs = spec.training.epochs or TASKS[spec.task].under(spec.protocol).training.epochs
    return int(lowest(epochs)), int(highest(epochs))


def _shown(value: float | Schedule) -> str:
    if isinstance(value, int | float):
        return f"{value:g}"
    return " ".join(f"{epoch}:{later:g}" for epoch, later in value)
