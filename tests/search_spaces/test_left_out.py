"""Languages that lack a split which a method needs: left out of that method, and of nothing else."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from search_spaces.checks import accepted
from search_spaces.environment import Environment
from search_spaces.inputs import Inputs
from search_spaces.plan import Plan, plan
from search_spaces.problems import SpecError
from search_spaces.targets import LeftOut
from tiny_encoders import write_encoder
from trainers.methods import METHODS, PAPER
from trainers.tasks.xnli import LABELS

LANGUAGES = ("en", "kk", "th", "tr")
MISSING = {"kk": ("dev",), "th": ("train", "dev")}  # as in Universal Dependencies


def example_of(task: str, place: int) -> dict[str, Any]:
    if task == "xnli":
        return {"premise": str(place), "hypothesis": "x", "label": LABELS[place % 3]}
    return {"tokens": [str(place)], "tags": ["NOUN"]}


class Place:
    """A data root with a folder `mine` that lacks splits, and an encoder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for task, language, split in product(("pos", "xnli"), LANGUAGES, ("train", "dev", "test")):
            if split not in MISSING.get(language, ()):
                folder = root / "data" / "mine" / task / language
                folder.mkdir(parents=True, exist_ok=True)
                lines = [json.dumps(example_of(task, place)) for place in range(12)]
                (folder / f"{split}.jsonl").write_text("\n".join(lines))
        write_encoder(root / "encoder")

    def inputs(self, **fields: Any) -> Inputs:
        base = {
            "task": "pos",
            "encoder": str(self.root / "encoder"),
            "data": {"folder": "mine"},
            "target_languages": "all",
            "methods": list(PAPER),
            "k": [2],
            "seeds": [1],
        }
        return accepted({**base, **fields}, Environment(self.root / "home", self.root / "data", 1, 0))

    def planned(self, **fields: Any) -> Plan:
        found = self.inputs(**fields)
        return plan(found.spec, found.data, found.encoder_digest)

    def problems(self, **fields: Any) -> list[tuple[str, str]]:
        with pytest.raises(SpecError) as caught:
            self.inputs(**fields)
        return [(problem.field, problem.message) for problem in caught.value.problems]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def scored_on(made: Plan, method: str) -> set[str]:
    """The targets that a method has test results of."""
    return {one.language for one in made.results if (one.method, one.split) == (method, "test")} - {"en"}


@pytest.mark.parametrize("targets", ["all", ["kk", "th", "tr"]])
def test_each_method_has_the_targets_that_have_what_it_needs_and_the_plan_says_what_it_leaves_out(
    place: Place, targets: Any
) -> None:
    made = place.planned(target_languages=targets)
    for method in PAPER:
        left_out = {one.language: one.lacks for one in made.left_out if one.method == method}
        assert scored_on(made, method) == {"kk", "th", "tr"} - set(left_out)
        assert left_out == {"zero-shot": {}, "ord-FS+dev": MISSING}.get(method, {"th": ("train",)})
    mixed = [trial.config for trial in made.trials.values() if not METHODS[trial.config.method].model_per_target]
    assert {config.target_languages for config in mixed} == {(), ("kk", "tr")}


def test_a_training_that_two_methods_share_has_the_selection_of_the_one_that_can_alone(place: Place) -> None:
    adapted = {
        trial.config.target_languages: trial.wanted.selections
        for trial in place.planned(methods=["ord-FS+dev", "ord-FS"]).trials.values()
        if trial.config.method == "ord-FS"
    }
    assert adapted == {("kk",): ("last",), ("tr",): ("last", "target-dev")}


@pytest.mark.parametrize("grouping", ["all", "single"])
def test_a_mixed_training_has_the_targets_that_another_selection_of_it_cannot_score(
    place: Place, grouping: str
) -> None:
    methods = ["gradient-mix-train", "gradient-mix-train+dev"]
    both, unrealistic = (place.planned(methods=names, grouping=grouping) for names in (methods, methods[1:]))
    trained = {trial.config.target_languages for trial in both.trials.values()}
    assert trained == ({("kk", "tr")} if grouping == "all" else {("kk",), ("tr",)})
    for made in (both, unrealistic):
        assert scored_on(made, "gradient-mix-train+dev") == {"tr"}
        assert [one.language for one in made.left_out if one.method.endswith("+dev")] == ["kk", "th"]
        assert set(made.trials) <= set(both.trials)
    assert scored_on(both, "gradient-mix-train") == {"kk", "tr"}
    selections = {trial.wanted.selections for trial in both.trials.values()}
    assert ("source-dev", "target-dev:tr") in selections
    assert (("source-dev",) in selections) == (grouping == "single")


def test_the_trials_of_other_languages_are_those_that_they_are_without_it(place: Place) -> None:
    both, alone = place.planned(methods=["ord-FS", "ord-FS+dev"]), place.planned(methods=["ord-FS"])
    of_kk = [
        {digest for digest, trial in made.trials.items() if trial.config.target_languages == ("kk",)}
        for made in (both, alone)
    ]
    assert of_kk[0] == of_kk[1] != set()
    named = place.planned(methods=["ord-FS", "ord-FS+dev"], target_languages=["tr"])
    assert set(named.trials) == {
        digest for digest, trial in both.trials.items() if trial.config.target_languages in ((), ("tr",))
    }


@pytest.mark.parametrize("grouping", ["single", "family", "script", [["kk", "th"], ["tr"]]])
def test_groups_are_of_the_languages_that_are_left(place: Place, grouping: Any) -> None:
    made = place.planned(methods=["mix-FT"], grouping=grouping)
    trained = {trial.config.target_languages for trial in made.trials.values()} - {()}
    assert sorted(language for group in trained for language in group) == ["kk", "tr"]


def test_where_shots_come_from_the_dev_set_it_is_the_dev_set_that_is_needed(place: Place) -> None:
    made = place.planned(task="xnli", methods=["zero-shot", "ord-FS"], protocol="released-code")
    assert made.left_out == [LeftOut("ord-FS", "kk", ("dev",)), LeftOut("ord-FS", "th", ("dev",))]


def test_methods_whose_candidates_are_judged_on_target_dev_need_it(place: Place) -> None:
    search = {"alpha": {"grid": [0, 1]}, "search": {"objective": "target-dev"}}
    made = place.planned(methods=["naive-mix-train", "gradient-mix-train"], **search)
    assert scored_on(made, "naive-mix-train") == {"kk", "tr"}  # alpha makes no candidates of it
    assert scored_on(made, "gradient-mix-train") == {"tr"}


def test_a_method_without_any_target_is_refused_naming_languages_and_splits(place: Place) -> None:
    for targets in (["kk", "th"], "all"):
        if targets == "all":
            for split in ("train", "dev"):
                (place.root / f"data/mine/pos/tr/{split}.jsonl").unlink()
        [(field, message), *_] = place.problems(methods=["zero-shot", "ord-FS+dev"], target_languages=targets)
        assert field == "methods"
        assert "ord-FS+dev needs train and dev of a target (kk lacks dev; th lacks train and dev" in message
        assert "allowed: " in message


def test_what_the_source_lacks_and_what_is_malformed_is_refused_as_ever(place: Place) -> None:
    folder = place.root / "data/mine/pos"
    (folder / "tr/dev.jsonl").write_text("{}")
    [(field, message)] = place.problems()
    assert field == "data"
    assert "tr/dev.jsonl, line 1" in message
    (folder / "tr/dev.jsonl").write_text("")
    [(_, message)] = place.problems()
    assert "tr/dev.jsonl is empty" in message
    (folder / "en/dev.jsonl").unlink()
    assert any("en/dev.jsonl does not exist" in message for _, message in place.problems())


def test_no_more_shots_are_asked_of_a_language_than_methods_take(place: Place) -> None:
    (place.root / "data/mine/pos/kk/train.jsonl").write_text(json.dumps(example_of("pos", 0)))
    assert place.inputs(methods=["zero-shot", "ord-FS+dev"])  # which leaves kk out
    [(field, message)] = place.problems(methods=["ord-FS", "ord-FS+dev"])
    assert (field, message) == ("k", "2 is more than the 1 training examples of kk")
