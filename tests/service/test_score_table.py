"""An experiment's table while it runs: every mean that lacks a seed shows how many it has, and is marked."""

import itertools
import math

import pandas as pd
import pytest

from service.score_table import printed, score_table

METHODS = ["zero-shot", "ord-FS"]
LANGUAGES = ("en", "de", "hi")


def cells(lacking: set[tuple[str, int, str]], candidates: tuple[str, ...] = ("",)) -> pd.DataFrame:
    """Two seeds; the score is 10 for each letter of method and candidate, plus the seed, 3 more in Hindi."""
    rows = [
        {"method": method, "k": 5 * (method == "ord-FS"), "candidate": candidate, "language": language, "seed": seed,
         "mean": math.nan if (candidate or method, seed, language) in lacking
         else 10.0 * len(method + candidate) + seed + 3 * (language == "hi")}
        for method, candidate, seed, language in itertools.product(METHODS, candidates, (1, 2), LANGUAGES)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_whole_means_are_marked_by_nothing() -> None:
    table = score_table(cells(set()), METHODS, "en", 2)
    assert list(table.columns) == ["en", "de", "hi", "mean"]
    assert table.index.tolist() == [("zero-shot", 0), ("ord-FS", 5)]
    assert table.loc[("ord-FS", 5)].tolist() == [61.5, 61.5, 64.5, 63.0]
    assert table.attrs["lacking"] == []
    assert "*" not in printed(table)
    assert printed(table).splitlines()[-1].split() == ["ord-FS", "5", "61.5", "61.5", "64.5", "63.0"]


def test_a_mean_that_lacks_a_seed_shows_how_many_it_has() -> None:
    table = score_table(cells({("ord-FS", 2, "hi"), *(("zero-shot", 1, language) for language in LANGUAGES)}),
                        METHODS, "en", 2)  # fmt: skip
    assert list(table.columns) == ["en", "de", "hi", "mean", "n"]
    assert table.loc[("ord-FS", 5)].tolist() == [61.5, 61.5, 64.0, 62.5, 1]  # the seed that has both targets
    assert table.loc[("zero-shot", 0)].tolist() == [92.0, 92.0, 95.0, 93.5, 1]
    assert [(one["method"], one["language"], one["n"]) for one in table.attrs["lacking"]] == [
        ("ord-FS", "hi", 1), ("zero-shot", "de", 1), ("zero-shot", "en", 1), ("zero-shot", "hi", 1),
    ]  # fmt: skip
    assert [line.split() for line in printed(table).splitlines()[-2:]] == [
        ["zero-shot", "0", "92.0*", "92.0*", "95.0*", "93.5*", "1"],
        ["ord-FS", "5", "61.5", "61.5", "64.0*", "62.5*", "1"],
    ]


def test_candidates_in_mid_sweep_do_not_pass_for_whole_ones() -> None:
    """The table of the fault: one candidate at 64.8 since one seed had come, and others not begun at all."""
    lacking = {("alpha 1", 2, language) for language in LANGUAGES}
    lacking |= {("alpha 0.5", seed, language) for seed in (1, 2) for language in LANGUAGES}
    found = cells(lacking, ("alpha 1", "alpha 0.5", "alpha 0"))
    table = score_table(found[found["method"] == "ord-FS"], METHODS, "en", 2)
    assert table["n"].to_dict() == {
        ("ord-FS", 5, "alpha 0"): 2, ("ord-FS", 5, "alpha 0.5"): 0, ("ord-FS", 5, "alpha 1"): 1,
    }  # fmt: skip
    shown = {line.split()[-6]: line.split()[-2:] for line in printed(table).splitlines()[2:]}
    assert shown == {"0": ["133.0", "2"], "0.5": ["–*", "0"], "1": ["132.5*", "1"]}


def test_languages_that_a_method_leaves_out_are_no_lack() -> None:
    found = cells(set())
    found = found[(found["method"] != "ord-FS") | (found["language"] != "hi")]
    table = score_table(found, METHODS, "en", 2)
    assert list(table.columns) == ["en", "de", "hi", "mean"]
    assert table["mean"].tolist() == table["de"].tolist()  # the language that both have
    assert table["hi"].isna().tolist() == [False, True]


@pytest.mark.parametrize("seeds", [1, 2])
def test_before_there_is_a_plan_the_table_is_empty(seeds: int) -> None:
    table = score_table(cells(set()).head(0), METHODS, "en", seeds)
    assert (len(table), table.attrs) == (0, {"seeds": seeds, "lacking": []})
