"""The map of an experiment's trials: methods down, K and seeds across, a square a trial."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.store.states import TRIAL_STATES
from trainers.methods import METHODS, SOURCE_TRAINING

# Where a method has more candidates, they share a line, and where a cell has more trials, they are counted.
MOST_LINES, MOST_SQUARES = 8, 60

Trial = Mapping[str, Any]


def grid(trials: Sequence[Trial], methods: Sequence[str]) -> dict[str, Any]:
    """The map of trials as `GET /v1/experiments/{id}/trials` has them.

    Args:
        trials: of an experiment.
        methods: those of its spec.

    Returns:
        `columns`, the seeds at each K; `lines`, each with its `method`, the `others` that select among its weights, its
        `candidate` and `cells`, one a column: of `squares`, or where these are too many of `counts` by state; and
        `counts` of all by state.
    """
    columns = [
        (k, sorted({one["seed"] for one in trials if one["k"] == k})) for k in sorted({one["k"] for one in trials})
    ]
    candidates: dict[str, dict[str, None]] = {}
    for one in trials:
        candidates.setdefault(one["method"], {})[one["candidate"]] = None
    of_cell: dict[tuple[str, str, int, int], list[Trial]] = {}
    for one in trials:
        words = one["candidate"] if len(candidates[one["method"]]) <= MOST_LINES else ""
        of_cell.setdefault((one["method"], words, one["k"], one["seed"]), []).append(one)
    order = {name: place for place, name in enumerate(METHODS)}
    lines = sorted(dict.fromkeys((method, words) for method, words, _, _ in of_cell),
                   key=lambda line: order.get(line[0], len(order)))  # fmt: skip
    return {
        "columns": columns,
        "lines": [
            {
                "method": method,
                "others": _others(method, methods),
                "candidate": words,
                "cells": [_cell(of_cell.get((method, words, k, seed), ())) for k, seeds in columns for seed in seeds],
            }
            for method, words in lines
        ],
        "counts": _counts(trials),
    }


def _others(trained: str, methods: Sequence[str]) -> list[str]:
    """The methods of a spec that a training is for, beside its own."""
    found = [name for name in methods if name in METHODS and (METHODS[name].trajectory or name) == trained]
    if trained == SOURCE_TRAINING and not found:
        return ["source training"]
    return [name for name in found if name != trained]


def _cell(trials: Sequence[Trial]) -> dict[str, Any]:
    if len(trials) > MOST_SQUARES:
        return {"squares": [], "counts": _counts(trials)}
    return {"squares": [{**one, "words": in_words(one)} for one in trials], "counts": []}


def _counts(trials: Sequence[Trial]) -> list[tuple[str, int]]:
    found = {state: sum(one["state"] == state for one in trials) for state in TRIAL_STATES}
    return [(state, number) for state, number in found.items() if number]


def in_words(trial: Trial) -> str:
    """A trial's targets or candidate, its state, and how far it is."""
    targets = trial["target_languages"]
    of = ", ".join(targets) if 0 < len(targets) <= 3 else f"{len(targets)} targets" if targets else ""
    said = [of, trial["candidate"], trial["state"] + (" (reused)" if trial["reused"] else "")]
    if trial["state"] == "running":
        said.append(f"epoch {trial['epoch']} of {trial['epochs']}")
    if trial["loss"] is not None:
        said.append(f"loss {trial['loss']:.3g}")
    if trial["reason"]:
        said.append(trial["reason"][:200])
    return ", ".join(filter(None, said))
