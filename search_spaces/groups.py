"""Groupings: which target languages share a model (Xu and Murray 2022, section 5.4)."""

from collections import Counter
from collections.abc import Sequence

from search_spaces.messages import listed
from search_spaces.spec import ExperimentSpec
from trainers.languages import LANGUAGES
from trainers.methods import METHODS


def groups(spec: ExperimentSpec, method: str, targets: Sequence[str]) -> list[tuple[str, ...]]:
    """The target languages of each of a method's models, in alphabetical order within a model.

    Args:
        spec: the spec whose grouping applies, unless the method trains a model per target anyway.
        method: the name of the method.
        targets: the target languages of the method.
    """
    targets = sorted(targets)
    if not METHODS[method].few_shot:
        return [tuple(targets)]
    if spec.grouping == "single" or METHODS[method].model_per_target:
        return [(target,) for target in targets]
    if spec.grouping == "all":
        return [tuple(targets)]
    if isinstance(spec.grouping, list):
        of_method = set(targets)
        of_lists = (tuple(sorted(of_method.intersection(group))) for group in spec.grouping)
        return [group for group in of_lists if group]
    shared: dict[str, list[str]] = {}
    for target in targets:
        shared.setdefault(getattr(LANGUAGES[target], spec.grouping), []).append(target)
    return [tuple(group) for group in shared.values()]


def ungroupable(spec: ExperimentSpec, targets: Sequence[str]) -> str | None:
    """Why the targets can't be grouped as the spec asks; None if they can."""
    if isinstance(spec.grouping, list):
        named, wanted = Counter(language for group in spec.grouping for language in group), set(targets)
        wrong = {language for language, times in named.items() if times > 1 or language not in wanted}
        wrong |= wanted - named.keys()
        return f"each target must be in one list: {listed(sorted(wrong))}" if wrong else None
    if spec.grouping in ("script", "family"):
        unknown = [target for target in targets if target not in LANGUAGES]
        if unknown:
            return f"the {spec.grouping} of {listed(unknown)} is not known: give lists of targets"
    return None
