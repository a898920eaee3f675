"""An experiment with scores of every epoch, which tests of queries ask about."""

import random

from plans import config_of, result_of, score_of, spec_of, trial_of
from search_spaces.plan import Plan
from search_spaces.spec import ExperimentSpec
from service.store import Store
from trainers import Outcome, Report, Score

LANGUAGES = ("en", "de", "zh-Hant", "Zz")  # upper case before lower, by code points
METHODS = {"zero-shot": None, "gradient-mix-train": 0.25, "naive-mix-train": None}


def planned(seeds: range) -> tuple[ExperimentSpec, Plan]:
    """An experiment of a trial for each method and seed."""
    plan = Plan()
    for seed in seeds:
        for method, alpha in METHODS.items():
            config = config_of(method, seed=seed, alpha=alpha)
            plan.add(trial_of(config, evaluate=dict.fromkeys(LANGUAGES, "test")))
            named = {"k": 5 if alpha else 0, "candidate": "α = ¼" if alpha else "", "judged_on": "source-dev"}
            for language in LANGUAGES:
                for split in ("dev", "test"):
                    plan.results.append(result_of(config, language, split=split, data=split, **named))
    return spec_of(owner=f"owner-{len(seeds)}"), plan


def scored(step: int, split: str, chance: random.Random) -> tuple[Score, ...]:
    """A score in each language."""
    values = (0.0, 12.5, 33.3, 50.0, 99.9)
    of = {"step": step, "epoch": step, "split": split, "data": split}
    return tuple(score_of(language, chance.choice(values), cut=language == "de", **of) for language in LANGUAGES)


def run(store: Store, experiment: str, digest: str, chance: random.Random) -> None:
    """One trial, of two epochs."""
    attempt = store.trials.started(experiment, digest)
    for step in (1, 2):
        store.trials.reported(
            digest, attempt, Report(epoch=step, step=step, scores=scored(step, "dev", chance), measures={})
        )
    store.trials.succeeded(
        digest, attempt, Outcome(selected={"source-dev": 2}, scores=scored(2, "test", chance), facts={"shots": {}})
    )


def filled(store: Store, seeds: range) -> str:
    """An experiment that is done."""
    spec, plan = planned(seeds)
    id_ = store.experiments.add(spec, plan)
    for digest in store.trials.outstanding(id_):
        run(store, id_, digest, random.Random(digest))
    return id_
