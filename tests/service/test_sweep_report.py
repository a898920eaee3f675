"""What a search found, from what is known of its trials."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from plans import TRAINING, config_of, spec_of
from search_spaces.objective import Judged
from service.reports.sweep import sweep

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


def found_of(*trials: Judged, one_label: Sequence[str] = ()) -> dict[str, Any]:
    judged = {trial.config.digest: trial for trial in trials}
    tests = [
        {"method": "gradient-mix-train", "trial": trial.config.digest, "language": language, "value": value,
         "one_label": trial.config.alpha == 1 and language in one_label}
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


@pytest.mark.parametrize("state", ["failed", "running", "queued"])
def test_what_has_not_ended_or_failed_is_not_chosen(state: str) -> None:
    better = trial_of(0.5, 1, "succeeded", [90]), trial_of(0.5, 2, state, [90])
    [chosen] = found_of(*FIRST, *better)["chosen"]
    assert chosen["alpha"] == 1.0


def test_one_that_the_budget_never_let_begin_is_not_chosen() -> None:
    better = trial_of(0.5, 1, "succeeded", [90]), trial_of(0.5, 2, "stopped", [])
    [chosen] = found_of(*FIRST, *better)["chosen"]
    assert chosen["alpha"] == 1.0


def test_regret_is_what_the_choice_lacks_in_test_score() -> None:
    other = trial_of(0.5, 1, "succeeded", [80]), trial_of(0.5, 2, "succeeded", [80])
    [chosen] = found_of(*FIRST, *other)["chosen"]
    assert (chosen["alpha"], chosen["regret"]) == (0.5, 2.5)


def test_candidates_count_their_test_scores_of_models_that_predict_one_label() -> None:
    others = trial_of(0.5, 1, "succeeded", [50, 70, 80, 85]), trial_of(0.5, 2, "succeeded", [50, 70, 80, 85])
    assert [one["one_label"] for one in found_of(*FIRST, *others)["candidates"]] == [0, 0]
    found = found_of(*FIRST, *others, one_label=["de", "en"])["candidates"]
    assert [one["one_label"] for one in found] == [2, 0]  # of two seeds; the source's is not in the mean
