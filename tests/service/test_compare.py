"""Comparisons over seeds, by hand and beside scipy.stats."""

import math

import pandas as pd
import pytest
from scipy import stats

from service.reports.compare import comparison, paired, paired_groups
from service.reports.intervals import bootstrap_interval

OURS, THEIRS = "gradient-mix-train", "ord-FS"


def score_rows(differences: dict[str, list[float]], k: int = 5) -> pd.DataFrame:
    """Scores of two methods that are apart by so much, per language and seed; the source language has 90 throughout."""
    rows = []
    for language, values in {**differences, "en": [0.0] * len(next(iter(differences.values())))}.items():
        for seed, value in enumerate(values, start=1):
            rows += [
                {"method": OURS, "k": k, "seed": seed, "language": language, "value": 40 + seed + value},
                {"method": THEIRS, "k": k, "seed": seed, "language": language, "value": 40.0 + seed},
            ]
    return pd.DataFrame(rows)


def test_one_method_over_another_in_the_figures_of_a_hand() -> None:
    found = comparison(score_rows({"de": [1, 2, 3, 4, 5], "hi": [-1, 0, 1, 0, 0]}), OURS, THEIRS, 5, "en")
    german, hindi = (row for _, row in found.languages.iterrows())
    assert (german["language"], german["gain"], german["p_permutation"]) == ("de", 3.0, 2 / 32)
    assert german["p"] == pytest.approx(stats.ttest_1samp([1, 2, 3, 4, 5], 0).pvalue)
    assert (german["wins"], german["ties"], german["losses"]) == (5, 0, 0)
    assert german["sd"] == pytest.approx(math.sqrt(2.5))
    assert (hindi["language"], hindi["gain"], hindi["p"], hindi["p_permutation"]) == ("hi", 0.0, 1.0, 1.0)
    assert (hindi["wins"], hindi["ties"], hindi["losses"]) == (1, 3, 1)
    assert found.languages["p_holm"].tolist() == [pytest.approx(2 * german["p"]), 1.0]
    assert found.overall["gain"] == 1.5  # of each seed's mean over both
    assert (found.overall["wins"], found.overall["ties"], found.overall["losses"]) == (6, 3, 1)
    assert (found.overall["seeds"], found.overall["smallest_p"]) == (5, 0.0625)


def test_the_other_way_round_everything_is_turned() -> None:
    rows = score_rows({"de": [1, 2, 3, -4, 5], "hi": [-1, 0, 2, 0.5, 0]})
    one, other = (comparison(rows, *pair, 5, "en") for pair in ((OURS, THEIRS), (THEIRS, OURS)))
    assert one.overall["p"] == pytest.approx(other.overall["p"])
    assert one.overall["gain"] == -other.overall["gain"]
    assert (one.overall["low"], one.overall["high"]) == pytest.approx((-other.overall["high"], -other.overall["low"]))
    assert (one.overall["wins"], one.overall["losses"]) == (other.overall["losses"], other.overall["wins"])


def test_seeds_that_one_of_them_lacks_are_named() -> None:
    rows = score_rows({"de": [1, 2, 3]})
    with pytest.raises(ValueError, match="ord-FS at K = 5 lacks seeds 3"):
        comparison(rows[(rows["method"] == OURS) | (rows["seed"] < 3)], OURS, THEIRS, 5, "en")


def test_one_seed_says_nothing() -> None:
    found = comparison(score_rows({"de": [3]}), OURS, THEIRS, 5, "en").overall
    assert (found["p_permutation"], found["smallest_p"]) == (1.0, 1.0)
    assert all(math.isnan(found[name]) for name in ("sd", "low", "high", "p"))


def test_the_bootstrap_is_an_interval_of_its_own_with_the_same_p() -> None:
    rows = score_rows({"de": [1, 2, 3, -4, 5], "hi": [-1, 0, 2, 0.5, 0]})
    sides = (rows[(rows["method"] == name) & (rows["language"] != "en")] for name in (OURS, THEIRS))
    better, over = (side.drop(columns=["method", "k"]) for side in sides)
    student, bootstrap = (paired(better, over, ("one", "other"), interval) for interval in ("t", "bootstrap"))
    means = (better.groupby("seed")["value"].mean() - over.groupby("seed")["value"].mean()).to_numpy()
    assert (bootstrap.overall["low"], bootstrap.overall["high"]) == pytest.approx(bootstrap_interval(means))
    assert student.overall["high"] > bootstrap.overall["high"]
    assert student.overall["p"] == bootstrap.overall["p"]


def test_a_group_of_languages_is_compared_by_its_mean() -> None:
    gains = {"de": [1.0, 2.0, 4.0], "nl": [3.0, 2.0, 0.0], "hi": [-1.0, -2.0, -4.0], "Zz": [1.0, 1.0, -1.0]}
    rows = score_rows(gains)
    better, over = (rows[(rows["method"] == name) & (rows["language"] != "en")] for name in (OURS, THEIRS))
    found = paired_groups(better, over, ("one", "other"), "script").set_index("group")
    assert list(found.index) == ["Latn", "unknown", "Deva"]  # the greatest gain first
    assert found["languages"].to_dict() == {"Latn": 2, "unknown": 1, "Deva": 1}
    latin = paired(*(side[side["language"].isin(["de", "nl"])] for side in (better, over)), ("one", "other")).overall
    for name in ("gain", "sd", "seeds", "p_permutation", "smallest_p", "wins", "ties", "losses"):
        assert found.loc["Latn", name] == pytest.approx(latin[name]), name
    [hindi] = paired(*(side[side["language"] == "hi"] for side in (better, over)), ("one", "other")).languages["p"]
    assert found.loc["Deva", "p"] == pytest.approx(hindi)
    assert found.loc["Deva", "p_holm"] == pytest.approx(3 * hindi)  # of three groups
    families = paired_groups(better, over, ("one", "other"), "family").set_index("group")
    assert families["languages"].to_dict() == {"IE: Germanic": 2, "unknown": 1, "IE: Indo-Aryan": 1}


def test_a_group_of_one_language_is_called_by_its_name() -> None:
    rows = score_rows({"de": [1.0, 2.0]})
    better, over = (rows[(rows["method"] == name) & (rows["language"] != "en")] for name in (OURS, THEIRS))
    assert paired_groups(better, over, ("one", "other"), "script")["group"].tolist() == ["Latn"]
