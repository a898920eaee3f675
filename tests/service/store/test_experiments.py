"""Experiments in the store: as they come back, listed, submitted again, and what they reuse."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from plans import spec_of
from search_spaces.plan import Plan
from search_spaces.spec import ExperimentSpec
from service.store import BadCursorError, KeyReusedError, Store, Submission
from service.store.query import By
from stored import ADAPTED, SOURCE, asked, finish, finish_both, page_of, plan_of, score, source_of


def test_an_experiment_comes_back_as_it_was_stored_also_by_another_store(store: Store, url: str) -> None:
    id_ = store.experiments.add(spec_of(name="ñ 中文", owner="Ana", tags=["b", "a", "b"]), plan_of())
    other = Store(url)
    found = other.experiments.one(id_)
    other.close()
    assert found is not None
    assert (found.name, found.owner, found.tags, found.state) == ("ñ 中文", "Ana", ["a", "b"], "queued")
    assert found.trials == {
        "total": 2,
        "queued": 2,
        "running": 0,
        "succeeded": 0,
        "stopped": 0,
        "failed": 0,
        "cancelled": 0,
        "reused": 0,
    }
    assert ExperimentSpec.model_validate(found.spec) == spec_of(name="ñ 中文", owner="Ana", tags=["b", "a", "b"])


def test_an_unknown_id_is_nothing(store: Store) -> None:
    assert store.experiments.one("0" * 12) is None
    assert store.trials.one("0" * 20) is None


def test_one_key_is_one_experiment_also_for_simultaneous_writers(store: Store) -> None:
    asked = Submission("key", "digest")
    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(lambda _: store.experiments.add(spec_of(), plan_of(), submission=asked), range(40)))
    assert ids == {store.experiments.submitted(asked)} == {one.id for one in store.experiments.page(limit=100)[0]}
    with pytest.raises(KeyReusedError, match="came with another"):
        store.experiments.add(spec_of(), None, submission=Submission("key", "another"))
    assert store.experiments.submitted(Submission("other", "digest")) is None
    assert len(store.experiments.page(limit=100)[0]) == 1


def test_experiments_are_filtered_and_paged_newest_first(store: Store) -> None:
    ids = [store.experiments.add(spec_of(owner=f"o{n % 2}", tags=["all", f"t{n}"]), None) for n in range(7)]
    page, cursor = store.experiments.page(limit=4)
    rest, end = store.experiments.page(limit=4, cursor=cursor)
    assert [one.id for one in page + rest] == ids[::-1]
    assert end is None
    assert [one.id for one in store.experiments.page(limit=10, owner="o1")[0]] == ids[5::-2]
    assert [one.id for one in store.experiments.page(limit=10, tags="t3")[0]] == [ids[3]]


def test_experiments_are_searched_and_sorted_over_all_pages(store: Store) -> None:
    names = ["Öl", "beta", "alpha", "100%", "alpha_2", "gamma"]
    specs = {name: spec_of(name=name, owner="me", tags=[f"of {name}"]) for name in names}
    ids = {name: store.experiments.add(spec, plan_of()) for name, spec in specs.items()}
    for by, ordered in ((By("name"), sorted(names)), (By("name", descending=True), sorted(names)[::-1])):
        found, cursor = store.experiments.page(limit=2, sort=[by])
        while cursor is not None:
            more, cursor = store.experiments.page(limit=2, cursor=cursor, sort=[by])
            found += more
        assert [one.name for one in found] == ordered
    _, cursor = store.experiments.page(limit=2, sort=[By("name")])
    with pytest.raises(BadCursorError, match="of another query"):
        store.experiments.page(limit=2, cursor=cursor)

    def names_with(**wanted: Any) -> set[str]:
        return {one.name for one in store.experiments.page(limit=10, **wanted)[0]}

    assert names_with(search="ALPHA") == names_with(search="of alpha") == {"alpha", "alpha_2"}
    assert names_with(search="%") == {"100%"}
    assert names_with(search="_") == {"alpha_2"}
    assert names_with(search=ids["beta"][3:]) == {"beta"}
    assert names_with(search="nobody") == names_with(task="pos") == names_with(method="mix-FT") == set()
    assert names_with(search="ME", task="ner", method="ord-FS") == set(names)


NO_CURSORS = ("", "x", "!!!", "bnVsbA", "WzEsMl0", "W10", "é", "WyJhIiwxXQ", "W3RydWUsdHJ1ZV0", "W05hTiwieCJd")


@pytest.mark.parametrize("cursor", NO_CURSORS)
def test_a_cursor_that_no_page_ended_with_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(BadCursorError):
        store.experiments.page(limit=1, cursor=cursor)


def test_a_trial_that_is_done_is_reused_by_the_next_experiment(store: Store) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    finish(store, id_, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    second = store.experiments.add(spec_of(), plan_of())
    found = store.experiments.one(second)
    assert found is not None
    assert found.trials["reused"] == 1
    assert list(store.trials.outstanding(second)) == [ADAPTED.digest]
    assert {row["language"] for row in page_of(store, {"experiment": [second]}, 10)[0]} == {"en", "de", "hi"}


def test_a_trial_without_the_models_that_are_to_be_kept_is_run_again_and_once_they_are_there_it_is_not(
    store: Store,
) -> None:
    def submitted(*, keep: bool) -> str:
        plan = Plan()
        source = source_of("en")
        plan.add(replace(source, wanted=replace(source.wanted, keep=keep)))
        plan.results.append(asked(SOURCE, "en"))
        return store.experiments.add(spec_of(), plan)

    finish(store, submitted(keep=False), SOURCE, score("en", 1.0))
    assert store.trials.outstanding(submitted(keep=False)) == {}
    keeping = submitted(keep=True)
    assert store.trials.outstanding(keeping)[SOURCE.digest].wanted.evaluate == {}
    finish(store, keeping, SOURCE)
    assert store.trials.outstanding(submitted(keep=True)) == {}
    found = store.experiments.one(keeping)
    assert found is not None
    assert found.trials["succeeded"] == 1


def test_a_trial_is_reused_only_if_every_selection_that_is_asked_for_has_its_scores(store: Store) -> None:
    one, both = plan_of(), plan_of("target-dev")
    first = store.experiments.add(spec_of(), one)
    finish(store, first, ADAPTED, score("de", 1.0))
    second = store.experiments.add(spec_of(), both)
    outstanding = store.trials.outstanding(second)[ADAPTED.digest]
    assert (outstanding.wanted.selections, outstanding.wanted.evaluate) == (("last", "target-dev"), {"de": "de-data"})
    finish_both(store, second, last=20, target_dev=10)
    for plan in (one, both):
        again = store.experiments.one(store.experiments.add(spec_of(), plan))
        assert again is not None
        assert again.trials["reused"] == 1


def test_a_trial_that_another_experiment_has_done_meanwhile_is_reused(store: Store) -> None:
    first, second = store.experiments.add(spec_of(), plan_of()), store.experiments.add(spec_of(), plan_of())
    finish(store, first, SOURCE, score("en", 1.0), score("de", 2.0), score("hi", 3.0))
    assert list(store.trials.outstanding(second)) == [ADAPTED.digest]
    found = store.experiments.one(first)
    assert found is not None
    assert found.trials["succeeded"] == 1
