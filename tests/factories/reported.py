"""An experiment that is over, as the paper has them, of which tables and figures can be made."""

import random

from plans import config_of, result_of, score_of, spec_of, trial_of
from search_spaces.plan import Plan
from service.store import Store
from trainers import Outcome, Report

TARGETS = ("de", "ar", "hi", "zh", "sw")
METHODS = {"zero-shot": None, "naive-mix-train": None, "gradient-mix-train": 0.1}


def reported(store: Store, seeds: range, name: str = "", learning_rate: float | None = None) -> str:
    """The id of an experiment of zero-shot and two few-shot methods at K = 5, with scores of two epochs.

    Args:
        store: where it is added.
        seeds: of its trials.
        name: of the experiment.
        learning_rate: another one than usual, which makes it one of another setting.
    """
    plan = Plan()
    chance = random.Random(name)
    for seed in seeds:
        for method, alpha in METHODS.items():
            few_shot = method != "zero-shot"
            config = config_of(method, seed=seed, alpha=alpha, target_languages=TARGETS if few_shot else ())
            if learning_rate is not None:
                training = {**vars(config.training), "learning_rate": learning_rate}
                config = config_of(
                    method, seed=seed, alpha=alpha, target_languages=config.target_languages,
                    training=type(config.training)(**training),
                )  # fmt: skip
            plan.add(trial_of(config, evaluate=dict.fromkeys(("en", *TARGETS), "test")))
            for language in ("en", *TARGETS):
                for split in ("dev", "test"):
                    named = {"k": 5 if few_shot else 0, "judged_on": "source-dev", "split": split, "data": split}
                    plan.results.append(result_of(config, language, **named))
    methods = list(METHODS)
    id_ = store.experiments.add(spec_of(name=name, methods=methods, target_languages=list(TARGETS)), plan)
    store.control.move(id_, "start")
    for place, digest in enumerate(store.trials.outstanding(id_)):
        attempt = store.trials.started(id_, digest)
        for epoch in (1, 2):
            scores = tuple(
                score_of(language, round(40 + 8 * (place % 3) + 20 * chance.random(), 2), step=epoch, epoch=epoch,
                         split=split, data=split)
                for language in ("en", *TARGETS) for split in ("dev", "test")
            )  # fmt: skip
            of_dev = tuple(one for one in scores if one.split == "dev")
            store.trials.reported(digest, attempt, Report(epoch=epoch, step=epoch, scores=of_dev, measures={}))
        tests = tuple(one for one in scores if one.split == "test")
        store.trials.succeeded(digest, attempt, Outcome(selected={"source-dev": 2}, scores=tests, facts={"shots": {}}))
    store.control.move(id_, "succeed")
    return id_
