"""Planning the paper's whole Table 1: four tasks with all their languages, six methods, three K, five seeds."""

import argparse
import resource
import time
from functools import cache

from side_by_side import add_home, parser, print_table

from search_spaces.cost.estimate import Known, estimate
from search_spaces.environment import Environment
from search_spaces.plan import plan
from search_spaces.spec import ExperimentSpec
from trainers.digests import digest
from trainers.encoders.encoder import EncoderSize
from trainers.encoders.offline import DIGEST as OFFLINE_DIGEST
from trainers.encoders.offline import NAME as ENCODER
from trainers.examples import Example, Facts
from trainers.tasks import TASKS
from trainers.trial import Split

# Examples of train, dev and test of a language with many, as in XTREME-R; tydiqa has no third split (appendix A).
SIZES: dict[str, dict[Split, int]] = {
    "ner": {"train": 20_000, "dev": 10_000, "test": 10_000},
    "pos": {"train": 20_000, "dev": 3_000, "test": 2_000},
    "tydiqa": {"train": 6_000, "dev": 6_000, "test": 700},
    "xnli": {"train": 2_490, "dev": 2_490, "test": 5_010},
}
SOURCE_TRAIN = {"ner": 20_000, "pos": 21_000, "tydiqa": 3_696, "xnli": 392_702}

XLM_R_LARGE = EncoderSize(24, 1024, 4096, 16, 250_002, 514, 1)

METHODS = ["zero-shot", "ord-FS", "ord-FS+dev", "mix-FT", "naive-mix-train", "gradient-mix-train"]


class TableData:
    """Facts of data of XTREME-R's sizes; no examples."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.facts = cache(self._facts)

    def languages(self) -> tuple[str, ...]:
        return TASKS[self.task].languages

    def _facts(self, language: str, split: Split) -> Facts:
        within_train = self.task == "tydiqa" and split == "dev"
        name = "train" if within_train else split
        number = SOURCE_TRAIN[self.task] if (language, name) == ("en", "train") else SIZES[self.task][split]
        labels = TASKS[self.task].label_set(())
        strata = dict.fromkeys(labels, number // 3) if self.task == "xnli" else {"": number}
        return Facts(number, digest([self.task, language, name]), labels, strata, (20,) * 100, within_train)

    def examples(self, language: str, split: Split) -> list[Example]:
        raise AssertionError("a plan reads no examples")

    def place(self, language: str, split: Split, example: int) -> str:
        raise AssertionError("a plan reads no examples")


def main() -> None:
    """Plan, time, print."""
    arguments = add_home(parser(__doc__)).parse_args()
    environment = Environment(arguments.home, None, cpus=8, gpus=8)
    rows, trials, before = [], 0, _megabytes()
    begin = time.perf_counter()
    for task in SIZES:
        since = time.perf_counter()
        answer = planned(task, environment, arguments)
        rows.append([task, answer["trials"], answer["source_trainings"], f"{answer['steps']:,}",
                     f"{time.perf_counter() - since:.2f}"])  # fmt: skip
        trials += answer["trials"]
    rows.append(["together", trials, "", "", f"{time.perf_counter() - begin:.2f}"])
    print("Plan and estimate of Table 1 over facts of data of XTREME-R's sizes, nothing in the store.")
    print(f"Memory: {before:.0f} MB before, {_megabytes():.0f} MB at the peak; targets: 1 s and 200 MB for all four.")
    print("--quick: NOT a measurement\n" if arguments.quick else "")
    print_table(["task", "trials", "source trainings", "optimizer steps", "seconds"], rows)


def planned(task: str, environment: Environment, arguments: argparse.Namespace) -> dict[str, object]:
    """What `POST /v1/plans` would answer."""
    seeds, k = ([1], [1]) if arguments.quick else ([1, 2, 3, 4, 5], [1, 5, 10])
    spec = ExperimentSpec.model_validate(
        {"task": task, "encoder": ENCODER, "data": "xtreme-r", "target_languages": "all", "methods": METHODS, "k": k,
         "seeds": seeds, "resources": {"gpus_per_trial": 1}}
    )  # fmt: skip
    data = TableData(task)
    made = plan(spec, data, OFFLINE_DIGEST)
    nothing_done = {digest: tuple(trial.wanted.evaluate) for digest, trial in made.trials.items()}
    nothing_known = Known(missing=nothing_done, trained=frozenset(), sizes={}, measured=[])
    return estimate(spec, made, data, XLM_R_LARGE, nothing_known).summary(environment)


def _megabytes() -> float:
    """The process's peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
