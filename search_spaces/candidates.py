"""Candidates: the values of the searched hyperparameters that are compared, each at every seed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

from search_spaces.search import GridSearcher, RandomSearcher, TpeSearcher
from search_spaces.spaces import Space, draw, is_search, size, values
from search_spaces.spec import ExperimentSpec
from trainers.methods import METHODS
from trainers.tasks import TASKS
from trainers.trial import Schedule, Training, TrialConfig

# The hyperparameters that take a space, and which of them are whole numbers.
SEARCHABLE = {"alpha": False, "learning_rate": False, "batch_size": True, "epochs": True}


@dataclass(frozen=True)
class Candidate:
    """What a method is tried with; None for the protocol's value (and of alpha for methods without surgery)."""

    alpha: float | Schedule | None = None
    learning_rate: float | Schedule | None = None
    batch_size: int | None = None
    epochs: int | None = None

    def surgery_alpha(self, spec: ExperimentSpec, languages: int) -> float | Schedule:
        """The probability of surgery for a model of so many targets: the candidate's, or the protocol's."""
        if self.alpha is not None:
            return self.alpha
        return TASKS[spec.task].under(spec.protocol).surgery_alpha(languages, spec.grouping != "all")

    def training(self, spec: ExperimentSpec) -> Training:
        """The protocol's hyperparameters for the task, with what the spec sets and the candidate has."""
        given = spec.training.model_dump(exclude_none=True, exclude={"max_test_examples", *SEARCHABLE})
        own = {name: value for name, value in vars(self).items() if name != "alpha" and value is not None}
        return replace(TASKS[spec.task].under(spec.protocol).training, **given, **own)


def candidate_of(spec: ExperimentSpec, config: TrialConfig) -> Candidate:
    """The candidate that a trial is of."""
    values: dict[str, Any] = {
        name: config.alpha if name == "alpha" else getattr(config.training, name) for name in SEARCHABLE
    }
    return Candidate(**{name: values[name] for name in spaces_of(spec, config.method)})


def spaces_of(spec: ExperimentSpec, method: str) -> dict[str, Space]:
    """The searchable hyperparameters that the spec sets and that count for a method."""
    given = {name: spec.alpha if name == "alpha" else getattr(spec.training, name) for name in SEARCHABLE}
    surgery = METHODS[method].surgery
    return {name: space for name, space in given.items() if space is not None and (surgery or name != "alpha")}


def searched(spec: ExperimentSpec, method: str) -> dict[str, Space]:
    """Those of `spaces_of` that have more than one value."""
    return {name: space for name, space in spaces_of(spec, method).items() if is_search(space)}


def candidates(spec: ExperimentSpec, method: str) -> list[Candidate]:
    """The candidates of a method that are known before anything is trained; none where TPE is to propose them."""
    spaces, searcher = spaces_of(spec, method), spec.search.searcher
    if searched(spec, method):
        if isinstance(searcher, TpeSearcher):
            return []
        if isinstance(searcher, RandomSearcher):
            places = range(searcher.samples)
            return list(dict.fromkeys(_candidate(spaces, _draws(spaces, searcher.seed, place)) for place in places))
    axes = [values(space, SEARCHABLE[name], name, searcher.seed) for name, space in spaces.items()]
    return [_candidate(spaces, combination) for combination in product(*axes)]


def _draws(spaces: Mapping[str, Space], seed: int, place: int) -> list[Any]:
    return [draw(space, SEARCHABLE[name], name, seed, place) for name, space in spaces.items()]


def _candidate(names: Iterable[str], chosen: Iterable[Any]) -> Candidate:
    return Candidate(**dict(zip(names, chosen, strict=True)))


def count(spec: ExperimentSpec, method: str) -> int:
    """How many candidates a method has, TPE's proposals included, without making them."""
    searcher = spec.search.searcher
    if isinstance(searcher, GridSearcher) or not searched(spec, method):
        return prod(size(space) for space in spaces_of(spec, method).values())
    return searcher.samples


def as_if_drawn(spec: ExperimentSpec) -> ExperimentSpec:
    """A spec whose candidates are all known before: TPE's proposals cost what as many random draws do."""
    searcher = spec.search.searcher
    if not isinstance(searcher, TpeSearcher):
        return spec
    drawn = RandomSearcher(name="random", samples=searcher.samples, seed=searcher.seed)
    return spec.model_copy(update={"search": spec.search.model_copy(update={"searcher": drawn})})


def label(spec: ExperimentSpec, method: str, candidate: Candidate) -> str:
    """A candidate in words, by what is searched; empty where nothing is."""
    return ", ".join(f"{name} {_shown(getattr(candidate, name))}" for name in searched(spec, method))


def _shown(value: float | Schedule) -> str:
    if isinstance(value, int | float):
        return f"{value:g}"
    return " ".join(f"{epoch}:{later:g}" for epoch, later in value)
