"""From what is submitted to a plan and its trials, without a server."""

from pathlib import Path
from typing import Any

import pytest

import search_spaces.inputs
from hub_server import Hub, Repository
from search_spaces.environment import Environment
from search_spaces.problems import SpecError
from service import planning
from service.settings import Settings
from service.store import Store
from tiny_encoders import write_encoder
from trainers.encoders.by_name import prepare_encoder


@pytest.fixture
def body(tmp_path: Path) -> dict[str, Any]:
    """A search on the sample corpus, with a tiny encoder."""
    encoder = write_encoder(tmp_path / "encoder")
    return {
        "task": "ner", "encoder": str(encoder), "data": "sample", "target_languages": ["de", "hi"], "k": [5],
        "methods": ["zero-shot", "ord-FS", "gradient-mix-train"], "seeds": [1], "alpha": {"grid": [0, 1]},
    }  # fmt: skip


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "home", None, 2, 0)


@pytest.fixture
def sqlite(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'store.sqlite'}")


def test_data_and_encoder_are_opened_once_on_the_way_to_a_plan(
    body: dict[str, Any], environment: Environment, sqlite: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    for name in ("open_data", "find_encoder"):
        real = getattr(search_spaces.inputs, name)
        monkeypatch.setattr(search_spaces.inputs, name, lambda *given, n=name, f=real: (opened.append(n), f(*given))[1])
    assert planning.accept(body, environment, sqlite)[1]
    assert sorted(opened) == ["find_encoder", "open_data"]


def test_what_is_previewed_is_what_is_accepted_and_what_a_driver_builds(
    body: dict[str, Any], environment: Environment, sqlite: Store
) -> None:
    spec, plan = planning.accept(body, environment, sqlite)
    assert plan is not None
    assert planning.preview(body, environment, sqlite).plan == plan
    settings = Settings(environment.home, None, "", None, 300.0, None)
    inputs = planning.open_experiment(spec, settings)
    assert planning.price(spec, inputs, sqlite).plan == plan
    built = planning.build_trials(inputs, settings, plan.trials)
    assert {digest: (trial.config, trial.source, trial.wanted) for digest, trial in built.items()} == {
        digest: (trial.config, trial.source, trial.wanted) for digest, trial in plan.trials.items()
    }


def test_a_population_has_a_name_of_its_own_in_a_preview_as_well(
    body: dict[str, Any], environment: Environment, sqlite: Store
) -> None:
    pbt = {**body, "search": {"scheduler": {"name": "pbt"}}}
    names = set()
    for plan in (planning.accept(pbt, environment, sqlite)[1], planning.preview(pbt, environment, sqlite).plan):
        assert plan is not None
        names |= {trial.config.population for trial in plan.trials.values() if trial.wanted.sweep is not None}
    assert None not in names
    assert len(names) == 2


def test_a_spec_that_is_refused_is_refused_by_both(
    body: dict[str, Any], environment: Environment, sqlite: Store
) -> None:
    wrong = {**body, "k": [10**6], "data": "nowhere"}
    for ask in (planning.accept, planning.preview):
        with pytest.raises(SpecError) as caught:
            ask(wrong, environment, sqlite)
        assert [problem.field for problem in caught.value.problems] == ["data"]


def test_an_encoder_on_the_hub_is_trained_at_the_commit_that_was_submitted(
    body: dict[str, Any], environment: Environment, sqlite: Store, tmp_path: Path
) -> None:
    name = "models/org/tiny"
    folder = Path(body["encoder"])
    with Hub({name: Repository(folder)}) as hub, hub.patched(tmp_path / "cache"):
        spec, plan = planning.accept({**body, "encoder": "org/tiny"}, environment, sqlite)
        commit = hub.commit(name)
        assert spec.encoder_revision == commit
        (folder / "config.json").write_text("[]")
        hub.put(name, Repository(folder))
        assert hub.commit(name) != commit
        settings = Settings(environment.home, None, "", None, 300.0, None)
        inputs = planning.open_experiment(spec, settings)
        assert plan is not None
        assert planning.price(spec, inputs, sqlite).plan.trials == plan.trials
        [trial] = planning.build_trials(inputs, settings, dict([next(iter(plan.trials.items()))])).values()
        assert trial.config.encoder_revision == commit
        prepared = prepare_encoder(trial.config.encoder, trial.home, trial.config.encoder_revision)
        assert prepared.name == commit
        with pytest.raises(SpecError, match=r"config\.json is not a JSON object"):
            planning.accept({**body, "encoder": "org/tiny"}, environment, sqlite)
        again, _ = planning.accept({**body, "encoder": "org/tiny", "encoder_revision": commit}, environment, sqlite)
        assert again.encoder_revision == commit


def test_a_folder_has_no_revisions(body: dict[str, Any], environment: Environment, sqlite: Store) -> None:
    with pytest.raises(SpecError, match="encoder_revision: is for encoders on the hub"):
        planning.accept({**body, "encoder_revision": "main"}, environment, sqlite)
    assert planning.accept(body, environment, sqlite)[0].encoder_revision is None
