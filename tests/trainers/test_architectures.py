"""What an architecture needs of weights, and how many tokens it takes, told without its weights."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from encoder_families import ARCHITECTURES
from trainers.encoders.architecture import build, compare, positions, read_config
from trainers.encoders.encoder import EncoderError
from trainers.tasks import TASKS

HEADS = {name: TASKS[name].model_class for name in ("ner", "tydiqa", "xnli")}
HEADLESS = {("MBart", "ner"), ("Gemma3", "ner"), ("Gemma3", "tydiqa")}
CELLS = [
    pytest.param(name, task, marks=[] if task == "ner" else pytest.mark.slow)
    for name in ARCHITECTURES
    for task in HEADS
    if (name, task) not in HEADLESS
]

EncoderOf = Callable[[str], Path]


def shapes_of(tensors: dict[str, torch.Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.parametrize(("name", "task"), CELLS)
def test_weights_lack_what_transformers_initializes_at_random(
    encoder_of: EncoderOf, name: str, task: str, tmp_path: Path
) -> None:
    folder = encoder_of(name)
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    compare(build(read_config(config), HEADS, task), shapes_of(tensors))

    dropped = sorted(tensors)[:: max(1, len(tensors) // 4)]
    kept = {key: value for key, value in tensors.items() if key not in dropped}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    class_ = getattr(transformers, HEADS[task])
    _, whole = class_.from_pretrained(folder, output_loading_info=True)
    _, loaded = class_.from_pretrained(tmp_path, output_loading_info=True)
    expected = {key for key in loaded["missing_keys"] - whole["missing_keys"] if "pooler" not in key}
    assert expected
    with pytest.raises(EncoderError, match=f"lack {len(expected)} of the .* such as {min(expected)}: "):
        compare(build(read_config(config), HEADS, task), shapes_of(kept))


UNLIMITED = {"DeBERTa-v2", "mT5"}
ROTARY = {"ModernBERT", "Gemma3", "Qwen3"}  # which take more, but were not made for it


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_takes_as_many_tokens_as_it_says(encoder_of: EncoderOf, name: str) -> None:
    folder = encoder_of(name)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    most = positions(build(read_config(json.loads((folder / "config.json").read_text())), HEADS, "xnli"))
    assert (most is None) == (name in UNLIMITED)

    def run(length: int) -> None:
        ids = torch.full((1, length), 4)
        if model.config.is_encoder_decoder:  # which look for the end of a sequence
            ids[0, -1] = model.config.eos_token_id
        with torch.inference_mode():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))

    run(most or 1000)
    if name not in UNLIMITED | ROTARY:
        assert most is not None
        with pytest.raises((IndexError, RuntimeError, ValueError)):
            run(most + 1)
