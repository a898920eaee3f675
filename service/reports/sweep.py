"""What a search found: candidates' objectives and test scores, which is chosen, and what stopping early saved."""

from collections.abc import Iterable, Mapping, Sequence
from math import inf, isclose
from statistics import fmean, stdev
from typing import Any

from search_spaces.cost.estimate import devices
from search_spaces.method_space import MethodSpace, searchable_values
from search_spaces.objective import Judged, methods_of, objective_value
from search_spaces.spaces import SEARCHABLE
from search_spaces.spec import ExperimentSpec
from trainers.marks import MARK_NAMES

# The states of trials that have not come to an end.
UNFINISHED = ("queued", "running", "cancelled")

# A candidate's row of the report, and its trials.
Compared = tuple[dict[str, Any], list[Judged]]


def sweep(
    spec: ExperimentSpec, judged: Mapping[str, Judged], tests: Iterable[Mapping[str, Any]], is_over: bool = True
) -> dict[str, Any]:
    """The candidates of an experiment that are compared with each other.

    A candidate's value is the mean over its seeds of the objective at the steps that were selected, in percent; so is
    its test score, of the mean over the target languages of its model. Where some of its seeds were stopped or are not
    done it is not `complete` and has no test score. Chosen is the best candidate among those whose seeds have all ended
    (`_best`), and none while any is not done; `regret` is what its test score lacks to the best complete one's, which
    nothing but this report looks at; None where the chosen one is not complete.

    Args:
        spec: of the experiment.
        judged: by digest, the trials that are compared.
        tests: test scores of the task's first metric: `method`, `trial`, `language`, `value` and marks.
        is_over: the experiment is over, so that no further candidate is proposed.

    Returns:
        `candidates` (rows, which also count the test scores with each mark),
        `chosen` (one for each method, K and group of targets, with its `regret`, and `remarks` on
        what the choice is worth), and `cost`:
        `trials`, `stopped`, `epochs`, `epochs_of_all` (had none been stopped), `device_hours`, `device_hours_saved`
        (an estimate: what stopped trials still had to do, at their own speed).
    """
    scored: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in tests:
        if row["language"] != spec.source_language:
            scored.setdefault((row["method"], row["trial"]), []).append(row)
    groups: dict[tuple[str, str, str], list[str]] = {}
    spaces = {name: MethodSpace(spec, name) for name in {one.config.method for one in judged.values()}}
    for digest, one in judged.items():
        space = spaces[one.config.method]
        words = space.label(space.candidate_of(one.config))
        for method in methods_of(spec, one):
            groups.setdefault((one.sweep, method, words), []).append(digest)
    rows, compared = [], dict[tuple[Any, ...], list[Compared]]()
    for (_, method, words), digests in groups.items():
        trials = [judged[one] for one in digests]
        row = _candidate(spec, method, words, trials, [scored.get((method, one), []) for one in digests])
        rows.append(row)
        compared.setdefault((method, row["k"], tuple(row["target_languages"])), []).append((row, trials))
    return {
        "objective": spec.search.objective,
        "candidates": rows,
        "chosen": [_chosen(spec, comparison, candidates, is_over) for comparison, candidates in compared.items()],
        "cost": _cost(judged.values(), devices(spec.resources)),
    }


def chosen_trials(
    spec: ExperimentSpec, judged: Mapping[str, Judged], chosen: Iterable[Mapping[str, Any]]
) -> dict[str, list[str]]:
    """The digests of the trials of chosen candidates, by method, given what `sweep` says is chosen."""
    wanted = {(one["method"], one["k"], tuple(one["target_languages"]), one["candidate"]) for one in chosen}
    spaces = {name: MethodSpace(spec, name) for name in {one.config.method for one in judged.values()}}
    found: dict[str, list[str]] = {}
    for digest, one in judged.items():
        config, space = one.config, spaces[one.config.method]
        words = space.label(space.candidate_of(config))
        for method in methods_of(spec, one):
            if (method, config.k, tuple(config.target_languages), words) in wanted:
                found.setdefault(method, []).append(digest)
    return found


def _candidate(
    spec: ExperimentSpec, method: str, words: str, trials: list[Judged], scored: list[list[Mapping[str, Any]]]
) -> dict[str, Any]:
    config = trials[0].config
    values = [value for trial in trials if (value := objective_value(trial, method)) is not None]
    tests = [fmean(row["value"] for row in rows) for rows in scored if rows]
    complete = len(trials) == len(spec.seeds) and all(trial.state == "succeeded" for trial in trials)
    return {
        "method": method,
        "k": config.k,
        "target_languages": list(config.target_languages),
        "candidate": words,
        **searchable_values(config),
        "seeds": len(values),
        "stopped": sum(trial.state == "stopped" for trial in trials),
        "complete": complete,
        "objective_mean": fmean(values) if values else None,
        "objective_sd": _sd(values),
        "test_mean": fmean(tests) if complete and tests else None,
        "test_sd": _sd(tests) if complete else None,
        **{name: sum(row[name] for rows in scored for row in rows) for name in MARK_NAMES},
    }


def _sd(values: list[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _chosen(
    spec: ExperimentSpec, comparison: tuple[Any, ...], candidates: list[Compared], is_over: bool
) -> dict[str, Any]:
    method, k, targets = comparison
    named = {"method": method, "k": k, "target_languages": list(targets)}
    space = MethodSpace(spec, method)
    expected = len(candidates) if is_over or space.candidates() else max(space.count, len(candidates))
    waiting = expected - sum(not any(trial.state in UNFINISHED for trial in trials) for _, trials in candidates)
    ended = [(row, trials) for row, trials in candidates if _has_ended(spec, row, trials)]
    failed = sum(any(trial.state == "failed" for trial in trials) for _, trials in candidates)
    remarks = [f"{failed} of {expected} candidates failed"] if failed else []
    if waiting or not ended:
        remarks = [f"incomplete: {waiting} of {expected} candidates are not done"] if waiting else remarks
        return {**named, "candidate": None, "regret": None, "remarks": remarks}
    best, _ = _best(ended, method)
    tested = [row["test_mean"] for row, _ in candidates if row["test_mean"] is not None]
    regret = max(tested) - best["test_mean"] if best["test_mean"] is not None else None
    remarks += _remarks(best, [row for row, _ in ended if row is not best and row["complete"] == best["complete"]])
    met = [trial.conflicts for _, trials in candidates for trial in trials]
    if "alpha" in space.searched and not any(conflicts is None or conflicts > 0 for conflicts in met):
        remarks.append("no conflict was met: alpha could not matter")
    return {
        **named,
        **{name: best[name] for name in ("candidate", *SEARCHABLE)},
        "regret": regret,
        "remarks": remarks,
    }


def _remarks(best: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the choice of a candidate is worth beside others that were trained as far."""
    value = best["objective_mean"]
    if equal := [row["candidate"] for row in others if isclose(row["objective_mean"], value, abs_tol=1e-9)]:
        return [f"tie: {' and '.join(equal)} {'has' if len(equal) == 1 else 'have'} the same objective"]
    if not others:
        return []
    second = max(others, key=lambda row: float(row["objective_mean"]))
    difference = value - second["objective_mean"]
    spreads = [row["objective_sd"] for row in (best, second) if row["objective_sd"] is not None]
    if not spreads:
        return ["too few seeds: one seed has no sd"]
    if abs(difference) <= max(spreads):
        return [
            f"too few seeds: {second['candidate']} is {abs(difference):.2f} away, and the sd over {best['seeds']} seeds"
            f" is {max(spreads):.2f}"
        ]
    return []


def _has_ended(spec: ExperimentSpec, row: dict[str, Any], trials: list[Judged]) -> bool:
    """Whether every seed of a candidate has a value and will have no other."""
    return row["seeds"] == len(spec.seeds) and all(trial.state in ("succeeded", "stopped") for trial in trials)


def _best(candidates: list[Compared], method: str) -> Compared:
    """The best of candidates that have ended, compared at equal depth.

    Which of a seed's trials a scheduler stopped depends on which came first, so that to have been trained to the end
    is no merit by itself, and what was reached in four epochs is not compared with what was reached in twelve. Where a
    candidate was stopped, all that went further are compared with it by what they were THEN, by the mean over the
    seeds; those that were not worse go on to be compared further on, at last by what they came to.
    """

    def stopped_at(candidate: Compared) -> float:
        return min((trial.history[-1][0] for trial in candidate[1] if trial.state == "stopped"), default=inf)

    def value(candidate: Compared, by: float) -> float:
        return fmean(-inf if (found := objective_value(trial, method, by)) is None else found for trial in candidate[1])

    while True:
        depth = min(map(stopped_at, candidates))
        shallow = [one for one in candidates if stopped_at(one) == depth]
        best = max(shallow, key=lambda one: value(one, depth))
        further = [one for one in candidates if stopped_at(one) > depth and value(one, depth) >= value(best, depth)]
        if not further:
            return best
        candidates = further


def _cost(judged: Iterable[Judged], devices: float) -> dict[str, Any]:
    cost = {"trials": 0, "stopped": 0, "epochs": 0, "epochs_of_all": 0, "device_hours": 0.0, "device_hours_saved": 0.0}
    for trial in judged:
        epochs = trial.config.training.epochs
        cost["trials"] += 1
        cost["epochs"] += trial.epochs
        cost["epochs_of_all"] += epochs
        cost["device_hours"] += devices * trial.seconds / 3600
        if trial.state == "stopped":
            cost["stopped"] += 1
            if trial.epochs:
                cost["device_hours_saved"] += devices * trial.seconds / 3600 * (epochs - trial.epochs) / trial.epochs
    return cost
