"""Results in the store: which scores they are."""

from plans import spec_of
from service.store import Store
from stored import ADAPTED, SOURCE, finish, finish_both, outcome_of, page_of, plan_of, report_of, score, values


def test_results_are_test_scores_at_the_selected_step_and_dev_scores_of_every_epoch(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    attempt = store.trials.started(id_, SOURCE.digest)
    for epoch in (1, 2):
        dev = score("en", 50.0 + epoch, "dev", step=10 * epoch, epoch=epoch)
        store.trials.reported(SOURCE.digest, attempt, report_of(dev, epoch=epoch, step=10 * epoch))
    tests = {"en": 60.0, "de": 40.0, "hi": 30.0}
    chosen = [score(language, value, step=20, epoch=2) for language, value in tests.items()]
    store.trials.succeeded(SOURCE.digest, attempt, outcome_of(*chosen, source_dev=20))
    finish(store, id_, ADAPTED, score("de", 45.0))
    rows, following = page_of(store, {"experiment": [id_]}, 100)
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
    selected = {row["epoch"]: row["selected"] for row in rows if row["split"] == "dev"}
    assert selected == {1: False, 2: True}
    assert all(row["selected"] for row in rows if row["split"] == "test")


def test_a_replayed_step_replaces_itself(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("de", 1.0))
    finish(store, id_, SOURCE, score("de", 2.0))
    assert values(store, id_, language="de") == [2.0]


def test_scores_over_other_test_data_are_kept_apart(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("de", 1.0))
    finish(store, id_, SOURCE, score("de", 9.0, data="first 10 examples"))
    assert values(store, id_, language="de") == [1.0]


def test_pages_of_results_add_up_to_one(store: Store) -> None:
    id_ = store.experiments.add(spec_of(tags="x"), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    whole, _ = page_of(store, {"tags": ["x"]}, 100)
    paged, cursor = [], None
    while True:
        rows, cursor = page_of(store, {"tags": ["x"]}, 1, cursor)
        paged += rows
        if cursor is None:
            break
    assert paged == whole
    assert len(whole) == 4


def test_two_selections_of_a_trial_give_two_results_of_two_steps(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of("target-dev"))
    finish_both(store, id_, last=20, target_dev=10)
    rows, _ = page_of(store, {"experiment": [id_]}, 100)
    tests = {row["method"]: (row["selection"], row["epoch"], row["value"]) for row in rows if row["split"] == "test"}
    assert tests == {"ord-FS": ("last", 2, 80.0), "ord-FS+dev": ("target-dev", 1, 90.0)}
    dev = [(row["method"], row["epoch"], row["selected"]) for row in rows if row["split"] == "dev"]
    assert dev == [("ord-FS+dev", 1, True), ("ord-FS+dev", 2, False)]
    assert len({row["trial"] for row in rows}) == 1


def test_two_selections_of_the_same_step_give_two_results_of_one_score(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of("target-dev"))
    finish_both(store, id_, last=20, target_dev=20)
    rows, _ = page_of(store, {"experiment": [id_], "split": ["test"]}, 100)
    assert [(row["method"], row["selection"], row["epoch"], row["value"]) for row in rows] == [
        ("ord-FS", "last", 2, 80.0),
        ("ord-FS+dev", "target-dev", 2, 80.0),
    ]
    found = store.objectives.by_selection(ADAPTED.digest)
    assert found["last"] == found["target-dev"]


def test_a_later_attempt_moves_the_selections_and_the_results_with_them(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of("target-dev"))
    finish_both(store, id_, last=20, target_dev=20)
    finish_both(store, id_, last=20, target_dev=10)
    assert values(store, id_, method="ord-FS", split="test") == [80.0]
    assert values(store, id_, method="ord-FS+dev", split="test") == [90.0]
