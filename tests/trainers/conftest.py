"""Tiny trials on shared cores: one thread is fastest, and the same everywhere."""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import encoder_families
from trainers.artifacts.place import Place
from trainers.artifacts.places import NO_PATIENCE, place_of
from trainers.methods import METHODS
from trainers.one_trial import run
from trainers.trial import DataReference, Outcome, Report, Score, Training, Trial, TrialConfig, Wanted

TRAINING = Training(
    epochs=2, batch_size=16, learning_rate=1e-2, weight_decay=0.0, adam_epsilon=1e-8, clip_norm=1.0, warmup_steps=0,
    max_length=64, max_source_examples=96,
)  # fmt: skip
SAMPLE = DataReference("sample")
TARGETS = ("de", "hi")
EVALUATE = ("en", "de", "hi")
NUMBER_OF_TESTS = 20


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def part_of(class_: type, changed: dict[str, Any]) -> dict[str, Any]:
    return {field.name: changed[field.name] for field in fields(class_) if field.name in changed}


@pytest.fixture
def make_trial(tiny_encoder: Path, device: str, tmp_path: Path, artifacts: str | None) -> Callable[..., Trial]:
    """Makes a trial of a method; further arguments replace parts of the trial, its configuration or its training.

    Artifacts lie in its home, or elsewhere by `artifacts`, apart for each home.
    """

    def make(method: str, **changed: Any) -> Trial:
        few_shot = method != "zero-shot"
        targets = () if method == "zero-shot" else ("de",) if METHODS[method].model_per_target else TARGETS
        config = TrialConfig(
            task="ner",
            method=METHODS[method].trajectory or method,
            source_language="en",
            target_languages=targets,
            k=3 if few_shot else 0,
            seed=1,
            alpha=1.0 if METHODS[method].surgery else None,
            protocol="paper",
            training=replace(TRAINING, **part_of(Training, changed)),
            encoder=str(tiny_encoder),
            encoder_digest="e" * 20,
            data_digest="d" * 20,
            held_out=1 if METHODS[method].selection == "held-out" else 0,
        )
        config = replace(config, **part_of(TrialConfig, changed))
        source = None
        if METHODS[method].adapts:
            source = replace(config, method="zero-shot", target_languages=(), k=0, alpha=None, held_out=0)
        selections = METHODS[method].selections(config.target_languages, "source-dev", average=2)
        named = {"selections": selections, "evaluate": EVALUATE, **part_of(Wanted, changed)}
        for name in ("evaluate", "judge"):  # languages are enough here: the digests are the store's business
            named[name] = dict.fromkeys(named.get(name, ()), "")
        trial = Trial(
            config=config,
            source=source,
            data=SAMPLE,
            wanted=Wanted(**named),
            max_test_examples=NUMBER_OF_TESTS,
            home=tmp_path / "home",
            device=device,
        )
        trial = replace(trial, **part_of(Trial, changed))
        return replace(trial, artifacts=f"{artifacts}/{trial.home.name}" if artifacts else None)

    return make


@dataclass(frozen=True)
class Where:
    """What says where artifacts lie."""

    home: Path
    artifacts: str | None


@pytest.fixture
def place(tmp_path: Path, artifacts: str | None) -> Place:
    """A place, by `artifacts`, that is not waited for."""
    return place_of(Where(tmp_path, artifacts), NO_PATIENCE)


@pytest.fixture(scope="session")
def encoder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a tiny encoder of an architecture, once."""
    written: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in written:
            written[name] = encoder_families.write(name, tmp_path_factory.mktemp("encoders") / name)
        return written[name]

    return write


@dataclass
class Run:
    """The reports and the outcome of a trial."""

    reports: list[Report]
    outcome: Outcome

    @property
    def losses(self) -> list[float]:
        return [report.measures["loss"] for report in self.reports]

    @property
    def test_scores(self) -> dict[str, Score]:
        """By language; for trials of one selection."""
        return {score.language: score for score in self.outcome.scores}

    @property
    def essence(self) -> list[Any]:
        """Everything as plain data, except what depends on the clock or on how much of it this attempt did itself."""
        return [without_times(part.to_dict()) for part in (*self.reports, self.outcome)]


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: without_times(part)
            for name, part in value.items()
            if name not in {"seconds", "examples_per_second", "steps_per_second", "work", "sizes"}
        }
    return [without_times(part) for part in value] if isinstance(value, list | tuple) else value


@pytest.fixture
def train() -> Callable[[Trial], Run]:
    """Runs a trial."""

    def trained(trial: Trial) -> Run:
        reports: list[Report] = []
        outcome = run(trial, reports.append)
        return Run(reports, outcome)

    return trained


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were to be waited; nobody does."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds
