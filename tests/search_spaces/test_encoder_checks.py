"""An encoder that cannot be trained is refused on submission: what was found, and what would be right."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from faulty_encoders import FAULTS, Fault, shard
from search_spaces.checks import accepted
from search_spaces.environment import Environment
from search_spaces.problems import SpecError
from tiny_encoders import tensors, write_encoder


def submit(folder: Path, task: str = "ner", **fields: Any) -> None:
    body = {
        "task": task, "encoder": str(folder), "data": "sample", "target_languages": ["de"], "methods": ["zero-shot"],
        "k": [5], "seeds": [1], **fields,
    }  # fmt: skip
    accepted(body, Environment(folder.parent / "home", None, None, None))


def refusal(folder: Path, **fields: Any) -> str:
    with pytest.raises(SpecError) as caught:
        submit(folder, **fields)
    [problem] = caught.value.problems
    assert problem.field == "encoder"
    assert problem.message.startswith(f"{folder}: ")
    said = problem.message.removeprefix(f"{folder}: ")
    assert str(folder) not in said.partition("`")[0]  # once is enough
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "encoder")


@pytest.mark.parametrize("fault", FAULTS)
def test_an_encoder_that_cannot_be_trained_is_refused(folder: Path, fault: str) -> None:
    damage, expected = FAULTS[fault]
    damage(folder)
    assert re.search(expected, refusal(folder))


# Encoders that can be trained


def link_as_the_hub_does(folder: Path) -> None:
    """Files are links to blobs, as in the cache of the hub."""
    blobs = folder.parent / "blobs"
    blobs.mkdir()
    for place, path in enumerate(sorted(folder.iterdir())):
        path.rename(blobs / str(place))
        path.symlink_to(f"../blobs/{place}")


def save_as_a_task_model(folder: Path) -> None:
    save_file({**tensors("roberta."), "lm_head.bias": np.zeros(3)}, folder / "model.safetensors")


def save_in_half(folder: Path) -> None:
    halved = {name: value.astype(np.float16) for name, value in tensors().items()}
    save_file(halved, folder / "model.safetensors")


def save_with_a_pooler(folder: Path) -> None:
    pooler = {"pooler.dense.weight": np.zeros((8, 8)), "pooler.dense.bias": np.zeros(8)}
    save_file({**tensors(), **pooler}, folder / "model.safetensors")


def save_with_old_names(folder: Path) -> None:
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    names = {name: next((name.replace(*pair) for pair in old.items() if pair[0] in name), name) for name in tensors()}
    save_file({names[name]: value for name, value in tensors().items()}, folder / "model.safetensors")


def add_what_others_add(folder: Path) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / ".git").mkdir()
    (folder / "README.md").write_text("# Mine")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle, which is not read")
    (folder / "link").symlink_to("nowhere")


@pytest.mark.parametrize("task", ["ner", "tydiqa", "xnli"])
@pytest.mark.parametrize(
    "change",
    [shard, link_as_the_hub_does, save_as_a_task_model, save_in_half, save_with_a_pooler, save_with_old_names,
     add_what_others_add],
)  # fmt: skip
def test_an_encoder_that_can_be_trained_is_accepted(folder: Path, change: Fault, task: str) -> None:
    change(folder)
    submit(folder, task)


def test_windows_fit_behind_the_positions_that_are_never_used(tmp_path: Path) -> None:
    submit(write_encoder(tmp_path / "enough", positions=130))  # XLM-R's first two positions are padding
    folder = write_encoder(tmp_path / "one less", positions=129)
    assert refusal(folder) == "it takes at most 127 tokens; allowed: from 128, the windows of ner"
    folder = write_encoder(tmp_path / "enough for ner", positions=385)
    submit(folder)
    assert refusal(folder, task="tydiqa") == "it takes at most 383 tokens; allowed: from 384, the windows of tydiqa"


def test_a_file_that_may_not_be_read_is_refused(folder: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may read everything")
    (folder / "config.json").chmod(0)
    assert "config.json cannot be read: Permission denied" in refusal(folder)


def test_a_damaged_encoder_that_is_mended_is_accepted(folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(before[:-1])
    assert "damaged" in refusal(folder)
    (folder / "model.safetensors").write_bytes(before)
    submit(folder)
