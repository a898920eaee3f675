"""What the store knows of costs: planned, spent, left, and what earlier trials tell of later ones."""

import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from plans import spec_of
from service.store import Store
from service.store.schema import attempts
from stored import ADAPTED, SOURCE, cost_of, finish, finished_in, outcome_of, plan_of, priced, report_of, score
from trainers.data.token_counts import Size
from trainers.trial import TrialConfig


def test_what_is_known_of_a_plan_is_what_is_missing_trained_counted_and_measured(store: Store) -> None:
    made = plan_of()
    before = store.experiments.known(spec_of(), made)
    assert before.missing == {SOURCE.digest: ("en", "de", "hi"), ADAPTED.digest: ("de",)}
    assert not before.trained | set(before.sizes)
    assert before.measured == []
    id_ = store.experiments.add(spec_of(), made)
    attempt = store.trials.started(id_, SOURCE.digest)
    store.trials.succeeded(SOURCE.digest, attempt, finished_in(2.0, (score("en", 1.0), score("hi", 3.0))))
    after = store.experiments.known(spec_of(), made)
    assert after.missing == {SOURCE.digest: ("de",), ADAPTED.digest: ("de",)}
    assert after.trained == {SOURCE.digest}
    assert after.sizes == {"split": Size(10, 11, 200)}
    [one] = after.measured
    assert (one.adapts, one.training.seconds, one.evaluation.sub_words) == (False, 2.0, 50)
    assert one.seconds >= 0


@pytest.mark.parametrize(
    "other",
    [
        {"task": "pos"},
        {"training": {"precision": "bf16"}},
        {"resources": {"cpus_per_trial": 2}},
        {"resources": {"gpus_per_trial": 1}},
    ],
)
def test_trials_of_another_kind_are_no_measure(store: Store, other: dict[str, Any]) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    attempt = store.trials.started(id_, SOURCE.digest)
    store.trials.succeeded(SOURCE.digest, attempt, finished_in(2.0, ()))
    assert len(store.experiments.known(spec_of(), plan_of()).measured) == 1
    assert store.experiments.known(spec_of(**other), plan_of()).measured == []


def test_the_card_is_that_of_the_latest_trial_on_one(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    for device, latest in (("cpu (x86_64)", None), ("Fast", "Fast"), ("Faster", "Faster")):
        attempt = store.trials.started(id_, SOURCE.digest)
        done = finished_in(1.0, ())
        store.trials.succeeded(SOURCE.digest, attempt, replace(done, facts={**done.facts, "device": device}))
        assert store.experiments.known(spec_of(), plan_of()).card == latest


def test_of_a_split_the_size_of_the_most_examples_is_kept(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    for examples in (10, 30, 20):
        attempt = store.trials.started(id_, SOURCE.digest)
        store.trials.succeeded(SOURCE.digest, attempt, finished_in(1.0, (), examples))
    assert store.experiments.known(spec_of(), plan_of()).sizes == {"split": Size(30, 31, 200)}


def test_what_was_planned_is_spent_and_left(store: Store) -> None:
    resources = {"cpus_per_trial": 2}
    id_ = store.experiments.add(
        spec_of(resources=resources), priced(plan_of(), {SOURCE.digest: 60.0, ADAPTED.digest: 30.0})
    )
    assert cost_of(store, id_) == {"planned": 180.0, "spent": 0.0, "left": 180.0, "error": None}
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    cost = cost_of(store, id_)
    taken = cost["spent"] / 2
    assert cost["planned"] == 180.0
    assert 0 < taken < 60
    assert cost["error"] == pytest.approx(60 / taken)
    assert cost["left"] == pytest.approx(2 * 30 / cost["error"])
    finish(store, id_, ADAPTED, score("de", 4.0))
    assert cost_of(store, id_)["left"] == 0


@pytest.mark.parametrize(
    ("took", "left"),
    [
        (10.0, 80.0),  # as planned so far: two of four parts, of which one is under way, were planned to take 30 s
        (30.0, 60.0),
        (60.0, 2 * 90.0 - 60.0),
        (1200.0, 40 * 90.0 - 1200.0),
    ],
)
def test_from_what_runs_longer_than_planned_is_learned_what_is_left(store: Store, took: float, left: float) -> None:
    id_ = store.experiments.add(spec_of(), priced(plan_of(), {SOURCE.digest: 60.0, ADAPTED.digest: 30.0}))
    attempt = store.trials.started(id_, SOURCE.digest)
    store.trials.reported(SOURCE.digest, attempt, report_of())  # of three epochs, beside which tests are one part
    began(store, SOURCE, took)
    assert cost_of(store, id_)["left"] == pytest.approx(left, abs=1 + left / 100)


def test_one_slow_trial_among_many_does_not_slow_the_others(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), priced(plan_of(), {SOURCE.digest: 900.0, ADAPTED.digest: 30.0}))
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    began(store, SOURCE, 900.0)
    store.trials.started(id_, ADAPTED.digest)
    began(store, ADAPTED, 75.0)
    cost = cost_of(store, id_)
    assert cost["error"] == pytest.approx(1, abs=0.01)
    assert cost["left"] == pytest.approx(4 * 75 - 75, abs=5)  # of its own four parts it is still in the first one


def began(store: Store, config: TrialConfig, seconds: float) -> None:
    """The last attempt at a trial began so long ago."""
    with store._database.write() as connection:
        connection.execute(update(attempts).filter_by(trial=config.digest).values(started=time.time() - seconds))


def test_what_is_reused_was_not_planned_to_take_anything_and_what_is_not_estimated_is_not_known(store: Store) -> None:
    unknown = store.experiments.add(spec_of(), plan_of())
    assert (cost_of(store, unknown)["planned"], cost_of(store, unknown)["left"]) == (None, None)
    finish(store, unknown, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    second = store.experiments.add(spec_of(), priced(plan_of(), {SOURCE.digest: 0.0, ADAPTED.digest: 30.0}))
    assert cost_of(store, second) == {"planned": 30.0, "spent": 0.0, "left": 30.0, "error": None}


def test_what_failed_is_spent_too(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), priced(plan_of(), {SOURCE.digest: 60.0, ADAPTED.digest: 30.0}))
    store.trials.started(id_, SOURCE.digest)
    store.trials.failed(id_, SOURCE.digest, "no room")
    cost = cost_of(store, id_)
    assert cost["spent"] > 0
    assert (cost["left"], cost["error"]) == (30.0, None)
    assert store.experiments.spent(id_) == (1, pytest.approx(cost["spent"]))


def test_what_ended_before_it_began_spends_nothing_even_if_it_ran_for_another_experiment(store: Store) -> None:
    ran, never = (store.experiments.add(spec_of(), plan_of()) for _ in range(2))
    store.trials.started(ran, SOURCE.digest)
    store.trials.failed(ran, SOURCE.digest, "no room")
    before = store.trials.one(SOURCE.digest)
    store.trials.failed(never, SOURCE.digest, "no room")
    store.trials.stopped(never, ADAPTED.digest, "the budget is used up")
    assert store.experiments.spent(never) == (0, 0.0)
    after = store.trials.one(SOURCE.digest)
    assert before is not None
    assert after is not None
    assert after["attempts"] == before["attempts"]


def test_an_attempt_knows_its_device_seconds_while_its_experiment_is_known(store: Store) -> None:
    one, _ = (store.experiments.add(spec_of(resources={"cpus_per_trial": 2}), plan_of()) for _ in range(2))
    attempt = store.trials.started(one, SOURCE.digest)
    assert [tried["device_seconds"] for tried in store.trials.one(SOURCE.digest)["attempts"]] == [None]  # type: ignore[index]
    store.trials.succeeded(SOURCE.digest, attempt, outcome_of(score("en", 1.0), source_dev=10))
    [tried] = store.trials.one(SOURCE.digest)["attempts"]  # type: ignore[index]
    assert tried["device_seconds"] == pytest.approx(2 * (tried["ended"] - tried["started"])) != 0
    store.control.move(one, "cancel")
    store.control.delete(one)
    assert [tried["device_seconds"] for tried in store.trials.one(SOURCE.digest)["attempts"]] == [None]  # type: ignore[index]
