"""How a spec goes together with its data: every problem, by the field that it is of."""

import json
from pathlib import Path
from typing import Any

import pytest

from search_spaces.checks import accepted
from search_spaces.environment import Environment
from search_spaces.method_space import Candidate
from search_spaces.problems import SpecError
from search_spaces.spec import ExperimentSpec
from tiny_encoders import write_encoder

LABELS = ("entailment", "neutral", "contradiction")
EXAMPLES: dict[str, Any] = {
    "ner": lambda place: {"tokens": [str(place)], "tags": ["B-PER"]},
    "xnli": lambda place: {"premise": str(place), "hypothesis": "x", "label": LABELS[place % 3]},
    "tydiqa": lambda place: {
        "id": str(place), "context": "a b", "question": "?", "answers": {"text": ["b"], "answer_start": [2]},
    },
}  # fmt: skip


class Place:
    """A data root with a folder `mine`, and an encoder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        write_encoder(root / "encoder")

    def write(self, task: str, language: str, **splits: int) -> None:
        folder = self.root / "data" / "mine" / task / language
        folder.mkdir(parents=True, exist_ok=True)
        for split, number in splits.items():
            lines = [json.dumps(EXAMPLES[task](place)) for place in range(number)]
            (folder / f"{split}.jsonl").write_text("\n".join(lines))

    def spec(self, task: str, **fields: Any) -> ExperimentSpec:
        base = {
            "task": task,
            "encoder": str(self.root / "encoder"),
            "data": {"folder": "mine"},
            "target_languages": "all",
            "methods": ["zero-shot", "mix-FT"],
            "k": [2],
            "seeds": [1],
        }
        return accepted({**base, **fields}, Environment(self.root / "home", self.root / "data", 1, 0)).spec

    def problems(self, task: str, **fields: Any) -> list[tuple[str, str]]:
        with pytest.raises(SpecError) as caught:
            self.spec(task, **fields)
        return [(problem.field, problem.message) for problem in caught.value.problems]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    for task in EXAMPLES:
        for language in ("en", "fi", "ru"):
            place.write(task, language, train=12, dev=6, test=6)
    return place


@pytest.mark.parametrize("grouping", ["all", "single", "script", "family", [["fi"], ["ru"]], [["ru", "fi"]]])
def test_groups_of_known_targets_are_accepted(place: Place, grouping: Any) -> None:
    assert place.spec("ner", grouping=grouping).grouping == grouping


@pytest.mark.parametrize(
    ("grouping", "named"), [([["fi"]], "ru"), ([["fi", "ru"], ["ru"]], "ru"), ([["fi", "ru", "en"]], "en")]
)
def test_lists_that_do_not_name_each_target_once_are_refused(place: Place, grouping: Any, named: str) -> None:
    for targets in ("all", ["fi", "ru"]):
        problems = place.problems("ner", grouping=grouping, target_languages=targets)
        assert problems == [("grouping", f"each target must be in one list: {named}")]


@pytest.mark.parametrize("grouping", [[], [[]], [["fi"], []], [["fi", 3]], ["fi"], "random", 7])
def test_what_is_no_grouping_is_refused_with_what_is_one(place: Place, grouping: Any) -> None:
    [(field, message)] = place.problems("ner", grouping=grouping)
    assert field == "grouping"
    assert 'allowed: which targets share a model: "all", "single", "script", "family"' in message


def test_languages_without_a_known_script_are_grouped_by_lists_alone(place: Place) -> None:
    place.write("ner", "qqx", train=12, dev=6, test=6)
    for grouping in ("script", "family"):
        [(field, message)] = place.problems("ner", grouping=grouping)
        assert (field, message) == ("grouping", f"the {grouping} of qqx is not known: give lists of targets")
    assert place.spec("ner", grouping=[["fi", "qqx"], ["ru"]]).grouping == [["fi", "qqx"], ["ru"]]


# Shots


@pytest.mark.parametrize(("protocol", "most", "split"), [("paper", 4, "training"), ("released-code", 2, "dev")])
def test_xnli_needs_k_examples_of_each_class_where_its_shots_are_drawn(
    place: Place, protocol: str, most: int, split: str
) -> None:
    assert place.spec("xnli", k=[1, most], protocol=protocol).k == [1, most]
    problems = place.problems("xnli", k=[1, most + 1], protocol=protocol)
    assert {field for field, _ in problems} == {"k"}
    assert {message for _, message in problems} == {
        f"{most + 1} is more than the {most} {split} examples of {language} labeled {label!r}"
        for label in LABELS
        for language in ("fi", "ru")
    }


def test_a_class_that_does_not_occur_has_no_shots(place: Place) -> None:
    place.write("xnli", "fi", train=2)
    problems = place.problems("xnli", k=[1], target_languages=["fi"])
    assert problems == [("k", "1 is more than the 0 training examples of fi labeled 'contradiction'")]
    assert place.spec("xnli", k=[1], target_languages=["fi"], methods=["zero-shot"]).k == [1]


def test_other_tasks_need_k_examples_of_whatever_kind(place: Place) -> None:
    assert place.spec("ner", k=[12]).k == [12]
    messages = [message for _, message in place.problems("ner", k=[13])]
    assert messages == [f"13 is more than the 12 training examples of {one}" for one in ("fi", "ru")]


# Splits


def test_a_target_s_dev_set_is_needed_by_the_method_that_selects_on_it_alone(place: Place) -> None:
    (place.root / "data/mine/ner/fi/dev.jsonl").unlink()
    assert place.spec("ner", methods=["zero-shot", "ord-FS", "mix-FT"], target_languages=["fi"])
    [(field, message)] = place.problems("ner", methods=["ord-FS+dev"], target_languages=["fi"])
    assert field == "methods"
    assert "fi lacks dev" in message


@pytest.fixture
def two_splits(place: Place) -> Place:
    for path in (place.root / "data/mine/tydiqa").glob("*/test.jsonl"):
        path.unlink()
    return place


def test_shots_that_leave_no_training_example_for_a_dev_set_within_them_are_refused(two_splits: Place) -> None:
    both = ["ord-FS", "ord-FS+dev"]
    assert two_splits.spec("tydiqa", methods=both, k=[1, 11])
    assert two_splits.spec("tydiqa", methods=["ord-FS", "mix-FT"], k=[12])
    problems = two_splits.problems("tydiqa", methods=both, k=[12, 1])
    assert problems == [
        ("k", f"12 leaves no training example of {one} for the dev set of ord-FS+dev") for one in ("fi", "ru")
    ]
    assert {field for field, _ in two_splits.problems("tydiqa", methods=both, k=[13])} == {"k"}


def test_shots_that_leave_nothing_of_the_dev_set_that_they_come_from_are_refused(place: Place) -> None:
    released: dict[str, Any] = {"protocol": "released-code", "target_languages": ["fi"]}  # 6 examples of 3 classes
    assert place.spec("xnli", **released, methods=["mix-FT", "naive-mix-train"], k=[2])
    assert place.spec("xnli", **released, methods=["mix-FT+dev"], k=[1])
    for method in ("ord-FS+dev", "naive-mix-train+dev"):
        [problem] = place.problems("xnli", **released, methods=["mix-FT", method], k=[1, 2])
        assert problem == ("k", f"2 leaves no dev example of fi for the dev set of {method}")
    judged = {"alpha": {"grid": [0, 1]}, "search": {"objective": "target-dev"}, "methods": ["gradient-mix-train"]}
    assert {field for field, _ in place.problems("xnli", **released, **judged, k=[2])} == {"k"}


def test_with_a_third_split_all_training_examples_may_be_shots(place: Place) -> None:
    assert place.spec("tydiqa", methods=["ord-FS+dev"], k=[12])


def test_a_single_example_of_the_source_cannot_both_train_and_select(two_splits: Place) -> None:
    two_splits.write("tydiqa", "en", train=2)
    assert two_splits.spec("tydiqa")
    two_splits.write("tydiqa", "en", train=1)
    assert two_splits.problems("tydiqa") == [
        ("data", "en has one training example and no third split; allowed: from 2 examples")
    ]


# Training


def test_an_update_is_divided_into_no_more_parts_than_it_has_windows(place: Place) -> None:
    assert Candidate().training(place.spec("ner", training={"accumulation": 32})).accumulation == 32
    wrong = ("training.accumulation", "33 parts of 32 windows; allowed: up to the batch size")
    assert place.problems("ner", training={"accumulation": 33}) == [wrong]
    wrong = ("training.accumulation", "3 parts of 2 windows; allowed: up to the batch size")
    assert place.problems("ner", training={"accumulation": 3, "batch_size": 2}) == [wrong]


def test_the_parts_that_a_protocol_says_count_too(place: Place) -> None:
    assert place.spec("ner", protocol="released-code", training={"batch_size": 16})
    wrong = ("training.accumulation", "16 parts of 8 windows; allowed: up to the batch size")
    assert place.problems("ner", protocol="released-code", training={"batch_size": 8}) == [wrong]
    assert place.spec("ner", protocol="released-code", training={"batch_size": 8, "accumulation": 1})


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_precisions_that_there_are(place: Place, precision: str) -> None:
    assert Candidate().training(place.spec("ner", training={"precision": precision})).precision == precision


@pytest.mark.parametrize("precision", ["fp64", "int8", "", 16, True])
def test_a_precision_that_there_is_not_is_refused_with_those_that_there_are(place: Place, precision: Any) -> None:
    [(field, message)] = place.problems("ner", training={"precision": precision})
    assert field == "training.precision"
    assert message.endswith("allowed: one of fp32, bf16, fp16")


def test_all_problems_come_together_each_with_its_field(place: Place) -> None:
    problems = place.problems(
        "ner",
        grouping=[["fi"]],
        k=[99],
        keep="some",
        training={"accumulation": 64, "precision": "fp8", "epochs": 0},
        target_languages=["fi", "ru"],
        resources={"gpus_per_trial": 1},
    )
    assert {field for field, _ in problems} == {
        "grouping", "k", "keep", "training.accumulation", "training.precision", "training.epochs",
        "resources.gpus_per_trial",
    }  # fmt: skip


@pytest.mark.parametrize("gpus", [1.5, 2, 8])
def test_a_trial_has_one_gpu_at_most(place: Place, gpus: float) -> None:
    environment = Environment(place.root / "home", place.root / "data", cpus=1, gpus=8)

    def asked(number: float) -> ExperimentSpec:
        spec = place.spec("ner").model_dump(mode="json")
        return accepted({**spec, "resources": {"gpus_per_trial": number}}, environment).spec

    with pytest.raises(SpecError) as caught:
        asked(gpus)
    [problem] = caught.value.problems
    assert problem.field == "resources.gpus_per_trial"
    assert "trains on one GPU" in problem.message
    assert "allowed: up to 1" in problem.message
    assert asked(1).resources.gpus_per_trial == 1


SEARCHES: dict[str, tuple[dict[str, Any], str, str]] = {
    "a range without samples": ({"alpha": {"uniform": [0, 1]}}, "alpha", "samples"),
    "samples beside a searcher that counts": (
        {"alpha": {"uniform": [0, 1], "samples": 3}, "search": {"searcher": {"name": "random", "samples": 4}}},
        "alpha", "searcher",
    ),
    "nothing for ASHA to stop": ({"search": {"scheduler": {"name": "asha"}}}, "search.scheduler", "nothing is"),
    "nothing for TPE to propose": (
        {"search": {"searcher": {"name": "tpe", "samples": 4}}}, "search.searcher", "nothing is searched",
    ),
    "alpha without surgery": ({"alpha": {"grid": [0, 1]}, "methods": ["mix-FT"]}, "alpha", "surgery"),
    "no epoch before the last": (
        {"search": {"scheduler": {"name": "asha", "grace_period": 3}}}, "search.scheduler.grace_period", "from 1 to 2",
    ),
    "no epoch at all to stop in": (
        {"search": {"scheduler": {"name": "asha"}}, "training": {"epochs": 1}}, "search.scheduler", "one epoch",
    ),
    "more brackets than rungs": (
        {"search": {"scheduler": {"name": "asha", "brackets": 2}}}, "search.scheduler.brackets", "from 1 to 1",
    ),
    "a grace period of no epoch": (
        {"search": {"scheduler": {"name": "asha", "grace_period": 0}}}, "search.scheduler.grace_period", "1",
    ),
    "a reduction that reduces nothing": (
        {"search": {"scheduler": {"name": "asha", "reduction_factor": 1}}}, "search.scheduler.reduction_factor", "1",
    ),
    "an unknown scheduler": ({"search": {"scheduler": {"name": "bohb"}}}, "search.scheduler", "asha"),
    "an unknown parameter": (
        {"search": {"scheduler": {"name": "asha", "max_t": 9}}}, "search.scheduler.max_t", "no such field",
    ),
    "no epoch before the last for the median": (
        {"search": {"scheduler": {"name": "median", "grace_period": 3, "min_samples_required": 1}}},
        "search.scheduler.grace_period", "from 1 to 2",
    ),
    "a median of more trials than there are": (
        {"search": {"scheduler": {"name": "median", "min_samples_required": 3}}},
        "search.scheduler.min_samples_required", "3 candidates",
    ),
    "PBT where nothing is perturbed": (
        {"search": {"scheduler": {"name": "pbt", "perturbation_interval": 3}}},
        "search.scheduler.perturbation_interval", "perturb",
    ),
    "PBT that would have to change the batch size": (
        {"search": {"scheduler": {"name": "pbt"}}, "training": {"epochs": 3, "batch_size": {"grid": [8, 16]}}},
        "training.batch_size", "PBT",
    ),
    "PBT without a population": (
        {"search": {"searcher": {"name": "tpe", "samples": 3}, "scheduler": {"name": "pbt"}}},
        "search.searcher", "grid, random",
    ),
    "a judge that must not judge": ({"search": {"objective": "test"}}, "search.objective", "source-dev, or target-dev"),
    "no trial at all": ({"search": {"budget": {"trials": 0}}}, "search.budget", "0 should be greater"),
    "no time at all": ({"search": {"budget": {"device_hours": 0}}}, "search.budget", "0 should be greater"),
    "two budgets": ({"search": {"budget": {"trials": 1, "device_hours": 1}}}, "search.budget", "not a form"),
    "curves of a search": ({"test_at": "every"}, "test_at", "test scores"),
    "a schedule beyond the last epoch": ({"alpha": {"schedule": [[0, 1], [3, 0]]}}, "alpha", "from 0 to 2"),
    "too many trials": ({"alpha": {"grid": [place / 9999 for place in range(9999)]}, "seeds": [1, 2]},
                        "allow_large", "up to 10000"),
}  # fmt: skip


@pytest.mark.parametrize("what", SEARCHES)
def test_a_search_that_makes_no_sense_is_refused_by_its_field(place: Place, what: str) -> None:
    fields, field, words = SEARCHES[what]
    base: dict[str, Any] = {"methods": ["gradient-mix-train"], "training": {"epochs": 3}}
    if not what.startswith("nothing"):
        base["alpha"] = {"grid": [0, 0.5, 1]}
    problems = dict(place.problems("ner", **{**base, **fields}))
    assert list(problems) == [field]
    assert words in problems[field]
    assert "allowed: " in problems[field]


def test_more_trials_are_allowed_to_whoever_says_so(place: Place) -> None:
    many = {"grid": [number / 9999 for number in range(9999)]}
    spec = {"methods": ["gradient-mix-train"], "alpha": many, "seeds": [1, 2], "training": {"epochs": 3}}
    assert place.spec("ner", **spec, allow_large=True).allow_large
    assert [field for field, _ in place.problems("ner", **{**spec, "seeds": list(range(99))}, allow_large=True)] == [
        "allow_large"
    ]


def test_sampling_is_for_methods_that_mix(place: Place) -> None:
    for sampling in ({"temperature": 5}, {"repeat_shots": 4}):
        assert place.spec("ner", methods=["zero-shot", "naive-mix-train"], sampling=sampling).sampling is not None
        [(field, message)] = place.problems("ner", sampling=sampling)
        assert field == "sampling"
        assert "allowed: with naive-mix-train, gradient-mix-train" in message


def test_shots_are_held_out_of_more_than_so_many(place: Place) -> None:
    methods = ["mix-FT", "mix-FT+held-out"]
    assert place.spec("ner", methods=methods, k=[2, 5]).held_out == 1
    assert place.spec("ner", methods=["mix-FT"], k=[1], held_out=3)  # which nothing is held out by
    for fields in ({"k": [1]}, {"k": [1, 5]}, {"k": [5, 3], "held_out": 3}):
        [(field, message)] = place.problems("ner", methods=methods, **fields)
        assert field == "held_out"
        assert "leave mix-FT+held-out none to train on; allowed: fewer than each K" in message


def test_an_average_is_of_no_more_epochs_than_there_are(place: Place) -> None:
    methods = ["mix-FT", "mix-FT+average"]
    assert place.spec("ner", methods=methods).average == 3
    assert place.spec("ner", methods=methods, average=10).average == 10
    assert place.spec("ner", average=10, training={"epochs": 3})  # which nothing is made of
    for fields in ({"average": 11}, {"training": {"epochs": 2}}, {"training": {"epochs": {"grid": [2, 8]}}}):
        [(field, message)] = place.problems("ner", methods=methods, **fields)
        assert field == "average"
        assert "allowed: from 1 to " in message


def test_sampling_has_one_of_two_forms(place: Place) -> None:
    no_form = "not a form that this field takes"
    wrong: list[tuple[Any, str]] = [
        ({"temperature": 0.5}, "0.5 should be greater than or equal to 1"),
        ({"temperature": True}, "True should be a number"),
        ({"repeat_shots": 1}, "1 should be greater than or equal to 2"),
        ({"repeat_shots": 2.5}, "2.5 should be a whole number"),
        ({"temperature": 2, "repeat_shots": 2}, no_form),
        ({}, no_form),
        (5, no_form),
    ]
    for sampling, words in wrong:
        [(field, message)] = place.problems("ner", methods=["naive-mix-train"], sampling=sampling)
        assert field == "sampling"
        assert words in message
        assert '; allowed: null for each example once an epoch, {"temperature": T from 1' in message


def test_a_source_that_is_trained_on_as_a_whole_cannot_judge(place: Place) -> None:
    for language in ("en", "fi"):
        place.write("tydiqa", language, train=20, dev=5)
        (place.root / "data" / "mine" / "tydiqa" / language / "test.jsonl").unlink(missing_ok=True)
    search: dict[str, Any] = {"methods": ["gradient-mix-train"], "alpha": {"grid": [0, 1]}}
    assert place.spec("tydiqa", **search)
    assert place.spec("tydiqa", protocol="released-code", alpha=1.0)
    assert place.spec("tydiqa", protocol="released-code", **search, **{"search": {"objective": "target-dev"}})
    [(field, message)] = place.problems("tydiqa", protocol="released-code", **search)
    assert (field, "allowed: target-dev" in message) == ("search.objective", True)


def test_the_dev_sets_of_targets_are_needed_where_they_judge(place: Place) -> None:
    (place.root / "data" / "mine" / "ner" / "fi" / "dev.jsonl").unlink()
    fields: dict[str, Any] = {"methods": ["gradient-mix-train"], "alpha": {"grid": [0, 1]}, "target_languages": ["fi"]}
    assert place.spec("ner", **fields)
    [(field, message)] = place.problems("ner", **fields, search={"objective": "target-dev"})
    assert field == "methods"
    assert "fi lacks dev" in message
