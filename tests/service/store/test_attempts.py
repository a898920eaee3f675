"""Trials in the store: attempts, what is outstanding, and how each ends."""

from threading import Thread

from plans import spec_of
from search_spaces.plan import Plan
from service.store import Store
from stored import ADAPTED, SOURCE, asked, finish, outcome_of, page_of, plan_of, report_of, score, source_of, values
from trainers import Outcome, Report


def test_a_late_report_of_an_older_attempt_is_refused(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    old = store.trials.started(id_, SOURCE.digest)
    new = store.trials.started(id_, SOURCE.digest)
    store.trials.reported(SOURCE.digest, old, report_of(score("en", 1.0, "dev")))
    assert page_of(store, {"experiment": [id_]}, 10) == ([], None)
    store.trials.reported(SOURCE.digest, new, report_of(score("en", 2.0, "dev")))
    assert values(store, id_) == [2.0]
    assert store.trials.succeeded(SOURCE.digest, old, outcome_of(score("de", 3.0), source_dev=10)) == "refused"
    trial = store.trials.one(SOURCE.digest)
    assert trial is not None
    assert trial["facts"] is None
    assert [one["state"] for one in trial["experiments"]] == ["running"]
    assert [one["state"] for one in trial["attempts"]] == ["interrupted", "running"]
    assert values(store, id_) == [2.0]
    partly = outcome_of(score("de", 3.0), score("en", 3.0, data="changed"), source_dev=10)
    assert store.trials.succeeded(SOURCE.digest, new, partly) == "incomplete"


def test_only_the_missing_languages_of_a_trial_are_outstanding(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("hi", 3.0, data="other test data"))
    outstanding = store.trials.outstanding(id_)
    assert outstanding[SOURCE.digest].wanted.evaluate == {"de": "de-data", "hi": "hi-data"}
    assert outstanding[ADAPTED.digest].source == SOURCE


def test_a_trial_s_failure_is_that_of_the_experiment_that_ran_it(store: Store) -> None:
    done = store.experiments.add(spec_of(), plan_of())
    finish(store, done, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    wider = Plan()
    wider.add(source_of("fr"))
    wider.results.append(asked(SOURCE, "fr"))
    failing = store.experiments.add(spec_of(), wider)
    store.trials.started(failing, SOURCE.digest)
    store.trials.failed(failing, SOURCE.digest, "no room")
    waiting = store.experiments.add(spec_of(), wider)
    states = {id_: store.experiments.one(id_) for id_ in (done, failing, waiting)}
    assert [len(found.failures) for found in states.values() if found] == [0, 1, 0]
    assert [found.trials["queued"] for found in states.values() if found] == [1, 0, 1]


def test_measures_of_a_training_that_diverged_can_be_stored_and_read(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    attempt = store.trials.started(id_, SOURCE.digest)
    measures = {"loss": float("nan"), "by": [float("inf")]}
    store.trials.reported(
        SOURCE.digest, attempt, Report(epoch=1, step=10, scores=(score("en", 0.0, "dev"),), measures=measures)
    )
    store.trials.succeeded(
        SOURCE.digest, attempt, Outcome(selected={"source-dev": 10}, scores=(score("en", 0.0),), facts=measures)
    )
    trial = store.trials.one(SOURCE.digest)
    assert trial is not None
    assert trial["facts"] == {"loss": None, "by": [None]}


def test_a_failed_trial_names_its_reason_and_a_retry_clears_it(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    store.trials.started(id_, ADAPTED.digest)
    store.trials.failed(id_, ADAPTED.digest, "no room")
    found = store.experiments.one(id_)
    assert found is not None
    assert [(one["trial"], one["reason"]) for one in found.failures] == [(ADAPTED.digest, "no room")]
    assert not store.trials.outstanding(id_)  # also of a driver that starts again: it is for a retry
    store.control.move(id_, "fail", "1 of 2")
    store.control.move(id_, "retry")
    again = store.experiments.one(id_)
    assert again is not None
    assert not again.failures
    assert list(store.trials.outstanding(id_)) == [ADAPTED.digest]


def test_a_trial_that_was_stopped_is_nobody_s_unless_another_experiment_waits_for_it(store: Store) -> None:
    one, other = (store.experiments.add(spec_of(), plan_of()) for _ in range(2))
    store.trials.started(one, SOURCE.digest)
    assert not store.trials.stopped(one, SOURCE.digest, "the scheduler stopped it")
    store.trials.failed(other, SOURCE.digest, "no room")
    assert not store.trials.stopped(one, SOURCE.digest, "the scheduler stopped it")  # the other may be retried
    store.control.move(other, "cancel")
    store.control.delete(other)
    assert store.trials.stopped(one, SOURCE.digest, "the scheduler stopped it")


def test_a_selection_without_a_test_score_at_its_step_is_not_done(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of("target-dev"))
    attempt = store.trials.started(id_, ADAPTED.digest)
    store.trials.succeeded(ADAPTED.digest, attempt, outcome_of(score("de", 1.0), last=10, target_dev=20))
    assert store.trials.outstanding(id_)[ADAPTED.digest].wanted.evaluate == {"de": "de-data"}
    found = store.experiments.one(id_)
    assert found is not None
    assert found.trials["succeeded"] == 0


def test_eight_writers_lose_nothing(store: Store, url: str) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    attempt = store.trials.started(id_, SOURCE.digest)

    def write(writer: int) -> None:
        own = Store(url)
        for epoch in range(10):
            step = 100 * writer + epoch
            dev = score("en", float(step), "dev", step=step, epoch=epoch)
            own.trials.reported(SOURCE.digest, attempt, report_of(dev, epoch=epoch, step=step))
        own.close()

    threads = [Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [100.0 * writer + epoch for writer in range(8) for epoch in range(10)]
    assert sorted(values(store, id_)) == written
