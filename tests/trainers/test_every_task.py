"""Every task with every method and protocol: trained, scored, predictions kept, the model exported."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.artifacts import kept_models as models
from trainers.artifacts import predictions
from trainers.artifacts.layout import predictions_file
from trainers.artifacts.places import place_of
from trainers.export import export
from trainers.methods import FURTHER, METHODS, NAMED
from trainers.one_trial import run
from trainers.tasks import TASKS
from trainers.trial import Score, Trial

Make = Callable[..., Trial]


def file_of(trial: Trial, score: Score) -> Path:
    """The file with the predictions behind a score."""
    return predictions_file(
        trial.home, trial.config.digest, step=score.step, language=score.language, split=score.split, data=score.data
    )


SMALL: dict[str, Any] = {"epochs": 1, "max_source_examples": 24, "max_length": 96, "max_test_examples": 6}


EVERY_METHOD = [name for name in METHODS if name not in FURTHER or name == "mix-FT+held-out"]

# A rule never sees a task: one is enough of those that are not the paper's.
EVERY_PAIR = [
    pytest.param(task, method, marks=[pytest.mark.slow] if method not in NAMED and task != "ner" else [])
    for task, method in product(TASKS, EVERY_METHOD)
]


@pytest.mark.parametrize(("task", "method"), EVERY_PAIR)
def test_every_method_trains_every_task_and_its_predictions_give_its_scores_again(
    make_trial: Make, task: str, method: str
) -> None:
    trial = make_trial(method, task=task, **SMALL)
    outcome = run(trial, lambda _: None)
    names = TASKS[task].metrics_names
    assert [(score.language, score.metric) for score in outcome.scores] == [
        (language, name) for language in trial.wanted.evaluate for name in names
    ]
    for language in trial.wanted.evaluate:
        scores = {score.metric: score for score in outcome.scores if score.language == language}
        first = scores[names[0]]
        path = file_of(trial, first)
        assert predictions.score_again(place_of(trial), path) == {name: score.value for name, score in scores.items()}
        [places] = [
            drawn["indices"]
            for drawn in outcome.facts["samples"]
            if (drawn["language"], drawn["split"]) == (language, "test")
        ]
        assert predictions.read(place_of(trial), path)[1]["example"] == places
        assert len(set(places)) == 6
    per_language = {"xnli": 9, "pawsx": 6}.get(task, 3)  # K of each class
    assert all(len(drawn["ids"]) == per_language for drawn in outcome.facts["shots"].values())
    if task in ("tydiqa", "xnli", "pawsx"):
        assert all(isinstance(id_, str) for drawn in outcome.facts["shots"].values() for id_ in drawn["ids"])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", ["ord-FS", "gradient-mix-train"])
def test_the_released_code_as_a_protocol(make_trial: Make, task: str, method: str) -> None:
    settings = TASKS[task].under("released-code")
    accumulation = settings.training.accumulation
    selection = METHODS[method].selection or settings.selection
    changed: dict[str, Any] = {**SMALL, "accumulation": accumulation, "batch_size": 32, "selections": (selection,)}
    outcome = run(make_trial(method, task=task, protocol="released-code", **changed), lambda _: None)
    assert set(outcome.selected) == {selection}
    shots = outcome.facts["shots"]
    if method == "gradient-mix-train":
        assert set(shots) == {"en", "de", "hi"}  # the oracle languages include the source
        met = outcome.facts["training"]["surgery"]
        steps = outcome.facts["training"]["surgery"]["operations"] + met["skipped"]
        assert steps > 1  # after every part of the one update
        assert set(met["per_language"]) == {"en", "de", "hi"}
    assert {drawn["split"] for drawn in shots.values()} <= {"dev" if task in ("xnli", "pawsx") else "train"}


def test_the_released_codes_misalignment_is_what_its_protocol_trains_with(
    make_trial: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changed: dict[str, Any] = {**SMALL, "protocol": "released-code", "accumulation": 4}
    with_it = run(make_trial("gradient-mix-train", home=tmp_path / "with", **changed), lambda _: None)
    monkeypatch.setattr("trainers.surgery.released_code.misalign", lambda _: None)
    without = run(make_trial("gradient-mix-train", home=tmp_path / "without", **changed), lambda _: None)
    assert with_it.facts["training"]["surgery"] != without.facts["training"]["surgery"]


AUTO = {"ner": "AutoModelForTokenClassification", "pos": "AutoModelForTokenClassification",
        "tydiqa": "AutoModelForQuestionAnswering", "xnli": "AutoModelForSequenceClassification",
        "pawsx": "AutoModelForSequenceClassification"}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_an_exported_model_is_an_ordinary_folder_that_predicts_the_same(
    make_trial: Make, tiny_encoder: Path, tmp_path: Path, task: str
) -> None:
    import transformers

    trial = make_trial("naive-mix-train", task=task, keep=True, **SMALL)
    outcome = run(trial, lambda _: None)
    [selection] = trial.wanted.selections
    folder = tmp_path / "exported"
    export(place_of(trial), trial.config, selection, outcome.scores, folder)
    model = getattr(transformers, AUTO[task]).from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert model.get_input_embeddings().num_embeddings == model.config.vocab_size == len(tokenizer)
    if task != "tydiqa":
        labels = TASKS[task].label_set(["B-LOC", "B-ORG", "B-PER"] if task == "ner" else [])
        assert tuple(model.config.id2label[place] for place in range(len(labels))) == labels
    kept = models.load(place_of(trial), trial.config, selection)
    assert kept is not None
    name = next(name for name in kept.weights if name.endswith("word_embeddings.weight"))
    table = model.get_input_embeddings().weight
    assert torch.equal(table[kept.rows], kept.weights[name])
    untouched = torch.ones(len(table), dtype=torch.bool)
    untouched[kept.rows] = False
    pretrained = transformers.AutoModel.from_pretrained(tiny_encoder).get_input_embeddings().weight
    assert untouched.any()
    assert torch.equal(table[untouched], pretrained[untouched])
    card = (folder / "README.md").read_text()
    assert trial.config.digest in card
    for score in outcome.scores:
        one_label = ", one label everywhere" if score.one_label else ""
        row = f"| {score.language} | test | {score.metric} | {score.value:.2f} | 6 (a sample){one_label} |"
        assert row in card


def test_an_exported_models_own_forward_pass_gives_the_stored_predictions(make_trial: Make, tmp_path: Path) -> None:
    import transformers

    trial = make_trial("zero-shot", task="xnli", **{**SMALL, "epochs": 4})
    outcome = run(trial, lambda _: None)
    export(place_of(trial), trial.config, "source-dev", outcome.scores, tmp_path / "exported")
    classify = transformers.pipeline("text-classification", str(tmp_path / "exported"))
    from trainers.data import sample

    [score] = [score for score in outcome.scores if score.language == "de"]
    path = file_of(trial, score)
    predicted, examples = predictions.read(place_of(trial), path)[1], sample.examples("xnli", "de", "test")
    pairs = [
        {"text": one["premise"], "text_pair": one["hypothesis"]}
        for one in (examples[place] for place in predicted["example"])
    ]
    assert [found["label"] for found in classify(pairs)] == predicted["prediction"]


def test_an_adapted_models_export_has_what_source_training_changed_too(make_trial: Make, tmp_path: Path) -> None:
    import transformers

    trial = make_trial("ord-FS", keep=True, **SMALL)
    run(trial, lambda _: None)
    assert trial.source is not None
    source = models.load(place_of(trial), trial.source, "source-dev")
    assert source is not None
    export(place_of(trial), trial.config, "last", (), tmp_path / "exported")
    table = transformers.AutoModel.from_pretrained(tmp_path / "exported").get_input_embeddings().weight
    name = next(name for name in source.weights if name.endswith("word_embeddings.weight"))
    same = (table[source.rows] == source.weights[name]).all(1)
    assert same.float().mean() > 0.5  # all but the rows that the shots trained on


def test_what_was_not_kept_and_what_is_there_are_not_exported(make_trial: Make, tmp_path: Path) -> None:
    trial = make_trial("ord-FS", **SMALL)
    run(trial, lambda _: None)
    with pytest.raises(ValueError, match="no kept model for the selection 'last'"):
        export(place_of(trial), trial.config, "last", (), tmp_path / "exported")
    assert trial.source is not None
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="exists already"):
        export(place_of(trial), trial.source, "source-dev", (), tmp_path / "there")
