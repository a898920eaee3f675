"""Trials keep their names: under another digest, what was trained before would not be found.

A raised NUMERICS changes all names, and nothing else does: those of version 0.1.0 follow from the same configurations.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces.plan import plan
from search_spaces.spec import ExperimentSpec
from trainers.data.sources import open_data
from trainers.encoders.by_name import encoder_digest
from trainers.methods import METHODS
from trainers.trial import FIRST_BATCHING, FIRST_NUMERICS, NUMERICS, DataReference

# By protocol and task: {method: digest of its first trial}, over the sample corpus, as version 0.1.0 computes them.
KNOWN = {
    ("paper", "ner"): {
        "zero-shot": "441744ecaf3a79f067a2",
        "ord-FS": "c762045c7cfbb4400dee",
        "ord-FS+dev": "0b6269cc169fbb80e988",
        "mix-FT": "4a20bcf9081a791f2b3b",
        "naive-mix-train": "7403e4d52ffa063bb5c0",
        "gradient-mix-train": "3e1b03a9763498749c85",
        "pcgrad-mix-train": "54eec5e661a1444bfa3e",
    },
    ("paper", "pos"): {
        "zero-shot": "e5972a30aa01961284cb",
        "ord-FS": "36923502fafc1da293f1",
        "ord-FS+dev": "2f2e0d779ce9313a98fa",
        "mix-FT": "947fe051bee43f7e75cf",
        "naive-mix-train": "1517b04cd61748efd601",
        "gradient-mix-train": "4f4ce92c21fec61a8ea4",
        "pcgrad-mix-train": "bea54143231ec6c97694",
    },
    ("paper", "tydiqa"): {
        "zero-shot": "47f5e823b0c53abb48e8",
        "ord-FS": "16213f0cd18aedd126b8",
        "ord-FS+dev": "57500a79d0d8c869985e",
        "mix-FT": "d02ddc31439ffef35bc6",
        "naive-mix-train": "c084314d90ae3e3eed40",
        "gradient-mix-train": "7d1f1588cae9d98ab64c",
        "pcgrad-mix-train": "07f8d14f3d90a39dd3af",
    },
    ("paper", "xnli"): {
        "zero-shot": "93333803f52f177bbd2a",
        "ord-FS": "0ad6757334d0b14714e6",
        "ord-FS+dev": "c367ae730dfa1589f2ff",
        "mix-FT": "2ee3e3a70db4fa40a044",
        "naive-mix-train": "e8b2de434dd4219425a3",
        "gradient-mix-train": "e948db480537c294dcb2",
        "pcgrad-mix-train": "f330b6e48bc5321b4cf6",
    },
    ("paper", "pawsx"): {
        "zero-shot": "c6dc5102bda53b7028f4",
        "ord-FS": "edbd6e2b050707b548c3",
        "ord-FS+dev": "72cd09e2396f065429e5",
        "mix-FT": "336f435765181f813a68",
        "naive-mix-train": "57ecae090064b4afac75",
        "gradient-mix-train": "3497142c62f0faa30865",
        "pcgrad-mix-train": "49e8c1a98acbc1c54ef3",
    },
    ("released-code", "ner"): {
        "zero-shot": "01024068a53327139640",
        "ord-FS": "72c95dc592e58d8cd9bf",
        "ord-FS+dev": "2fff2e1018ec041393ba",
        "mix-FT": "5ffcb976251774beadc8",
        "naive-mix-train": "e7c31cc41b4ead355bdf",
        "gradient-mix-train": "9cd345f2e2f1751971de",
        "pcgrad-mix-train": "75360a3f5e4589269cab",
    },
    ("released-code", "pos"): {
        "zero-shot": "eff729f49d5e77e89bdd",
        "ord-FS": "f191dd806c81d493e887",
        "ord-FS+dev": "49f45a56cdc60a8ee7da",
        "mix-FT": "816fd0b4988387fe687f",
        "naive-mix-train": "437a2376be4f79285c44",
        "gradient-mix-train": "5c33e3e84613939c4a46",
        "pcgrad-mix-train": "1cff2e48bffce99881eb",
    },
    ("released-code", "tydiqa"): {
        "zero-shot": "d2ccaeb9e3b90097ffac",
        "ord-FS": "77052a3082efdea09571",
        "ord-FS+dev": "affaa7fc2c28aad017da",
        "mix-FT": "95a05aefa378c4850c84",
        "naive-mix-train": "2dcc343cddb53c63456f",
        "gradient-mix-train": "9d5ccceed270aec2ce8a",
        "pcgrad-mix-train": "c23b1e3439f386dd252d",
    },
    ("released-code", "xnli"): {
        "zero-shot": "5080b5743f656a55df21",
        "ord-FS": "69b2d881ae94e258771a",
        "ord-FS+dev": "c91fb35b8355e2aba6ad",
        "mix-FT": "c5081fc69ab684a2a9af",
        "naive-mix-train": "2b8011a2500861bc43a3",
        "gradient-mix-train": "5afe5f494e3e0ecfae07",
        "pcgrad-mix-train": "c7746efa6eccefaef838",
    },
    ("released-code", "pawsx"): {
        "zero-shot": "5669a2d0d4711b51a743",
        "ord-FS": "5f8de9329e66d45ae99f",
        "ord-FS+dev": "e9fdf28990cb5a7e8129",
        "mix-FT": "07031b14147887da2067",
        "naive-mix-train": "d24dd68d368c56d6bef7",
        "gradient-mix-train": "b71c2d008547d42fb3df",
        "pcgrad-mix-train": "1edd8990909f5fdd8458",
    },
}

# By protocol and task: gradient-mix-train with a model per target.
SINGLE = {
    ("paper", "ner"): "a003c5054fc14b8b871e",
    ("paper", "pos"): "2b2a941b2c536fa4ce58",
    ("paper", "tydiqa"): "fdc7418bbbc917f32af6",
    ("paper", "xnli"): "9e717acb902a7aa76313",
    ("paper", "pawsx"): "4cb9f729adc2ac9319fc",
    ("released-code", "ner"): "d49acea5f178b2b2fc8b",
    ("released-code", "pos"): "8f5602acd3379bbe574a",
    ("released-code", "tydiqa"): "8335866592f7b4c0e80d",
    ("released-code", "xnli"): "a8c9f8cde4f39952cbc7",
    ("released-code", "pawsx"): "c51282e75faf66cd369c",
}

Digests = Callable[..., dict[str, str]]


@pytest.fixture
def digests(tmp_path: Path) -> Digests:
    """Plans one method with an encoder that is never loaded; by the trial's method, its digest in version 0.1.0."""
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    (encoder / "config.json").write_text("{}")
    (encoder / "model.safetensors").write_bytes(b"weights")

    def make(protocol: str, task: str, method: str, grouping: str = "all") -> dict[str, str]:
        body = {
            "task": task, "encoder": str(encoder), "data": "sample", "target_languages": ["de", "hi"],
            "methods": [method], "k": [5], "seeds": [1], "protocol": protocol, "grouping": grouping,
            "alpha": 1.0 if (task, grouping) == ("ner", "all") else None,  # whatever their number, in that version
        }  # fmt: skip
        spec = ExperimentSpec.model_validate(body)
        data = open_data(DataReference("sample"), task, tmp_path)
        made = plan(spec, data, encoder_digest(spec.encoder, tmp_path))
        assert all(digest == trial.config.digest for digest, trial in made.trials.items())
        configs = [trial.config for trial in made.trials.values()]
        assert {config.numerics for config in configs} == {NUMERICS}
        first = [
            replace(config, numerics=FIRST_NUMERICS, training=replace(config.training, batching=FIRST_BATCHING))
            for config in configs
        ]
        assert made.trials.keys().isdisjoint(config.digest for config in first)
        return {config.method: config.digest for config in reversed(first)}

    return make


@pytest.mark.parametrize(("protocol", "task"), KNOWN)
def test_trials_of_built_in_tasks_keep_their_names(digests: Digests, protocol: str, task: str) -> None:
    known = KNOWN[protocol, task]
    for method, digest in known.items():
        found = digests(protocol, task, method)
        assert found[METHODS[method].trajectory or method] == digest
        if METHODS[method].adapts:
            assert found["zero-shot"] == known["zero-shot"]


@pytest.mark.parametrize(("protocol", "task"), SINGLE)
def test_a_model_per_target_keeps_its_name(digests: Digests, protocol: str, task: str) -> None:
    found = digests(protocol, task, "gradient-mix-train", "single")
    assert found == {"gradient-mix-train": SINGLE[protocol, task]}
