"""How a space is searched: who proposes candidates, who stops or changes them, what they are judged by. As data."""

from typing import Annotated, Literal

from pydantic import Field

from search_spaces.spaces import MAX_VALUES, Part

Whole = Annotated[int, Field(ge=1, le=MAX_VALUES)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class GridSearcher(Part):
    """Every combination of the spaces' values; a range gives its `samples` draws."""

    name: Literal["grid"] = "grid"
    seed: Seed = 0


class RandomSearcher(Part):
    """Draws from all spaces together."""

    name: Literal["random"]
    samples: Whole
    seed: Seed = 0


class TpeSearcher(Part):
    """Optuna's tree-structured Parzen estimator: each candidate in the light of those before.

    `startup` candidates are drawn at random (Optuna's default is 10: `optuna.samplers.TPESampler`, n_startup_trials).
    """

    name: Literal["tpe"]
    samples: Whole
    startup: Whole = 10
    seed: Seed = 0


class AshaScheduler(Part):
    """Asynchronous successive halving: at each rung all but the best are stopped.

    Tune's parameters and defaults (`ray.tune.schedulers.AsyncHyperBandScheduler`); time is counted in epochs, and
    `max_t` is a trial's number of epochs.
    """

    name: Literal["asha"]
    grace_period: Whole = 1
    reduction_factor: Annotated[float, Field(gt=1, le=1000)] = 4
    brackets: Annotated[int, Field(ge=1, le=20)] = 1


class PbtScheduler(Part):
    """Population-based training: the worst take over the best's weights and change alpha and learning rate.

    Tune's parameters and defaults (`ray.tune.schedulers.PopulationBasedTraining`), but for `perturbation_interval`,
    in epochs: Tune's default of 60 is longer than most trainings here. `population` names the population: what came of
    one is never taken for another's, and a name is found for each that is submitted without.
    """

    name: Literal["pbt"]
    population: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,40}$")] | None = None
    perturbation_interval: Whole = 1
    burn_in_period: Annotated[int, Field(ge=0, le=1000)] = 0
    quantile_fraction: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    resample_probability: Annotated[float, Field(ge=0, le=1)] = 0.25


class TrialBudget(Part):
    """So many trials at most."""

    trials: Whole


class HourBudget(Part):
    """So many hours of devices at most; trials that run when they are used up are finished."""

    device_hours: Annotated[float, Field(gt=0, le=1e9)]


class SearchSpec(Part):
    """How the spaces of an experiment are searched."""

    searcher: Annotated[GridSearcher | RandomSearcher | TpeSearcher, Field(discriminator="name")] = Field(
        default_factory=GridSearcher,
        description='{"name": "grid"}, {"name": "random", "samples": n} or'
        ' {"name": "tpe", "samples": n, "startup": 10}, each with "seed"',
    )
    scheduler: Annotated[AshaScheduler | PbtScheduler, Field(discriminator="name")] | None = Field(
        None,
        description='null, {"name": "asha", "grace_period": 1, "reduction_factor": 4, "brackets": 1} or {"name": "pbt",'
        ' "perturbation_interval": 1, "burn_in_period": 0, "quantile_fraction": 0.25, "resample_probability": 0.25}',
    )
    objective: Literal["source-dev", "target-dev"] = Field(
        "source-dev", description="source-dev, or target-dev, which marks every result as selected on target dev"
    )
    budget: TrialBudget | HourBudget | None = Field(
        None, description='null, {"trials": n from 1} or {"device_hours": above 0}'
    )
