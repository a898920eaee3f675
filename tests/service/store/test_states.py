"""Control in the store: states, drivers, and deletion."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import create_engine, text

from plans import spec_of
from search_spaces.plan import Plan
from service.store import Store
from stored import ADAPTED, SOURCE, asked, finish, outcome_of, page_of, plan_of, report_of, score, source_of


def test_nothing_runs_in_an_experiment_that_was_stopped(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    store.control.set_driver(id_, 1, 2.0)
    store.control.move(id_, "start")
    store.trials.started(id_, SOURCE.digest)
    store.control.move(id_, "requeue", "the server was stopped")
    store.control.release_driver(id_, "it was stopped")
    found = store.experiments.one(id_)
    assert found is not None
    assert (found.state, found.reason) == ("queued", "the server was stopped")
    assert (found.trials["running"], found.trials["queued"]) == (0, 2)


def test_experiments_are_deleted_while_others_plan_the_same_trials(store: Store) -> None:
    def submit_and_delete(number: int) -> None:
        id_ = store.experiments.add(spec_of(), plan_of())
        assert set(store.trials.outstanding(id_)) == {SOURCE.digest, ADAPTED.digest}
        store.control.move(id_, "cancel")
        assert store.control.delete(id_) is not None

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(submit_and_delete, range(150)))
    assert store.experiments.page(limit=100)[0] == []
    assert store.trials.one(SOURCE.digest) is None


def test_an_experiment_has_one_driver_and_none_when_it_is_not_to_go_on(store: Store) -> None:
    id_, paused = (store.experiments.add(spec_of(), plan_of()) for _ in range(2))
    assert store.control.set_driver(id_, 1, 2.0)
    assert store.control.set_driver(id_, 1, 2.0)  # its server and the driver itself both say so
    assert not store.control.set_driver(id_, 3, 4.0)
    assert store.control.drivers() == {id_: (1, 2.0)}
    store.control.move(paused, "pause")
    assert not store.control.set_driver(paused, 3, 4.0)


def test_so_many_experiments_have_drivers_and_those_of_a_higher_priority_take_their_room(store: Store) -> None:
    def submit(priority: int, count: int) -> list[str]:
        return [store.experiments.add(spec_of(priority=priority), plan_of()) for _ in range(count)]

    def start() -> None:
        for id_ in store.control.runnable(3):
            assert store.control.set_driver(id_, 1, 2.0)

    low = submit(0, 5)
    start()
    assert set(store.control.drivers()) == set(low[:3])
    [high] = submit(1, 1)
    assert store.control.runnable(3) == []
    assert store.control.outranked(3) == [low[2]]
    store.control.release_driver(low[2], "it was stopped")
    start()
    assert set(store.control.drivers()) == {high, *low[:2]}
    assert store.control.outranked(3) == []
    highest = submit(2, 4)
    assert set(store.control.outranked(3)) == {high, *low[:2]}
    for id_ in store.control.outranked(3):
        store.control.release_driver(id_, "it was stopped")
    start()
    assert set(store.control.drivers()) == set(highest[:3])


def test_a_driver_is_unwanted_from_a_pause_or_cancellation_until_it_is_released(store: Store) -> None:
    paused, cancelled, done, wanted = (store.experiments.add(spec_of(), plan_of()) for _ in range(4))
    for pid, id_ in enumerate((paused, cancelled, done, wanted)):
        store.control.set_driver(id_, pid, 2.0)
        store.control.move(id_, "start")
        store.trials.started(id_, SOURCE.digest)
    assert not store.control.unwanted()
    store.control.move(paused, "pause")
    store.control.move(paused, "resume")  # its driver is to be stopped all the same: it has been told so
    store.control.move(cancelled, "cancel")
    store.control.move(done, "succeed")
    assert store.control.unwanted() == {paused: (0, 2.0), cancelled: (1, 2.0), done: (2, 2.0)}
    assert store.control.delete(cancelled) is None
    for id_ in (paused, cancelled, done):
        store.control.release_driver(id_, "it was stopped")
    assert store.control.drivers() == {wanted: (3, 2.0)}
    assert not store.control.unwanted()
    counts = {id_: found.trials for id_ in (paused, cancelled) if (found := store.experiments.one(id_))}
    assert (counts[paused]["queued"], counts[paused]["running"]) == (2, 0)
    assert (counts[cancelled]["cancelled"], counts[cancelled]["queued"]) == (2, 0)


def test_a_deleted_experiment_takes_with_it_what_no_other_one_plans(store: Store) -> None:
    alone = Plan()
    alone.add(source_of("en"))
    alone.results.append(asked(SOURCE, "en"))
    kept, id_ = store.experiments.add(spec_of(), alone), store.experiments.add(spec_of(tags=["t"]), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    finish(store, id_, ADAPTED, score("de", 4.0))
    assert store.control.delete(id_) is None
    store.control.move(id_, "succeed")
    assert store.control.delete(id_) == [ADAPTED.digest]
    assert store.experiments.one(id_) is store.trials.one(ADAPTED.digest) is None
    assert store.control.delete(id_) is None
    rows, _ = page_of(store, {}, 100)
    assert [(row["experiment"], row["value"]) for row in rows] == [(kept, 1.0)]
    store.control.move(kept, "succeed")
    assert store.control.delete(kept) == [SOURCE.digest]
    assert not page_of(store, {}, 100)[0]


def test_a_final_state_stays(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    assert store.control.move(id_, "fail", "disk full")
    assert not store.control.move(id_, "start")
    found = store.experiments.one(id_)
    assert found is not None
    assert (found.state, found.reason) == ("failed", "disk full")


def test_active_experiments_get_drivers_those_of_the_highest_priority_first(store: Store) -> None:
    first, second, third = (store.experiments.add(spec_of(), plan_of()) for _ in range(3))
    assert store.control.runnable(2) == [first, second]
    store.control.set_priority(third, 1)
    assert store.control.runnable(2) == [third, first]
    store.control.set_driver(third, 1, 2.0)
    assert store.control.runnable(2) == [first]
    store.control.move(first, "pause")
    assert store.control.runnable(2) == [second]
    store.control.move(third, "succeed")
    assert store.control.runnable(2) == [second]


def test_a_driver_that_died_has_a_successor_the_later_the_more_often_until_a_trial_gets_further(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    for deaths, delay in ((1, 0), (2, 60), (3, 60)):
        store.control.set_driver(id_, 1, 2.0)
        store.control.move(id_, "start")
        attempt = store.trials.started(id_, SOURCE.digest)
        store.control.driver_died(id_, "died {deaths} times, {delay} s", (0.0, 60.0))
        found = store.experiments.one(id_)
        assert found is not None
        assert (found.state, found.reason) == ("queued", f"died {deaths} times, {delay} s")
        assert found.trials["running"] == 0
        assert store.control.runnable(1) == ([] if delay else [id_])
        assert store.trials.one(SOURCE.digest)["attempts"][-1]["state"] == "interrupted"  # type: ignore[index]
        store.trials.succeeded(SOURCE.digest, attempt, outcome_of(score("en", 1.0), source_dev=10))  # too late
    for epoch, waits in ((1, False), (1, True), (2, False), (1, True)):  # an epoch that was there before is no progress
        attempt = store.trials.started(id_, SOURCE.digest)
        store.trials.reported(SOURCE.digest, attempt, report_of(score("en", 1.0, "dev"), epoch=epoch))
        store.control.driver_died(id_, "died", (0.0, 60.0))
        assert store.control.runnable(1) == ([] if waits else [id_])
    store.control.move(id_, "pause")
    store.control.move(id_, "resume")
    assert store.control.runnable(1) == [id_]  # whoever resumes it does not want to wait
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    store.control.driver_died(id_, "died", (0.0, 60.0))
    assert store.control.runnable(1) == [id_]
    store.control.move(id_, "cancel")
    store.control.driver_died(id_, "died", ())
    found = store.experiments.one(id_)
    assert found is not None
    assert found.state == "cancelled"


def test_a_store_outlives_its_server_s_connections(postgres: str) -> None:
    store = Store(postgres)
    id_ = store.experiments.add(spec_of(), plan_of())
    store.experiments.page(limit=1)
    engine = create_engine(postgres)
    with engine.begin() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        assert len(connection.execute(text(f"{others} AND backend_type = 'client backend'")).all()) >= 2
    engine.dispose()
    assert store.control.move(id_, "pause")
    found = store.experiments.one(id_)
    assert found is not None
    assert found.state == "paused"
    store.close()
