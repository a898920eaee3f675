"""Scores of the same weights, evaluated at fp32 and at bf16, for models of four tasks that were trained at fp32."""

import argparse
from dataclasses import replace
from unittest.mock import patch

import torch
from side_by_side import (
    SHARED_DATA,
    add_home,
    add_machine,
    need_shared_data,
    offline_encoder,
    parser,
    print_table,
    setting,
)

import trainers
from trainers.artifacts.layout import remove_trial
from trainers.artifacts.places import place_of
from trainers.digests import digest
from trainers.protocols import PAPER
from trainers.tasks import TASKS
from trainers.training.loop import DTYPES
from trainers.trial import DataReference, Trial, TrialConfig, Wanted

# By task: the targets, the source's examples, epochs.
SIZES: dict[str, tuple[tuple[str, ...], int, int]] = {
    "ner": (("ar", "de", "hi", "ru", "th", "zh"), 1000, 3),
    "pos": (("ar", "de", "hi", "ru", "zh"), 800, 2),
    "tydiqa": (("ar", "fi", "ru", "sw"), 300, 3),
    "xnli": (("ar", "de", "hi", "ru", "th", "zh"), 2000, 1),
}


def main() -> None:
    """Train, score twice and print."""
    arguments = _arguments()
    need_shared_data(*SIZES)
    rows = [_row(task, arguments) for task in (SIZES if not arguments.quick else ["ner"])]
    print(f"naive-mix-train, K = 5; {arguments.test} test examples a language; scores in points.")
    print(setting(arguments.threads, arguments.device, "trained at fp32", arguments.quick) + "\n")
    print_table(
        ["task", "metric", "mean of the targets, fp32", "bf16 minus fp32", "largest difference in a language"], rows
    )


def _row(task: str, arguments: argparse.Namespace) -> list[object]:
    trial = _trial(task, arguments)
    remove_trial(place_of(trial), trial.config.digest)  # of an earlier call
    trained = _scores(trial)
    with patch.dict(DTYPES, fp32=torch.bfloat16):
        again = _scores(trial)  # its model is kept, and is only scored
    targets = trial.config.target_languages
    differences = {language: again[language] - trained[language] for language in targets}
    largest = max(targets, key=lambda language: abs(differences[language]))
    mean = sum(trained[language] for language in targets) / len(targets)
    return [task, TASKS[task].metric, f"{mean:.1f}", f"{sum(differences.values()) / len(targets):+.2f}",
            f"{differences[largest]:+.2f} ({largest})"]  # fmt: skip


def _scores(trial: Trial) -> dict[str, float]:
    metric = TASKS[trial.config.task].metric
    return {
        score.language: score.value for score in trainers.run(trial, lambda _: None).scores if score.metric == metric
    }


def _trial(task: str, arguments: argparse.Namespace) -> Trial:
    targets, source, epochs = SIZES[task]
    if arguments.quick:
        targets, source, epochs = targets[:1], 16, 1
    training = replace(
        TASKS[task].under(PAPER.name).training, epochs=epochs, learning_rate=3e-4, max_source_examples=source
    )
    config = TrialConfig(
        task=task,
        method="naive-mix-train",
        source_language="en",
        target_languages=targets,
        k=5,
        seed=1,
        alpha=None,
        protocol=PAPER.name,
        training=training,
        encoder=str(offline_encoder(arguments.home)),
        encoder_digest=digest("benchmark"),
        data_digest=digest([task, source]),
    )
    return Trial(
        config=config,
        source=None,
        data=DataReference("folder", SHARED_DATA),
        wanted=Wanted(selections=("source-dev",), evaluate=dict.fromkeys(targets, ""), keep=True),
        max_test_examples=4 if arguments.quick else arguments.test,
        home=arguments.home,
        threads=arguments.threads,
        device=arguments.device,
    )


def _arguments() -> argparse.Namespace:
    made = add_home(parser(__doc__))
    add_machine(made)
    made.set_defaults(device="cpu")
    made.add_argument("--test", type=int, default=300, help="test examples of a language")
    return made.parse_args()


if __name__ == "__main__":
    main()
