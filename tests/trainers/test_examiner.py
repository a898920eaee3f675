"""The process that examines encoders: it may die at any time, and no encoder may take what the machine has."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from children import children
from tiny_encoders import CONFIG, write_encoder
from trainers.encoders import examiner
from trainers.encoders.by_name import find_encoder
from trainers.encoders.encoder import EncoderError, Need
from trainers.tasks import TASKS


def examine(folder: Path, max_length: int = 128) -> None:
    heads = {name: task.model_class for name, task in TASKS.items()}
    find_encoder(str(folder), folder.parent).examine(Need(task="ner", heads=heads, max_length=max_length))


def examiners() -> list[psutil.Process]:
    return children("trainers.encoders.architecture")


@pytest.mark.service
def test_a_process_that_died_is_followed_by_another(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "encoder")
    examine(folder, 100)
    [before] = examiners()
    examine(folder, 101)
    assert examiners() == [before]
    os.kill(before.pid, signal.SIGKILL)
    before.wait()
    examine(folder, 102)
    assert examiners() != [before]


STARTING = """
from time import sleep
from trainers.encoders import examiner
examiner.start()
print(examiner._EXAMINER.process.pid, flush=True)
sleep(60)
"""


@pytest.mark.service
def test_it_ends_with_the_process_that_asks_also_while_it_starts() -> None:
    asking = subprocess.Popen([sys.executable, "-c", STARTING], stdout=subprocess.PIPE, text=True)
    assert asking.stdout is not None
    process = psutil.Process(int(asking.stdout.readline()))
    asking.kill()
    asking.communicate()
    process.wait(timeout=4)  # its imports take longer


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "canine", "num_hash_functions": 10**9},
        {"model_type": "qwen2_moe", "num_experts": 10**9, "num_hidden_layers": 1000},
        {"model_type": "xlm", "max_position_embeddings": 10**8, "emb_dim": 10**4},
        {**CONFIG, "num_hidden_layers": 1000, "hidden_size": 10**8, "intermediate_size": 10**8},
    ],
    ids=["modules without number", "experts", "positions", "a large one"],
)
def test_a_config_that_asks_for_everything_gets_little(
    tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examiner, "PATIENCE", 30.0)
    folder = write_encoder(tmp_path / "encoder")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(EncoderError, match=r"could not be examined|is refused by|lack"):
        examine(folder)
    examine(write_encoder(tmp_path / "whole"))
