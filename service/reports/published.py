"""The figures that Xu and Murray published, as frames with the same columns as our results.

What they published of a task, in which setting, stands with the task; of a task that is not in the paper it is None.
"""

from importlib.resources import files

import pandas as pd

from trainers.data.sources import SOURCES
from trainers.protocols import PAPER
from trainers.tasks import TASKS
from trainers.tasks.task import Published

CITATION = (
    'Haoran Xu and Kenton Murray (2022): "Por Qué Não Utiliser Alla Språk? Mixed Training with Gradient Optimization '
    'in Few-Shot Cross-Lingual Transfer", Findings of NAACL 2022'
)
SOURCE = "en"
SEEDS = 5
SHOTS = (1, 5, 10)
CONFIGURATION = ["task", "split", "metric", "k", "method", "alpha"]  # what seeds repeat: a row of Table 1
MEAN_OF_SEEDS = 0  # where our rows have a seed (the paper's are 1 to 5): its tables by language give only the mean


def published_of(task: str) -> Published | None:
    """In which setting a task is in the paper; None if it is not."""
    return TASKS[task].published if task in TASKS else None


def data_source() -> str:
    """The paper's data, as a spec writes them."""
    return next(name for name, source in SOURCES.items() if source.is_published)


def encoders() -> list[str]:
    """The paper's encoders, as the Hugging Face hub calls them."""
    return list(dict.fromkeys(one.encoder for one in _in_the_paper().values()))


def table1() -> pd.DataFrame:
    """Table 1, complete: mean and sd over seeds of the mean over `languages`, the source included.

    `sd_with_source` is NaN for zero-shot, which has none in the paper.
    """
    frame = _read("table1.csv").rename(columns={"mean": "mean_with_source", "sd": "sd_with_source"})
    frame["languages"] = frame["task"].map({name: one.languages for name, one in _in_the_paper().items()})
    return frame[[*CONFIGURATION, "languages", "mean_with_source", "sd_with_source"]]


def per_language() -> pd.DataFrame:
    """Score rows of Tables 4 (ner), 6 (tydiqa) and 7 (xnli), and of Table 5 (pos) what could be read.

    Means over the seeds, with `MEAN_OF_SEEDS` as their seed: not to be averaged together with rows of real seeds.
    Of pos there are 18 of 35 languages and neither K = 10 nor, at K = 5, the mixed methods; of ner's mix-FT at K = 5
    there are 25 of 48 languages. `row_mean_matches_published_average` says of each row of a table whether its mean is
    the average printed beside it ("yes"); where it is not ("no") some cell is wrong, in print or as read.
    """
    frame = _read("per_language.csv").rename(columns={"score": "value"})
    frame["seed"] = MEAN_OF_SEEDS
    return frame[[*CONFIGURATION, "seed", "language", "value", "row_mean_matches_published_average"]]


def gains(method: str, over: str, k: int) -> "pd.Series[float]":
    """What a method gains over another at K, by task, metric and language, where both scores could be read."""
    rows = per_language()
    rows = rows[(rows["k"] == k) & (rows["row_mean_matches_published_average"] != "no")]
    table = rows.pivot(index=["task", "metric", "language"], columns="method", values="value")
    return table[method] - table[over]


def _read(name: str) -> pd.DataFrame:
    with (files("service.reports") / "published" / name).open(encoding="utf-8") as file:
        frame = pd.read_csv(file)
    frame["split"] = "test"
    frame["metric"] = frame["task"].map({name: one.metric for name, one in _in_the_paper().items()})
    alpha = frame["task"].map({name: TASKS[name].under(PAPER.name).alpha for name in _in_the_paper()})
    frame["alpha"] = alpha.where(frame["method"] == "gradient-mix-train")
    return frame


def _in_the_paper() -> dict[str, Published]:
    return {name: task.published for name, task in TASKS.items() if task.published is not None}
