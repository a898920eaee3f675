"""A head is fresh: the same at a seed, whatever the encoder's folder has been trained for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.tasks import TASKS
from trainers.tasks.task import Task
from trainers.training.fresh_model import fresh_model, load_tokenizer

LABELS = {"ner": ("B-PER", "I-PER", "O"), "pos": ("ADJ", "NOUN", "VERB", "X")}

# Heads of every kind: beside the encoder (BERT), with a pooler of their own (DeBERTa), among the encoder's parts (mT5).
KINDS = ("BERT", "XLM-R", "DeBERTa-v2", "ModernBERT", "mT5")

# mT5's tagger has no decoder, which is a part of the encoder for the other tasks.
TRAINED = [
    (kind, *tasks)
    for kind in KINDS
    for tasks in (("ner", "pos"), ("ner", "xnli"), ("tydiqa", "ner"), ("xnli", "xnli"))
    if (kind, *tasks) != ("mT5", "ner", "xnli")
]


def labels_of(task: Task[Any]) -> tuple[str, ...]:
    return task.label_set(LABELS.get(task.name, ()))


def fresh(task: str, folder: Path, seed: int = 1) -> Any:
    torch.manual_seed(seed)
    return fresh_model(TASKS[task], folder, labels_of(TASKS[task]))


def same(one: Any, other: Any) -> bool:
    weights, others = one.state_dict(), other.state_dict()
    return weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", ["ner", "tydiqa", "xnli"])
def test_the_encoder_is_that_of_the_folder_and_the_head_another_at_each_seed(
    encoder_of: Callable[[str], Path], kind: str, task: str
) -> None:
    import transformers

    first, again, other = (fresh(task, encoder_of(kind), seed) for seed in (1, 1, 2))
    assert same(first, again)
    own = transformers.AutoModel.from_pretrained(encoder_of(kind)).state_dict()
    weights, others = first.state_dict(), other.state_dict()
    changed = {name for name in weights if not torch.equal(weights[name], others[name])}
    assert changed
    kept = {name: name.removeprefix(f"{first.base_model_prefix}.") for name in weights.keys() - changed}
    of_encoder = {name: own[there] for name, there in kept.items() if there in own}
    assert len(of_encoder) > 10
    assert all(torch.equal(weights[name], value) for name, value in of_encoder.items())
    constant = [name for name in kept if name not in of_encoder]  # biases, and weights of norms
    assert all(weights[name].unique().numel() == 1 for name in constant)


@pytest.mark.parametrize(("kind", "trained_for", "task"), TRAINED)
def test_a_trained_model_gives_its_encoder_alone(
    encoder_of: Callable[[str], Path], tmp_path: Path, kind: str, trained_for: str, task: str
) -> None:
    trained = fresh(trained_for, encoder_of(kind), seed=5)
    trained.config.problem_type = "multi_label_classification"
    trained.save_pretrained(tmp_path)
    model, expected = fresh(task, tmp_path), fresh(task, encoder_of(kind))
    compared = [name for name, _ in model.named_parameters() if ".pooler." not in name]  # which a tagger has not kept
    weights, wanted = model.state_dict(), expected.state_dict()
    assert weights.keys() == wanted.keys()
    assert all(torch.equal(weights[name], wanted[name]) for name in compared)
    for name in ("num_labels", "id2label", "label2id"):
        assert getattr(model.config, name) == getattr(expected.config, name)
    assert model.config.problem_type is None


def change_config(encoder: Path, folder: Path, **changed: Any) -> None:
    """Copy an encoder, and change what its config.json says."""
    shutil.copytree(encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))


def test_a_weight_of_the_encoder_of_another_shape_is_refused(encoder_of: Callable[[str], Path], tmp_path: Path) -> None:
    change_config(encoder_of("BERT"), tmp_path / "other", intermediate_size=48)
    with pytest.raises(ValueError, match=r"intermediate.dense.bias has the shape \(64,\), not \(48,\)"):
        fresh("ner", tmp_path / "other")


def test_a_config_that_asks_for_tuples_is_not_obeyed(encoder_of: Callable[[str], Path], tmp_path: Path) -> None:
    change_config(encoder_of("BERT"), tmp_path / "other", return_dict=False)
    model = fresh("xnli", tmp_path / "other").eval()
    assert model(input_ids=torch.tensor([[2, 5, 3]])).logits.shape == (1, 3)


def test_code_of_an_encoder_s_own_is_not_run_and_not_named_by_what_is_exported(
    encoder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(encoder_of("XLM-R"), tmp_path / "encoder"))
    (folder / "mine.py").write_text("raise SystemExit")
    named = {"AutoConfig": "mine.Config", "AutoModel": "mine.Model", "AutoModelForTokenClassification": "mine.Model"}
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": named}))
    model = fresh("ner", folder)
    assert same(model, fresh("ner", encoder_of("XLM-R")))
    model.save_pretrained(tmp_path / "exported")
    assert "auto_map" not in json.loads((tmp_path / "exported" / "config.json").read_text())


def test_layers_are_not_computed_in_parts_of_a_length_that_windows_do_not_have(
    encoder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(encoder_of("BERT"), tmp_path / "encoder"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "chunk_size_feed_forward": 3}))
    ids = torch.ones(1, 7, dtype=torch.long)
    assert torch.isfinite(fresh("ner", folder)(input_ids=ids).logits).all()


def test_a_tokenizer_is_loaded_once_and_again_after_its_files_change(
    encoder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(encoder_of("BERT"), tmp_path / "encoder")
    first = load_tokenizer(folder)
    assert load_tokenizer(folder) is first
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 77}))
    assert load_tokenizer(folder).model_max_length == 77
