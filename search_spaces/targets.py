"""The target languages of each method: those of the spec, but for those that lack a split which the method needs."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, partial

from search_spaces.method_space import MethodSpace
from search_spaces.spec import ExperimentSpec
from trainers.examples import Data, DataError, MissingSplitError
from trainers.methods import METHODS
from trainers.tasks import TASKS
from trainers.trial import Split


@dataclass(frozen=True)
class LeftOut:
    """A target language that a method leaves out: the data lack splits of it that the method needs."""

    method: str
    language: str
    lacks: tuple[Split, ...]


def target_languages(spec: ExperimentSpec, data: Data) -> tuple[str, ...]:
    """The spec's target languages, each once; "all" means every language of the data but the source language."""
    if spec.target_languages == "all":
        return tuple(language for language in data.languages() if language != spec.source_language)
    return tuple(dict.fromkeys(spec.target_languages))


def needed_of_target(spec: ExperimentSpec, method: str) -> tuple[Split, ...]:
    """The splits of a target that a method draws its shots from, and selects by or is judged on. Each needs "test"."""
    needed: list[Split] = []
    if METHODS[method].few_shot:
        needed.append(TASKS[spec.task].under(spec.protocol).shots_split)
    if reads_target_dev(spec, method):
        needed.append("dev")
    return tuple(dict.fromkeys(needed))


def reads_target_dev(spec: ExperimentSpec, method: str) -> bool:
    """Whether a method selects by the dev sets of its targets, or is judged on them."""
    is_judged = spec.search.objective == "target-dev" and bool(MethodSpace(spec, method).searched)
    return METHODS[method].selection == "target-dev" or is_judged


class Targets:
    """The target languages of each of a spec's methods.

    Args:
        spec: the spec.
        data: the data that it names.
        languages: the target languages of the experiment.

    Attributes:
        of: the target languages of each method.
        trained: those of its training: also of them that it leaves out, where it is another selection of a training
            that needs no more.
        left_out: those that methods leave out, in the order of the spec's methods.
    """

    def __init__(self, spec: ExperimentSpec, data: Data, languages: Iterable[str]) -> None:
        self.languages = tuple(languages)
        self.of: dict[str, tuple[str, ...]] = {}
        self.trained: dict[str, tuple[str, ...]] = {}
        self.left_out: list[LeftOut] = []
        has = cache(partial(_has, data))  # methods need the same splits
        for method in spec.methods:
            needed = needed_of_target(spec, method)
            lacks = {one: tuple(split for split in needed if not has(one, split)) for one in self.languages}
            self.of[method] = self.trained[method] = tuple(one for one in self.languages if not lacks[one])
            self.left_out += [LeftOut(method, language, splits) for language, splits in lacks.items() if splits]
            trajectory = METHODS[method].trajectory
            if trajectory is not None and not METHODS[method].model_per_target:
                needed = needed_of_target(spec, trajectory)
                self.trained[method] = tuple(one for one in self.languages if all(has(one, split) for split in needed))


def _has(data: Data, language: str, split: Split) -> bool:
    try:
        data.facts(language, split)
    except MissingSplitError:
        return False
    except DataError:  # it is there: whoever reads it says what is wrong with it
        pass
    return True
