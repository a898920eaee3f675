"""How spaces are searched: the searchers, schedulers, objectives and budgets of a spec, each with its own checks."""

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import log, prod
from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import Field

from search_spaces.problems import Problem
from search_spaces.spaces import MAX_VALUES, SEARCHABLE, Part, Space, Value, draw, size, values

Whole = Annotated[int, Field(ge=1, le=MAX_VALUES)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]

# A population of one member has nobody to copy weights from.
SMALLEST_POPULATION = 2


class Searcher(Part):
    """Chooses the candidates of a method: combinations of one value from each of its spaces.

    Attributes:
        draws_samples: the searcher sets the number of candidates (`samples`), not the spaces.
        is_adaptive: candidates are proposed while others run, in the light of their results.
    """

    draws_samples: ClassVar[bool] = True
    is_adaptive: ClassVar[bool] = False

    @abstractmethod
    def count(self, spaces: Mapping[str, Space]) -> int:
        """The number of candidates, repeated draws included."""

    @abstractmethod
    def combinations(self, spaces: Mapping[str, Space]) -> list[tuple[Value, ...]]:
        """Values in the order of the spaces, for every candidate that is known before anything is trained."""

    def drawn(self) -> "Searcher":
        """A searcher with as many candidates, all of them known before anything is trained."""
        return self


class GridSearcher(Searcher):
    """Every combination of the spaces' values; a range contributes as many draws as its `samples` says."""

    draws_samples: ClassVar[bool] = False

    name: Literal["grid"] = "grid"
    seed: Seed = 0

    def count(self, spaces: Mapping[str, Space]) -> int:
        """The product of the sizes of the spaces."""
        return prod(size(space) for space in spaces.values())

    def combinations(self, spaces: Mapping[str, Space]) -> list[tuple[Value, ...]]:
        """The Cartesian product of the spaces' values."""
        axes = (values(space, SEARCHABLE[name], name, self.seed) for name, space in spaces.items())
        return list(product(*axes))


class RandomSearcher(Searcher):
    """`samples` independent draws from all spaces together."""

    name: Literal["random"]
    samples: Whole
    seed: Seed = 0

    def count(self, spaces: Mapping[str, Space]) -> int:
        """The number of samples."""
        return self.samples

    def combinations(self, spaces: Mapping[str, Space]) -> list[tuple[Value, ...]]:
        """The draws, each combination once."""
        drawn = (
            tuple(draw(space, SEARCHABLE[name], name, self.seed, place) for name, space in spaces.items())
            for place in range(self.samples)
        )
        return list(dict.fromkeys(drawn))


class TpeSearcher(Searcher):
    """Optuna's tree-structured Parzen estimator: each candidate is proposed in the light of those before.

    The first `startup` candidates are drawn at random (`optuna.samplers.TPESampler`, whose `n_startup_trials` is 10 by
    default).
    """

    is_adaptive: ClassVar[bool] = True

    name: Literal["tpe"]
    samples: Whole
    startup: Whole = 10
    seed: Seed = 0

    def count(self, spaces: Mapping[str, Space]) -> int:
        """The number of samples."""
        return self.samples

    def combinations(self, spaces: Mapping[str, Space]) -> list[tuple[Value, ...]]:
        """None: every candidate is proposed while the search runs."""
        return []

    def drawn(self) -> RandomSearcher:
        """As many random draws, which cost what the proposals do."""
        return RandomSearcher(name="random", samples=self.samples, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class SearchFacts:
    """What a scheduler is checked against.

    Attributes:
        fewest_epochs: of any candidate's training.
        most_epochs: of any candidate's training.
        spaces: the searchable hyperparameters that the spec sets, by the path of their field.
        candidates: the number of candidates of each method that is searched.
        searcher: the searcher that proposes them.
    """

    fewest_epochs: int
    most_epochs: int
    spaces: Mapping[str, Space]
    candidates: Mapping[str, int]
    searcher: Searcher


class Scheduler(Part):
    """Stops or changes trials while they run; it compares trials of one sweep at one seed."""

    @property
    def member_of(self) -> str | None:
        """The population that the searched trials are members of; None where trials are independent."""
        return None

    def with_population(self, name: str) -> Self:
        """The same, with a name for its population if it has one that lacks a name."""
        return self

    @abstractmethod
    def problems(self, search: SearchFacts) -> Iterator[Problem]:
        """What keeps the scheduler from doing anything in a search."""


class AshaScheduler(Scheduler):
    """Asynchronous successive halving: at each rung all but the best trials are stopped.

    Tune's parameters and defaults (`ray.tune.schedulers.AsyncHyperBandScheduler`); time is counted in epochs, and
    `max_t` is a trial's number of epochs.
    """

    name: Literal["asha"]
    grace_period: Whole = 1
    reduction_factor: Annotated[float, Field(gt=1, le=1000)] = 4
    brackets: Annotated[int, Field(ge=1, le=20)] = 1

    def problems(self, search: SearchFacts) -> Iterator[Problem]:
        """Trainings that are too short to be stopped, and more brackets than rungs."""
        most = search.most_epochs
        if too_short := _too_short_to_stop(self.grace_period, most):
            yield too_short
            return
        rungs = 1 + int(log(most / self.grace_period, self.reduction_factor) + 1e-9)
        if self.brackets > rungs:
            yield Problem("search.scheduler.brackets", f"there are {rungs} rungs; allowed: from 1 to {rungs}")


def _too_short_to_stop(grace_period: int, most_epochs: int) -> Problem | None:
    """Why no training can be stopped after a grace period and before its last epoch; None if one can."""
    if most_epochs == 1:
        return Problem("search.scheduler", "a training of one epoch can't be stopped early; allowed: null")
    if grace_period >= most_epochs:
        allowed = f"allowed: from 1 to {most_epochs - 1}"
        return Problem("search.scheduler.grace_period", f"a training has {most_epochs} epochs; {allowed}")
    return None


class PbtScheduler(Scheduler):
    """Population-based training: the worst trials copy the best trials' weights and perturb alpha and learning rate.

    Tune's parameters and defaults (`ray.tune.schedulers.PopulationBasedTraining`), but for `perturbation_interval`, in
    epochs: Tune's default of 60 is longer than most trainings here. `population` names the population, whose trials
    are never reused for another one; a population that is submitted without a name gets one.
    """

    name: Literal["pbt"]
    population: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,40}$")] | None = None
    perturbation_interval: Whole = 1
    burn_in_period: Annotated[int, Field(ge=0, le=1000)] = 0
    quantile_fraction: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    resample_probability: Annotated[float, Field(ge=0, le=1)] = 0.25

    @property
    def member_of(self) -> str | None:
        """The name of the population."""
        return self.population

    def with_population(self, name: str) -> Self:
        """The same, with this name if it has none."""
        return self if self.population is not None else self.model_copy(update={"population": name})

    def problems(self, search: SearchFacts) -> Iterator[Problem]:
        """Trainings that end before a perturbation, hyperparameters that can't be changed, too small populations."""
        if self.perturbation_interval >= search.fewest_epochs:
            yield Problem(
                "search.scheduler.perturbation_interval",
                f"in {search.fewest_epochs} epochs nothing is perturbed every {self.perturbation_interval}; allowed:"
                " fewer epochs between perturbations than a training has",
            )
        for field in ("training.batch_size", "training.epochs"):
            if not isinstance(search.spaces.get(field), int | None):
                yield Problem(field, "PBT changes alpha and learning_rate alone; allowed: a whole number")
        if search.searcher.is_adaptive:
            yield Problem("search.searcher", "PBT starts from a population; allowed: grid, random")
        for method, count in search.candidates.items():
            if count < SMALLEST_POPULATION:
                yield Problem(
                    "search.scheduler",
                    f"{method} has a population of {count} candidates; allowed: from {SMALLEST_POPULATION}",
                )


AnySearcher = GridSearcher | RandomSearcher | TpeSearcher
AnyScheduler = AshaScheduler | PbtScheduler


def variants(annotation: Any) -> dict[str, type[Part]]:
    """The models that a field's annotation allows, by the `name` that tells them apart."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        name = annotation.model_fields.get("name")
        is_variant = name is not None and get_origin(name.annotation) is Literal
        return {get_args(name.annotation)[0]: annotation} if name is not None and is_variant else {}
    return {name: model for part in get_args(annotation) for name, model in variants(part).items()}


def _forms(annotation: Any) -> str:
    """The variants as a spec writes them, with their defaults; `n` stands for a number that must be given."""
    *others, last = (
        ", ".join(f'"{field}": {value}' for field, value in _shown(name, model).items())
        for name, model in variants(annotation).items()
    )
    return f"{{{'}, {'.join(others)}}} or {{{last}}}"


def _shown(name: str, model: type[Part]) -> dict[str, str]:
    defaults = {
        field: "n" if info.is_required() else json.dumps(info.default)
        for field, info in model.model_fields.items()
        if info.is_required() or info.default is not None
    }
    return {**defaults, "name": json.dumps(name)}


class TrialBudget(Part):
    """At most this many trials."""

    trials: Whole


class HourBudget(Part):
    """At most this many device-hours; trials that are running when they are used up are finished."""

    device_hours: Annotated[float, Field(gt=0, le=1e9)]


class SearchSpec(Part):
    """How the spaces of an experiment are searched."""

    searcher: Annotated[AnySearcher, Field(discriminator="name")] = Field(
        default_factory=GridSearcher, description=_forms(AnySearcher)
    )
    scheduler: Annotated[AnyScheduler, Field(discriminator="name")] | None = Field(
        None, description=f"null, {_forms(AnyScheduler)}"
    )
    objective: Literal["source-dev", "target-dev"] = Field(
        "source-dev", description="source-dev, or target-dev, which marks every result as selected on target dev"
    )
    budget: TrialBudget | HourBudget | None = Field(
        None, description='null, {"trials": n from 1} or {"device_hours": above 0}'
    )

    @property
    def population(self) -> str | None:
        """The population that the searched trials are members of; None where trials are independent."""
        return self.scheduler.member_of if self.scheduler is not None else None

    def with_population(self, name: str) -> Self:
        """The same, with a name for its population if it has one that lacks a name."""
        if self.scheduler is None:
            return self
        return self.model_copy(update={"scheduler": self.scheduler.with_population(name)})

    def with_candidates_drawn(self) -> Self:
        """The same, with a searcher all of whose candidates are known before anything is trained."""
        return self.model_copy(update={"searcher": self.searcher.drawn()})
