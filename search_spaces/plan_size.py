"""How large the plan of a spec is, counted from its parts: before any of it is built, and whatever its size."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from search_spaces.groups import groups
from search_spaces.method_space import MethodSpace, spaces_of
from search_spaces.problems import Problem
from search_spaces.spaces import FIELDS, Scheduled
from search_spaces.spec import MAX_LARGE_TRIALS, MAX_RESULTS, MAX_STRETCHES, MAX_TRIALS, ExperimentSpec
from search_spaces.targets import reads_target_dev
from trainers.methods import METHODS, SOURCE_TRAINING


class PlanSize(NamedTuple):
    """The most trials and results that a plan may have: fewer where methods leave out targets, or draws are equal."""

    trials: int
    results: int


def plan_size(spec: ExperimentSpec, targets: Sequence[str]) -> PlanSize:
    """The size of the plan of a spec that is accepted otherwise.

    Args:
        spec: the spec.
        targets: its target languages, each once.
    """
    of_trainings: dict[str, int] = {}
    results = 0
    for name in spec.methods:
        method = METHODS[name]
        models = len(groups(spec, name, targets))
        tried = MethodSpace(spec, name).count * len(spec.seeds)
        trainings = tried * (len(spec.k) if method.few_shot else 1)
        trajectory = method.trajectory or name
        of_trainings[trajectory] = max(of_trainings.get(trajectory, 0), trainings * models)
        if method.adapts:
            of_trainings[SOURCE_TRAINING] = max(of_trainings.get(SOURCE_TRAINING, 0), tried)
        devs = len(targets) if reads_target_dev(spec, name) else 0
        results += trainings * (len(targets) + devs + 2 * models)  # a model is scored on the source, too
    return PlanSize(sum(of_trainings.values()), results)


def check_size(spec: ExperimentSpec, targets: Sequence[str]) -> Iterator[Problem]:
    """A plan that would take more than about a second. Arguments as for `plan_size`."""
    trials, results = plan_size(spec, targets)
    allowed = MAX_LARGE_TRIALS if spec.allow_large else MAX_TRIALS
    if trials > allowed:
        more = "" if spec.allow_large else f', or {MAX_LARGE_TRIALS} with "allow_large": true'
        yield Problem(
            "allow_large", f"candidates x K x seeds x models are {trials} trials; allowed: up to {allowed}{more}"
        )
    elif results > MAX_RESULTS:
        yield Problem(
            "allow_large",
            f"{trials} trials x languages x splits are {results} scores; allowed: up to {MAX_RESULTS} in all",
        )
    for name, space in spaces_of(spec).items():
        if isinstance(space, Scheduled) and trials * len(space.schedule) > MAX_STRETCHES:
            yield Problem(
                FIELDS[name],
                f"{trials} trials x {len(space.schedule)} stretches of epochs; allowed: up to {MAX_STRETCHES} in all",
            )
