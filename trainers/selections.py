"""Selections: which weights of a training count, by name, as plans, results and folders of kept models have it.

A name is its kind, where there are several of a kind followed by what tells them apart:

- `source-dev`: the epoch with the best score on the source's dev set.
- `last`: the last epoch.
- `target-dev`: the epoch with the best score on the dev set of the model's one target.
- `target-dev:<language>`: the same for one target of a model that has several.
- `average:<n>`: the mean of the weights of the last n epochs.
- `held-out`: the epoch with the best score on shots that are not trained on, the mean over targets.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from trainers.examples import LANGUAGE_CODE
from trainers.trial import Selection

Kind = Literal["source-dev", "last", "target-dev", "average", "held-out"]

HELD_OUT: Selection = "held-out"

# Every name.
PATTERN = rf"source-dev|last|target-dev(:{LANGUAGE_CODE})?|average:[1-9][0-9]*|held-out"


def of_target(language: str) -> Selection:
    """The selection on the dev set of one target of several."""
    return f"target-dev:{language}"


def of_average(epochs: int) -> Selection:
    """The selection of the mean of the last epochs' weights."""
    return f"average:{epochs}"


def kind_of(selection: Selection) -> str:
    """The kind of a selection, one of `Kind`."""
    return selection.partition(":")[0]


def averaged_epochs(selection: Selection) -> int:
    """The number of epochs whose weights a selection is the mean of; 0 if it is of one epoch's."""
    return int(selection.partition(":")[2]) if kind_of(selection) == "average" else 0


def target_of(selection: Selection) -> str | None:
    """The language that a selection is for, if it is for one alone."""
    return selection.partition(":")[2] or None if kind_of(selection) == "target-dev" else None


def scored_by(selection: Selection, evaluate: Mapping[str, str]) -> dict[str, str]:
    """The part of the wanted test sets that the weights of a selection are scored on."""
    target = target_of(selection)
    if target is None:
        return dict(evaluate)
    return {target: evaluate[target]} if target in evaluate else {}


def dev_languages(selections: Iterable[Selection], source: str, targets: Iterable[str]) -> tuple[str, ...]:
    """The languages whose dev sets selections read, for a model of these targets."""
    found: dict[str, None] = {}
    for selection in selections:
        if selection == "source-dev":
            found[source] = None
        elif kind_of(selection) == "target-dev":
            target = target_of(selection)
            found |= dict.fromkeys(targets if target is None else [target])
    return tuple(found)
