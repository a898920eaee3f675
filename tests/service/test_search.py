"""Searches through the whole service: spaces, schedulers, searchers, and what they are judged by."""

import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from service.client import Client, ServiceError

Fields = dict[str, Any]
StartService = Callable[..., Any]

ALPHAS = [0.0, 0.1, 0.5, 1.0]


@pytest.fixture(scope="module")
def service(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    start_services: StartService,
    place_settings: Callable[[str], dict[str, str]],
) -> Any:
    where = getattr(request, "param", "home")
    return start_services(tmp_path_factory.mktemp("service") / "home", **place_settings(where))


@pytest.fixture(scope="module")
def client(service: Any) -> Client:
    made: Client = service.client
    return made


@pytest.fixture
def sweep(spec: Fields) -> Fields:
    """Four alphas at two seeds, and a method that alpha means nothing to."""
    training = {**spec["training"], "epochs": 4, "learning_rate": 1e-2, "max_source_examples": 96}
    methods = ["naive-mix-train", "gradient-mix-train"]
    return {**spec, "methods": methods, "alpha": {"grid": ALPHAS}, "seeds": [1, 2], "training": training}


@pytest.fixture
def rates(sweep: Fields) -> Fields:
    """Four learning rates, the good ones first, so that the others can be stopped: alpha changes nothing here."""
    rate = {"grid": [3e-2, 1e-2, 1e-4, 1e-5]}
    training = {**sweep["training"], "learning_rate": rate, "max_source_examples": 200}
    return {**sweep, "methods": ["naive-mix-train"], "alpha": None, "training": training}


def finished(client: Client, id_: str) -> Fields:
    experiment = client.wait(id_, progress=False, poll_seconds=0.2)
    assert experiment["state"] == "succeeded", experiment["reason"]
    return experiment


def epochs_of(rows: pd.DataFrame) -> pd.Series:
    """Per (candidate, seed) how many epochs were judged."""
    dev = rows[(rows["split"] == "dev") & (rows["metric"] == "f1")]
    return dev.groupby(["candidate", "seed"])["epoch"].max()


def test_a_grid_trains_every_candidate_at_every_seed_and_tests_none_of_them_before_it_is_selected(
    client: Client, sweep: Fields
) -> None:
    id_ = client.submit({**sweep, "resources": {"max_concurrent_trials": 2}})
    assert finished(client, id_)["trials"] == {
        "total": 10, "queued": 0, "running": 0, "succeeded": 10, "stopped": 0, "failed": 0, "cancelled": 0, "reused": 0,
    }  # fmt: skip
    rows = client.results(id_)
    surgery = rows[rows["method"] == "gradient-mix-train"]
    assert set(surgery["candidate"]) == {f"alpha {alpha:g}" for alpha in ALPHAS}
    assert set(rows[rows["method"] == "naive-mix-train"]["candidate"]) == {""}
    assert set(epochs_of(surgery)) == {4}
    tests = rows[rows["split"] == "test"]
    assert tests.groupby(["method", "candidate", "seed", "language"]).size().eq(1).all()
    assert list(client.table(id_).index.names) == ["method", "k", "candidate"]
    assert client.results(id_, candidate="alpha 0.5")["alpha"].eq(0.5).all()


@pytest.mark.slow
def test_asha_stops_trials_early_and_keeps_their_scores(client: Client, rates: Fields) -> None:
    asha = {"name": "asha", "grace_period": 2, "reduction_factor": 2}
    id_ = client.submit({**rates, "search": {"scheduler": asha}})
    experiment = finished(client, id_)
    trials = experiment["trials"]
    assert trials["stopped"] > 0
    assert trials["stopped"] + trials["succeeded"] == trials["total"] == 8
    assert experiment["progress"] == 1.0
    rows = client.results(id_)
    epochs = epochs_of(rows)
    assert len(epochs) == 8
    assert (epochs < 4).sum() == trials["stopped"]
    tested = rows[rows["split"] == "test"].groupby(["candidate", "seed"]).size()
    assert set(tested.index) == set(epochs[epochs == 4].index)
    cost = client.sweep(id_).attrs["cost"]
    # what was stopped is trained to its end where all of it is asked for
    whole = client.submit(rates)
    finished(client, whole)
    assert client.experiment(whole)["trials"]["reused"] == trials["succeeded"]
    assert client.sweep(id_).attrs["cost"] == cost  # what others have gone on with changes nothing of it


def test_the_median_rule_stops_exactly_the_trials_below_the_median(client: Client, rates: Fields) -> None:
    scheduler = {"name": "median", "grace_period": 2, "min_samples_required": 2}
    one_by_one = {"max_concurrent_trials": 1}
    id_ = client.submit({**rates, "seeds": [51], "search": {"scheduler": scheduler}, "resources": one_by_one})
    trials = finished(client, id_)["trials"]
    rows = client.results(id_, split="dev", metric="f1")
    before: list[pd.Series] = []
    stopped = []
    for candidate in [f"learning_rate {rate:g}" for rate in rates["training"]["learning_rate"]["grid"]]:
        mine = rows[rows["candidate"] == candidate].set_index("epoch")["value"]
        decided = [epoch for epoch in mine.index if 2 <= epoch < 4]
        others = {epoch: [one.loc[2:epoch].mean() for one in before if one.index.max() >= epoch] for epoch in decided}
        below = [
            epoch
            for epoch in decided
            if len(others[epoch]) >= 2 and mine.loc[:epoch].max() < pd.Series(others[epoch]).median()
        ]
        assert mine.index.max() == (below[0] if below else 4)
        stopped += [candidate] if below else []
        before.append(mine)
    assert stopped[0] == "learning_rate 0.0001"  # the first two have too few before them
    assert trials["stopped"] == len(stopped)
    assert trials["succeeded"] == 4 - len(stopped)
    tested = client.results(id_, split="test")
    assert not set(stopped) & set(tested["candidate"])


@pytest.mark.slow
def test_tpe_proposes_in_the_light_of_what_it_was_told(client: Client, sweep: Fields) -> None:
    searcher = {"name": "tpe", "samples": 5, "startup": 2}
    id_ = client.submit({**sweep, "alpha": {"uniform": [0, 1]}, "search": {"searcher": searcher}})
    experiment = finished(client, id_)
    assert experiment["trials"]["succeeded"] == 2 + 5 * 2
    surgery = client.results(id_, method="gradient-mix-train", split="test")
    assert surgery.groupby("candidate")["seed"].nunique().eq(2).all()
    assert surgery["candidate"].nunique() == 5


@pytest.mark.parametrize(
    "searcher",
    [
        pytest.param({"name": "random", "samples": 4}, marks=pytest.mark.slow),
        {"name": "tpe", "samples": 4, "startup": 2},
    ],
)
def test_a_killed_driver_loses_no_candidate_and_runs_none_twice(
    service: Any, client: Client, sweep: Fields, searcher: Fields
) -> None:
    seeds = [21, 22] if searcher["name"] == "random" else [23, 24]  # no other search's
    search = {"searcher": searcher, "scheduler": {"name": "asha", "reduction_factor": 2}}
    id_ = client.submit({**sweep, "alpha": {"uniform": [0, 1]}, "seeds": seeds, "search": search})
    deadline = time.monotonic() + 60
    while client.experiment(id_)["trials"]["succeeded"] + client.experiment(id_)["trials"]["stopped"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = set(client.results(id_)["trial"])
    for driver in service.named("service.engine.driver"):
        driver.kill()
    trials = finished(client, id_)["trials"]
    assert trials["total"] == 2 + 4 * 2
    assert trials["succeeded"] + trials["stopped"] == trials["total"]
    rows = client.results(id_)
    assert before <= set(rows["trial"])
    assert rows[rows["method"] == "gradient-mix-train"].groupby("seed")["candidate"].nunique().eq(4).all()


@pytest.mark.slow
def test_a_search_that_target_dev_sets_judge_says_so_in_every_result(client: Client, sweep: Fields) -> None:
    id_ = client.submit({**sweep, "seeds": [3], "search": {"objective": "target-dev"}})
    finished(client, id_)
    rows = client.results(id_)
    dev = rows[(rows["split"] == "dev") & (rows["method"] == "gradient-mix-train")]
    assert set(dev["language"]) == {"en", "de", "hi"}
    assert dev.groupby(["candidate", "language"])["epoch"].nunique().eq(4).all()
    assert set(rows["judged_on"]) == {"target-dev"}


def test_a_budget_ends_a_search(client: Client, sweep: Fields) -> None:
    id_ = client.submit({**sweep, "seeds": [4, 5], "search": {"budget": {"trials": 3}}})
    trials = finished(client, id_)["trials"]
    assert 3 <= trials["succeeded"] <= 4  # two start at once
    assert trials["stopped"] == trials["total"] - trials["succeeded"]


@pytest.mark.slow
def test_what_has_begun_when_a_budget_is_used_up_goes_to_its_end_in_another_driver_too(
    service: Any, client: Client, sweep: Fields
) -> None:
    training = {**sweep["training"], "epochs": 40}
    fields = {**sweep, "seeds": [41, 42], "training": training, "search": {"budget": {"trials": 2}}}
    id_ = client.submit(fields)
    begun = service.until(lambda: (trials := client.experiment(id_)["trials"])["stopped"] == 8 and trials)
    assert begun["running"]
    for driver in service.named("service.engine.driver"):
        driver.kill()
    trials = finished(client, id_)["trials"]
    assert trials["stopped"] == begun["stopped"]
    assert trials["succeeded"] == begun["succeeded"] + begun["running"]


@pytest.mark.slow
def test_test_scores_of_every_epoch_are_there_for_whoever_asks(client: Client, spec: Fields) -> None:
    first = client.submit({**spec, "methods": ["zero-shot"]})
    finished(client, first)
    id_ = client.submit({**spec, "methods": ["zero-shot"], "test_at": "every"})
    finished(client, id_)
    assert client.experiment(id_)["trials"]["reused"] == 0
    selected, every = (client.results(id_, split="test", at=at) for at in ("selected", "every"))
    assert len(selected) == 3
    assert set(every.groupby("language")["epoch"].nunique()) == {2}
    pd.testing.assert_frame_equal(selected, client.results(first, split="test").assign(experiment=id_), check_like=True)


def test_a_schedule_of_alpha_and_of_the_learning_rate_is_trained(client: Client, spec: Fields) -> None:
    training = {**spec["training"], "epochs": 3, "learning_rate": {"schedule": [[0, 1e-2], [1, 1e-3]]}}
    fields = {**spec, "methods": ["gradient-mix-train"], "training": training}
    id_ = client.submit({**fields, "alpha": {"schedule": [[0, 1.0], [2, 0.0]]}})
    finished(client, id_)
    [trial] = client.results(id_)["trial"].unique()
    found = client.trial(trial)
    met = found["facts"]["training"]["surgery"]
    steps = met["operations"] + met["skipped"]
    assert met["skipped"] == steps / 3
    assert found["config"]["alpha"] == [[0, 1.0], [2, 0.0]]


def test_what_a_sweep_found(client: Client, rates: Fields) -> None:
    asha = {"name": "asha", "grace_period": 2, "reduction_factor": 2}
    id_ = client.submit({**rates, "seeds": [6, 7], "search": {"scheduler": asha}})
    stopped = finished(client, id_)["trials"]["stopped"]
    found = client.sweep(id_)
    assert len(found) == 4
    assert found["learning_rate"].tolist() == rates["training"]["learning_rate"]["grid"]
    rows = client.results(id_, metric="f1")
    for row in found[found["complete"]].itertuples():
        mine = rows[rows["candidate"] == row.candidate]
        chosen = mine[(mine["split"] == "dev") & mine["selected"]].groupby("seed")["value"].first()
        assert row.objective_mean == pytest.approx(chosen.mean())
        assert row.objective_sd == pytest.approx(chosen.std())
        tests = mine[(mine["split"] == "test") & (mine["language"] != "en")].groupby("seed")["value"].mean()
        assert row.test_mean == pytest.approx(tests.mean())
    [best] = found[found["chosen"]].itertuples()
    assert best.seeds == 2  # compared at equal epochs: see test_sweep_report.py
    regret = found.attrs["chosen"][0]["regret"]
    assert regret == (pytest.approx(found["test_mean"].max() - best.test_mean) if best.complete else None)
    cost = found.attrs["cost"]
    assert (cost["trials"], cost["stopped"]) == (8, stopped)
    assert cost["epochs"] == epochs_of(rows).sum() < cost["epochs_of_all"] == 8 * 4
    assert cost["device_hours_saved"] > 0
    figure = client.plot_sweep(id_, over="learning_rate")
    assert ">learning_rate</text>" in figure.svg()
    with pytest.raises(ValueError, match="alpha"):
        client.plot_sweep(id_)


def test_two_selections_of_one_training_are_two_methods_of_a_sweep(client: Client, rates: Fields) -> None:
    training = {**rates["training"], "learning_rate": {"grid": [1e-2, 5e-3]}}
    id_ = client.submit({**rates, "methods": ["ord-FS", "ord-FS+dev"], "seeds": [2], "training": training})
    finished(client, id_)
    found, rows = client.sweep(id_), client.results(id_, metric="f1")
    assert len(found) == 2 * 2 * 2  # methods, targets, rates
    for row in found.itertuples():
        [target] = row.target_languages
        mine = rows[(rows["method"] == row.method) & (rows["candidate"] == row.candidate)]
        [test] = mine["value"][(mine["split"] == "test") & (mine["language"] == target)]
        assert row.test_mean == test
    last, dev = (found[found["method"] == method] for method in ("ord-FS", "ord-FS+dev"))
    assert last["objective_mean"].tolist() != dev["objective_mean"].tolist()
    assert found.attrs["cost"]["trials"] == 4


def test_a_preset_is_submitted_as_it_is_or_changed(client: Client, spec: Fields) -> None:
    assert client.presets()["sample"]["data"] == "sample"
    fields = ("encoder", "methods", "target_languages", "training")
    id_ = client.submit({name: spec[name] for name in fields} | {"methods": ["zero-shot"]}, preset="sample")
    experiment = finished(client, id_)
    assert experiment["name"] == client.presets()["sample"]["name"]
    assert experiment["spec"]["methods"] == ["zero-shot"]
    with pytest.raises(ServiceError, match=r"preset: 'table-9'.*allowed: .*table-1-ner"):
        client.submit({}, preset="table-9")


@pytest.mark.slow
@pytest.mark.parametrize("service", ["home", "s3"], indirect=True)
def test_a_population_hands_on_weights_and_changes_what_is_searched_also_when_its_driver_dies(
    service: Any, client: Client, rates: Fields
) -> None:
    pbt = {"name": "pbt", "perturbation_interval": 1, "quantile_fraction": 0.5}
    low, high = 1e-5, 3e-2
    rate = {"loguniform": [low, high], "samples": 4}  # of a grid, what takes over may draw the value it had
    # a change that was decided when the driver died is lost: after it there are epochs enough for others
    training = {**rates["training"], "learning_rate": rate, "epochs": 6}
    fields = {**rates, "seeds": [1], "training": training, "search": {"scheduler": pbt}}
    fields["resources"] = {"max_concurrent_trials": 2}
    id_ = client.submit(fields)
    deadline = time.monotonic() + 600
    while client.experiment(id_)["progress"] < 0.4:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for driver in service.named("service.engine.driver"):
        driver.kill()
    assert finished(client, id_)["trials"]["succeeded"] == 4
    rows = client.results(id_)
    assert epochs_of(rows).eq(6).all()
    histories = {trial: client.trial(trial)["facts"]["history"] for trial in rows["trial"].unique()}
    changed = [history for history in histories.values() if len(history) > 1]
    assert changed
    for history in histories.values():
        assert [line["epoch"] for line in history] == sorted({line["epoch"] for line in history})
        assert all(low <= line["learning_rate"] <= high for line in history)
    tests = rows[rows["split"] == "test"]
    assert tests.groupby("candidate")["language"].nunique().eq(3).all()
    assert rows[rows["selected"] & (rows["split"] == "dev")].groupby("candidate").size().eq(1).all()
    assert client.plan(fields)["reused"] == 0  # nobody else's population
