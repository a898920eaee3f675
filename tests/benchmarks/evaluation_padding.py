"""Useful share of the tokens that an evaluation processes: all languages together, against language by language."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from side_by_side import SHARED_DATA, add_home, at_least, need_shared_data, offline_encoder, parser, print_table

from trainers.data.sources import open_data
from trainers.tasks import TASKS
from trainers.training.batches import batches_by_length
from trainers.training.evaluation import BATCH_TOKENS
from trainers.trial import DataReference

AT_LEAST = 0.9
FIXED_BATCH = 32

# The tasks whose data lie beside the project.
OF_THE_PAPER = [name for name, task in TASKS.items() if task.published]

# Sub-words of each window, language by language in the order of the files.
Lengths = list[list[int]]


def main() -> None:
    """Count and print."""
    arguments = add_home(parser(__doc__)).parse_args()
    need_shared_data(*OF_THE_PAPER)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(offline_encoder(arguments.home))
    rows = [_row(name, lengths(name, tokenizer, arguments), arguments.quick) for name in OF_THE_PAPER]
    print("Useful share of the processed tokens when the test splits of all languages are evaluated: together in")
    print(f"length-sorted batches of at most {BATCH_TOKENS['cpu']} tokens with padding (trainers.training.evaluation);")
    print(f"language by language in file order, {FIXED_BATCH} windows a batch, each padded to its longest; the same,")
    print("padded to the task's maximal length, as the usual scripts do. Counted, not timed: the same everywhere.")
    print("--quick: NOT a measurement\n" if arguments.quick else "")
    print_table(["task", "languages", "windows", "together", "by language", "padded to the limit", "target"], rows)


def lengths(name: str, tokenizer: Any, arguments: argparse.Namespace) -> Lengths:
    """Of the windows of every language's test split."""
    task, training = TASKS[name], TASKS[name].under("paper").training
    data = open_data(DataReference("folder", SHARED_DATA), name, arguments.home)
    labels = task.label_set(data.facts("en", "train").labels)
    languages, limit = (data.languages()[:2], 20) if arguments.quick else (data.languages(), None)
    found = []
    for language in languages:
        examples = data.examples(language, "test")[:limit]
        windows = task.features(examples, labels, tokenizer, training.max_length)
        found.append([len(window.input_ids) for window in windows])
    return found


def useful_share(batches: Iterable[Sequence[int]]) -> float:
    """Sub-words over padded positions, of batches of windows given by their lengths."""
    useful = processed = 0
    for batch in batches:
        useful += sum(batch)
        processed += max(batch) * len(batch)
    return useful / processed


def together(by_language: Lengths) -> list[list[int]]:
    """The project's batches."""
    pooled = [length for one in by_language for length in one]
    return [[pooled[place] for place in batch] for batch in batches_by_length(pooled, BATCH_TOKENS["cpu"])]


def in_file_order(by_language: Lengths) -> list[list[int]]:
    """Batches of one language each."""
    return [one[first : first + FIXED_BATCH] for one in by_language for first in range(0, len(one), FIXED_BATCH)]


def _row(name: str, by_language: Lengths, quick: bool) -> list[object]:
    pooled = [length for one in by_language for length in one]
    share = useful_share(together(by_language))
    limit = sum(pooled) / (len(pooled) * TASKS[name].under("paper").training.max_length)
    shares = [f"{value:.3f}" for value in (share, useful_share(in_file_order(by_language)), limit)]
    return [name, len(by_language), len(pooled), *shares, at_least(AT_LEAST, share, quick)]


if __name__ == "__main__":
    main()
