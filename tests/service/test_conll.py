"""Experiments on CoNLL files, over the REST interface."""

import json
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from search_spaces.environment import Environment
from service.api.app import create_app
from service.store import Store
from trainers.data import sample
from trainers.trial import SPLITS


def write(root: Path) -> None:
    """The same sentences as CoNLL files and as JSON Lines."""
    for language in ("en", "de", "hi"):
        for split in SPLITS:
            examples = sample.examples("ner", language, split)
            sentences = ["\n".join(map("\t".join, zip(one["tokens"], one["tags"], strict=True))) for one in examples]
            contents = {"conll": "\n\n".join(sentences), "jsonl": "\n".join(map(json.dumps, examples))}
            for extension, content in contents.items():
                path = root / extension / "ner" / language / f"{split}.{extension}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)


def test_an_experiment_on_conll_files_has_the_trials_of_one_on_json_lines(tmp_path: Path, spec: dict[str, Any]) -> None:
    write(tmp_path / "root")
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    app = create_app(store, lambda: Environment(tmp_path, tmp_path / "root", 2, 0, None), None)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        trials = []
        for data in ({"conll": "conll"}, {"folder": "conll"}, {"folder": "jsonl"}):
            answer = client.post("/v1/experiments", json={**spec, "data": data})
            assert answer.status_code == 201, answer.text
            trials.append(store.trials.outstanding(answer.json()["id"]).keys())
        assert trials[0] == trials[1] == trials[2]
        refused = {"..": "is not under the data root", "gone": "has no such folder"}
        for folder, words in refused.items():
            [error] = client.post("/v1/plans", json={**spec, "data": {"conll": folder}}).json()["errors"]
            assert error["field"] == "data"
            assert words in error["message"]
    store.close()
