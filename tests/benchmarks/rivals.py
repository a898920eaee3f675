"""Trials of ner and xnli against transformers' Trainer with dynamic padding and batches of similar length.

Both train on the same examples with the same hyperparameters, take turns, and have a process of their own each time:
`our_trial.py` is ours, and `trainer_script.py` the script that people would write.
"""

import argparse
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from tests.benchmarks.side_by_side import (
    SHARED_DATA,
    Spread,
    add_home,
    at_least,
    device_or_default,
    offline_encoder,
    parser,
    print_table,
    setting,
)
from trainers.digests import digest
from trainers.protocols import PAPER
from trainers.sample_corpus import LANGUAGES
from trainers.tasks import TASKS
from trainers.trial import DataReference, Trial, TrialConfig, Wanted

ROOT = Path(__file__).parents[2]
OURS, RIVAL = WAYS = ("this project", "Trainer")
SPEED_UP_AT_LEAST = {"cpu": 2.2, "cuda": 1.5}
METHOD, K, SOURCE = "naive-mix-train", 5, "en"
TARGETS = {
    "ner": ("ar", "hi", "zh", "vi", "fi", "th", "ja", "ta", "ru", "de", "es", "he"),
    "xnli": ("ar", "bg", "de", "el", "es", "fr", "hi", "ru", "th", "vi", "zh"),
}
EVALUATION_BATCH = {"cpu": 32, "cuda": 128}  # of the script
PARTS = ("preparation", "training", "evaluation")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is trained and scored: examples of the source and of each test set, epochs, and the learning rate."""

    source: int
    test: int
    epochs: int
    learning_rate: float


SIZES = {
    "cpu": Size(source=1000, test=100, epochs=2, learning_rate=3e-4),
    "cuda": Size(source=4000, test=300, epochs=2, learning_rate=1e-4),
    "quick": Size(source=48, test=6, epochs=1, learning_rate=1e-3),
}

# Hidden size, layers and vocabulary of a random encoder: XLM-R base's, or next to nothing.
SHAPES = {"cuda": (768, 12, 250_002), "quick": (32, 2, 1000)}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a process has found; `about` is the digest of what else it depends on."""

    about: str
    task: str
    seed: int
    way: str
    seconds: dict[str, float]
    cpu_seconds: dict[str, float]
    peak: int
    device_peak: int
    scores: dict[str, float]
    steps: int

    def taken(self, device: str, *parts: str) -> float:
        """Seconds of some parts: on a CPU those that it computed, which other work of the machine changes least."""
        clock = self.cpu_seconds if device == "cpu" else self.seconds
        return sum(clock[part] for part in parts)

    @property
    def targets(self) -> float:
        """The mean score of the targets."""
        return fmean(score for language, score in self.scores.items() if language != SOURCE)


def main() -> None:
    """Run what is asked for, in turn, and print."""
    arguments = _arguments()
    end = time.monotonic() + 60 * arguments.minutes
    found = _read(arguments)
    longest = 0.0
    for seed in range(1, arguments.seeds + 1):
        for task in arguments.tasks:
            done = {one.way for one in found if (one.task, one.seed) == (task, seed)}
            if set(WAYS) <= done or time.monotonic() + longest > end:
                continue
            begin = time.monotonic()
            trial = make_trial(arguments, task, seed)
            for way in WAYS if seed % 2 else WAYS[::-1]:
                if way not in done:
                    found.append(_run(arguments, trial, way))
                    _add(arguments.results, found[-1])
            longest = max(longest, time.monotonic() - begin)
    _print(arguments, found)


def make_trial(arguments: argparse.Namespace, task: str, seed: int) -> Trial:
    """A training on source and shots without surgery, selected by the source's dev set."""
    size = _size(arguments)
    training = replace(
        TASKS[task].under(PAPER.name).training,
        epochs=size.epochs,
        learning_rate=size.learning_rate,
        precision="bf16" if arguments.device == "cuda" else "fp32",
        max_source_examples=size.source,
    )
    data, targets = _data(arguments, task, size)
    config = TrialConfig(
        task=task,
        method=METHOD,
        source_language=SOURCE,
        target_languages=targets,
        k=K,
        seed=seed,
        alpha=None,
        protocol=PAPER.name,
        training=training,
        encoder=str(_encoder(arguments)),
        encoder_digest=digest("benchmark"),
        data_digest=digest(asdict(size)),
    )
    return Trial(
        config=config,
        source=None,
        data=DataReference("folder", data),
        wanted=Wanted(selections=("source-dev",), evaluate=dict.fromkeys((SOURCE, *targets), "")),
        max_test_examples=size.test,
        home=arguments.home,
        threads=arguments.threads,
        device=arguments.device,
    )


def _size(arguments: argparse.Namespace) -> Size:
    size = SIZES["quick" if arguments.quick else arguments.device]
    asked = {name: getattr(arguments, name) for name in ("source", "test", "epochs")}
    return replace(size, **{name: value for name, value in asked.items() if value is not None})


def _uses_samples(arguments: argparse.Namespace) -> bool:
    """Whether the samples of XTREME-R and the offline encoder are used: a GPU has none and wants a larger one."""
    return arguments.device == "cpu" and not arguments.quick and all((SHARED_DATA / one).is_dir() for one in TARGETS)


def _data(arguments: argparse.Namespace, task: str, size: Size) -> tuple[Path, tuple[str, ...]]:
    if _uses_samples(arguments):
        return SHARED_DATA, TARGETS[task]
    from tests.benchmarks.made_data import make_tokenizer, write_examples

    sizes = {"source": size.source, "train": 60, "dev": min(200, size.source), "test": size.test}
    folder = arguments.home / f"made-{digest(sizes)}"
    if not (folder / task).is_dir():
        write_examples(folder, task, make_tokenizer(10_000), sizes)
    targets = tuple(language for language in LANGUAGES if language != SOURCE)
    return folder, targets[:2] if arguments.quick else targets


def _encoder(arguments: argparse.Namespace) -> Path:
    if _uses_samples(arguments):
        return offline_encoder(arguments.home)
    from tests.benchmarks.made_data import write_encoder

    shape = SHAPES["quick" if arguments.quick or arguments.device == "cpu" else "cuda"]
    folder: Path = arguments.home / f"encoder-{digest(shape)}"
    return folder if folder.is_dir() else write_encoder(folder, *shape)


def _run(arguments: argparse.Namespace, trial: Trial, way: str) -> Found:
    """Run one way in a process of its own."""
    config, training = trial.config, trial.config.training
    folder = arguments.home / "rivals"
    folder.mkdir(parents=True, exist_ok=True)
    given, data, output = (folder / f"{os.getpid()}-{name}" for name in ("trial", "examples.json", "found.json"))
    given.write_bytes(pickle.dumps(trial))
    data.write_text(json.dumps(_examples(trial)))
    script: dict[str, Any] = {
        "task": config.task, "encoder": config.encoder, "data": data, "output": output, "epochs": training.epochs,
        "batch-size": training.batch_size, "eval-batch-size": EVALUATION_BATCH[trial.device],
        "learning-rate": training.learning_rate, "max-length": training.max_length, "seed": config.seed,
        "device": trial.device, "threads": trial.threads, "workers": arguments.workers,
        "sampling": arguments.sampling,
    }  # fmt: skip
    options = [text for name, value in script.items() for text in (f"--{name}", str(value))]
    if training.precision == "bf16":
        options.append("--bf16")
    command = {
        OURS: ["-m", "tests.benchmarks.our_trial", str(given), str(output)],
        RIVAL: [str(Path(__file__).with_name("trainer_script.py")), *options],
    }
    threads = {name: str(trial.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")}
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    answer = subprocess.run(
        [sys.executable, *command[way]],
        cwd=ROOT,
        env={**os.environ, **threads, **quiet},
        capture_output=True,
        text=True,
    )
    if answer.returncode:
        sys.exit(f"{way} failed:\n{answer.stdout}{answer.stderr}")
    result = json.loads(output.read_text())
    for file in (given, data, output):
        file.unlink()
    _check_f1(config.task, result.pop("tags", {}), result["scores"])
    return Found(about=_about(arguments), task=config.task, seed=config.seed, way=way, **result)


def _examples(trial: Trial) -> dict[str, Any]:
    """The very examples of a trial, as the script reads them."""
    from transformers import AutoTokenizer

    from trainers.training.trial_data import TrialData

    data = TrialData(trial, AutoTokenizer.from_pretrained(trial.config.encoder))
    data.read_all()
    [dev] = data.selecting["source-dev"]
    train = [data.source, *data.shots.values()]
    return {
        "labels": data.labels,
        "train": [example for part in train for example in part.examples],
        "dev": dev.examples,
        "tests": {language: data.test(language).examples for language in trial.wanted.evaluate},
    }


def _check_f1(task: str, tags: dict[str, Any], scores: dict[str, float]) -> None:
    """The script's own F1 is that of this project, which is tested against seqeval."""
    for language, pairs in tags.items():
        gold, predicted = zip(*pairs, strict=True)
        expected = TASKS[task].metrics(gold, predicted)["f1"]
        assert abs(scores[language] - expected) < 1e-6, (language, scores[language], expected)


# What was found


def _about(arguments: argparse.Namespace) -> str:
    versions = [version(name) for name in ("torch", "transformers")]
    setup = arguments.device, arguments.threads, arguments.workers, arguments.sampling, _uses_samples(arguments)
    return digest([*setup, asdict(_size(arguments)), *versions])


def _read(arguments: argparse.Namespace) -> list[Found]:
    """What an earlier call has found with the same sizes."""
    file: Path | None = arguments.results
    lines = file.read_text().splitlines() if file is not None and file.is_file() else []
    found = [Found(**json.loads(line)) for line in lines]
    return [one for one in found if one.about == _about(arguments)]


def _add(file: Path | None, found: Found) -> None:
    if file is not None:
        with file.open("a") as lines:
            lines.write(f"{json.dumps(asdict(found))}\n")


def _print(arguments: argparse.Namespace, found: Sequence[Found]) -> None:
    device, size = arguments.device, _size(arguments)
    samples = _uses_samples(arguments)
    print(
        f"Trials of {METHOD}: {size.source} English examples and K = {K} in each target, {size.epochs} epochs, learning"
    )
    print(f"rate {size.learning_rate:g}, protocol paper, {size.test} test examples a language;")
    print("samples of XTREME-R, offline encoder." if samples else "made data, an XLM-R with random weights.")
    precision = "bf16" if device == "cuda" else "fp32"
    print(setting(arguments.threads, device, precision, arguments.quick))
    clock = "CPU seconds (of one's own process)" if device == "cpu" else "wall-clock seconds"
    print(f"Times are {clock}, medians and quartiles over seeds; in brackets wall-clock seconds.\n")
    by_seed = [pair for task in arguments.tasks for pair in _pairs(found, task)]
    _print_parts(arguments, by_seed)
    _print_ratios(arguments, by_seed)
    _print_scores(arguments, by_seed)


def _pairs(found: Sequence[Found], task: str) -> Iterator[tuple[Found, Found]]:
    """Ours and the rival's of each seed that has both."""
    named = {(one.task, one.seed, one.way): one for one in found}
    for seed in sorted({one.seed for one in found}):
        if all((task, seed, way) in named for way in WAYS):
            yield named[task, seed, OURS], named[task, seed, RIVAL]


Pairs = Sequence[tuple[Found, Found]]


def _print_parts(arguments: argparse.Namespace, pairs: Pairs) -> None:
    rows = []
    for task in arguments.tasks:
        for place, way in enumerate(WAYS):
            ones = [pair[place] for pair in pairs if pair[0].task == task]
            if not ones:
                continue
            times = [
                f"{Spread.of([one.taken(arguments.device, part) for one in ones])}"
                f" [{Spread.of([one.seconds[part] for one in ones]).median:.2f}]"
                for part in PARTS
            ]
            saving = Spread.of([one.seconds.get("saving", 0.0) for one in ones]).median
            peaks = [f"{max(getattr(one, name) for one in ones) / 2**30:.2f}" for name in ("peak", "device_peak")]
            rows.append([task, way, *times, f"{saving:.1f}" if saving else "", ones[0].steps, *peaks])
    memory = ["peak of the process, GiB", "of the GPU, GiB"]
    print_table(["task", "", *PARTS, "best model, saved and loaded", "updates", *memory], rows)


def _print_ratios(arguments: argparse.Namespace, pairs: Pairs) -> None:
    rows = []
    for task in arguments.tasks:
        of_task = [pair for pair in pairs if pair[0].task == task]
        if not of_task:
            continue
        ratios = {
            parts: Spread.of(
                [
                    rival.taken(arguments.device, *parts) / ours.taken(arguments.device, *parts)
                    for ours, rival in of_task
                ]
            )
            for parts in (("training",), ("evaluation",), ("training", "evaluation"))
        }
        both = ratios["training", "evaluation"].median
        target = at_least(SPEED_UP_AT_LEAST[arguments.device], both, arguments.quick)
        rows.append([task, *ratios.values(), target])
    print_table(["times as fast", "training", "evaluation", "both", "target"], rows)


def _print_scores(arguments: argparse.Namespace, pairs: Pairs) -> None:
    rows = []
    for task in arguments.tasks:
        ours, rivals = ([pair[place] for pair in pairs if pair[0].task == task] for place in (0, 1))
        if not ours:
            continue
        means = [[one.targets for one in ones] for ones in (ours, rivals)]
        off = abs(fmean(means[0]) - fmean(means[1]))
        verdict = ""
        if len(ours) > 1:
            allowed = max(stdev(values) for values in means)
            verdict = f"{off:.2f}; sd {stdev(means[0]):.2f} and {stdev(means[1]):.2f}: "
            verdict += "not measured" if arguments.quick else "met" if off <= allowed else "MISSED"
        for way, ones in ((OURS, ours), (RIVAL, rivals)):
            cells = [", ".join(f"{value:.1f}" for value in values) for values in (
                [one.scores[SOURCE] for one in ones], [one.targets for one in ones])]  # fmt: skip
            rows.append([task, way, *cells, verdict])
    print_table(
        ["task", "", "English, by seed", "mean of the targets, by seed", "means apart (target: at most the sd)"], rows
    )


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    add_home(made)
    made.add_argument("--tasks", nargs="+", choices=sorted(TARGETS), default=sorted(TARGETS))
    made.add_argument("--device", choices=("cpu", "cuda"), default=None, help="a GPU where there is one, by default")
    made.add_argument("--threads", type=int, default=1, help="CPU threads of each")
    made.add_argument("--seeds", type=int, default=3, help="of shots, heads, order and dropout; of each a trial a way")
    made.add_argument("--source", type=int, default=None, help="source examples, where they are not to be the usual")
    made.add_argument("--test", type=int, default=None, help="the same for test examples of a language")
    made.add_argument("--epochs", type=int, default=None, help="the same for epochs")
    made.add_argument("--minutes", type=float, default=None, help="that all may take: 3 on a GPU, or else an hour")
    samplings = ("group_by_length", "random")  # the latter has our objective, and pads more
    made.add_argument("--sampling", choices=samplings, default=samplings[0], help="of the script")
    made.add_argument("--workers", type=int, default=0, help="processes that make batches for the script")
    made.add_argument("--results", type=Path, default=None, help="JSON lines: what is there is not run again")
    arguments = made.parse_args()
    arguments.home = arguments.home.resolve()
    arguments.device = "cpu" if arguments.quick and not arguments.device else device_or_default(arguments.device)
    arguments.minutes = arguments.minutes or (3.0 if arguments.device == "cuda" else 60.0)
    if arguments.quick:
        arguments.seeds = 1
    return arguments


if __name__ == "__main__":
    main()
