"""Every preset that names XTREME-R runs to its reports: fetched over HTTP from where it is published, in tiny.

Cut in seeds, epochs and examples, and with a tiny encoder under the name of the paper's; with all languages.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import datasets
import pytest

import xtreme_r_hub
from hub_server import Hub, Repository
from search_spaces.presets import names, preset
from trainers.data.published_counts import ACCEPT_VARIABLE
from trainers.data.treebanks import URL_VARIABLE
from trainers.data.xtreme_r import fetch
from trainers.tasks import TASKS

OF_XTREME_R = [name for name in names() if preset(name)["data"] == "xtreme-r"]

CUT: dict[str, Any] = {
    "seeds": [1],
    "training": {"max_source_examples": 16, "max_test_examples": 4},
    "resources": {"cpus_per_trial": 1, "gpus_per_trial": 0, "max_concurrent_trials": 2},
}
EPOCHS = {"alpha-sweep": 2, "figure-5-single": 2, "figure-5-all": 2}
"""More than one, where trials are stopped early or scores of several epochs are shown."""

REPORTS = {
    "alpha-sweep": ["alpha"],
    "figure-1": ["figure-1", "conflicts"],
    "figure-2a-all": ["table-9"],
    "figure-2a-single": ["table-9", "figure-2"],
    "figure-2a-subset": ["table-9"],
    "figure-2b-all": ["table-10"],
    "figure-2b-single": ["table-10", "figure-2"],
    "figure-2b-subset": ["table-10"],
    "figure-3": ["figure-3", "figure-4"],
    "figure-5-all": ["figure-5"],
    "figure-5-single": ["figure-5"],
    "protocols-paper": ["table-4"],
    "protocols-released-code": ["table-4"],
    "table-1-ner": ["table-1", "table-2", "table-4", "table-8", "gain-by-family", "gain-by-script"],
    "table-1-pos": ["table-1", "table-2", "table-5", "table-8"],
    "table-1-tydiqa": ["table-1", "table-6"],
    "table-1-xnli": ["table-1", "table-7"],
}


@pytest.fixture(scope="module")
def hub(tiny_encoder_for_all: Path) -> Iterator[Hub]:
    encoders = {
        f"models/FacebookAI/{name}": Repository(tiny_encoder_for_all, formerly=[name])
        for name in ("xlm-roberta-base", "xlm-roberta-large")
    }
    data = xtreme_r_hub.repositories("unimelb-nlp/wikiann", "google/xtreme", "facebook/xnli")
    with Hub({**data, **encoders}, xtreme_r_hub.treebanks()) as hub:
        yield hub


@pytest.fixture(scope="module")
def settings(hub: Hub) -> dict[str, str]:
    """Where the treebanks are; and fewer examples than were published are accepted."""
    return {URL_VARIABLE: f"{hub.endpoint}/UniversalDependencies", ACCEPT_VARIABLE: "1"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Hugging Face libraries'."""
    return tmp_path_factory.mktemp("huggingface")


@pytest.fixture(scope="module")
def service(
    hub: Hub, settings: dict[str, str], cache: Path, start_services: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:  # fmt: skip
    return start_services(tmp_path_factory.mktemp("presets") / "home", **settings, **hub.environment(cache))


def cut(name: str) -> dict[str, Any]:
    """What replaces fields of a preset."""
    return {**CUT, "training": {**CUT["training"], "epochs": EPOCHS.get(name, 1)}}


def run_to_reports(service: Any, name: str) -> None:
    id_ = service.client.submit(cut(name), preset=name)
    experiment = service.client.wait(id_, progress=False)
    assert experiment["state"] == "succeeded", experiment["reason"]
    assert experiment["left_out"] == left_out(name)
    scored = service.client.results(id_, split="test").groupby("method")["language"].agg(set)
    assert set(scored.index) == {*preset(name)["methods"]}
    for method, languages in scored.items():
        assert languages == expected(name, method)
    for report in REPORTS[name]:
        assert len(service.client.report(report, id_).data), report


def expected(name: str, method: str) -> set[str]:
    """The languages that a preset has scores of."""
    task, targets = preset(name)["task"], preset(name)["target_languages"]
    languages = {*TASKS[task].languages} if targets == "all" else {"en", *targets}
    return languages - {one["language"] for one in left_out(name) if one["method"] == method}


def left_out(name: str) -> list[dict[str, Any]]:
    """What methods of a preset leave out: in pos, Kazakh has no dev set."""
    without_dev = preset(name)["task"] == "pos" and "ord-FS+dev" in preset(name)["methods"]
    return [{"method": "ord-FS+dev", "language": "kk", "lacks": ["dev"]}] if without_dev else []


@pytest.fixture(scope="module")
def with_all_fetched(hub: Hub, settings: dict[str, str], cache: Path, service: Any) -> Any:
    """The service, with all languages of all tasks."""
    datasets.disable_progress_bars()
    with hub.patched(cache), mock.patch.dict("os.environ", settings):
        for task in ("ner", "pos", "tydiqa", "xnli"):
            fetch(task, TASKS[task].languages, service.home, lambda _: None)
    return service


def test_a_preset_runs_to_its_report(service: Any) -> None:
    run_to_reports(service, "figure-5-single")


@pytest.mark.parametrize("name", OF_XTREME_R)
def test_every_preset_plans_once_its_data_are_fetched(with_all_fetched: Any, name: str) -> None:
    planned = with_all_fetched.client.plan(cut(name), preset=name)
    assert planned["trials"]
    assert planned["left_out"] == left_out(name)


def test_each_file_is_fetched_once(with_all_fetched: Any, hub: Hub) -> None:
    files = Counter(one.path for one in hub.requests if one.path.endswith((".conllu", ".parquet")) and one.sent)
    assert {*files.values()} == {1}
    assert len(files) > 300


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_XTREME_R)
def test_each_preset_runs_to_its_reports(service: Any, name: str) -> None:
    run_to_reports(service, name)
