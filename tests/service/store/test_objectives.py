"""What trials achieved: the scores of each selection, and the shots that were drawn."""

from plans import config_of, spec_of, trial_of
from service.store import Store
from stored import ADAPTED, SOURCE, finish, finish_both, outcome_of, page_of, plan_of, score
from trainers import Outcome


def test_the_scores_of_each_selection_are_those_at_its_step(store: Store) -> None:
    assert store.objectives.by_selection(ADAPTED.digest) == {}
    id_ = store.experiments.add(spec_of(), plan_of("target-dev"))
    finish_both(store, id_, last=20, target_dev=10)
    assert store.objectives.by_selection(ADAPTED.digest) == {
        "last": [score("de", 20.0, "dev", step=20, epoch=2), score("de", 80.0, step=20, epoch=2)],
        "target-dev": [score("de", 10.0, "dev"), score("de", 90.0)],
    }


def test_a_late_attempt_changes_no_selection(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of("target-dev"))
    old = store.trials.started(id_, ADAPTED.digest)
    finish_both(store, id_, last=20, target_dev=10)
    before = store.objectives.by_selection(ADAPTED.digest), page_of(store, {"experiment": [id_]}, 100)
    late = outcome_of(score("de", 3.0, step=20), score("de", 4.0, step=30), last=30, target_dev=20)
    store.trials.succeeded(ADAPTED.digest, old, late)
    assert (store.objectives.by_selection(ADAPTED.digest), page_of(store, {"experiment": [id_]}, 100)) == before


# Draws


def test_the_draws_of_an_experiment_are_those_of_its_trials_that_are_done_each_once(store: Store) -> None:
    mixed = config_of("naive-mix-train", target_languages=("de", "hi"))
    plan = plan_of()
    plan.add(trial_of(mixed, evaluate={"de": "de-data"}))
    id_ = store.experiments.add(spec_of(), plan)
    assert store.objectives.shots(id_) == []
    draws = {
        language: {"split": "train", "indices": [3, 1], "ids": ["c", "a"], "digest": f"{language} draw"}
        for language in ("hi", "de")
    }
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    for config, languages, selection in ((ADAPTED, ["de"], "last"), (mixed, ["hi", "de"], "source-dev")):
        attempt = store.trials.started(id_, config.digest)
        facts = {"shots": {language: draws[language] for language in languages}}
        store.trials.succeeded(
            config.digest, attempt, Outcome(selected={selection: 10}, scores=(score("de", 1.0),), facts=facts)
        )  # type: ignore[dict-item]
    assert store.objectives.shots(id_) == [
        {"language": language, "k": 5, "seed": 1, **draws[language]} for language in ("de", "hi")
    ]
