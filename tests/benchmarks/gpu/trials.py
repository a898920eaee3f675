"""Whole trials on the card, their first steps, and evaluation through the project's scoring path."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from steps import LABELS, SPECIAL

from tests.benchmarks.gpu import encoders
from tests.benchmarks.gpu.section import PRECISIONS, Bench, Row, median, precision
from tests.benchmarks.gpu.subjects import mixed_lengths, shape, training
from tests.benchmarks.gpu.training import sizes
from trainers import memory
from trainers.one_trial import run
from trainers.protocols import PAPER
from trainers.sample_corpus import LANGUAGES
from trainers.tasks import TASKS
from trainers.tasks.ner import NER
from trainers.tasks.tagging import TaggingWindow
from trainers.training.evaluation import predict
from trainers.training.fresh_model import load_tokenizer
from trainers.training.loop import DTYPES, Loop, TrainingSet
from trainers.training.trial_model import TrialModel
from trainers.trial import DataReference, Precision, Trial, TrialConfig, Wanted

BATCH_TOKENS = (4096, 16384, 65536)
WINDOWS = 2000
LABEL_SET = tuple(f"label {place}" for place in range(LABELS))

# Size of the encoder, task, method, precision: short trials, each run at two seeds in one process.
TRIALS: Sequence[tuple[str, str, str, Precision]] = (
    ("base", "ner", "gradient-mix-train", "bf16"),
    ("base", "xnli", "gradient-mix-train", "bf16"),
    ("large", "ner", "gradient-mix-train", "bf16"),
    ("base", "ner", "gradient-mix-train", "fp32"),
)


def trial_model(bench: Bench, size: str) -> TrialModel:
    """The model of a trial."""
    folder = _folder(bench, size)
    return TrialModel(NER, folder, load_tokenizer(folder), LABEL_SET, bench.device)


def _folder(bench: Bench, size: str) -> Path:
    return encoders.write(shape(size, quick=bench.quick), bench.folder / size, bench.device)


def windows(lengths: Sequence[int], vocabulary: int) -> list[TaggingWindow]:
    """Random windows, every other token a word."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for place, length in enumerate(lengths):
        ids = torch.randint(SPECIAL, vocabulary, (length,), generator=generator).tolist()
        positions = list(range(0, length, 2))
        words, labels = list(range(len(positions))), [place % LABELS] * len(positions)
        made.append(TaggingWindow(place, ids, [], len(words), words, positions, labels))
    return made


def evaluation(bench: Bench) -> Iterator[Row]:
    """Tokens a second through `predict`, by precision and by tokens of a batch."""
    for size in sizes(bench):
        model = trial_model(bench, size)
        lengths = mixed_lengths(40 if bench.quick else WINDOWS, bench.quick)
        there = windows(lengths, shape(size, quick=bench.quick).vocabulary)
        collate = partial(model.batch, model.rows_to_predict(there), there)
        for name in PRECISIONS:
            if bench.time_is_up:
                return
            dtype = torch.float32 if name == "tf32" else DTYPES[name]
            with precision(name):
                found = bench.in_turn(
                    {
                        str(most): partial(predict, model.model, NER, there, collate, dtype, most)
                        for most in BATCH_TOKENS
                    },
                    rounds=3,
                    warm_up=1,
                )
            speeds = {f"tokens/s in batches of {most}": sum(lengths) / median(one) for most, one in found.items()}
            yield {"encoder": f"XLM-R {size}", "precision": name, **speeds}
        del model, collate
        memory.release()


def start(bench: Bench) -> Iterator[Row]:
    """What a trial in a new process waits for: the first use of the card, the model, the first steps."""
    begin = time.perf_counter()
    torch.zeros(1, device=bench.device)
    bench.synchronize()
    yield {"what": "first use of the device", "seconds": time.perf_counter() - begin}
    for size in sizes(bench):
        if bench.time_is_up:
            return
        yield {"what": f"{size}: encoder written", "seconds": bench.seconds(partial(_folder, bench, size))}
        for name in ("bf16",) if bench.quick else ("bf16", "fp32"):
            yield from _first_steps(bench, size, name)


def _first_steps(bench: Bench, size: str, name: str) -> Iterator[Row]:
    begin = time.perf_counter()
    made = trial_model(bench, size)
    bench.synchronize()
    yield {"what": f"{size}: model read and put on the device", "seconds": time.perf_counter() - begin}
    lengths = mixed_lengths(32, bench.quick)
    there = windows(lengths, shape(size, quick=bench.quick).vocabulary)
    begin = time.perf_counter()
    rows = made.trainable_rows(there, 0.0)
    bench.synchronize()
    yield {"what": f"{size}: rows installed, trimming proven", "seconds": time.perf_counter() - begin}
    data = TrainingSet(
        examples=range(len(there)),
        lengths=lengths,
        supervised=[one.supervised for one in there],
        collate=partial(made.batch, rows, there, with_targets=True),
        loss=NER.loss,
    )
    loop = Loop(made.model, data, training(name, len(there)), 1)
    loop.model.train()
    update: Callable[[], object] = partial(loop._update, range(len(there)))
    took = [bench.seconds(update) for _ in range(4 if bench.quick else 12)]
    for place in (0, 1):
        yield {"what": f"{size}, {name}: step {place + 1}", "seconds": took[place]}
    yield {"what": f"{size}, {name}: a later step", "seconds": median(took[2:])}
    del loop, data, update, rows, made
    memory.release()


def trials(bench: Bench) -> Iterator[Row]:
    """Whole short trials of the sample corpus: where their time goes, in a new process and in one that has had some."""
    for size, task, method, asked in TRIALS[: 2 if bench.quick else None]:
        for seed in (1,) if bench.quick else (1, 2):
            if bench.time_is_up:
                return
            trial = _trial(bench, size, task, method, asked, seed)
            begin = time.perf_counter()
            outcome = run(trial, lambda _: None)
            bench.synchronize()
            whole = time.perf_counter() - begin
            work = outcome.facts["work"]
            used = [work[part]["seconds"] for part in ("training", "evaluation")]
            yield {
                "task": task,
                "encoder": f"XLM-R {size}",
                "precision": asked,
                "seed": seed,
                "seconds": whole,
                "training s": used[0],
                "evaluation s": used[1],
                "the rest s": whole - sum(used),
                "steps": work["training"]["steps"],
                "training tokens/s": work["training"]["sub_words"] / used[0],
                "evaluation tokens/s": work["evaluation"]["sub_words"] / used[1],
            }


def _trial(bench: Bench, size: str, task: str, method: str, asked: Precision, seed: int) -> Trial:
    settings = TASKS[task].under(PAPER.name)
    size = "base" if bench.quick else size
    folder = _folder(bench, size)
    targets = tuple(language for language in LANGUAGES if language != "en")[: 2 if bench.quick else None]
    few = {"epochs": 1, "max_source_examples": 32, "max_length": 64} if bench.quick else {"epochs": 3}
    config = TrialConfig(
        task=task,
        method=method,
        source_language="en",
        target_languages=targets,
        k=5,
        seed=seed,
        alpha=1.0,
        protocol=PAPER.name,
        training=replace(settings.training, precision=asked, **few),
        encoder=str(folder),
        encoder_digest=f"{size}{bench.quick}",
        data_digest="benchmark",
    )
    return Trial(
        config=config,
        source=None,
        data=DataReference("sample"),
        wanted=Wanted(selections=("source-dev",), evaluate=dict.fromkeys(("en", *targets), "")),
        max_test_examples=10 if bench.quick else None,
        home=bench.folder / "home",
        device=bench.device,
    )
