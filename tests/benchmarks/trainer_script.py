"""Fine-tuning with transformers' Trainer as people write it today, after its examples run_ner.py and run_xnli.py.

It imports nothing of this project. Batches are padded to their longest sentence and hold sentences of similar length,
the optimizer is fused, each epoch is evaluated on the dev set and the best one is kept, and each language has an
evaluation of its own. Its clock stands still while test sets are tokenized.
"""

# ruff: noqa: E402  (the clock starts before the imports)
import time

BEGIN = time.perf_counter(), time.process_time()  # imports are a part of its preparation

import argparse
import json
import resource
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    EvalPrediction,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

UNLABELED = -100

Rows = list[dict[str, Any]]


class Clock:
    """Seconds and CPU seconds by part."""

    def __init__(self, device: str) -> None:
        self.device, self.last = device, BEGIN
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)

    def charge(self, part: str) -> None:
        """Charge a part with what has passed since the last call."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter(), time.process_time()
        self.seconds[part] += now[0] - self.last[0]
        self.cpu_seconds[part] += now[1] - self.last[1]
        self.last = now


class Timing(TrainerCallback):
    """Tells the parts of a training apart."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.clock.charge("preparation")

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        self.clock.charge("training")

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        self.clock.charge("evaluation")

    def on_save(self, *_: Any, **__: Any) -> None:
        self.clock.charge("saving")

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.clock.charge("saving")  # the best model is loaded


# Tokens and labels


def tokenize_ner(examples: Rows, labels: Sequence[str], tokenizer: Any, max_length: int) -> Rows:
    """As in run_ner.py: the first token of each word has its label; what is too long is cut."""
    encoded = tokenizer(
        [one["tokens"] for one in examples], truncation=True, max_length=max_length, is_split_into_words=True
    )
    place = {label: number for number, label in enumerate(labels)}
    rows = []
    for number, example in enumerate(examples):
        words = encoded.word_ids(batch_index=number)
        firsts = [word is not None and word != before for before, word in pairwise([None, *words])]
        tags = [place[example["tags"][word]] if first else UNLABELED for word, first in zip(words, firsts, strict=True)]
        rows.append({**{name: values[number] for name, values in encoded.items()}, "labels": tags})
    return rows


def tokenize_xnli(examples: Rows, labels: Sequence[str], tokenizer: Any, max_length: int) -> Rows:
    """As in run_xnli.py."""
    texts = ([one[name] for one in examples] for name in ("premise", "hypothesis"))
    encoded = tokenizer(*texts, truncation=True, max_length=max_length)
    return [
        {**{name: values[number] for name, values in encoded.items()}, "labels": labels.index(example["label"])}
        for number, example in enumerate(examples)
    ]


# Scores


def spans(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """(type, first word, word after the last) of the entities in IOB2 tags."""
    found, kind, first = set(), "", 0
    for place, tag in enumerate([*tags, "O"]):
        if tag.startswith("I-") and tag[2:] == kind:
            continue
        if kind:
            found.add((kind, first, place))
        kind, first = tag[2:], place
    return found


def tags_of(output: EvalPrediction, labels: Sequence[str]) -> list[tuple[list[str], list[str]]]:
    """(gold, predicted) tags of the words of each sentence."""
    kept = output.label_ids != UNLABELED
    return [
        ([labels[one] for one in gold[known]], [labels[one] for one in predicted[known]])
        for gold, predicted, known in zip(output.label_ids, output.predictions, kept, strict=True)
    ]


def f1(output: EvalPrediction, labels: Sequence[str]) -> dict[str, float]:
    """F1 of exact entities, in percent."""
    pairs = [(spans(gold), spans(predicted)) for gold, predicted in tags_of(output, labels)]
    right = sum(len(gold & predicted) for gold, predicted in pairs)
    return {"f1": 200 * right / max(1, sum(len(gold) + len(predicted) for gold, predicted in pairs))}


def accuracy(output: EvalPrediction, labels: Sequence[str]) -> dict[str, float]:
    """In percent."""
    return {"accuracy": 100 * float((output.predictions == output.label_ids).mean())}


def best_labels(logits: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Without it, Trainer keeps the logits of all batches."""
    return logits.argmax(-1)


TASKS = {
    "ner": (AutoModelForTokenClassification, DataCollatorForTokenClassification, tokenize_ner, f1),
    "xnli": (AutoModelForSequenceClassification, DataCollatorWithPadding, tokenize_xnli, accuracy),
}


def main() -> None:
    """Train, evaluate, write what was found."""
    arguments = _arguments()
    logging.set_verbosity_error()
    torch.set_num_threads(arguments.threads)
    clock = Clock(arguments.device)
    set_seed(arguments.seed)
    model_class, collator, tokenize, score = TASKS[arguments.task]
    data = json.loads(arguments.data.read_text())
    labels = data["labels"]
    tokenizer = AutoTokenizer.from_pretrained(arguments.encoder)
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: place for place, label in enumerate(labels)}}
    config = AutoConfig.from_pretrained(arguments.encoder, num_labels=len(labels), **names)
    model = model_class.from_pretrained(arguments.encoder, config=config, dtype=torch.float32)
    tokenized = partial(tokenize, labels=labels, tokenizer=tokenizer, max_length=arguments.max_length)
    train, dev = tokenized(data["train"]), tokenized(data["dev"])
    clock.charge("preparation")
    tests = {language: tokenized(examples) for language, examples in data["tests"].items()}
    clock.charge("tokenizing test sets")
    with tempfile.TemporaryDirectory(dir=arguments.output.parent) as folder:
        trainer = Trainer(
            model=model,
            args=_training_arguments(arguments, folder, score.__name__),
            train_dataset=train,
            eval_dataset=dev,
            data_collator=collator(tokenizer),
            processing_class=tokenizer,
            compute_metrics=partial(score, labels=labels),
            preprocess_logits_for_metrics=best_labels,
            callbacks=[Timing(clock)],
        )
        trainer.train()
        found = {language: trainer.predict(test) for language, test in tests.items()}
        clock.charge("evaluation")
    device_peak = torch.cuda.max_memory_allocated() if arguments.device == "cuda" else 0
    result = {
        "seconds": clock.seconds,
        "cpu_seconds": clock.cpu_seconds,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "device_peak": device_peak,
        "scores": {language: output.metrics[f"test_{score.__name__}"] for language, output in found.items()},
        "steps": trainer.state.global_step,
        "tags": {language: tags_of(output, labels) for language, output in found.items() if score is f1},
    }
    arguments.output.write_text(json.dumps(result))


def _training_arguments(arguments: argparse.Namespace, folder: str, metric: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        use_cpu=arguments.device == "cpu",
        bf16=arguments.bf16,
        num_train_epochs=arguments.epochs,
        per_device_train_batch_size=arguments.batch_size,
        per_device_eval_batch_size=arguments.eval_batch_size,
        train_sampling_strategy=arguments.sampling,
        optim="adamw_torch_fused",
        learning_rate=arguments.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=0,
        weight_decay=0.0,
        adam_epsilon=1e-8,
        max_grad_norm=1.0,
        eval_strategy="epoch",
        save_strategy="best",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=metric,
        dataloader_num_workers=arguments.workers,
        dataloader_pin_memory=arguments.device == "cuda",
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        seed=arguments.seed,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=sorted(TASKS), required=True)
    parser.add_argument("--encoder", required=True, help="a Hugging Face folder")
    parser.add_argument("--data", type=Path, required=True, help="JSON: labels, train, dev, and tests by language")
    parser.add_argument("--output", type=Path, required=True, help="where times and scores are written, as JSON")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--eval-batch-size", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sampling", choices=("group_by_length", "random"), default="group_by_length")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches")
    return parser.parse_args()


if __name__ == "__main__":
    main()
