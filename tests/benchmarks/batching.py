"""F1 and computing time of ner trials by how batches are made: padded, in parts of similar length, or bucketed."""

import argparse
import time
from dataclasses import replace
from statistics import fmean, stdev
from unittest.mock import patch

from ner_trial import SOURCE, ner_trial
from side_by_side import (
    add_home,
    add_machine,
    need_shared_data,
    parser,
    print_table,
    ratio,
    setting,
)

import trainers
from trainers.training.batches import PART_COST
from trainers.trial import Batching, Trial

# By name: how updates are made of windows, and whether a batch is padded to one length.
WAYS: dict[str, tuple[Batching, bool]] = {
    "shuffled, padded to the longest": ("shuffled", True),
    "shuffled, in parts of similar length": ("shuffled", False),
    "bucketed": ("bucketed", False),
}
NEVER = 10**9


def main() -> None:
    """Run a trial of each at each seed, in turn, and print."""
    arguments = _arguments()
    need_shared_data("ner")
    trial = ner_trial(arguments)
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    for seed in range(1, arguments.seeds + 1):
        for way in WAYS:
            found[way].append(_done(trial, way, seed))
            print(f"seed {seed}, {way}: {found[way][-1]}", flush=True)
    training = trial.config.training
    languages, rate = ", ".join(trial.config.target_languages), training.learning_rate
    print(f"{trial.config.method}, {training.max_source_examples} English sentences, K = {trial.config.k} in")
    print(f"{languages}; {training.epochs} epochs, learning rate {rate:g}")
    print(setting(trial.threads, trial.device, training.precision, arguments.quick) + "\n")
    base = [seconds for seconds, _, _ in found["bucketed"]]
    rows = [
        [
            way,
            str(ratio([seconds for seconds, _, _ in done], base)),
            _mean_sd([targets for _, targets, _ in done]),
            ", ".join(f"{targets:.1f}" for _, targets, _ in done),
            _mean_sd([source for _, _, source in done]),
        ]
        for way, done in found.items()
    ]
    print_table(["batches", "computing time / bucketed", "F1 of the targets", "by seed", "F1 in English"], rows)


def _done(trial: Trial, way: str, seed: int) -> tuple[float, float, float]:
    """Computing time of all threads, in seconds; mean F1 of the targets; F1 of the source."""
    batching, padded = WAYS[way]
    training = replace(trial.config.training, batching=batching)
    config = replace(trial.config, training=training, seed=seed, data_digest=f"{trial.config.data_digest} {way}")
    begin = time.process_time()
    with patch.dict(PART_COST, {"cpu": NEVER, "cuda": NEVER} if padded else {}):
        outcome = trainers.run(replace(trial, config=config), lambda _: None)
    seconds = time.process_time() - begin
    f1 = {score.language: score.value for score in outcome.scores if score.metric == "f1"}
    source = f1.pop(SOURCE)
    return seconds, fmean(f1.values()), source


def _mean_sd(values: list[float]) -> str:
    return f"{fmean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    add_machine(made)
    add_home(made)
    made.add_argument("--seeds", type=int, default=3, help="of shots, order, dropout and surgery")
    made.add_argument("--method", choices=("naive-mix-train", "gradient-mix-train"), default="naive-mix-train")
    arguments = made.parse_args()
    arguments.home, arguments.seed, arguments.no_dropout = arguments.home.resolve(), 1, False
    return arguments


if __name__ == "__main__":
    main()
