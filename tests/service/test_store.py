"""The store's contract, which every database must keep."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import create_engine

from search_spaces.plan import Plan, PlannedResult
from search_spaces.spec import ExperimentSpec
from service.store import BadCursorError, Store
from service.store.schema import VERSION, metadata, version
from trainers import Report, Score, TrialConfig
from trainers.config import Training

TRAINING = Training(3, 32, 2e-5, 0.0, 1e-8, 1.0, 0, 128)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    address = str(request.getfixturevalue("postgres_url"))
    engine = create_engine(address)
    metadata.drop_all(engine)
    engine.dispose()
    return address


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.close()


def spec_of(**fields: object) -> ExperimentSpec:
    base = {
        "task": "ner",
        "encoder": "e",
        "data": "sample",
        "target_languages": ["de", "hi"],
        "methods": ["zero-shot"],
        "k": [5],
        "seeds": [1],
    }
    return ExperimentSpec.model_validate({**base, **fields})


def config_of(method: str = "zero-shot", targets: tuple[str, ...] = (), seed: int = 1) -> TrialConfig:
    return TrialConfig(
        "ner", method, "en", targets, 5 if targets else 0, seed, None, "paper", TRAINING, "encoder", "digest", "data"
    )


SOURCE = config_of()
ADAPTED = config_of("ord-FS", ("de",))


def plan_of() -> Plan:
    """A source training scored on en, de and hi, and a model adapted to de."""
    plan = Plan()
    plan.add(SOURCE, None, {"en": "en-data", "de": "de-data", "hi": "hi-data"})
    plan.add(ADAPTED, SOURCE, {"de": "de-data"})
    for language in ("en", "de", "hi"):
        plan.results.append(PlannedResult("zero-shot", 0, 1, None, language, "test", SOURCE.digest, f"{language}-data"))
    plan.results.append(PlannedResult("zero-shot", 0, 1, None, "en", "dev", SOURCE.digest, "en-dev"))
    plan.results.append(PlannedResult("ord-FS", 5, 1, None, "de", "test", ADAPTED.digest, "de-data"))
    plan.results.append(PlannedResult("ord-FS", 5, 1, None, "en", "test", SOURCE.digest, "en-data"))
    return plan


def score(language: str, value: float, split: str = "test", data: str | None = None) -> Score:
    selected = split == "test"
    data = data or f"{language}-{'data' if selected else split}"
    return Score(language, split, "f1", value, 10, data, False, selected)  # type: ignore[arg-type]


def report_of(*scores: Score, epoch: int = 1, step: int = 10) -> Report:
    return Report(epoch, step, scores, {"loss": 1.0})


def finish(store: Store, experiment: str, config: TrialConfig, *scores: Score) -> None:
    attempt = store.trial_started(experiment, config.digest)
    store.trial_succeeded(config.digest, attempt, report_of(*scores))


def test_an_experiment_comes_back_as_it_was_stored_also_by_another_store(store: Store, url: str) -> None:
    id_ = store.add_experiment(spec_of(name="ñ 中文", owner="Ana", tags=["b", "a", "b"]), plan_of())
    other = Store(url)
    found = other.experiment(id_)
    other.close()
    assert found is not None
    assert (found.name, found.owner, found.tags, found.state) == ("ñ 中文", "Ana", ["a", "b"], "queued")
    assert found.trials == {"total": 2, "queued": 2, "running": 0, "succeeded": 0, "failed": 0, "reused": 0}
    assert ExperimentSpec.model_validate(found.spec) == spec_of(name="ñ 中文", owner="Ana", tags=["b", "a", "b"])


def test_an_unknown_id_is_nothing(store: Store) -> None:
    assert store.experiment("0" * 12) is None
    assert store.trial("0" * 20) is None


def test_results_are_test_scores_at_the_selected_step_and_dev_scores_of_every_epoch(store: Store) -> None:
    id_ = store.add_experiment(spec_of(), plan_of())
    attempt = store.trial_started(id_, SOURCE.digest)
    for epoch in (1, 2):
        store.record(SOURCE.digest, attempt, report_of(score("en", 50.0 + epoch, "dev"), epoch=epoch, step=10 * epoch))
    last = report_of(score("en", 60.0), score("de", 40.0), score("hi", 30.0), epoch=2, step=20)
    store.trial_succeeded(SOURCE.digest, attempt, last)
    finish(store, id_, ADAPTED, score("de", 45.0))
    rows, following = store.results({"experiment": [id_]}, 100)
    assert following is None
    seen = {(row["method"], row["k"], row["language"], row["split"], row["epoch"]): row["value"] for row in rows}
    assert seen == {
        ("zero-shot", 0, "en", "dev", 1): 51.0,
        ("zero-shot", 0, "en", "dev", 2): 52.0,
        ("zero-shot", 0, "en", "test", 2): 60.0,
        ("zero-shot", 0, "de", "test", 2): 40.0,
        ("zero-shot", 0, "hi", "test", 2): 30.0,
        ("ord-FS", 5, "de", "test", 1): 45.0,
        ("ord-FS", 5, "en", "test", 2): 60.0,
    }
    assert len(rows) == len(seen)


def test_a_replayed_step_replaces_itself(store: Store) -> None:
    id_ = store.add_experiment(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("de", 1.0))
    finish(store, id_, SOURCE, score("de", 2.0))
    rows, _ = store.results({"experiment": [id_], "language": ["de"]}, 100)
    assert [row["value"] for row in rows] == [2.0]


def test_a_late_report_of_an_older_attempt_is_refused(store: Store) -> None:
    id_ = store.add_experiment(spec_of(), plan_of())
    old = store.trial_started(id_, SOURCE.digest)
    new = store.trial_started(id_, SOURCE.digest)
    store.record(SOURCE.digest, old, report_of(score("de", 1.0)))
    assert store.results({"experiment": [id_]}, 10) == ([], None)
    store.record(SOURCE.digest, new, report_of(score("de", 2.0)))
    assert [row["value"] for row in store.results({"experiment": [id_]}, 10)[0]] == [2.0]
    store.trial_succeeded(SOURCE.digest, old, report_of(score("de", 3.0)))
    trial = store.trial(SOURCE.digest)
    assert trial is not None
    assert trial["facts"] is None
    assert [one["state"] for one in trial["experiments"]] == ["running"]


def test_a_trial_that_is_done_is_reused_by_the_next_experiment(store: Store) -> None:
    id_ = store.add_experiment(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    second = store.add_experiment(spec_of(), plan_of())
    found = store.experiment(second)
    assert found is not None
    assert found.trials["reused"] == 1
    assert list(store.outstanding(second)) == [ADAPTED.digest]
    assert {row["language"] for row in store.results({"experiment": [second]}, 10)[0]} == {"en", "de", "hi"}


def test_only_the_missing_languages_of_a_trial_are_outstanding(store: Store) -> None:
    id_ = store.add_experiment(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("hi", 3.0, data="other test data"))
    outstanding = store.outstanding(id_)
    assert outstanding[SOURCE.digest].evaluate == ("de", "hi")
    assert outstanding[ADAPTED.digest].source == SOURCE


def test_scores_over_other_test_data_are_kept_apart(store: Store) -> None:
    id_ = store.add_experiment(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("de", 1.0))
    finish(store, id_, SOURCE, score("de", 9.0, data="first 10 examples"))
    rows, _ = store.results({"experiment": [id_], "language": ["de"]}, 10)
    assert [row["value"] for row in rows] == [1.0]


def test_a_trial_that_another_experiment_has_done_meanwhile_is_reused(store: Store) -> None:
    first, second = store.add_experiment(spec_of(), plan_of()), store.add_experiment(spec_of(), plan_of())
    finish(store, first, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    assert list(store.outstanding(second)) == [ADAPTED.digest]
    found = store.experiment(first)
    assert found is not None
    assert found.trials["succeeded"] == 1


def test_a_trial_s_failure_is_that_of_the_experiment_that_ran_it(store: Store) -> None:
    done = store.add_experiment(spec_of(), plan_of())
    finish(store, done, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    wider = Plan()
    wider.add(SOURCE, None, {"fr": "fr-data"})
    wider.results.append(PlannedResult("zero-shot", 0, 1, None, "fr", "test", SOURCE.digest, "fr-data"))
    failing = store.add_experiment(spec_of(), wider)
    store.trial_started(failing, SOURCE.digest)
    store.trial_failed(failing, SOURCE.digest, "no room")
    waiting = store.add_experiment(spec_of(), wider)
    states = {id_: store.experiment(id_) for id_ in (done, failing, waiting)}
    assert [len(found.failures) for found in states.values() if found] == [0, 1, 0]
    assert [found.trials["queued"] for found in states.values() if found] == [1, 0, 1]


def test_nothing_runs_in_an_experiment_that_was_stopped(store: Store) -> None:
    id_ = store.add_experiment(spec_of(), plan_of())
    store.set_state(id_, "running")
    store.trial_started(id_, SOURCE.digest)
    store.release_driver(id_, "the server was stopped")
    found = store.experiment(id_)
    assert found is not None
    assert (found.state, found.reason) == ("queued", "the server was stopped")
    assert (found.trials["running"], found.trials["queued"]) == (0, 2)


def test_measures_of_a_training_that_diverged_can_be_stored_and_read(store: Store) -> None:
    id_ = store.add_experiment(spec_of(), plan_of())
    attempt = store.trial_started(id_, SOURCE.digest)
    report = Report(1, 10, (score("en", 0.0),), {"loss": float("nan"), "by": [float("inf")]})
    store.trial_succeeded(SOURCE.digest, attempt, report)
    trial = store.trial(SOURCE.digest)
    assert trial is not None
    assert trial["facts"] == {"loss": None, "by": [None]}


def test_a_database_of_another_version_is_refused(store: Store, url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(version.update().values(version=VERSION + 1))
    engine.dispose()
    with pytest.raises(RuntimeError, match="schema version"):
        Store(url)


def test_a_failed_trial_names_its_reason_and_a_retry_clears_it(store: Store) -> None:
    id_ = store.add_experiment(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    store.trial_started(id_, ADAPTED.digest)
    store.trial_failed(id_, ADAPTED.digest, "no room")
    found = store.experiment(id_)
    assert found is not None
    assert [(one["trial"], one["reason"]) for one in found.failures] == [(ADAPTED.digest, "no room")]
    assert list(store.outstanding(id_)) == [ADAPTED.digest]
    again = store.experiment(id_)
    assert again is not None
    assert not again.failures


def test_a_final_state_stays(store: Store) -> None:
    id_ = store.add_experiment(spec_of(), plan_of())
    store.set_state(id_, "failed", "disk full")
    store.set_state(id_, "running")
    found = store.experiment(id_)
    assert found is not None
    assert (found.state, found.reason) == ("failed", "disk full")


def test_the_running_experiment_comes_before_the_longest_queued(store: Store) -> None:
    first, second = store.add_experiment(spec_of(), plan_of()), store.add_experiment(spec_of(), plan_of())
    assert store.next_active() == first
    store.set_state(second, "running")
    assert store.next_active() == second
    for id_ in (first, second):
        store.set_state(id_, "succeeded")
    assert store.next_active() is None


def test_experiments_are_filtered_and_paged_newest_first(store: Store) -> None:
    ids = [store.add_experiment(spec_of(owner=f"o{n % 2}", tags=["all", f"t{n}"]), None) for n in range(7)]
    page, cursor = store.experiments(limit=4)
    rest, end = store.experiments(limit=4, cursor=cursor)
    assert [one.id for one in page + rest] == ids[::-1]
    assert end is None
    assert [one.id for one in store.experiments(limit=10, owner="o1")[0]] == ids[5::-2]
    assert [one.id for one in store.experiments(limit=10, tags="t3")[0]] == [ids[3]]


def test_pages_of_results_add_up_to_one(store: Store) -> None:
    id_ = store.add_experiment(spec_of(tags="x"), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    whole, _ = store.results({"tags": ["x"]}, 100)
    paged, cursor = [], None
    while True:
        rows, cursor = store.results({"tags": ["x"]}, 1, cursor)
        paged += rows
        if cursor is None:
            break
    assert paged == whole
    assert len(whole) == 4


NO_CURSORS = ("", "x", "!!!", "bnVsbA", "WzEsMl0", "W10", "é", "WyJhIiwxXQ", "W3RydWUsdHJ1ZV0", "W05hTiwieCJd")


@pytest.mark.parametrize("cursor", NO_CURSORS)
def test_a_cursor_that_no_page_ended_with_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(BadCursorError):
        store.experiments(limit=1, cursor=cursor)


def test_eight_writers_lose_nothing(store: Store, url: str) -> None:
    id_ = store.add_experiment(spec_of(), plan_of())
    attempt = store.trial_started(id_, SOURCE.digest)

    def write(writer: int) -> None:
        own = Store(url)
        for epoch in range(10):
            step = 100 * writer + epoch
            own.record(SOURCE.digest, attempt, report_of(score("en", float(step), "dev"), epoch=epoch, step=step))
        own.close()

    threads = [Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows, _ = store.results({"experiment": [id_]}, 1000)
    written = [100.0 * writer + epoch for writer in range(8) for epoch in range(10)]
    assert sorted(row["value"] for row in rows) == written
