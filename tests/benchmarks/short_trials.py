"""What short trials take beside their steps and evaluations: ord-FS at K = 1, one after another as a worker runs them.

CPU seconds of one process, by phase. No language has been seen before in the first round; in the second, at another
seed, all have. Ray has no part in it (see `tune_overhead.py`), and the source model is trained before.
"""

import argparse
import importlib._bootstrap  # type: ignore[import-not-found]
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from phases import Phases
from side_by_side import (
    SHARED_DATA,
    add_home,
    at_most,
    need_shared_data,
    offline_encoder,
    parser,
    print_table,
    setting,
)

import trainers
from service.engine import worker
from trainers.artifacts.layout import tokenized_parts
from trainers.data.sources import open_data
from trainers.data.splits import training_data
from trainers.encoders.by_name import encoder_digest
from trainers.methods import SOURCE_TRAINING
from trainers.protocols import PAPER
from trainers.tasks import TASKS
from trainers.trial import DataReference, Trial, TrialConfig, Wanted

SECONDS_AT_MOST = {"small": 1.5, "large": 5.0, "quick": 1.5}
WORK = ("steps", "evaluation")
RESIDENT = "memory of the process afterwards"

# Hidden size, layers and vocabulary of encoders with random weights: XLM-R large's, and next to nothing.
SHAPES = {"large": (1024, 24, 250_002), "quick": (32, 2, 1000)}

SOURCE = "en"
TARGETS = {
    "ner": ("ar", "hi", "zh", "vi", "fi", "th", "ja", "ta", "ru", "de", "es", "he"),
    "xnli": ("ar", "bg", "de", "el", "es", "fr", "hi", "ru", "th", "vi", "zh"),
}

# Examples of the published splits of one language: of WikiANN's largest languages, and of XNLI.
PUBLISHED = {"ner": {"train": 20_000, "test": 10_000}, "xnli": {"dev": 2_490, "test": 5_010}}


def main() -> None:
    """Run the trials and print."""
    arguments = _arguments()
    need_shared_data(arguments.task)
    spawn = multiprocessing.get_context("spawn")
    for target in (_prepare_encoder, _train_source):  # elsewhere: this process is to import nothing before its time
        other = spawn.Process(target=target, args=(arguments,))
        other.start()
        other.join()
        if other.exitcode:
            raise SystemExit(other.exitcode)
        if not _encoder(arguments).is_dir():  # which has been said
            return
    shutil.rmtree(tokenized_parts(arguments.home), ignore_errors=True)
    targets = TARGETS[arguments.task][: arguments.languages]
    phases = Phases()
    with phases.within("imports"):
        worker._load()
    with ExitStack() as patches:
        for one in _patches(phases, arguments.task):
            patches.enter_context(one)
        rounds = [[_run(phases, _trial(arguments, target, seed)) for target in targets] for seed in (1, 2)]
    _print(arguments, rounds)
    _print_data(arguments, targets)


def _patches(phases: Phases, task: str) -> Iterator[Any]:
    """What charges each phase; all is loaded by now."""
    from trainers import memory
    from trainers.data.folder import FolderData
    from trainers.training import bench
    from trainers.training.loop import Loop
    from trainers.training.resuming import Checkpoints
    from trainers.training.scoring import Scorer
    from trainers.training.tokenized_parts import TokenizedParts
    from trainers.training.trial_data import TrialData
    from trainers.training.trial_model import TrialModel

    for phase, owner, names in (
        ("imports", importlib._bootstrap, ("_find_and_load",)),
        ("plan checked", worker, ("_check",)),
        ("data read", FolderData, ("facts", "examples")),
        ("shots drawn", TrialData, ("_draw",)),
        ("tokenized", type(TASKS[task]), ("features",)),
        ("tokenized parts kept", TokenizedParts, ("read", "write")),
        ("tokenizer", bench, ("load_tokenizer", "tokenizer_digest")),
        ("model built", TrialModel, ("__init__",)),
        ("source model read", bench.TrialBench, ("start_from_source_model",)),
        ("trimming proven", TrialModel, ("_prove",)),
        ("weights copied", TrialModel, ("weights", "load")),
        ("steps", Loop, ("__init__", "run")),
        ("evaluation", Scorer, ("evaluate",)),
        ("predictions stored", Scorer, ("store",)),
        ("checkpoints", Checkpoints, ("write",)),
        ("garbage collected", memory, ("release",)),
    ):
        for name in names:
            yield phases.timed(owner, name, phase)


def _run(phases: Phases, trial: Trial) -> dict[str, float]:
    """Run a trial as Tune has its worker run it."""
    told: list[Any] = []
    with patch.object(worker.tune, "report", lambda value, **_: told.append(value)):
        worker.train({"trial": trial, "end_file": SimpleNamespace(exists=lambda: False)})
    assert told[-1]["kind"] == "succeeded", told[-1]
    return {**phases.take(), RESIDENT: _resident()}


def _resident() -> float:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _print(arguments: argparse.Namespace, rounds: Sequence[Sequence[Mapping[str, float]]]) -> None:
    (first, *unseen), seen = rounds
    columns: list[Sequence[Mapping[str, float]]] = [[first], unseen, seen]
    phases = {phase for column in columns for one in column for phase in one} - {*WORK, RESIDENT}
    seconds = {phase: [median(one.get(phase, 0.0) for one in column) for column in columns] for phase in phases}
    rest = [median(sum(one.get(phase, 0.0) for phase in phases) for one in column) for column in columns]
    work = {phase: [median(one[phase] for one in column) for column in columns] for phase in WORK}
    longest = sorted(seconds.items(), key=lambda item: -item[1][1])
    print(f"{arguments.task}: ord-FS at K = 1 from one source model, {arguments.epochs} updates, {len(seen)} targets,")
    print(f"encoder {arguments.encoder}, {arguments.test or 'all'} test examples a language; CPU seconds, medians.")
    print(setting(arguments.threads, "cpu", "fp32", arguments.quick) + "\n")
    print_table(
        ["phase", "the first of the process", "later, language unseen", "later, language seen"],
        [
            *([phase, *(f"{one:.3f}" for one in of_phase)] for phase, of_phase in (*work.items(), *longest)),
            ["all but steps and evaluation", *(f"{one:.2f}" for one in rest)],
            ["target", "", *(at_most(SECONDS_AT_MOST[arguments.encoder], one, arguments.quick) for one in rest[1:])],
            [RESIDENT, *(f"{median(one[RESIDENT] for one in column) / 2**30:.2f} GiB" for column in columns)],
        ],
    )


def _print_data(arguments: argparse.Namespace, targets: Sequence[str]) -> None:
    """The same for the data of a trial alone, with as many examples as the published splits have."""
    from trainers.encoders.files import tokenizer_digest
    from trainers.training.fresh_model import load_tokenizer

    encoder, task = _encoder(arguments), arguments.task
    tokenizer, digest = load_tokenizer(encoder), tokenizer_digest(encoder)
    sizes = dict.fromkeys(PUBLISHED[task], 50) if arguments.quick else PUBLISHED[task]
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory(dir=arguments.home) as folder:
        root = Path(folder)
        for language in (SOURCE, *targets):
            _repeat(SHARED_DATA / task / language, root / task / language, sizes)
        for scored in ([(target,) for target in targets[:3]], [targets]):
            found: dict[str, list[tuple[float, float]]] = {"not kept": [], "kept now": [], "kept before": []}
            for languages in scored:
                trial = _trial(arguments, languages[0], 3)
                wanted = replace(trial.wanted, evaluate=dict.fromkeys(languages, ""))
                trial = replace(
                    trial, wanted=wanted, data=DataReference("folder", root), max_test_examples=None
                )  # fmt: skip
                shutil.rmtree(tokenized_parts(arguments.home), ignore_errors=True)
                for way, taken in found.items():
                    taken.append(_read(trial, tokenizer, digest if way != "not kept" else None))
            kept = sum(path.stat().st_size for path in tokenized_parts(arguments.home).iterdir())
            cells = [f"{median(one for one, _ in each):.2f} s, {median(one for _, one in each) / 2**20:.0f} MiB"
                     for each in found.values()]  # fmt: skip
            rows.append([len(scored[0]), *cells, f"{kept / 2**20:.1f} MiB"])
    print(f"The data of such a trial where splits are as large as published ({sizes}; repeated samples):")
    print("CPU seconds, and how much the memory of the process grows; of one test set the medians of three.\n")
    print_table(["test sets", *found, "files"], rows)


def _read(trial: Trial, tokenizer: Any, digest: str | None) -> tuple[float, float]:
    """CPU seconds in which a trial's data are read, and the bytes by which the memory grows."""
    from trainers import memory
    from trainers.data.shots import hashed_order
    from trainers.training.trial_data import TrialData

    for language in trial.wanted.evaluate:  # the service knows the facts of files from planning
        open_data(trial.data, trial.config.task, trial.home).facts(language, "test")
    TrialData(trial, tokenizer).draws  # noqa: B018
    hashed_order.cache_clear()
    memory.release()
    before, begin = _resident(), time.process_time()
    data = TrialData(trial, tokenizer, digest)
    data.read_all()
    return time.process_time() - begin, _resident() - before


def _repeat(source: Path, target: Path, sizes: Mapping[str, int]) -> None:
    """Copy a language's splits, some of them with their lines repeated to a size, each told apart from the others."""
    target.mkdir(parents=True)
    for file in source.glob("*.jsonl"):
        lines = file.read_text(encoding="utf-8").splitlines()
        size = sizes.get(file.stem, len(lines))
        numbered = ({**json.loads(line), "id": str(place)} for place, line in enumerate(islice(cycle(lines), size)))
        text = "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in numbered)
        (target / file.name).write_text(text, encoding="utf-8")


def _trial(arguments: argparse.Namespace, target: str, seed: int) -> Trial:
    """ord-FS for a target; without one the source training."""
    task = TASKS[arguments.task]
    settings = task.under(PAPER.name)
    data = DataReference("folder", SHARED_DATA)
    encoder = str(_encoder(arguments))
    source_training = replace(
        settings.training, epochs=1, max_source_examples=500 if arguments.encoder == "small" else 64, learning_rate=3e-4
    )
    opened = open_data(data, task.name, arguments.home)
    source = TrialConfig(
        task=task.name, method=SOURCE_TRAINING, source_language=SOURCE, target_languages=(), k=0, seed=1, alpha=None,
        protocol=PAPER.name, training=source_training, encoder=encoder,
        encoder_digest=encoder_digest(encoder, arguments.home),
        data_digest=training_data(opened, SOURCE, (), settings.shots_split, (settings.selection,)),
    )  # fmt: skip
    selections = ("last",) if target else (settings.selection,)
    config = replace(
        source, method="ord-FS", target_languages=(target,), k=1, seed=seed,
        training=replace(source_training, epochs=arguments.epochs),
        data_digest=training_data(opened, SOURCE, (target,), settings.shots_split, selections),
    ) if target else source  # fmt: skip
    return Trial(
        config=config, source=source if target else None, data=data,
        wanted=Wanted(selections=selections, evaluate={target: ""} if target else {}, keep=not target),
        max_test_examples=arguments.test, home=arguments.home, threads=arguments.threads,
    )  # fmt: skip


def _encoder(arguments: argparse.Namespace) -> Path:
    """Where the encoder lies, or would."""
    if arguments.encoder in SHAPES:
        folder: Path = arguments.home / f"short-trials-{arguments.encoder}"
        return folder
    from trainers.artifacts.layout import encoders_folder
    from trainers.encoders.offline import DIGEST

    return encoders_folder(arguments.home) / f"multilingual-e5-small-{DIGEST}"


def _prepare_encoder(arguments: argparse.Namespace) -> None:
    if arguments.encoder == "small":
        offline_encoder(arguments.home)
    elif not _encoder(arguments).is_dir():
        from made_data import write_encoder

        write_encoder(_encoder(arguments), *SHAPES[arguments.encoder])


def _train_source(arguments: argparse.Namespace) -> None:
    trainers.run(_trial(arguments, "", 1), lambda _: None)


def _arguments() -> argparse.Namespace:
    made = add_home(parser(__doc__))
    made.add_argument("--task", choices=sorted(TARGETS), default="ner")
    help_ = "the offline encoder, or XLM-R large by shape with random weights"
    made.add_argument("--encoder", choices=("small", "large"), default="small", help=help_)
    made.add_argument("--languages", type=int, default=12, help="targets, each of which has two trials")
    made.add_argument("--test", type=int, default=None, help="test examples of a language; all by default")
    made.add_argument("--epochs", type=int, default=5, help="of one update each")
    made.add_argument("--threads", type=int, default=1, help="CPU threads")
    arguments = made.parse_args()
    if arguments.quick:
        arguments.encoder, arguments.languages, arguments.test, arguments.epochs = "quick", 3, 10, 2
    arguments.home = arguments.home.resolve()
    return arguments


if __name__ == "__main__":
    main()
