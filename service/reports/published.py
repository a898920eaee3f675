"""The figures that Xu and Murray published, as frames with the columns of our own."""

from importlib.resources import files

import pandas as pd

from service.reports.aggregate import CONFIGURATION, SCORE
from trainers.protocols import PAPER

CITATION = (
    'Haoran Xu and Kenton Murray (2022): "Por Qué Não Utiliser Alla Språk? Mixed Training with Gradient Optimization '
    'in Few-Shot Cross-Lingual Transfer", Findings of NAACL 2022'
)
SOURCE = "en"
ENCODERS = {
    "ner": "xlm-roberta-large",
    "pos": "xlm-roberta-large",
    "tydiqa": "xlm-roberta-base",
    "xnli": "xlm-roberta-base",
}  # section 4.3
METRICS = {"ner": "f1", "pos": "chunk_f1", "tydiqa": "f1", "xnli": "accuracy"}  # section 4.3; pos: our name for its F1
LANGUAGES = {"ner": 48, "pos": 35, "tydiqa": 9, "xnli": 15}  # columns of Tables 4, 6 and 7; ticks of Table 3 for pos
MEAN_OF_SEEDS = 0  # where our rows have a seed (the paper's are 1 to 5): its tables by language give only the mean


def table1() -> pd.DataFrame:
    """Table 1, complete: `averages`' columns save `seeds` and those over targets only, which the paper does not give.

    `sd_with_source` is NaN for zero-shot, which has none in the paper.
    """
    frame = _read("table1.csv").rename(columns={"mean": "mean_with_source", "sd": "sd_with_source"})
    frame["languages"] = frame["task"].map(LANGUAGES)
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
    return frame[[*SCORE, "value", "row_mean_matches_published_average"]]


def _read(name: str) -> pd.DataFrame:
    with (files("service.reports") / "published" / name).open() as file:
        frame = pd.read_csv(file)
    frame["split"] = "test"
    frame["metric"] = frame["task"].map(METRICS)
    frame["alpha"] = frame["task"].map(PAPER.alpha).where(frame["method"] == "gradient-mix-train")
    return frame
