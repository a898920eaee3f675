"""What tests plan and store: specs, configurations, trials, results and scores. Each function takes what differs."""

from dataclasses import replace
from typing import Any

from search_spaces.plan import PlannedResult, PlannedTrial
from search_spaces.spec import ExperimentSpec
from trainers import Score, TrialConfig
from trainers.trial import Training, Wanted

TRAINING = Training(
    epochs=3, batch_size=32, learning_rate=2e-5, weight_decay=0.0, adam_epsilon=1e-8, clip_norm=1.0, warmup_steps=0,
    max_length=128,
)  # fmt: skip


def spec_of(**fields: Any) -> ExperimentSpec:
    """A spec that is accepted."""
    small = {"task": "ner", "encoder": "e", "data": "sample", "target_languages": ["de", "hi"], "k": [5], "seeds": [1]}
    return ExperimentSpec.model_validate({**small, "methods": ["zero-shot"], **fields})


def config_of(method: str = "zero-shot", **changed: Any) -> TrialConfig:
    """A training in German at K = 5, or of the source language."""
    few_shot = method != "zero-shot"
    config = TrialConfig(
        task="ner",
        method=method,
        source_language="en",
        target_languages=("de",) if few_shot else (),
        k=5 if few_shot else 0,
        seed=1,
        alpha=None,
        protocol="paper",
        training=TRAINING,
        encoder=changed.get("encoder", "e"),
        encoder_digest=f"that of {changed.get('encoder', 'e')}",
        data_digest="data",
    )
    return replace(config, **changed)


def trial_of(config: TrialConfig, source: TrialConfig | None = None, **wanted: Any) -> PlannedTrial:
    """A trial whose best checkpoint on the source's dev set is wanted."""
    return PlannedTrial(config=config, source=source, wanted=Wanted(**{"selections": ("source-dev",), **wanted}))


def result_of(config: TrialConfig, language: str, **changed: Any) -> PlannedResult:
    """A test score of a training."""
    assert not isinstance(config.alpha, tuple)
    result = PlannedResult(
        method=config.method,
        k=config.k,
        seed=config.seed,
        alpha=config.alpha,
        candidate="",
        judged_on="",
        language=language,
        split="test",
        trial=config.digest,
        selection="source-dev",
        data="test",
    )
    return replace(result, **changed)


def score_of(language: str, value: float, **changed: Any) -> Score:
    """F1 on a test set, of the model after 10 steps."""
    score = Score(
        step=10,
        epoch=1,
        language=language,
        split="test",
        metric="f1",
        value=value,
        examples=10,
        data="test",
        cut=False,
    )
    return replace(score, **changed)
