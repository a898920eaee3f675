"""A trial that trains nothing: it sleeps for EMPTY_SECONDS, and every score is its seed's last digits.

Each adds a line to the file EMPTY_TIMES: its seed, when it began and ended (seconds since 1970), and the GPUs that it
may see ("none", or "all" where nobody said).
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from trainers.data.sources import open_data
from trainers.examples import evaluation_data
from trainers.tasks import TASKS
from trainers.trial import Outcome, Report, Score, Split, Trial


def run(trial: Trial, report: Callable[[Report], None], _is_asked_to_end: Callable[[], bool]) -> Outcome:
    """One report, and scores where they are asked for."""
    begin = time.time()
    time.sleep(float(os.environ["EMPTY_SECONDS"]))
    data = open_data(trial.data, trial.config.task, trial.home)

    def score(language: str, split: Split) -> Score:
        facts = data.facts(language, split)
        digest = evaluation_data(facts, trial.max_test_examples if split == "test" else None)
        value = float(trial.config.seed % 100)
        return Score(
            step=1, epoch=1, language=language, split=split, metric=TASKS[trial.config.task].metric, value=value,
            examples=facts.examples, data=digest, cut=False,
        )  # fmt: skip

    report(Report(epoch=1, step=1, scores=(score(trial.config.source_language, "dev"),), measures={"loss": 0.0}))
    nothing = {"sub_words": 1, "seconds": 1e-3, "steps": 1, "parameters": 1}
    facts = {"device": "cpu", "threads": 1, "work": {"training": nothing, "evaluation": nothing}}
    with Path(os.environ["EMPTY_TIMES"]).open("a") as file:
        file.write(
            f"{trial.config.seed} {begin} {time.time()} {os.environ.get('CUDA_VISIBLE_DEVICES', 'all') or 'none'}\n"
        )
    tests = tuple(score(language, "test") for language in trial.wanted.evaluate)
    return Outcome(selected=dict.fromkeys(trial.wanted.selections, 1), scores=tests, facts=facts)
