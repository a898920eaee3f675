"""Export of a kept model as a Hugging Face folder with a model card."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import transformers

from trainers.artifacts import kept_models
from trainers.artifacts.atomic import need_room
from trainers.artifacts.layout import fate
from trainers.artifacts.place import Place
from trainers.encoders.by_name import prepare_encoder
from trainers.marks import marks_of
from trainers.registry import require_installed
from trainers.tasks import TASKS
from trainers.training.fresh_model import load_tokenizer
from trainers.training.trial_model import TrialModel
from trainers.trial import Score, Selection, TrialConfig


def export(place: Place, config: TrialConfig, selection: Selection, scores: Sequence[Score], folder: Path) -> None:
    """Write a kept model with full vocabulary and tokenizer, as `AutoModelFor...from_pretrained(folder)` loads it.

    Args:
        place: where the model is kept.
        config: the trial's configuration.
        selection: which of its models.
        scores: the scores that the model card shows.
        folder: the folder to write, which must not exist.

    Raises:
        ValueError: the model was not kept, the package that brings its task is gone, or the folder exists.
        OSError: the disk has no room, or the place is lost.
    """
    kept = kept_models.load(place, config, selection)
    if kept is None:
        raise ValueError(
            f"trial {config.digest} has no kept model for the selection {selection!r}, as it was"
            f' {fate(place.home, "models", config.digest)}: an experiment with "keep": "all" keeps every one'
        )
    if folder.exists():
        raise ValueError(f"{folder} exists already")
    require_installed(config.plugins)
    transformers.logging.set_verbosity_error()  # a head is made anew, and replaced by ours
    transformers.logging.disable_progress_bar()
    encoder = prepare_encoder(config.encoder, place.home, config.encoder_revision)
    tokenizer = load_tokenizer(encoder)
    model = TrialModel(TASKS[config.task], encoder, tokenizer, kept.labels, "cpu")
    model.load(kept)
    model.all_rows()
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        need_room(unfinished, sum(parameter.nbytes for parameter in model.model.parameters()))
        model.model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        (unfinished / "README.md").write_text(_card(config, selection, kept, scores), encoding="utf-8")
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _card(config: TrialConfig, selection: Selection, model: kept_models.Model, scores: Sequence[Score]) -> str:
    languages = [config.source_language, *config.target_languages]
    metadata = {
        "language": languages,
        "base_model": config.encoder,
        "pipeline_tag": TASKS[config.task].pipeline,
        "tags": ["allasprak", config.method],
    }
    front = "\n".join(f"{name}: {json.dumps(value)}" for name, value in metadata.items() if value is not None)
    rows = "\n".join(
        f"| {score.language} | {score.split} | {score.metric} | {score.value:.2f} | {score.examples}"
        f"{' (a sample)' if score.cut else ''}{''.join(f', {mark.brief}' for mark in marks_of(score))} |"
        for score in scores
    )
    trained_on = f"{config.source_language}, and {config.k} shots of each of {', '.join(config.target_languages)}"
    return f"""---
{front}
---

# {config.task}, {config.method}, {config.encoder}

Trained by allasprak (trial `{config.digest}`) on {trained_on if config.k else config.source_language}.
The weights are those that the selection "{selection}" chose: step {model.step}, epoch {model.epoch}.

| language | split | metric | percent | examples |
|---|---|---|---|---|
{rows}

## Configuration

```json
{json.dumps(config.to_dict(), indent=2, ensure_ascii=False)}
```
"""
