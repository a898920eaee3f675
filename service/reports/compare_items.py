"""Paired comparisons over test examples, from the predictions that trials kept.

With the unit "items" it is said of the two trained models of each seed whether they differ on examples like these;
other seeds may differ the other way. With "seeds and items" it is said of methods, for further seeds and further
examples. Languages are the ones that were asked about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from service.reports import item_tests
from service.reports.compare import by_gain, differences
from service.reports.intervals import beyond_the_examples, holm, percentiles
from trainers.artifacts import predictions
from trainers.artifacts.layout import fate, predictions_file
from trainers.artifacts.place import Place
from trainers.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class LanguageParts:
    """What both sides' models, one per seed, predicted for the examples of a language.

    Attributes:
        language: its code.
        better: what each example adds to a metric: `[examples, seeds, 2]`.
        over: the same of the other side.
    """

    language: str
    better: item_tests.Parts
    over: item_tests.Parts


def over_items(parts: Sequence[LanguageParts], seeds: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test the models of each seed by paired resampling of the examples.

    Returns:
        A row a seed, of the mean over languages, and a row for each language and seed, both with `gain`, `low` and
        `high` (a 95 % paired bootstrap interval), and `p` (of approximate randomization); those of languages with
        `examples` and `p_holm`, corrected for the number of languages within the seed.
    """
    gains = np.array([item_tests.gains(one.better, one.over) for one in parts])
    drawn, swapped = np.zeros((2, item_tests.RESAMPLES, len(seeds)))
    rows = []
    for one, gain in zip(parts, gains, strict=True):
        resampled, randomized = item_tests.bootstrap(one.better, one.over), item_tests.randomized(one.better, one.over)
        drawn += resampled / len(parts)
        swapped += randomized / len(parts)
        tested = _tested(seeds, gain, resampled, randomized)
        rows += [{"language": one.language, **row, "examples": len(one.better)} for row in tested]
    languages = pd.DataFrame(rows)
    languages["p_holm"] = languages.groupby("seed")["p"].transform(lambda p: holm(p.to_numpy()))
    return pd.DataFrame(_tested(seeds, gains.mean(axis=0), drawn, swapped)), by_gain(languages)


def over_seeds_and_items(parts: Sequence[LanguageParts]) -> tuple["pd.Series[float]", pd.DataFrame]:
    """Compare two sides for further seeds and further examples.

    Returns:
        Of the mean over languages, and a row a language: `gain`, `sd` (over seeds), `seeds`, `sd_examples` (what the
        choice of examples alone, which all seeds share, adds to the mean gain), `low`, `high` (a 95 % interval) and
        `p`; those of languages with `examples` and `p_holm`. With one seed all but `gain` and the counts are NaN.
    """
    gains = np.array([item_tests.gains(one.better, one.over) for one in parts])
    shared = np.array([item_tests.shared_variance(one.better, one.over) for one in parts])
    rows = [
        {"language": one.language, **_figures(gain, variance), "examples": len(one.better)}
        for one, gain, variance in zip(parts, gains, shared, strict=True)
    ]
    languages = pd.DataFrame(rows)
    languages["p_holm"] = holm(languages["p"].to_numpy())
    # languages have examples of their own: their variances add up
    return pd.Series(_figures(gains.mean(axis=0), float(shared.sum()) / len(parts) ** 2)), by_gain(languages)


def kept_parts(
    place: Place, better: pd.DataFrame, over: pd.DataFrame, names: tuple[str, str]
) -> tuple[list[LanguageParts], list[int]]:
    """What both sides' models predicted, of languages in alphabetical order, and their seeds.

    Args:
        place: where predictions lie.
        better: a row a score: `language`, `seed`, `value`, `task`, `metric`, `trial`, `step`, `split`, and `examples`,
            the digest of the examples.
        over: the same of the other side.
        names: what errors call both.

    Raises:
        ValueError: as of `compare.paired`; the sides have other examples; predictions were not kept here, or the task
            or the metric is not known.
    """
    table = differences(better, over, names)
    [task], [metric] = (better[name].unique() for name in ("task", "metric"))
    if task not in TASKS or metric not in TASKS[task].metrics_names:
        raise ValueError(f"{task} has no metric {metric} whose predictions could be resampled")
    files = [
        {(row["language"], row["seed"]): _file(place, row) for row in one.to_dict("records")} for one in (better, over)
    ]
    found = []
    for language in table.index:
        read = [[parts_of(place, of[language, seed], task, metric) for seed in table.columns] for of in files]
        places = {tuple(one) for models in read for one, _ in models}
        if len(places) > 1:
            raise ValueError(f"{language}: the sides were tested on other examples")
        ours, theirs = (np.stack([parts for _, parts in models], axis=1) for models in read)
        found.append(LanguageParts(language=language, better=ours, over=theirs))
    return found, [int(seed) for seed in table.columns]


def _file(place: Place, row: dict[Any, Any]) -> Path:
    trial = row["trial"]
    path = predictions_file(
        place.home, trial, step=int(row["step"]), language=row["language"], split=row["split"], data=row["examples"]
    )
    if not place.has_file(path):
        raise ValueError(f"the predictions {path.name} of trial {trial} were {fate(place.home, 'predictions', trial)}")
    return path


def parts_of(place: Place, path: Path, task: str, metric: str) -> tuple[list[int], item_tests.Parts]:
    """The places of the examples, and what each adds to the metric: `[examples, 2]`."""
    _, columns = predictions.read(place, path)
    of_each = TASKS[task].fractions(columns["gold"], columns["prediction"])
    return columns["example"], np.array([one[metric] for one in of_each], dtype=np.float64)


def _tested(
    seeds: Sequence[int],
    gain: NDArray[np.float64],
    resampled: NDArray[np.float64],
    randomized: NDArray[np.float64],
) -> list[dict[str, Any]]:
    found = []
    for place, p in enumerate(item_tests.randomization_p(gain, randomized)):
        low, high = percentiles(resampled[:, place])
        found.append({"seed": seeds[place], "gain": float(gain[place]), "low": low, "high": high, "p": float(p)})
    return found


def _figures(gain: NDArray[np.float64], shared: float) -> dict[str, float]:
    low, high, p = beyond_the_examples(gain, shared)
    sd = float(gain.std(ddof=1)) if len(gain) > 1 else float("nan")
    return {
        "gain": float(gain.mean()),
        "sd": sd,
        "seeds": len(gain),
        "sd_examples": shared**0.5,
        "low": low,
        "high": high,
        "p": p,
    }
