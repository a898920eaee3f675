"""Every preset that names XTREME-R runs to its report: fetched over HTTP from where it is published, in tiny.

Cut in seeds, epochs and examples, and with a tiny encoder under the name of the paper's; with all languages.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import xtreme_r_hub
from hub_server import Hub, Repository
from search_spaces.presets import names, preset
from trainers.data.published_counts import ACCEPT_VARIABLE
from trainers.data.treebanks import URL_VARIABLE
from trainers.tasks import TASKS

OF_XTREME_R = [name for name in names() if preset(name)["data"] == "xtreme-r"]

CUT: dict[str, Any] = {
    "seeds": [1],
    "training": {"epochs": 1, "max_source_examples": 16, "max_test_examples": 4},
    "resources": {"cpus_per_trial": 1, "gpus_per_trial": 0, "max_concurrent_trials": 2},
}

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
    "figure-5": ["figure-5"],
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
    with Hub({**xtreme_r_hub.repositories(), **encoders}, xtreme_r_hub.treebanks()) as hub:
        yield hub


@pytest.fixture(scope="module")
def service(hub: Hub, start_services: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("presets")
    tiny = {URL_VARIABLE: f"{hub.endpoint}/UniversalDependencies", ACCEPT_VARIABLE: "1"}
    return start_services(folder / "home", **hub.environment(folder / "huggingface"), **tiny)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_XTREME_R)
def test_a_preset_runs_to_its_reports(service: Any, name: str) -> None:
    curves = {"training": {**CUT["training"], "epochs": 2}} if "test_at" in preset(name) else {}
    id_ = service.client.submit({**CUT, **curves}, preset=name)
    experiment = service.client.wait(id_, progress=False)
    assert experiment["state"] == "succeeded", experiment["reason"]
    task, targets = preset(name)["task"], preset(name)["target_languages"]
    expected = {*TASKS[task].languages} if targets == "all" else {"en", *targets}
    assert set(service.client.results(id_, split="test")["language"]) == expected
    for report in REPORTS[name]:
        assert len(service.client.report(report, id_).data), report
