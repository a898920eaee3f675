"""Time and scores of a whole ner trial of the project, against the same trial as the usual scripts do it."""

import argparse
import shutil
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch
from side_by_side import (
    SHARED_DATA,
    Spread,
    add_home,
    add_machine,
    at_least,
    at_most,
    device_or_default,
    need_shared_data,
    offline_encoder,
    parser,
    print_table,
    setting,
)
from transformers import AutoConfig, AutoTokenizer, BertModel
from transformers.utils.logging import disable_progress_bar
from usual_script import Done, UsualScript

import trainers
from trainers import memory
from trainers.artifacts.layout import checkpoints_of
from trainers.digests import digest
from trainers.protocols import PAPER
from trainers.tasks.ner import NER
from trainers.training.trial_data import TrialData
from trainers.trial import DataReference, Trial, TrialConfig, Wanted

SPEED_UP_AT_LEAST = 6.0
F1_WITHIN = 0.3

SOURCE = "en"
TARGETS = ("ar", "hi", "zh", "vi", "fi", "th", "ja", "ta", "ru", "de", "es", "he")

DIFFERENCES = """
The same in both: data, windows, shots, the batches of every update and their order, the model's initial weights,
surgery and its draws, AdamW, linear decay, clipping, an English dev evaluation an epoch that selects, test splits.
Different in the usual script: every window is padded to {length} tokens, model and optimizer have the whole
vocabulary, languages are evaluated one by one in file order and batches of 32, deterministic algorithms are off.
{dropout}
"""
WITH_DROPOUT = (
    "Dropout draws other masks for other paddings, so that the scores differ as two seeds do (see --no-dropout)."
)
WITHOUT_DROPOUT = "Both run without dropout, so that they compute the same but for rounding, and their scores compare."


def main() -> None:
    """Run both trials and print."""
    arguments = _arguments()
    need_shared_data("ner")
    trial = ner_trial(arguments)
    TrialData(trial, AutoTokenizer.from_pretrained(trial.config.encoder)).read_all()  # facts of files are remembered
    rounds = [(_whole_trial(trial), _usual_script(trial, arguments.fraction)) for _ in range(arguments.rounds)]
    _print(arguments, trial, rounds)


def _whole_trial(trial: Trial) -> Done:
    shutil.rmtree(
        checkpoints_of(trial.home, trial.config.digest), ignore_errors=True
    )  # of a benchmark that was interrupted
    begin = time.perf_counter()
    outcome = trainers.run(trial, lambda _: None)
    return Done(time.perf_counter() - begin, {score.language: score.value for score in outcome.scores})


def _usual_script(trial: Trial, fraction: float) -> Done:
    done = UsualScript(trial, fraction).run()
    memory.release()
    return done


def _print(arguments: argparse.Namespace, trial: Trial, rounds: list[tuple[Done, Done]]) -> None:
    training, quick = trial.config.training, arguments.quick
    languages = len(trial.config.target_languages)
    print(f"A ner trial: {trial.config.method}, offline/multilingual-e5-small, {training.max_source_examples} English")
    print(f"sentences, K = {trial.config.k} in {languages} languages, {training.epochs} epochs, learning rate 3e-4,")
    print(f"{trial.max_test_examples} test sentences a language, seed {trial.config.seed}.")
    print(setting(trial.threads, trial.device, training.precision, quick) + "\n")
    scored = arguments.fraction == 1
    ours, theirs = ([done[place] for done in rounds] for place in (0, 1))
    note = "" if scored else f", extrapolated from {arguments.fraction:.0%} of it"
    rows = [_row("this project", ours, True), _row(f"the usual script{note}", theirs, scored)]
    print_table(["trial", "seconds", "mean F1 of the targets", "F1 in English"], rows)
    speed_up = Spread.of([slow.seconds / fast.seconds for fast, slow in rounds])
    targets = [["speed-up", speed_up, at_least(SPEED_UP_AT_LEAST, speed_up.median, quick)]]
    if scored:
        off = abs(_mean(ours[0]) - _mean(theirs[0]))
        targets.append(["difference of the mean F1", f"{off:.2f}", at_most(F1_WITHIN, off, quick)])
    print_table(["", "found", "target"], targets)
    dropout = WITHOUT_DROPOUT if arguments.no_dropout else WITH_DROPOUT
    print(DIFFERENCES.strip().format(length=training.max_length, dropout=dropout))


def _row(name: str, done: list[Done], scored: bool) -> list[str]:
    seconds = f"{Spread.of([one.seconds for one in done]).median:.0f}"
    scores = [f"{_mean(done[0]):.2f}", f"{done[0].f1[SOURCE]:.2f}"] if scored else ["", ""]
    return [name, seconds, *scores]


def _mean(done: Done) -> float:
    return mean(value for language, value in done.f1.items() if language != SOURCE)


def ner_trial(arguments: argparse.Namespace) -> Trial:
    """A training of small size on real data."""
    device, quick = device_or_default(arguments.device), arguments.quick
    training = replace(
        NER.under(PAPER.name).training,
        epochs=1 if quick else 3,
        learning_rate=3e-4,
        precision="bf16" if device == "cuda" else "fp32",
        max_source_examples=64 if quick else 2000,
    )
    targets = TARGETS[:2] if quick else TARGETS
    encoder = _variant(offline_encoder(arguments.home), arguments)
    config = TrialConfig(
        task="ner",
        method=arguments.method,
        source_language=SOURCE,
        target_languages=targets,
        k=5,
        seed=arguments.seed,
        alpha=NER.under(PAPER.name).alpha if arguments.method == "gradient-mix-train" else None,
        protocol=PAPER.name,
        training=training,
        encoder=str(encoder),
        encoder_digest=digest(encoder.name),
        data_digest="benchmark",
    )
    return Trial(
        config=config,
        source=None,
        data=DataReference("folder", SHARED_DATA),
        wanted=Wanted(selections=("source-dev",), evaluate=dict.fromkeys((SOURCE, *targets), "")),
        max_test_examples=10 if quick else 200,
        home=arguments.home,
        threads=1 if quick else arguments.threads,
        device=device,
    )


def _variant(encoder: Path, arguments: argparse.Namespace) -> Path:
    """The encoder, or beside it one without dropout or, to try the benchmark out, a tiny one with random weights."""
    changes: dict[str, float] = {}
    if arguments.no_dropout:
        changes |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if arguments.quick:
        changes |= {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    if not changes:
        return encoder
    folder = encoder.with_name(f"{encoder.name}-{digest(changes)}")
    config = AutoConfig.from_pretrained(encoder, **changes)
    if arguments.quick:
        disable_progress_bar()
        torch.manual_seed(0)
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    config.save_pretrained(folder)
    for file in encoder.iterdir():
        if not (folder / file.name).exists():
            (folder / file.name).hardlink_to(file)
    return folder


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    add_machine(made)
    add_home(made)
    methods = ("gradient-mix-train", "naive-mix-train")
    made.add_argument("--method", choices=methods, default=methods[0], help="what is trained")
    made.add_argument("--seed", type=int, default=1, help="of shots, order, dropout and surgery")
    made.add_argument("--rounds", type=int, default=1, help="trials of each kind, in turn")
    made.add_argument("--fraction", type=float, default=1.0, help="of the usual script that is run, and extrapolated")
    made.add_argument("--no-dropout", action="store_true", help="makes the scores of both comparable")
    arguments = made.parse_args()
    arguments.home = arguments.home.resolve()
    if not 0 < arguments.fraction <= 1:
        made.error("--fraction is in (0, 1]")
    return arguments


if __name__ == "__main__":
    main()
