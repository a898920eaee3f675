"""What a search found, from what is known of its trials."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from plans import TRAINING, config_of, spec_of
from search_spaces.objective import Judged
from service.reports.sweep import chosen_trials, sweep
from trainers.marks import MARK_NAMES

SPEC = spec_of(
    seeds=[1, 2], methods=["gradient-mix-train"], alpha={"grid": [1, 0.5]}, search={"scheduler": {"name": "asha"}},
    training={"epochs": 4},
)  # fmt: skip


def trial_of(alpha: float, seed: int, state: str, values: Sequence[float]) -> Judged:
    """A trial with an objective after each epoch, and the best one selected if it came to its end."""
    config = config_of(
        "gradient-mix-train",
        target_languages=("de", "hi"),
        seed=seed,
        alpha=alpha,
        training=replace(TRAINING, epochs=4),
    )
    history = [(epoch, 10 * epoch, value) for epoch, value in enumerate(values, 1)]
    selected = {"source-dev": max(history, key=lambda one: one[2])[1]} if state == "succeeded" else {}
    return Judged(
        config=config, sweep="sweep", state=state, epochs=len(values), seconds=10.0, selections=("source-dev",),
        selected=selected, history=history,  # type: ignore[arg-type]
    )  # fmt: skip


def found_of(*trials: Judged, mark: str = "one_label", marked: Sequence[str] = ()) -> dict[str, Any]:
    judged = {trial.config.digest: trial for trial in trials}
    tests = [
        {"method": "gradient-mix-train", "trial": trial.config.digest, "language": language, "value": value,
         **dict.fromkeys(MARK_NAMES, False), mark: trial.config.alpha == 1 and language in marked}
        for trial in trials if trial.state == "succeeded"
        for language, value in (("en", 99.0), ("de", 50 + 10 * trial.config.alpha), ("hi", 70.0))
    ]  # fmt: skip
    return sweep(SPEC, judged, tests)


FIRST = (trial_of(1.0, 1, "succeeded", [40, 60, 70, 65]), trial_of(1.0, 2, "succeeded", [40, 60, 72, 74]))


def test_that_a_seed_was_stopped_does_not_keep_a_better_candidate_from_being_chosen() -> None:
    found = found_of(*FIRST, trial_of(0.5, 1, "succeeded", [50, 70, 80, 85]), trial_of(0.5, 2, "stopped", [66]))
    first, second = found["candidates"]
    assert (first["objective_mean"], first["complete"], first["test_mean"]) == (72, True, 65)
    assert (second["objective_mean"], second["complete"], second["test_mean"]) == (75.5, False, None)
    [chosen] = found["chosen"]
    assert (chosen["alpha"], chosen["regret"]) == (0.5, None)


def test_one_that_was_stopped_low_is_not_chosen_and_of_equals_the_one_that_went_further_is() -> None:
    for value in (20.0, 30.0):  # with the other seed's 50 a mean of 35, and of 40 as the first had then
        stopped = trial_of(0.5, 1, "succeeded", [50, 70, 80, 85]), trial_of(0.5, 2, "stopped", [value])
        [chosen] = found_of(*stopped, *FIRST)["chosen"]
        assert (chosen["alpha"], chosen["regret"]) == (1.0, 0)


def test_candidates_are_compared_where_one_was_stopped_and_again_further_on() -> None:
    first = trial_of(1.0, 1, "succeeded", [50, 55, 60, 90]), trial_of(1.0, 2, "succeeded", [50, 55, 60, 90])
    low = trial_of(0.5, 1, "stopped", [40]), trial_of(0.5, 2, "stopped", [40])
    middle = trial_of(0.2, 1, "stopped", [45, 70]), trial_of(0.2, 2, "succeeded", [45, 70, 70, 70])
    assert found_of(*first, *low)["chosen"][0]["alpha"] == 1.0
    assert found_of(*first, *middle)["chosen"][0]["alpha"] == 0.2  # 70 against 55 after two epochs
    assert found_of(*first, *low, *middle)["chosen"][0]["alpha"] == 0.2
    high = trial_of(0.5, 1, "stopped", [60]), trial_of(0.5, 2, "stopped", [60])
    assert found_of(*first, *high, *middle)["chosen"][0]["alpha"] == 0.5  # of one epoch nobody has more


def test_what_failed_is_not_chosen() -> None:
    better = trial_of(0.5, 1, "succeeded", [90]), trial_of(0.5, 2, "failed", [90])
    [chosen] = found_of(*FIRST, *better)["chosen"]
    assert (chosen["alpha"], chosen["remarks"]) == (1.0, ["1 of 2 candidates failed"])


@pytest.mark.parametrize("state", ["running", "queued", "cancelled"])
def test_nothing_is_chosen_while_a_candidate_is_not_done(state: str) -> None:
    for values in ([90.0], [10.0], []):
        other = trial_of(0.5, 1, "succeeded", [90]), trial_of(0.5, 2, state, values)
        [chosen] = found_of(*FIRST, *other)["chosen"]
        assert (chosen["candidate"], chosen["regret"]) == (None, None)
        assert chosen["remarks"] == ["incomplete: 1 of 2 candidates are not done"]


def test_nothing_is_chosen_before_all_candidates_are_proposed() -> None:
    spec = SPEC.model_validate(
        {**SPEC.model_dump(exclude_none=True), "data": "sample", "alpha": {"uniform": [0.0, 1.0]},
         "search": {"searcher": {"name": "tpe", "samples": 4}}}
    )  # fmt: skip
    judged = {trial.config.digest: trial for trial in FIRST}
    for is_over, candidate, remarks in (
        (False, None, ["incomplete: 3 of 4 candidates are not done"]),
        (True, "alpha 1", []),
    ):
        [chosen] = sweep(spec, judged, [], is_over)["chosen"]
        assert (chosen["candidate"], chosen["remarks"]) == (candidate, remarks)


def test_equal_candidates_are_a_tie() -> None:
    other = trial_of(0.5, 1, "succeeded", [40, 60, 70, 65]), trial_of(0.5, 2, "succeeded", [40, 60, 72, 74])
    [chosen] = found_of(*FIRST, *other)["chosen"]
    assert chosen["remarks"] == ["tie: alpha 0.5 has the same objective"]


def test_a_difference_within_the_sd_over_seeds_needs_more_of_them() -> None:
    """The objectives are 70 and 74 over seeds, with the sample's sd of 2.83."""
    near = trial_of(0.5, 1, "succeeded", [71]), trial_of(0.5, 2, "succeeded", [71])
    far = trial_of(0.5, 1, "succeeded", [67]), trial_of(0.5, 2, "succeeded", [67])
    assert found_of(*FIRST, *near)["chosen"][0]["remarks"] == [
        "too few seeds: alpha 0.5 is 1.00 away, and the sd over 2 seeds is 2.83"
    ]
    assert found_of(*FIRST, *far)["chosen"][0]["remarks"] == []


def test_where_no_conflict_was_met_alpha_could_not_matter() -> None:
    far = trial_of(0.5, 1, "succeeded", [67]), trial_of(0.5, 2, "succeeded", [67])

    def remarks(*conflicts: int | None) -> list[str]:
        trials = [replace(one, conflicts=met) for one, met in zip((*FIRST, *far), conflicts, strict=True)]
        found: list[str] = found_of(*trials)["chosen"][0]["remarks"]
        return found

    assert remarks(0, 0, 0, 0) == ["no conflict was met: alpha could not matter"]
    assert remarks(0, 0, 1, 0) == remarks(0, 0, None, 0) == []


def test_one_that_the_budget_never_let_begin_is_not_chosen() -> None:
    better = trial_of(0.5, 1, "succeeded", [90]), trial_of(0.5, 2, "stopped", [])
    [chosen] = found_of(*FIRST, *better)["chosen"]
    assert chosen["alpha"] == 1.0


def test_regret_is_what_the_choice_lacks_in_test_score() -> None:
    other = trial_of(0.5, 1, "succeeded", [80]), trial_of(0.5, 2, "succeeded", [80])
    [chosen] = found_of(*FIRST, *other)["chosen"]
    assert (chosen["alpha"], chosen["regret"]) == (0.5, 2.5)


@pytest.mark.parametrize("mark", MARK_NAMES)
def test_candidates_count_their_test_scores_that_have_a_mark(mark: str) -> None:
    others = trial_of(0.5, 1, "succeeded", [50, 70, 80, 85]), trial_of(0.5, 2, "succeeded", [50, 70, 80, 85])
    assert [one[mark] for one in found_of(*FIRST, *others)["candidates"]] == [0, 0]
    found = found_of(*FIRST, *others, mark=mark, marked=["de", "en"])["candidates"]
    assert [one[mark] for one in found] == [2, 0]  # of two seeds; the source's is not in the mean


def test_the_trials_of_what_was_chosen_are_those_of_the_group_that_chose_it() -> None:
    trials = [
        replace(one, config=replace(one.config, target_languages=(language,)), sweep=language)
        for language, best in (("de", 1.0), ("hi", 0.5))
        for alpha in (1.0, 0.5)
        for one in (trial_of(alpha, seed, "succeeded", [90 if alpha == best else 10]) for seed in (1, 2))
    ]
    judged = {one.config.digest: one for one in trials}
    found = sweep(SPEC, judged, [])["chosen"]
    assert [(one["target_languages"], one["alpha"]) for one in found] == [(["de"], 1.0), (["hi"], 0.5)]
    chosen = chosen_trials(SPEC, judged, found)
    wanted = [one.config.digest for one in trials if (one.config.target_languages, one.config.alpha)
              in ((("de",), 1.0), (("hi",), 0.5))]  # fmt: skip
    assert chosen == {"gradient-mix-train": wanted}
