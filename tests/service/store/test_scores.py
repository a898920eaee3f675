"""Results in the store: which scores they are."""

from plans import config_of, spec_of, trial_of
from search_spaces.plan import Plan
from service.store import Query, Store
from service.store.query import equal
from stored import ADAPTED, SOURCE, asked, finish, finish_both, outcome_of, page_of, plan_of, report_of, score, values
from trainers import Outcome


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


def test_an_average_of_epochs_is_a_result_of_its_own_and_none_of_the_epochs(store: Store) -> None:
    plan = plan_of("average:2")
    plan.results.append(asked(ADAPTED, "de", method="ord-FS+average", selection="average:2"))
    id_ = store.experiments.add(spec_of(), plan)
    attempt = store.trials.started(id_, ADAPTED.digest)
    for step in (10, 20):
        every = score("de", 100.0 - step, step=step, epoch=step // 10)
        store.trials.reported(ADAPTED.digest, attempt, report_of(every, epoch=step // 10, step=step))
    mean = score("de", 95.0, step=-2, epoch=2)
    outcome = Outcome(selected={"last": 20, "average:2": -2}, scores=(mean,), facts={"shots": {}})
    assert store.trials.succeeded(ADAPTED.digest, attempt, outcome) == "taken"
    assert values(store, id_, method="ord-FS", language="de") == [80.0]
    assert values(store, id_, method="ord-FS+average") == [95.0]
    curves = store.results.rows(Query(equal({"experiment": [id_]}), every_step=True), 100).rows
    assert [(row["method"], row["epoch"], row["value"], row["selected"]) for row in curves] == [
        ("ord-FS", 1, 90.0, False), ("ord-FS", 2, 80.0, True), ("ord-FS+average", 2, 95.0, True),
    ]  # fmt: skip
    assert [one.value for one in store.objectives.by_selection(ADAPTED.digest)["average:2"]] == [95.0]


def test_each_target_of_a_mixed_training_has_the_score_of_its_own_epoch(store: Store) -> None:
    mixed = config_of("naive-mix-train", target_languages=("de", "hi"))
    selections = ("source-dev", "target-dev:de", "target-dev:hi")
    plan = Plan()
    plan.add(trial_of(mixed, selections=selections, evaluate={name: f"{name}-data" for name in ("de", "hi")}))
    for language in ("de", "hi"):
        plan.results.append(asked(mixed, language))
        of_target = {"method": "naive-mix-train+dev", "selection": f"target-dev:{language}"}
        plan.results.append(asked(mixed, language, **of_target))
    id_ = store.experiments.add(spec_of(), plan)
    attempt = store.trials.started(id_, mixed.digest)
    both = [score(language, value, step=20, epoch=2) for language, value in (("de", 20.0), ("hi", 21.0))]
    tests = [*both, score("de", 10.0, step=10), score("hi", 31.0, step=30, epoch=3)]
    chosen = dict(zip(selections, (20, 10, 30), strict=True))
    for scores, taken in ((tests[:3], "incomplete"), (tests, "taken")):
        outcome = Outcome(selected=chosen, scores=tuple(scores), facts={})
        assert store.trials.succeeded(mixed.digest, attempt, outcome) == taken
        attempt = store.trials.started(id_, mixed.digest)
    assert values(store, id_, method="naive-mix-train") == [20.0, 21.0]
    assert values(store, id_, method="naive-mix-train+dev") == [10.0, 31.0]
