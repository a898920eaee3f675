"""An experiment as large as they come: 1,745 trials and more than 100,000 scores, written at once."""

import random
import time
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import bindparam, insert, update

from plans import config_of, result_of, spec_of, trial_of
from search_spaces.plan import Plan
from service.store import Store
from service.store.schema import (
    attempts,
    clock,
    events,
    experiments,
    measures,
    planned_trials,
    scores,
    selections,
    trials,
)
from trainers.languages import LANGUAGES
from trainers.trial import TrialConfig

SOURCE, TARGETS = "en", tuple(code for code in LANGUAGES if code != "en")[:47]
SINGLE, MIXED = ("ord-FS", "ord-FS+held-out"), ("mix-FT", "naive-mix-train", "gradient-mix-train")
METHODS = ("zero-shot", *SINGLE, *MIXED)
KS, SEEDS, EPOCHS = (1, 5, 10), (1, 2, 3, 4, 5), 10

# The values of α at which surgery is tested after every epoch, as all else is.
TESTED = (None, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)

# What surgery adds at most, by family; others gain a little.
GAINS = {"Afro-Asiatic": 9.0, "IE: Indo-Aryan": 6.0, "Turkic": 4.0, "Japonic": 12.0, "Sino-Tibetan": 11.0}

Row = dict[str, Any]


def configs(targets: tuple[str, ...] = TARGETS) -> list[TrialConfig]:
    """The trainings: one a language, K and seed for two methods, one a K and seed for three, and six α of surgery."""
    training = replace(config_of().training, epochs=EPOCHS)
    data = f"data of {len(targets)} targets"
    found = [config_of(seed=seed, training=training, data_digest=data) for seed in SEEDS]
    for k in KS:
        for seed in SEEDS:
            of = {"k": k, "seed": seed, "training": training, "data_digest": data}
            found += [config_of(method, target_languages=(one,), **of) for method in SINGLE for one in targets]
            found += [config_of(method, target_languages=targets, **of) for method in MIXED[:2]]
            found += [config_of(MIXED[2], target_languages=targets, alpha=alpha / 20, **of) for alpha in range(1, 21)]
    return found


def fill(store: Store, state: str = "running", targets: tuple[str, ...] = TARGETS) -> str:
    """Store the experiment, most of whose trials are done; returns its id.

    Args:
        store: that it is written into.
        state: of the experiment: "running", of which some trials run and some are queued, or "succeeded".
        targets: of its models.
    """
    chance, plan, planned = random.Random(1), Plan(), configs(targets)
    for config in planned:
        languages = config.target_languages or targets
        scored = languages if config.method in SINGLE else (SOURCE, *languages)
        source = planned[SEEDS.index(config.seed)] if config.method in (*SINGLE, "mix-FT") else None
        sweep = f"{config.k}" if config.alpha is not None else None
        plan.add(
            trial_of(
                config,
                source,
                evaluate=dict.fromkeys(scored, "test"),
                judge={SOURCE: "dev"} if sweep else {},
                sweep=sweep,
                estimate=600.0,
            )
        )
        words = f"alpha {config.alpha:g}" if config.alpha is not None else ""
        of = {"candidate": words, "judged_on": "source-dev" if sweep else ""}
        plan.results.extend(result_of(config, language, **of) for language in scored)
        plan.results.append(result_of(config, SOURCE, split="dev", data="dev", **of))
    spec = spec_of(
        name="Every method in 48 languages",
        methods=list(METHODS),
        k=list(KS),
        seeds=list(SEEDS),
        alpha={"grid": [alpha / 20 for alpha in range(1, 21)]},
        tags=["paper", "table 4"],
        owner="Ana",
        target_languages=list(targets),
        training={"epochs": EPOCHS},
        test_at="every",
    )
    id_ = store.experiments.add(spec, plan)
    written: dict[Any, list[Row]] = {attempts: [], measures: [], scores: [], selections: [], events: []}
    states = {config.digest: _state(place, len(planned), state, chance) for place, config in enumerate(planned)}
    now = time.time()
    for place, config in enumerate(planned):
        if states[config.digest] != "queued":
            _run(written, config, id_, states[config.digest], now - 600 * (len(planned) - place) / 8, chance, targets)
    for number, row in enumerate(written[events], start=2):
        row["number"] = number
    with store._database.write() as connection:
        for table, rows in written.items():
            connection.execute(insert(table), rows)
        reasons = {"failed": "the loss is nan at step 812"}
        connection.execute(
            update(planned_trials).filter_by(experiment=id_).where(planned_trials.c.trial == bindparam("of")),
            [{"of": one, "state": known, "reason": reasons.get(known, "")} for one, known in states.items()],
        )
        begun = [digest for digest, known in states.items() if known != "queued"]
        connection.execute(update(trials).where(trials.c.digest.in_(begun)).values(attempt=1))
        connection.execute(
            update(trials).where(trials.c.digest == bindparam("of")),
            [
                {
                    "of": config.digest,
                    "facts": {"shots": {}, "training": _met(config, targets) if config.alpha is not None else {}},
                }
                for config in planned
                if states[config.digest] == "succeeded"
            ],
        )
        connection.execute(update(clock).values(now=2))
        changed = {"state": state, "started": now - 86_400, "events": len(written[events]) + 1}
        if state != "running":
            changed["finished"] = now - 60
        connection.execute(update(experiments).filter_by(id=id_).values(**changed))
    return id_


def _met(config: TrialConfig, targets: tuple[str, ...]) -> Row:
    """What surgery has met in a training."""
    chance = random.Random(config.digest)
    of = {"operations": 200, "nonfinite": 0, "mean_cosine": 0.05}
    rates = {one: random.Random(one).uniform(0.35, 0.7) + chance.gauss(0, 0.03) for one in targets}
    met = {one: {**of, "conflict_rate": rate} for one, rate in rates.items()}
    return {"surgery": {**of, "conflict_rate": 0.5, "skipped": 3, "per_language": met}}


def _state(place: int, count: int, state: str, chance: random.Random) -> str:
    if state == "running" and place > 0.8 * count:
        return "running" if place < 0.8 * count + 9 else "queued"
    return "failed" if state == "running" and chance.random() < 0.004 else "succeeded"


def _run(
    written: dict[Any, list[Row]],
    config: TrialConfig,
    experiment: str,
    state: str,
    began: float,
    chance: random.Random,
    targets: tuple[str, ...],
) -> None:
    """What an attempt at a training leaves."""
    last = EPOCHS if state == "succeeded" else chance.randint(1, EPOCHS - 1)
    ended = None if state == "running" else began + 500 + chance.random() * 200
    of = {"trial": config.digest}
    told = {"experiment": experiment, "at": began, "kind": "trial"}
    written[attempts].append({
        **of, "number": 1, "experiment": experiment, "state": state, "reason": "", "epoch": last, "rate": 3.1,
        "started": began, "ended": ended,
    })  # fmt: skip
    written[events].append({**told, "data": {**of, "state": "running", "epoch": 0}})
    single = config.method in SINGLE
    for epoch in range(1, last + 1):
        rate = 0.4 + 0.02 * epoch + chance.gauss(0, 0.02)
        surgery = {"operations": 100 * epoch, "nonfinite": 0, "conflict_rate": rate, "mean_cosine": 0.1, "skipped": 3}
        values = {"loss": 2.0 / epoch + chance.random() / 10, "steps_per_second": 3.1}
        values |= {"surgery": surgery} if config.alpha is not None else {}
        written[measures].append({**of, "step": epoch * 50, "epoch": epoch, "values": values})
        languages = [(SOURCE, "dev")]
        if config.alpha in TESTED and (epoch < EPOCHS or state != "succeeded"):
            languages += [(one, "test") for one in config.target_languages or targets]
        for language, split in languages:
            written[scores].append(_score(config, language, split, epoch, chance))
    if state == "succeeded":
        scored = config.target_languages if single else (SOURCE, *(config.target_languages or targets))
        written[scores] += [_score(config, language, "test", EPOCHS, chance) for language in scored]
        written[selections].append({**of, "selection": "source-dev", "step": EPOCHS * 50, "kept": False, "at": 1})
        written[events].append({**told, "at": ended, "data": {**of, "state": "succeeded"}})


@cache
def _base(language: str) -> float:
    return random.Random(language).uniform(35, 85)


def _score(config: TrialConfig, language: str, split: str, epoch: int, chance: random.Random) -> Row:
    family = LANGUAGES[language].family if language in LANGUAGES else ""
    gain = {"zero-shot": 0.0, "ord-FS": 0.6, "ord-FS+held-out": 0.3}.get(config.method, 0.9) * config.k / 10
    value = _base(language) + gain * GAINS.get(family, 2.5) - 6.0 / epoch + chance.gauss(0, 0.8)
    if language == "tl":
        value -= 3 * gain
    return {
        "trial": config.digest, "step": epoch * 50, "language": language, "split": split, "data": split,
        "metric": "f1", "value": min(value, 99.0), "epoch": epoch, "attempt": 1, "examples": 1000, "cut": False,
        "at": 1,
    }  # fmt: skip
