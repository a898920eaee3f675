"""An experiment whose trials have predicted the test sets of the sample corpus, some of them wrongly."""

import random
from pathlib import Path
from typing import Any

from plans import config_of, result_of, score_of, spec_of, trial_of
from search_spaces.plan import Plan
from service.store import Store
from trainers import Outcome
from trainers.artifacts import predictions
from trainers.artifacts.folder_place import FolderPlace
from trainers.artifacts.layout import predictions_file
from trainers.data import splits
from trainers.data.sample import SampleData
from trainers.data.splits import Part
from trainers.examples import Data, Example
from trainers.tasks import TASKS

ZERO, MIXED = "zero-shot", "naive-mix-train"

# The share of examples that a method gets wrong.
MISTAKES = {ZERO: 0.5, MIXED: 0.25}

STEP = 10


def right(task: str, example: Example) -> Any:
    """A right prediction."""
    gold = TASKS[task].gold(example)
    return gold[0] if "answers" in example else gold


def mistaken(task: str, example: Example, chance: random.Random, labels: tuple[str, ...]) -> Any:
    """A wrong prediction, as it may come from a model; sometimes a right one."""
    gold = TASKS[task].gold(example)
    if "tokens" in example:
        return [chance.choice(labels) if chance.random() < 0.3 else tag for tag in gold]
    if "label" in example:
        return chance.choice(TASKS[task].label_set(()))
    first, after = sorted(chance.choices(range(len(example["context"]) + 1), k=2))
    return example["context"][first:after].strip()


def predicted(
    store: Store,
    home: Path,
    task: str = "ner",
    languages: tuple[str, ...] = ("ar", "zh"),
    seeds: int = 1,
    most: int | None = None,
    examples: Data | None = None,
    **fields: Any,
) -> tuple[str, dict[str, str]]:
    """An experiment that is done.

    Args:
        store: where it is.
        home: where its predictions lie.
        task: its name.
        languages: targets, beside English.
        seeds: how many.
        most: test examples of a language; None for all.
        examples: its data, if they are not the sample corpus.
        fields: of its spec.

    Returns:
        Its id, and the trial of each method with the first seed.
    """
    data, every = examples or SampleData(task), ("en", *languages)
    training = {"max_test_examples": most} if most else {}
    spec = spec_of(
        task=task, methods=[ZERO, MIXED], target_languages=list(languages), seeds=list(range(1, seeds + 1)),
        **{"training": training, **fields},
    )  # fmt: skip
    plan, parts = Plan(), {language: part_of(data, task, language, most) for language in every}
    digests = {language: part.digest for language, part in parts.items()}
    trials: dict[str, str] = {}
    for seed in spec.seeds:
        for method in (ZERO, MIXED):
            config = config_of(
                method, task=task, seed=seed, target_languages=() if method == ZERO else languages, encoder=spec.encoder
            )
            plan.add(trial_of(config, evaluate=digests))
            plan.results.extend(result_of(config, language, data=digests[language]) for language in every)
            trials.setdefault(method, config.digest)
    id_ = store.experiments.add(spec, plan)
    for digest, trial in store.trials.outstanding(id_).items():
        attempt, scores = store.trials.started(id_, digest), []
        for language, part in parts.items():
            whole, chance = data.examples(language, "test"), random.Random(f"{digest} {language}")
            shown = [whole[place] for place in part.places]
            gold = [TASKS[task].gold(one) for one in shown]
            labels = tuple(sorted(data.facts("en", "train").labels))
            share = MISTAKES[trial.config.method]
            found = [
                mistaken(task, one, chance, labels) if chance.random() < share else right(task, one) for one in shown
            ]
            path = predictions_file(home, digest, step=STEP, language=language, split="test", data=part.digest)
            predictions.write(FolderPlace(home), path, task, list(part.places), gold, found)
            counts = {"metric": "", "examples": len(shown), "data": part.digest, "cut": part.sample_of is not None}
            metrics = TASKS[task].metrics(gold, found)
            scores += [score_of(language, value, **{**counts, "metric": name}) for name, value in metrics.items()]
        outcome = Outcome(selected={"source-dev": STEP}, scores=tuple(scores), facts={"shots": {}})
        store.trials.succeeded(digest, attempt, outcome)
    return id_, trials


def part_of(data: Data, task: str, language: str, most: int | None) -> Part:
    """The test examples of a language that are scored."""
    facts, examples = data.facts(language, "test"), data.examples(language, "test")
    whole = Part("test", range(facts.examples), facts.digest)
    return splits.cut(whole, most, lambda place: TASKS[task].stratum(examples[place]))
