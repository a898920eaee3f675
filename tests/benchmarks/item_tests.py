"""Tests over test examples: 10,000 resamples of a million predictions, beside a loop over resamples."""

import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from side_by_side import at_most, parser, print_table, setting

from service.reports import item_tests
from service.reports.compare_items import LanguageParts, over_items, parts_of
from trainers.artifacts import predictions
from trainers.artifacts.folder_place import FolderPlace

SECONDS = 10.0

TAGS = ("O", "O", "O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC")

# Resamples that the loop takes; its time for all is in proportion, since each costs the same.
LOOPED = 20


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__).parse_args()
    small = arguments.quick
    rows = []
    whole = parts(2_000 if small else 1_000_000, 1)
    rows.append(row("a million sentences of one language, F1", *whole, small))
    of_languages = [parts(500 if small else 5_000, 5) for _ in range(2 if small else 40)]
    found = seconds(lambda: over_items(languages(of_languages), range(5)))
    loop = sum(looped(*one) for one in of_languages[:2]) / 2 * len(of_languages)
    rows.append(
        ["40 languages, 5 seeds, 5,000 sentences each", f"{found:.1f}", f"{loop:.0f}", at_most(SECONDS, found, small)]
    )
    sizes = [random.Random(n).randint(100, 2_500) for n in range(2 if small else 40)]
    unlike = [parts(size, 5) for size in sizes]
    found = seconds(lambda: over_items(languages(unlike), range(5)))
    rows.append(
        ["the same, of 100 to 2,500 sentences, each another number", f"{found:.1f}", "", at_most(SECONDS, found, small)]
    )
    scored = from_files(200 if small else 100_000)
    rows.append(["reading and scoring 100,000 kept predictions of one side", f"{scored:.1f}", "", ""])
    print(setting(1, "cpu", "float64", small))
    print(
        f"Seconds for both tests, {item_tests.RESAMPLES:,} resamples each. The loop draws examples with numpy and sums"
    )
    print(f"what they add, or swaps them, resample by resample; it took {LOOPED} resamples, scaled to all.\n")
    print_table(["what", "ours", "loop", "target, seconds"], rows)


def parts(examples: int, models: int) -> tuple[item_tests.Parts, item_tests.Parts]:
    """What two sides predicted at random: F1 over a few entities a sentence."""
    drawn = np.random.default_rng(examples)
    gold = drawn.poisson(1.5, (examples, models))
    found = []
    for share in (0.80, 0.79):
        predicted = drawn.poisson(1.5, gold.shape)
        found.append(
            np.stack([2 * drawn.binomial(np.minimum(gold, predicted), share), gold + predicted], -1).astype(float)
        )
    return found[0], found[1]


def languages(of: list[tuple[item_tests.Parts, item_tests.Parts]]) -> list[LanguageParts]:
    return [LanguageParts(language=str(n), better=better, over=over) for n, (better, over) in enumerate(of)]


def row(what: str, better: item_tests.Parts, over: item_tests.Parts, quick: bool) -> list[str]:
    def ours() -> None:
        item_tests.bootstrap(better, over)
        item_tests.randomization_p(item_tests.gains(better, over), item_tests.randomized(better, over))

    found = seconds(ours)
    return [what, f"{found:.1f}", f"{looped(better, over):.0f}", at_most(SECONDS, found, quick)]


def looped(better: item_tests.Parts, over: item_tests.Parts) -> float:
    """Seconds that all resamples would take in a loop."""
    drawn, number = np.random.default_rng(0), len(better)

    def loop() -> None:
        for _ in range(LOOPED):
            places = drawn.integers(number, size=number)
            item_tests.scores(better[places].sum(axis=0)) - item_tests.scores(over[places].sum(axis=0))
            swapped = drawn.random(number) < 0.5
            one = np.where(swapped[:, None, None], over, better).sum(axis=0)
            other = np.where(swapped[:, None, None], better, over).sum(axis=0)
            item_tests.scores(one) - item_tests.scores(other)

    return seconds(loop) * item_tests.RESAMPLES / LOOPED


def from_files(examples: int) -> float:
    """Seconds to read predictions of ner and to count what each adds to F1."""
    draw = random.Random(0)
    gold = [draw.choices(TAGS, k=draw.randint(3, 15)) for _ in range(examples)]
    with tempfile.TemporaryDirectory() as folder:
        place, path = FolderPlace(Path(folder)), Path(folder) / "trial" / "de.test.0.0.arrow"
        predictions.write(place, path, "ner", range(examples), gold, gold)
        return seconds(lambda: parts_of(place, path, "ner", "f1"))


def seconds(of: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begin = time.perf_counter()
    of()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
