"""What a plan will cost, against what its trials then really do."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import trainers
from search_spaces.checks import accepted
from search_spaces.cost.cards import GUESSED
from search_spaces.cost.estimate import Estimate, Known, check_budget, estimate
from search_spaces.cost.timing import SECONDS_OF_A_TRIAL, Measured
from search_spaces.environment import Environment
from search_spaces.plan import Plan, plan
from search_spaces.spec import ExperimentSpec
from trainers.artifacts import kept_models as models
from trainers.artifacts.folder_place import FolderPlace
from trainers.data.sources import open_data
from trainers.data.token_counts import Size
from trainers.encoders.by_name import encoder_digest, find_encoder
from trainers.encoders.encoder import EncoderSize
from trainers.methods import METHODS, PAPER
from trainers.tasks import TASKS
from trainers.trial import DataReference, Outcome, Report, Trial, Wanted, Work

TARGETS = ["de", "hi", "sw"]

# For whole trials: the rules' trials take equal steps and tokens, so that one rival stands for all.
UNLIKE = [*PAPER, "pcgrad-mix-train"]


@pytest.fixture
def spec_of(tiny_encoder_for_all: Path, tmp_path: Path) -> Any:
    def make(task: str = "ner", **fields: Any) -> ExperimentSpec:
        training = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "max_source_examples": 40,
                    "max_test_examples": 7, **fields.pop("training", {})}  # fmt: skip
        base = {
            "task": task, "encoder": str(tiny_encoder_for_all), "data": "sample", "target_languages": TARGETS,
            "methods": [name for name, one in METHODS.items() if one.selection != "held-out"],
            "k": [1, 5], "seeds": [1, 2], "training": training, "average": 2,
        }  # fmt: skip
        return accepted({**base, **fields}, Environment(tmp_path, None, 2, 0)).spec

    return make


def nothing_done(made: Plan, **known: Any) -> Known:
    missing = {digest: tuple(trial.wanted.evaluate) for digest, trial in made.trials.items()}
    empty: dict[str, Any] = {"missing": missing, "trained": frozenset(), "sizes": {}, "measured": []}
    return Known(**{**empty, **known})


def estimated(spec: ExperimentSpec, home: Path, encoder: EncoderSize | None = None, **known: Any) -> Estimate:
    data = open_data(DataReference("sample"), spec.task, home)
    made = plan(spec, data, encoder_digest(spec.encoder, home))
    return estimate(spec, made, data, encoder or find_encoder(spec.encoder, home).size, nothing_done(made, **known))


def summary(one: Estimate, memory: int | None = None) -> dict[str, Any]:
    return one.summary(Environment(Path("/nowhere"), None, 4, 0, memory))


# What is shared


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_has_one_source_training_and_a_target_one_trajectory_at_each_k(
    spec_of: Any, tmp_path: Path, task: str
) -> None:
    made = estimated(spec_of(task), tmp_path)
    sources = Counter(one.config.seed for one in made.plan.trials.values() if one.config.method == "zero-shot")
    assert sources == {1: 1, 2: 1}
    answer = summary(made)
    rows = {(row["method"], row["k"]): row for row in answer["by_method"]}
    assert rows["zero-shot", 0]["trials"] == answer["source_trainings"] == 2
    for k in (1, 5):
        assert rows["ord-FS", k]["trials"] == 2 * len(TARGETS)
        assert rows["ord-FS", k]["selections"] == ["last", "target-dev", "average:2"]
        assert rows["mix-FT", k]["trials"] == rows["gradient-mix-train", k]["trials"] == 2
    assert sum(row["trials"] for row in rows.values()) == answer["trials"] == len(made.plan.trials)
    assert (answer["reused"], answer["source_trainings_there"]) == (0, 0)


def test_what_is_reused_costs_nothing(spec_of: Any, tmp_path: Path) -> None:
    whole = estimated(spec_of(), tmp_path)
    missing = {**whole.known.missing}
    reused = [digest for digest, trial in whole.plan.trials.items() if trial.config.k == 1]
    made = estimated(spec_of(), tmp_path, missing={**missing, **dict.fromkeys(reused)})
    assert summary(made)["reused"] == len(reused)
    for digest, cost in made.costs.items():
        assert cost == (whole.costs[digest] if digest not in reused else type(cost)())
    assert summary(made)["steps"] == summary(estimated(spec_of(k=[5]), tmp_path))["steps"]


def test_a_source_training_that_is_there_is_only_scored_on_what_it_lacks(spec_of: Any, tmp_path: Path) -> None:
    spec = spec_of(methods=["zero-shot"], seeds=[1])
    before = estimated(spec, tmp_path)
    [(digest, cost)] = before.costs.items()
    made = estimated(spec, tmp_path, trained=frozenset([digest]), missing={digest: ("hi",)})
    left = made.costs[digest]
    assert (left.load.steps, left.load.training, left.models) == (0, 0, 0)
    assert 0 < left.load.evaluation < cost.load.evaluation
    assert left.seconds is not None
    assert cost.seconds is not None
    assert left.seconds < cost.seconds
    assert summary(made)["source_trainings_there"] == 1


# Against real trials


def run_all(made: Estimate, home: Path, keep: bool = False) -> dict[str, tuple[int, Outcome]]:
    """Per trial the steps that it took, and its outcome."""
    done = {}
    for digest, trial in made.plan.trials.items():
        reports: list[Report] = []
        cut = made.spec.training.max_test_examples
        outcome = trainers.run(
            Trial(
                config=trial.config,
                source=trial.source,
                data=DataReference("sample"),
                wanted=Wanted(selections=trial.wanted.selections, evaluate=trial.wanted.evaluate, keep=keep),
                max_test_examples=cut,
                home=home,
            ),
            reports.append,
        )
        done[digest] = reports[-1].step, outcome
    return done


def sizes_of(done: dict[str, tuple[int, Outcome]]) -> dict[str, Size]:
    """As the store keeps them: of the most examples."""
    found: dict[str, Size] = {}
    for _, outcome in done.values():
        for digest, size in outcome.facts["sizes"].items():
            if digest not in found or found[digest].examples < size["examples"]:
                found[digest] = Size(**size)
    return found


@pytest.mark.parametrize(
    "task", ["ner", *(pytest.param(task, marks=pytest.mark.slow) for task in TASKS if task != "ner")]
)
def test_steps_and_sub_words_are_those_that_trials_then_take(spec_of: Any, tmp_path: Path, task: str) -> None:
    fewer = {"max_source_examples": 20} if task == "tydiqa" else {}  # its windows are long
    spec = spec_of(task, k=[2], seeds=[1], target_languages=["de", "hi"], methods=UNLIKE, training=fewer)
    guess = estimated(spec, tmp_path)
    done = run_all(guess, tmp_path)
    counted = estimated(spec, tmp_path, sizes=sizes_of(done))
    assert "in 0 of" in summary(guess)["tokens"]["basis"]
    assert "in 0 of" not in summary(counted)["tokens"]["basis"]
    for digest, (steps, outcome) in done.items():
        load, work = counted.costs[digest].load, outcome.facts["work"]
        assert load.steps == steps == work["training"]["steps"]
        if task != "tydiqa":  # whose examples have several windows, of which there is only a guess before
            assert guess.costs[digest].load.steps == steps
        if guess.plan.trials[digest].config.method == "zero-shot":
            assert load.training == work["training"]["sub_words"]
            assert load.evaluation == work["evaluation"]["sub_words"]
        # two selections that chose one step are scored once; surgery passes at alpha 0.1 happen or not
        assert load.training + load.oracle == pytest.approx(work["training"]["sub_words"], rel=0.25)
        assert load.evaluation >= 0.9 * work["evaluation"]["sub_words"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_with_surgery_at_one_every_step_has_an_oracle_pass(spec_of: Any, tmp_path: Path, precision: str) -> None:
    spec = spec_of(methods=["gradient-mix-train"], k=[3], seeds=[1], alpha=1.0, training={"precision": precision})
    [cost] = estimated(spec, tmp_path).costs.values()
    [half] = estimated(spec.model_copy(update={"alpha": 0.5}), tmp_path).costs.values()
    [none] = estimated(spec.model_copy(update={"alpha": 0.0}), tmp_path).costs.values()
    assert cost.load.oracle == pytest.approx(2 * half.load.oracle)
    assert none.load.oracle == 0
    data = open_data(DataReference("sample"), "ner", tmp_path)
    per_pass = cost.load.oracle / cost.load.steps / 3
    longest, shortest = (
        choose(max(data.facts(target, "train").sub_words, default=0) for target in TARGETS) for choose in (max, min)
    )
    assert 1 < per_pass <= longest + 2
    assert shortest > 0


@pytest.mark.slow
def test_steps_under_the_released_code_are_those_that_trials_then_take(spec_of: Any, tmp_path: Path) -> None:
    methods = ["zero-shot", "ord-FS+dev", "gradient-mix-train"]
    made = estimated(spec_of(protocol="released-code", methods=methods, k=[2], seeds=[1]), tmp_path)
    for digest, (steps, _) in run_all(made, tmp_path).items():
        assert made.costs[digest].load.steps == steps


@pytest.mark.parametrize(
    "keep", ["selected", *(pytest.param(other, marks=pytest.mark.slow) for other in ("none", "all"))]
)
def test_models_take_at_most_what_is_said_and_are_as_many(spec_of: Any, tmp_path: Path, keep: str) -> None:
    spec = spec_of(keep=keep, k=[5], seeds=[1], target_languages=["de", "hi"], methods=UNLIKE)
    made = estimated(spec, tmp_path)
    kept = 0
    for digest, trial in made.plan.trials.items():
        run_all(replace(made, plan=Plan({digest: trial})), tmp_path, made.spec.keeps(trial.config.method))
        found = [models.load(FolderPlace(tmp_path), trial.config, selection) for selection in trial.wanted.selections]
        bytes_ = sum(tensor.nbytes for model in found if model is not None for tensor in model.weights.values())
        most = made.costs[digest].model_bytes
        assert made.costs[digest].models == sum(model is not None for model in found)
        assert most is not None
        assert bytes_ <= most
        assert bytes_ > most / 10 or not most
        kept += made.costs[digest].models
    assert summary(made)["disk"]["models"] == kept
    mixed = sum(not METHODS[name].adapts for name in UNLIKE) - 1
    assert kept == {"none": 1, "selected": 2 + mixed, "all": 6 + mixed}[keep]


# Time


def measured(spec: ExperimentSpec, made: Estimate, slower: float) -> list[Measured]:
    """The plan's trials as if each had taken so many times what was estimated, and as many seconds around it."""
    rows = []
    for digest, trial in made.plan.trials.items():
        load, seconds = made.costs[digest].load, made.costs[digest].seconds
        assert seconds is not None
        half = slower * seconds / 2
        tokens = round(load.training + load.oracle)
        rows.append(
            Measured(
                adapts=METHODS[trial.config.method].adapts,
                seconds=slower * (seconds + 1),
                training=Work(sub_words=tokens, seconds=half, steps=load.steps, parameters=100_000),
                evaluation=Work(sub_words=load.evaluation, seconds=half),
            )
        )
    return rows


def test_twice_the_seconds_measured_are_twice_the_seconds_estimated(spec_of: Any, tmp_path: Path) -> None:
    spec = spec_of(k=[5])
    assumed = estimated(spec, tmp_path)
    assert summary(assumed)["basis"].startswith("assumed: 60 GFLOP/s on 1 CPU thread at fp32")
    one, two = (summary(estimated(spec, tmp_path, measured=measured(spec, assumed, slower))) for slower in (1.0, 2.0))
    assert one["basis"].startswith(f"measured: {len(assumed.plan.trials)} trials")
    assert two["device_hours"] == pytest.approx(2 * one["device_hours"])


def test_a_card_that_was_measured_has_its_own_speed_and_any_other_a_guess(
    spec_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(k=[5])
    on_gpu = spec.resources.model_copy(update={"gpus_per_trial": 1})
    spec = spec.model_copy(update={"resources": on_gpu})
    fast = replace(
        GUESSED,
        flops={name: 2 * value for name, value in GUESSED.flops.items()},
        bytes_per_second=2 * GUESSED.bytes_per_second,
        seconds_of_a_layer=GUESSED.seconds_of_a_layer / 2,
        basis="measured on a day",
    )
    monkeypatch.setattr("search_spaces.cost.cards.CARDS", {"Fast": fast})
    unknown, other, known = (estimated(spec, tmp_path, card=name) for name in (None, "Slow", "Fast"))
    assert "20000 GFLOP/s on a GPU at fp32 (guessed)" in summary(unknown)["basis"]
    assert "40000 GFLOP/s on a GPU at fp32 (measured on a day)" in summary(known)["basis"]
    for digest, cost in known.costs.items():
        guessed = unknown.costs[digest].seconds
        assert guessed is not None
        assert cost.seconds == pytest.approx((guessed - SECONDS_OF_A_TRIAL) / 2 + SECONDS_OF_A_TRIAL)
    assert other.costs == unknown.costs


def test_device_hours_are_those_of_all_threads_of_a_trial(spec_of: Any, tmp_path: Path) -> None:
    one = estimated(spec_of(), tmp_path)
    two = estimated(spec_of(resources={"cpus_per_trial": 2}), tmp_path)
    for made, threads in ((one, 1), (two, 2)):
        hours = sum(cost.seconds or 0.0 for cost in made.costs.values()) / 3600
        assert summary(made)["device_hours"] == pytest.approx(threads * hours)
        assert summary(made)["device"] == "CPU thread"
    assert sum(cost.seconds or 0.0 for cost in two.costs.values()) < sum(
        cost.seconds or 0.0 for cost in one.costs.values()
    )


def test_of_an_encoder_without_sizes_only_the_counts_are_known(spec_of: Any, tmp_path: Path) -> None:
    spec = spec_of()
    data = open_data(DataReference("sample"), "ner", tmp_path)
    made = plan(spec, data, encoder_digest(spec.encoder, tmp_path))
    answer = summary(estimate(spec, made, data, None, nothing_done(made)))
    assert answer["steps"] > 0
    assert answer["device_hours"] is answer["disk"]["bytes"] is answer["memory"]["bytes_per_trial"] is None
    assert answer["basis"].startswith("unknown: the encoder's config.json")


# Memory


@pytest.mark.parametrize(("memory", "fits"), [(None, None), (10**9, False), (10**12, True)])
def test_memory_is_compared_with_that_of_the_pool_where_it_is_known(
    spec_of: Any, tmp_path: Path, memory: int | None, fits: bool | None
) -> None:
    answer = summary(estimated(spec_of(), tmp_path), memory)["memory"]
    assert (answer["bytes_there"], answer["fits"], answer["trials_at_once"]) == (memory, fits, 4)


def test_longer_windows_want_more_memory_and_divided_updates_less(spec_of: Any, tmp_path: Path) -> None:
    def of(task: str, **training: Any) -> int:
        return int(summary(estimated(spec_of(task, training=training), tmp_path))["memory"]["bytes_per_trial"])

    assert of("tydiqa", accumulation=8) < of("tydiqa")
    assert of("ner") < of("tydiqa")
    assert of("ner", precision="bf16") < of("ner")


# Searches

GRID = {"methods": ["gradient-mix-train"], "k": [5], "seeds": [1]}


def test_a_search_costs_what_all_its_candidates_do(spec_of: Any, tmp_path: Path) -> None:
    one = estimated(spec_of(**GRID, alpha=0.5), tmp_path)
    three = estimated(spec_of(**GRID, alpha={"grid": [0.5, 0.25, 0.75]}), tmp_path)
    assert summary(three)["steps"] == 3 * summary(one)["steps"]
    assert summary(three)["tokens"]["oracle"] == pytest.approx(3 * summary(one)["tokens"]["oracle"], rel=1e-6)


def test_a_schedule_of_alpha_costs_its_mean(spec_of: Any, tmp_path: Path) -> None:
    training = {"epochs": 4}
    half, scheduled = (
        estimated(spec_of(**GRID, alpha=alpha, training=training), tmp_path)
        for alpha in (0.5, {"schedule": [[0, 1.0], [2, 0.0]]})
    )
    assert summary(half)["tokens"]["oracle"] == summary(scheduled)["tokens"]["oracle"] > 0


def test_dev_sets_of_targets_that_judge_are_counted(spec_of: Any, tmp_path: Path) -> None:
    grid = {"grid": [0, 1]}
    source, target = (
        estimated(spec_of(**GRID, alpha=grid, search={"objective": objective}), tmp_path)
        for objective in ("source-dev", "target-dev")
    )
    assert summary(target)["tokens"]["evaluation"] > summary(source)["tokens"]["evaluation"]
    assert summary(target)["tokens"]["training"] == summary(source)["tokens"]["training"]


def test_a_budget_below_the_cheapest_trial_is_refused(spec_of: Any, tmp_path: Path) -> None:
    grid = {"grid": [0, 1]}
    enough, little = (
        list(check_budget(estimated(spec_of(**GRID, alpha=grid, search={"budget": budget}), tmp_path)))
        for budget in ({"device_hours": 10}, {"device_hours": 1e-6})
    )
    assert not enough
    [problem] = little
    assert problem.field == "search.budget"
    assert "allowed: from" in problem.message
