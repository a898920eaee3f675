"""The paper's tables and figures, made from our results; each names the results that it needs.

Rows are those of `service.reports.rows`: test scores of the selected weights, where nothing else is said.
"""

from collections.abc import Collection
from functools import partial
from typing import Any

import pandas as pd

from service.reports import figures, left_out, published
from service.reports.alike import require_alike, require_same_languages
from service.reports.cells import absent, cells, counted, hollow, lacks, marked, need, pivot, rounded, seeds
from service.reports.compare import comparison
from service.reports.report import Report
from service.reports.summary import beside_published, summary
from trainers.languages import LANGUAGES

SURGERY = "gradient-mix-train"

# Languages in each of Tables 2 and 8.
EXTREMES = 5

# What a published gain is of.
GAIN_OF = ["task", "metric", "language"]

# Follows a task's name in the header of the paper's column.
PAPER_S = ", paper"


def table_1(rows: pd.DataFrame, allow: Collection[str] = (), beside: bool = False) -> Report:
    """Table 1: methods at each K by task, mean and sd over seeds of the mean over all languages.

    With `beside`, each task's column has the paper's beside it.
    """
    by = ["task", "k", "method"]
    unlike = require_alike(rows, allow=allow)
    require_same_languages(rows)
    found = beside_published(summary(rows, by), rows, by)
    found["over_zero_shot"] = _over_zero_shot(found, rows)
    found["cell"] = cells(found, "mean_with_source", "sd_with_source")
    display = pivot(found, ["k", "method"], "task", "cell").fillna("")
    if beside:
        paper_s = pivot(found.assign(cell=found["published"].map(rounded)), ["k", "method"], "task", "cell")
        pairs = {f"{task}{of}": table[task] for task in display for of, table in (("", display), (PAPER_S, paper_s))}
        display = pd.DataFrame(pairs).fillna("")
    shades = pivot(found, ["k", "method"], "task", "over_zero_shot").reindex_like(display)
    notes = [
        f"Mean and sd over {seeds(found['n'])} of the mean over all languages, the source included.",
        "Colors show the difference from zero-shot.",
    ]
    notes += lacks(found)
    notes += _fewer_languages(rows)
    notes += [*marked(rows), *unlike, *_setting(found), f"Published: {published.CITATION}."]
    return Report("Methods at each K", found.drop(columns="cell"), display, tuple(notes), shades)


def by_language(rows: pd.DataFrame, allow: Collection[str] = (), beside: bool = False, *, task: str) -> Report:
    """Tables 4 to 7: a task's scores language by language, mean over seeds.

    With `beside`, each row has the paper's below it.
    """
    rows = rows[rows["task"] == task]
    need(rows, f"test scores of {task}")
    unlike = require_alike(rows, allow=allow)
    require_same_languages(rows)
    found = summary(rows, ["k", "method", "language"])
    zero = found[found["k"] == 0].set_index("language")["mean"]
    found["over_zero_shot"] = found["mean"] - found["language"].map(zero)
    whole = summary(rows, ["k", "method"])
    if beside:
        found = beside_published(found, rows, ["k", "method", "language"])
        whole = beside_published(whole, rows, ["k", "method"])
    whole = whole.assign(language="avg.", task=task)
    whole["mean"], whole["over_zero_shot"] = whole["mean_with_source"], _over_zero_shot(whole, rows)
    both = pd.concat([found, whole.drop(columns="task")])
    both["cell"] = cells(both)
    source = rows["source_language"].iloc[0]
    order = [source, *sorted(set(found["language"]) - {source}), "avg."]
    lines, index = both, ["k", "method"]
    if beside:
        paper_s = {"cell": both["published"].map(rounded), "over_zero_shot": float("nan"), "of": "paper"}
        lines, index = pd.concat([both.assign(of="ours"), both.assign(**paper_s)]), [*index, "of"]
    display = pivot(lines, index, "language", "cell").reindex(columns=order).fillna("")
    shades = pivot(lines, index, "language", "over_zero_shot").reindex_like(display)
    cited = [*_setting(both.assign(task=task)), f"Published: {published.CITATION}."] if beside else []
    means = f"Mean over {seeds(both['n'])}; avg. includes {source}."
    notes = (means, *lacks(both), *_fewer_languages(rows), *marked(rows), *unlike, *cited)
    data = both.drop(columns="cell").assign(task=task)
    return Report(f"{task} by language", data, display, notes, shades)


def gain_table(rows: pd.DataFrame, allow: Collection[str] = (), beside: bool = False, *, least: bool) -> Report:
    """Tables 2 and 8: the five languages that gain most, or least, by surgery over ord-FS at K = 5.

    With `beside`, what each gains in the paper's Tables 4 to 7.
    """
    asked = rows[rows["method"].isin([SURGERY, "ord-FS"]) & (rows["k"] == 5)].drop(columns="data")
    planned, ours = asked.groupby("task")["seed"].nunique(), asked.dropna(subset="value")
    need(ours, f"{SURGERY} and ord-FS")
    unlike = require_alike(ours, allow=allow)
    parts = []
    for task, scores in ours.groupby("task"):
        same = left_out.in_common(scores)
        gained = comparison(same, SURGERY, "ord-FS", 5, scores["source_language"].iloc[0]).languages
        ordered = gained.iloc[::-1] if least else gained
        few = ordered[["language", "gain", "sd", "seeds"]].head(EXTREMES)
        parts.append(few.assign(task=task, metric=scores["metric"].iloc[0]))
    found = pd.concat(parts, ignore_index=True)
    found["name"] = [LANGUAGES[code].name if code in LANGUAGES else code for code in found["language"]]
    display = found.set_index(["task", "language"])[["name", "gain", "sd"]].map(rounded)
    display["seeds"] = counted(found["seeds"], found["task"].map(planned))
    if beside:
        known = published.gains(SURGERY, "ord-FS", 5).reindex(pd.MultiIndex.from_frame(found[GAIN_OF]))
        found["published"] = known.to_numpy()
        display["paper"] = found["published"].map(rounded).to_numpy()
    words = "least" if least else "most"
    paired = f"{SURGERY} minus ord-FS at K = 5, paired by seed: mean and sd over {seeds(found['seeds'])}."
    cited = [f"Published: {published.CITATION}."] if beside else []
    notes = (paired, *absent(asked), *left_out.notes(ours), *marked(ours), *unlike, *cited)
    return Report(f"Languages that gain {words} by surgery", found, display, notes)


def groupings(rows: pd.DataFrame, allow: Collection[str] = (), *, task: str | None) -> Report:
    """Figure 2 with Tables 9 and 10: models of one target, of some, and of all, over the targets that all have."""
    rows = rows[(rows["k"] > 0) & (rows["language"] != rows["source_language"])]
    rows = rows if task is None else rows[rows["task"] == task]
    need(rows, f"few-shot scores of {task or 'any task'}")
    of = ["task", "k", "method", "experiment"]
    sizes = rows.groupby([*of, "trial"], as_index=False)["language"].nunique()
    rows = rows.merge(sizes.groupby(of)["language"].mean().rename("targets"), on=of)
    by = ["task", "k", "method", "targets"]
    unlike = require_alike(rows, by, allow)
    without = left_out.notes(rows)
    settings = rows.groupby(["task", "k", "method", "targets"])["language"].agg(set)
    common = {task: set.intersection(*sets) for task, sets in settings.groupby("task")}
    rows = rows[[language in common[task] for task, language in zip(rows["task"], rows["language"], strict=True)]]
    need(rows, "languages that models of every grouping have")
    apart = rows.assign(candidate=rows.pop("targets").astype(str))  # how targets are grouped is no repetition
    found, languages = (
        summary(apart, [*by[:-1], "candidate", *more]).rename(columns={"candidate": "targets"})
        for more in ([], ["language"])
    )
    found = found.astype({"targets": float}).sort_values(by, ignore_index=True)
    languages = languages.assign(cell=cells(languages), targets=languages["targets"].astype(float))
    display = pivot(languages, by, "language", "cell").fillna("")
    display["mean"] = found.assign(cell=cells(found)).set_index(by)["cell"]
    display = display.rename(index=lambda size: f"{size:g}", level="targets")
    notes = (
        "Targets: how many a model is trained for, on average where groups differ.",
        f"Mean over {seeds(found['n'])} of the languages that all have.",
        *lacks(pd.concat([found, languages])),
        *without,
        *marked(rows),
        *unlike,
    )
    return Report("One target, some, or all", found, display, notes, draw=partial(figures.groupings, found))


def overfitting(rows: pd.DataFrame, allow: Collection[str] = ()) -> Report:
    """Figure 3: target dev curves of ord-FS+dev over epochs, and how many languages are best after the first."""
    curves = rows[(rows["method"] == "ord-FS+dev") & (rows["split"] == "dev")]
    curves = curves[curves["language"] != curves["source_language"]]
    need(curves, "target dev scores of ord-FS+dev")
    unlike = require_alike(curves, allow=allow)
    found = curves.groupby(["task", "k", "language", "epoch"], as_index=False).agg(
        mean=("value", "mean"), n=("seed", "nunique")
    )
    curve = ["task", "k", "language"]
    whole = found[found["n"] == found.groupby(curve)["n"].transform("max")]  # epochs that all of its seeds have
    best = whole.loc[whole.groupby(curve)["mean"].idxmax()]
    first = best.groupby(["task", "k"]).agg(first=("epoch", lambda epochs: int((epochs == 1).sum())),
                                            languages=("language", "size")).reset_index()  # fmt: skip
    display = first.set_index(["task", "k"]).rename(columns={"first": "best after epoch 1"})
    means = f"Dev score of the target, mean over {seeds(found['n'])}, epoch by epoch of adapting."
    notes = (means, *hollow(found), *left_out.notes(curves), *marked(curves), *unlike)
    return Report("When adapting overfits", found, display, notes, draw=partial(figures.overfitting, found, best))


def over_epochs(rows: pd.DataFrame, allow: Collection[str] = ()) -> Report:
    """Figure 5: test scores over epochs with and without a target dev set to select by."""
    tests = rows[(rows["split"] == "test") & (rows["language"] != rows["source_language"])]
    tests = tests[tests.groupby("trial")["epoch"].transform("nunique") > 1]
    need(tests, 'test scores of every epoch: submit with "test_at": "every"')
    unlike = require_alike(tests, allow=allow)
    without, tests = left_out.notes(tests), left_out.in_common(tests)
    need(tests, "languages that all methods have")
    per_seed = tests.groupby(["task", "k", "method", "epoch", "seed"], as_index=False).agg(
        value=("value", "mean"), languages=("language", "nunique")
    )
    whole = per_seed["languages"] == per_seed["task"].map(tests.groupby("task")["language"].nunique())
    found = (
        per_seed[whole]
        .groupby(["task", "k", "method", "epoch"], as_index=False)
        .agg(mean=("value", "mean"), sd=("value", "std"), n=("seed", "nunique"))
    )
    chosen = tests[tests["selected"]].groupby(["task", "k", "method"])["epoch"].mean().rename("selected epoch")
    display = chosen.map(rounded).to_frame()
    notes = [f"Mean over targets; mean and sd over {seeds(found['n'])}."]
    notes += hollow(found)
    notes += [] if whole.all() else ["Epochs of seeds that lack a language do not count."]
    notes += ["Languages that a method leaves out are in no mean.", *without] if without else []
    notes += [*marked(tests), *unlike]
    return Report("Scores over epochs", found, display, tuple(notes),
                  draw=partial(figures.over_epochs, found, chosen))  # fmt: skip


def dev_sizes(rows: pd.DataFrame, allow: Collection[str] = ()) -> Report:
    """Figure 4: how many examples each language's dev set has, of those that something was scored on."""
    devs = rows[rows["split"] == "dev"]
    need(devs, "dev scores: methods that select by target dev sets have those of targets")
    unlike = require_alike(devs, allow=allow)
    found = devs.groupby(["task", "language"], as_index=False)["examples"].max()
    found = found.sort_values(["task", "examples"], ascending=[True, False], ignore_index=True)
    display = found.set_index(["task", "language"])
    notes = (*left_out.notes(devs), *unlike)
    return Report("Sizes of dev sets", found, display, notes, draw=partial(figures.dev_sizes, found))


def cosines(rows: pd.DataFrame, allow: Collection[str] = ()) -> Report:
    """Figure 1: cosines between languages' gradients, mean over the seeds' models, languages by family."""
    unlike = require_alike(rows, allow=allow)
    found = rows.groupby(["task", "k", "method", "language", "other"], as_index=False).agg(
        mean=("cosine", "mean"), n=("seed", "nunique")
    )
    families = {code: LANGUAGES[code].family if code in LANGUAGES else "" for code in found["language"].unique()}
    order = sorted(families, key=lambda code: (families[code], code))
    apart = found[found["language"] != found["other"]]
    display = apart.groupby(["task", "k", "method"])["mean"].agg(
        mean="mean", negative=lambda values: 100 * (values < 0).mean()
    )
    display = display.map(rounded).rename(columns={"mean": "mean cosine", "negative": "percent negative"})
    models = apart.groupby(["task", "k", "method"])["n"].min()
    display["seeds"] = counted(
        models, models.index.get_level_values("task").map(rows.groupby("task")["seed"].nunique())
    )
    means = (
        f"Mean over {seeds(found['n'])}' models; languages by family; positive cells are blue, negative ones orange."
    )
    notes = (means, *left_out.notes(rows), *unlike)
    return Report("Cosines between languages' gradients", found, display, notes,
                  draw=partial(figures.cosines, found, order, families))  # fmt: skip


def _over_zero_shot(found: pd.DataFrame, rows: pd.DataFrame) -> "pd.Series[float]":
    """By how much means with the source are above zero-shot's over the same languages.

    Args:
        found: a summary by method and k, with the task.
        rows: what it is of.
    """
    zero = found[found["k"] == 0].set_index("task")["mean_with_source"]
    over = found["mean_with_source"] - found["task"].map(zero)
    for place, row in found[found["left_out"].map(bool) & found["task"].isin(zero.index)].iterrows():
        of_task = rows[rows["task"] == row["task"]]
        languages = of_task["language"][(of_task["k"] == row["k"]) & (of_task["method"] == row["method"])]
        same = summary(of_task[(of_task["k"] == 0) & of_task["language"].isin(languages)], ["task"])
        over[place] = row["mean_with_source"] - same["mean_with_source"].item()
    return over


def _fewer_languages(rows: pd.DataFrame) -> tuple[str, ...]:
    said = left_out.notes(rows)
    marked = f"Means with {left_out.MARK} are over fewer languages; their colors compare the same ones."
    return (marked, *said) if said else ()


def _setting(found: pd.DataFrame) -> list[str]:
    """In what each task's results are not as in the paper, in sentences."""
    in_the_paper = [task for task in found["task"].unique() if published.published_of(task) is not None]
    of_tasks = {task: found["differs"][found["task"] == task] for task in in_the_paper}
    unlike = {task: differs for task, differs in of_tasks.items() if differs.map(bool).any()}
    said = [_unlike(differs, f" ({task})" if len(in_the_paper) > 1 else "") for task, differs in unlike.items()]
    if absent := sorted(set(found["task"]) - set(in_the_paper)):
        said.append(f"Not in the paper: {', '.join(absent)}.")
    return said or ["In the paper's setting."]


def _unlike(differs: "pd.Series[Any]", of: str = "") -> str:
    return f"Not as in the paper{of}: {', '.join(sorted({words for found in differs for words in found}))}."
