"""What a spec of a megabyte may cost: the time of its checks, the answer that refuses it, and the size of its plan."""

import json
import time
from itertools import product
from string import ascii_lowercase
from typing import Any

import pytest
from planning import TableData

from search_spaces.checks import accepted
from search_spaces.cost.estimate import Known, estimate
from search_spaces.environment import Environment
from search_spaces.inputs import Inputs
from search_spaces.plan import Plan, plan
from search_spaces.plan_size import plan_size
from search_spaces.problems import SpecError
from search_spaces.spec import ExperimentSpec
from search_spaces.targets import target_languages
from trainers.encoders.encoder import EncoderSize
from trainers.tasks import TASKS

# What needs a hundredth of a second alone; beside other work, and on a slow machine, still no second.
SECONDS = 2.0

# A bound that the longest of the answers below is far from, and that of one more per language is not.
ANSWER_BYTES = 64 * 1024

LANGUAGES = ("en", "de", "fi", "hi", "ru", "sw")

CODES = ["".join(letters) for letters in product(ascii_lowercase, repeat=3)][:1000]
MANY = 150_000  # elements of a list that still fits into a megabyte

REFUSED: dict[str, dict[str, Any]] = {
    "one name in 200 groups of 1,000": {"target_languages": ["de"] * 1000, "grouping": [["de"] * 1000] * 200},
    "1,000 names in 100 groups each": {"target_languages": CODES, "grouping": [CODES] * 100},
    "1,000 languages that are not there": {"target_languages": CODES},
    "a language that is given 1,000 times": {"target_languages": ["de"] * 1000},
    "a list of groups that are none": {"grouping": ["X"] * MANY},
    "groups of what are no codes": {"grouping": [[0] * 1000] * 300},
    "numbers without end": {"k": list(range(MANY)), "seeds": [0] * MANY},
    "texts for numbers": {"k": [""] * MANY, "seeds": ["1"] * MANY, "alpha": {"grid": [""] * MANY}},
    "values that are out of bounds": {"alpha": {"grid": [2] * 10_000}},
    "methods that there are none of": {"methods": ["x" * 1000] * 100},
    "fields that there are none of": {f"field {number}": 1 for number in range(50_000)},
    "parts that there are none of": {"training": {f"field {number}": 1 for number in range(50_000)}},
    "parts of parts": {"search": {"scheduler": {"name": "asha", **{str(number): 1 for number in range(50_000)}}}},
    "a long name of a field": {"x" * 900_000: 1},
    "a long text": {"task": "x" * 900_000, "data": {"folder": "x" * 900_000}},
    "a schedule of epochs that are none": {"alpha": {"schedule": [["", ""]] * 50_000}},
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Below the data root a folder `mine` with ner in six languages; no encoder, which takes time to look at."""
    folder = tmp_path_factory.mktemp("bounds")
    for language, split in product(LANGUAGES, ("train", "dev", "test")):
        file = folder / "data" / "mine" / "ner" / language / f"{split}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(json.dumps({"tokens": [f"{place}"], "tags": ["B-PER"]}) for place in range(12)))
    return Environment(folder / "home", folder / "data", 1, 0)


def spec_of(environment: Environment, **fields: Any) -> dict[str, Any]:
    small = {"task": "ner", "encoder": str(environment.home / "none"), "data": {"folder": "mine"}}
    return {
        **small, "target_languages": ["de"], "methods": ["gradient-mix-train"], "k": [1], "seeds": [1], **fields
    }  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_large_spec_is_refused_at_once_and_briefly(environment: Environment, what: str) -> None:
    body = json.loads(json.dumps(spec_of(environment, **REFUSED[what])))
    begin = time.process_time()
    with pytest.raises(SpecError) as caught:
        accepted(body, environment)
    assert time.process_time() - begin < SECONDS
    assert len(json.dumps([vars(problem) for problem in caught.value.problems])) < ANSWER_BYTES


def test_a_message_keeps_its_ends_and_an_error_counts_what_it_does_not_list(environment: Environment) -> None:
    with pytest.raises(SpecError) as caught:
        accepted(spec_of(environment, target_languages=CODES, task="x" * 9000), environment)
    [task] = [problem for problem in caught.value.problems if problem.field == "task"]
    assert task.message.startswith("'xxx")
    assert " ... " in task.message
    assert task.message.endswith(f"allowed: one of {', '.join(TASKS)}")
    with pytest.raises(SpecError) as caught:
        accepted(spec_of(environment, target_languages=CODES), environment)
    assert len(caught.value.problems) < caught.value.count == len(CODES) + len(["encoder"])


SIZED: list[dict[str, Any]] = [
    {},
    {"methods": ["zero-shot", "ord-FS", "ord-FS+dev", "mix-FT", "naive-mix-train"], "k": [1, 5]},
    {"methods": ["ord-FS", "mix-FT"], "training": {"epochs": {"grid": [1, 2, 3]}}, "grouping": "script"},
    {"methods": ["gradient-mix-train+dev"], "alpha": {"grid": [0, 1]}, "search": {"objective": "target-dev"}},
    {"methods": ["mix-FT+dev"], "grouping": [["de", "fi", "sw"], ["hi", "ru"]]},
]


@pytest.mark.parametrize("fields", SIZED)
def test_a_plan_is_counted_before_it_is_made(environment: Environment, fields: dict[str, Any]) -> None:
    spec = ExperimentSpec.model_validate(spec_of(environment, target_languages="all", seeds=[1, 2, 3], **fields))
    data = Inputs(spec=spec, home=environment.home, data_root=environment.data_root).data
    made, counted = plan(spec, data, "e"), plan_size(spec, target_languages(spec, data))
    assert counted.trials == len(made.trials)
    assert len(made.results) <= counted.results <= 2 * len(made.results)


def test_the_papers_table_and_its_multiples_are_no_large_plans() -> None:
    """1,745 trials in four experiments: each five times over is within what nobody has to ask for."""
    table = ["zero-shot", "ord-FS", "ord-FS+dev", "mix-FT", "naive-mix-train", "gradient-mix-train"]
    trials = 0
    for task in ("ner", "pos", "tydiqa", "xnli"):
        spec = spec_of_table(task, methods=table, k=[1, 5, 10], seeds=[1, 2, 3, 4, 5])
        trials += plan_size(spec, target_languages(spec, TableData(task))).trials
        spec = spec_of_table(task, methods=table, k=[1, 5, 10], seeds=list(range(25)))
        size = plan_size(spec, target_languages(spec, TableData(task)))
        assert size.trials <= 10_000
        assert size.results <= 200_000
    assert trials == 1745


def spec_of_table(task: str, **fields: Any) -> ExperimentSpec:
    small = {"task": task, "encoder": "e", "data": "xtreme-r", "target_languages": "all"}
    return ExperimentSpec.model_validate({**small, **fields})


MANY_TRIALS = {"methods": ["gradient-mix-train"], "alpha": {"grid": [place / 99 for place in range(100)]}}


def test_too_many_trials_or_scores_are_refused_by_number(environment: Environment) -> None:
    thousand = list(range(1000))
    for fields, words in (
        ({**MANY_TRIALS, "seeds": thousand}, "100000 trials; allowed: up to 10000, or 20000 with"),
        ({**MANY_TRIALS, "seeds": thousand, "allow_large": True}, "100000 trials; allowed: up to 20000"),
        ({"target_languages": "all", "methods": ["mix-FT", "mix-FT+dev", "mix-FT+average"], "k": list(range(1, 10)),
          "seeds": thousand, "training": {"epochs": 3}}, "scores; allowed: up to 200000"),
    ):  # fmt: skip
        begin = time.process_time()
        with pytest.raises(SpecError, match="allow_large") as caught:
            accepted(spec_of(environment, **fields), environment)
        assert words in str(caught.value)
        assert time.process_time() - begin < SECONDS
    schedule = {"schedule": [[epoch, 1e-5] for epoch in range(1000)]}
    training = {"epochs": 1000, "learning_rate": schedule}
    with pytest.raises(SpecError, match="allowed: up to 1000000 in all") as caught:
        accepted(spec_of(environment, seeds=thousand, k=[1, 2], training=training), environment)
    assert [problem.field for problem in caught.value.problems] == ["encoder", "training.learning_rate"]


def test_what_a_plan_costs_grows_with_its_kinds_of_trials_not_with_its_seeds(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of trials that differ in their seed alone are priced once."""
    import search_spaces.cost.estimate as estimating

    priced: list[int] = []
    trial_cost = estimating.trial_cost
    monkeypatch.setattr(estimating, "trial_cost", lambda *given: priced.append(1) or trial_cost(*given))
    spec = spec_of_table("ner", methods=["naive-mix-train", "ord-FS"], k=[1, 5], seeds=list(range(20)))
    made = plan(spec, TableData("ner"), "e")
    found = estimate(spec, made, TableData("ner"), EncoderSize(24, 1024, 4096, 16, 250_002, 514, 1), _nothing_of(made))
    assert len(found.costs) == len(made.trials) == 20 * len(priced)
    alone = {digest: trial_cost_alone(spec, made, digest) for digest in list(made.trials)[::97]}
    assert {digest: found.costs[digest] for digest in alone} == alone


def trial_cost_alone(spec: ExperimentSpec, made: Plan, digest: str) -> Any:
    """The cost of a trial of a plan that has no other."""
    one = Plan({digest: made.trials[digest]})
    encoder = EncoderSize(24, 1024, 4096, 16, 250_002, 514, 1)
    return estimate(spec, one, TableData("ner"), encoder, _nothing_of(one)).costs[digest]


def _nothing_of(made: Plan) -> Known:
    missing = {digest: tuple(trial.wanted.evaluate) for digest, trial in made.trials.items()}
    return Known(missing=missing, trained=frozenset(), sizes={}, measured=[])
