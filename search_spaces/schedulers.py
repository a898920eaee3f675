"""Schedulers: what stops or changes trials while they run, each with the checks that a search has to pass."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log
from typing import Annotated, Literal, Self

from pydantic import Field

from search_spaces.problems import Problem
from search_spaces.searchers import Searcher
from search_spaces.spaces import WHOLE, Part, Space, Whole

# A population of one member has nobody to copy weights from.
SMALLEST_POPULATION = 2


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
    brackets: Annotated[int, Field(ge=1, le=20), WHOLE] = 1

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


class MedianScheduler(Scheduler):
    """The median stopping rule: a trial is stopped if its best objective is below the median of the others' means.

    Golovin et al. (2017), "Google Vizier", section 3.2.2. The others are the trials that got at least as far, each with
    the mean of its objectives up to the same epoch. Tune's parameters and defaults
    (`ray.tune.schedulers.MedianStoppingRule`), but for `grace_period`, in epochs: Tune's default of 60 is longer than
    most trainings here. Until then no trial is stopped, and the means leave out what was before. Where there are fewer
    than `min_samples_required` others, a trial goes on.
    """

    name: Literal["median"]
    grace_period: Whole = 1
    min_samples_required: Whole = 3

    def problems(self, search: SearchFacts) -> Iterator[Problem]:
        """Trainings that are too short to be stopped, and searches with too few candidates."""
        if too_short := _too_short_to_stop(self.grace_period, search.most_epochs):
            yield too_short
        most = max(search.candidates.values(), default=0)
        if search.candidates and self.min_samples_required >= most:
            allowed = f"allowed: fewer than the {most} candidates of a method"
            message = f"no trial is compared with {self.min_samples_required} others; {allowed}"
            yield Problem("search.scheduler.min_samples_required", message)


class PbtScheduler(Scheduler):
    """Population-based training: the worst trials copy the best trials' weights and perturb alpha and learning rate.

    Tune's parameters and defaults (`ray.tune.schedulers.PopulationBasedTraining`), but for `perturbation_interval`, in
    epochs: Tune's default of 60 is longer than most trainings here. `population` names the population, whose trials
    are never reused for another one; a population that is submitted without a name gets one.
    """

    name: Literal["pbt"]
    population: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,40}$")] | None = None
    perturbation_interval: Whole = 1
    burn_in_period: Annotated[int, Field(ge=0, le=1000), WHOLE] = 0
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


AnyScheduler = AshaScheduler | MedianScheduler | PbtScheduler
