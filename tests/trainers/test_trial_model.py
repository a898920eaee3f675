"""The model of a trial: trimming is proven, and what a model does not take is not given to it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.bert.modeling_bert import BertEmbeddings

import encoder_families
from trainers.artifacts import kept_models
from trainers.artifacts.places import place_of
from trainers.export import export
from trainers.tasks import TASKS
from trainers.tasks.ner import NER
from trainers.tasks.xnli import XNLI
from trainers.training.batches import PART_COST, padded_lengths, parts_of_similar_length
from trainers.training.evaluation import predict
from trainers.training.fresh_model import load_tokenizer
from trainers.training.trial_model import TrialModel
from trainers.trial import Trial

Make = Callable[..., Trial]
Train = Callable[[Trial], Any]

forward = BertEmbeddings.forward


def reads_the_weight(self: Any, input_ids: Tensor, **others: Any) -> Any:
    """Looks rows up past the module: with the rows that occur alone, there is none with such an id."""
    return forward(self, **others | {"inputs_embeds": functional.embedding(input_ids, self.word_embeddings.weight)})


def wraps_around(self: Any, input_ids: Tensor, **others: Any) -> Any:
    """The same, and finds another row instead."""
    weight = self.word_embeddings.weight
    return forward(self, **others | {"inputs_embeds": weight[input_ids % len(weight)]})


@pytest.mark.parametrize(
    ("way", "said", "method"),
    [
        (reads_the_weight, "the model fails: IndexError", "ord-FS"),
        (wraps_around, "outputs of up to .* differ by up to ", "gradient-mix-train"),
    ],
)
def test_a_model_that_trimming_would_change_is_trained_untrimmed_and_the_facts_say_so(
    make_trial: Make,
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    way: Callable[..., Any],
    said: str,
    method: str,
) -> None:
    trimmed = train(make_trial(method, home=tmp_path / "trimmed"))
    assert "untrimmed" not in trimmed.outcome.facts
    monkeypatch.setattr(BertEmbeddings, "forward", way)
    trial = make_trial(method, keep=True)
    whole = train(trial)
    assert re.search(said, whole.outcome.facts["untrimmed"])
    parameters = [done.outcome.facts["work"]["training"]["parameters"] for done in (trimmed, whole)]
    assert parameters[0] < parameters[1]
    assert whole.losses == pytest.approx(trimmed.losses, rel=1e-3)  # it is the same training
    again = train(make_trial(method, home=tmp_path / "again"))
    assert (again.outcome.scores, again.losses) == (whole.outcome.scores, whole.losses)
    [selection] = trial.wanted.selections
    kept = kept_models.load(place_of(trial), trial.config, selection)
    assert kept is not None
    reused = train(trial)
    assert (reused.outcome.scores, reused.losses) == (whole.outcome.scores, whole.losses)
    export(place_of(trial), trial.config, selection, (), tmp_path / "exported")


def test_rows_that_do_not_occur_are_not_trained_in_an_untrimmed_model(
    make_trial: Make, train: Train, monkeypatch: pytest.MonkeyPatch, tiny_encoder: Path
) -> None:
    import transformers

    monkeypatch.setattr(BertEmbeddings, "forward", reads_the_weight)
    trial = make_trial("naive-mix-train", keep=True)
    train(trial)
    kept = kept_models.load(place_of(trial), trial.config, "source-dev")
    assert kept is not None
    name = next(name for name in kept.weights if name.endswith("word_embeddings.weight"))
    pretrained = transformers.AutoModel.from_pretrained(tiny_encoder).get_input_embeddings().weight
    unchanged = (kept.weights[name] == pretrained).all(1)
    assert len(kept.weights[name]) == len(pretrained)
    assert 0.3 < unchanged.float().mean() < 1


# Padding and segments

TEXTS = [
    {"premise": "Berlin is the capital of Germany .", "hypothesis": "It is .", "label": "entailment"},
    {"premise": "It is .", "hypothesis": "No .", "label": "neutral"},
    {"premise": "Stockholm", "hypothesis": "Berlin is not in Sweden , but in Germany .", "label": "contradiction"},
]


def model_of(name: str, folder: Path, task: str = "xnli") -> tuple[TrialModel, Any]:
    """A tiny model of an architecture for a task, and its tokenizer."""
    encoder_families.write(name, folder)
    tokenizer = load_tokenizer(folder)
    torch.manual_seed(1)
    labels = TASKS[task].label_set(("O",))
    return TrialModel(TASKS[task], folder, tokenizer, labels, "cpu"), tokenizer


@pytest.mark.parametrize("name", ["GPT-2", "Qwen3", "BERT"])
def test_what_pads_a_batch_does_not_matter(tmp_path: Path, name: str) -> None:
    model, tokenizer = model_of(name, tmp_path / "encoder")
    assert (tokenizer.pad_token_id is None) == (name == "GPT-2")
    windows = XNLI.features(TEXTS, XNLI.labels, tokenizer, 96)
    rows = model.rows_to_predict(windows)
    model.model.eval()
    together = model.model(**model.batch(rows, windows, range(3))).logits
    for place in range(3):
        alone = model.model(**model.batch(rows, windows, [place])).logits
        torch.testing.assert_close(together[place : place + 1], alone, rtol=1e-4, atol=1e-5)
    batch = model.batch(rows, windows, range(3), lengths=padded_lengths(96, "cuda"))
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (3, 16 * -(-max(map(_length, windows)) // 16))
    torch.testing.assert_close(model.model(**batch).logits, together, rtol=1e-4, atol=1e-5)
    assert model.untrimmed is None


def _length(window: Any) -> int:
    return len(window.input_ids)


def test_on_a_gpu_batches_have_few_lengths_none_beyond_the_most_and_as_few_parts_as_can_be() -> None:
    assert list(padded_lengths(40, "cuda")) == [16, 32, 40]
    assert list(padded_lengths(16, "cuda")) == [16]
    assert not padded_lengths(40, "cpu")
    lengths = [3, 9, 5, 7, 1]
    assert parts_of_similar_length(lengths, 8, PART_COST["cuda"]) == [[1, 3, 2, 0, 4]]
    assert parts_of_similar_length(lengths, 2, PART_COST["cuda"]) == [[1, 3], [2, 0], [4]]


@pytest.mark.parametrize(
    ("name", "has_segments"),
    [("BERT", True), ("XLM-R", False), ("DistilBERT", False), ("GPT-2", False), ("ALBERT", True)],
)
def test_segments_are_given_to_models_that_tell_them_apart(tmp_path: Path, name: str, has_segments: bool) -> None:
    model, tokenizer = model_of(name, tmp_path / "encoder")
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]  # as of any BERT's tokenizer
    windows = XNLI.features(TEXTS, XNLI.labels, tokenizer, 96)
    assert all(window.token_types for window in windows)
    rows = model.rows_to_predict(windows)
    batch = model.batch(rows, windows, range(3))
    assert ("token_type_ids" in batch) == has_segments
    predict(model.model, XNLI, windows, lambda places: model.batch(rows, windows, places))


def test_a_batch_with_a_token_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    model, tokenizer = model_of("BERT", tmp_path / "encoder", "ner")
    some, others = (
        NER.features([{"tokens": words, "tags": ["O"] * len(words)}], ["O"], tokenizer, 64)
        for words in (["Berlin"], ["Stockholm"])
    )
    rows = model.rows_to_predict(some)
    with pytest.raises(IndexError, match="not among the installed rows"):
        model.batch(rows, others, [0])
