"""What tests of the store share: a source training and a model adapted from it, planned, run, and read back."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from plans import config_of, result_of, score_of, trial_of
from search_spaces.plan import Plan, PlannedResult, PlannedTrial
from service.store import Query, Store
from service.store.query import equal
from trainers import Outcome, Report, Score, TrialConfig
from trainers.trial import Selection, Split, Work

SOURCE = config_of()
ADAPTED = config_of("ord-FS")


def asked(config: TrialConfig, language: str, **changed: Any) -> PlannedResult:
    """A score on the test data of a language, unless it is another split's."""
    data = f"{language}-{'data' if changed.get('split', 'test') == 'test' else changed['split']}"
    return result_of(config, language, data=data, **changed)


def source_of(*languages: str) -> PlannedTrial:
    """The source training, scored in some languages."""
    return trial_of(SOURCE, evaluate={language: f"{language}-data" for language in languages})


def plan_of(*selections: Selection) -> Plan:
    """A source training scored on en, de and hi, and a model adapted to de, its last step and others selected."""
    plan = Plan()
    plan.add(source_of("en", "de", "hi"))
    plan.add(trial_of(ADAPTED, SOURCE, selections=("last", *selections), evaluate={"de": "de-data"}))
    plan.results.extend(asked(SOURCE, language) for language in ("en", "de", "hi"))
    plan.results.append(asked(SOURCE, "en", split="dev"))
    plan.results.append(asked(ADAPTED, "de", selection="last"))
    plan.results.append(asked(SOURCE, "en", method="ord-FS", k=5))
    if "target-dev" in selections:
        splits: tuple[Split, ...] = ("test", "dev")
        plan.results.extend(
            asked(ADAPTED, "de", method="ord-FS+dev", selection="target-dev", split=split) for split in splits
        )
    return plan


def priced(plan: Plan, seconds: Mapping[str, float]) -> Plan:
    """A plan with estimates."""
    trials = {
        digest: replace(trial, wanted=replace(trial.wanted, estimate=seconds[digest]))
        for digest, trial in plan.trials.items()
    }
    return Plan(trials, plan.results)


def score(language: str, value: float, split: Split = "test", **changed: Any) -> Score:
    """A score on the data that `asked` names."""
    data = f"{language}-{'data' if split == 'test' else split}"
    return score_of(language, value, **{"split": split, "data": data, **changed})


def report_of(*scores: Score, epoch: int = 1, step: int = 10) -> Report:
    """A report with some scores."""
    return Report(epoch=epoch, step=step, scores=scores, measures={"loss": 1.0})


def outcome_of(*scores: Score, **selected: int) -> Outcome:
    """An outcome with some scores; `selected` has underscores for hyphens."""
    names: dict[Any, int] = {name.replace("_", "-"): step for name, step in selected.items()}
    return Outcome(selected=names, scores=scores, facts={"shots": {}})


def finished_in(seconds: float, scores: tuple[Score, ...], examples: int = 10) -> Outcome:
    """The outcome of a source training on a CPU thread."""
    training = Work(sub_words=100, seconds=seconds, steps=10, parameters=1000)
    work = {"training": asdict(training), "evaluation": asdict(Work(sub_words=50, seconds=1.0))}
    sizes = {"split": {"examples": examples, "windows": examples + 1, "sub_words": 200}}
    facts = {"shots": {}, "work": work, "sizes": sizes, "threads": 1, "device": "cpu (x86_64)"}
    return Outcome(selected={"source-dev": 10}, scores=scores, facts=facts)


def cost_of(store: Store, experiment: str) -> dict[str, Any]:
    """The cost of an experiment."""
    found = store.experiments.one(experiment)
    assert found is not None
    return dict(found.cost)


def finish(store: Store, experiment: str, config: TrialConfig, *scores: Score) -> None:
    """One attempt at a trial whose only selection chose step 10."""
    attempt = store.trials.started(experiment, config.digest)
    selected = {"source_dev": 10} if config is SOURCE else {"last": 10}
    store.trials.succeeded(config.digest, attempt, outcome_of(*scores, **selected))


def finish_both(store: Store, experiment: str, last: int, target_dev: int) -> None:
    """The adapted model's trial: reports at steps 10 and 20, tests of the steps that its two selections choose."""
    attempt = store.trials.started(experiment, ADAPTED.digest)
    for step in (10, 20):
        dev = score("de", float(step), "dev", step=step, epoch=step // 10)
        store.trials.reported(ADAPTED.digest, attempt, report_of(dev, epoch=step // 10, step=step))
    tests = [score("de", 100.0 - step, step=step, epoch=step // 10) for step in sorted({last, target_dev})]
    store.trials.succeeded(ADAPTED.digest, attempt, outcome_of(*tests, last=last, target_dev=target_dev))


def page_of(
    store: Store, filters: dict[str, list[Any]], limit: int, cursor: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """Results that have one of some values in each column, and the cursor of the next page."""
    found = store.results.rows(Query(equal(filters)), limit, cursor)
    return found.rows, found.next


def values(store: Store, experiment: str, **filters: str) -> list[float]:
    """The values of an experiment's results of some kind."""
    rows, _ = page_of(store, {"experiment": [experiment], **{name: [value] for name, value in filters.items()}}, 1000)
    return [row["value"] for row in rows]
