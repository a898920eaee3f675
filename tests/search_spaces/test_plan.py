"""From a spec to its trials: what is shared, what names a trial, and which result each score is."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from search_spaces.plan import Plan, PlannedResult, PlannedTrial, plan
from search_spaces.spec import ExperimentSpec
from trainers.data.folder import FolderData
from trainers.data.shots import draw
from trainers.data.sources import open_data
from trainers.data.splits import source_dev, target_dev
from trainers.encoders.by_name import encoder_digest
from trainers.methods import METHODS
from trainers.surgery.rules import RULES
from trainers.tasks.xnli import LABELS
from trainers.trial import DataReference, TrialConfig

LANGUAGES = ("en", "fi", "hu", "tr")


def example_of(task: str, text: str, place: int) -> dict[str, Any]:
    if task == "ner":
        return {"tokens": [text], "tags": ["B-PER"]}
    if task == "xnli":
        return {"premise": text, "hypothesis": text, "label": LABELS[place % 3]}
    return {"id": text, "context": text, "question": "?", "answers": {"text": [text], "answer_start": [0]}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of data of three tasks in four languages."""
    for task, language in product(("ner", "tydiqa", "xnli"), LANGUAGES):
        folder = tmp_path / "data" / task / language
        folder.mkdir(parents=True)
        for split in ("train", "dev", "test"):
            lines = [example_of(task, f"{language}-{split}-{n}", n) for n in range(15)]
            (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "data"


def change(root: Path, file: str) -> None:
    """Other content in a file."""
    path = root / file
    path.write_text(path.read_text().replace("-3", "-three"))


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """What looks like an encoder from outside; nothing is loaded."""
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def planned(root: Path, encoder: Path, tmp_path: Path) -> Any:
    def make(data: Path = root, **fields: Any) -> Plan:
        base = {
            "task": "ner",
            "encoder": str(encoder),
            "data": {"folder": "data"},
            "target_languages": ["fi", "hu"],
            "methods": ["zero-shot", "ord-FS", "naive-mix-train", "gradient-mix-train"],
            "k": [1, 5],
            "seeds": [1, 2],
        }
        spec = ExperimentSpec.model_validate({**base, **fields})
        inputs = open_data(DataReference("folder", data), spec.task, tmp_path)
        return plan(spec, inputs, encoder_digest(spec.encoder, tmp_path))

    return make


def test_each_method_has_the_trials_that_the_paper_gives_it(planned: Any) -> None:
    trials = planned().trials.values()
    assert Counter(trial.config.method for trial in trials) == {
        "zero-shot": 2,  # one per seed, whatever K
        "ord-FS": 8,  # one per seed, K and target
        "naive-mix-train": 4,  # one per seed and K
        "gradient-mix-train": 4,
    }
    assert all(trial.config.k == 0 for trial in trials if trial.config.method == "zero-shot")
    assert {trial.config.alpha for trial in trials if trial.config.method == "gradient-mix-train"} == {0.2}
    assert {trial.config.alpha for trial in trials if trial.config.method != "gradient-mix-train"} == {None}


def test_adaptation_starts_from_the_source_training_that_zero_shot_scores(planned: Any) -> None:
    made = planned()
    sources = {digest for digest, trial in made.trials.items() if trial.config.method == "zero-shot"}
    needed = {trial.source.digest for trial in made.trials.values() if trial.source is not None}
    assert needed == sources
    only_adapted = planned(methods=["ord-FS"])
    assert sources <= set(only_adapted.trials)
    assert not [result for result in only_adapted.results if result.method == "zero-shot"]


def test_source_trainings_come_first(planned: Any) -> None:
    made = planned(methods=["ord-FS", "gradient-mix-train", "zero-shot"])
    seen: set[str] = set()
    for digest, trial in made.trials.items():
        assert trial.source is None or trial.source.digest in seen
        seen.add(digest)


def test_every_method_has_a_test_result_in_every_language(planned: Any) -> None:
    made = planned()
    tests = Counter(
        (result.method, result.k, result.seed, result.language) for result in made.results if result.split == "test"
    )
    few_shot = ("ord-FS", "naive-mix-train", "gradient-mix-train")
    assert set(tests) == {
        (method, k, seed, language)
        for method, k in [("zero-shot", 0), *((method, k) for method in few_shot for k in (1, 5))]
        for seed in (1, 2)
        for language in ("en", "fi", "hu")
    }
    assert set(tests.values()) == {1}
    assert all(made.trials[result.trial].wanted.evaluate[result.language] == result.data
               for result in made.results if result.split == "test")  # fmt: skip


def test_an_adapted_model_takes_the_source_language_s_score_from_the_source_training(planned: Any) -> None:
    made = planned()
    for result in made.results:
        if result.method == "ord-FS" and result.language == "en":
            assert made.trials[result.trial].config.method == "zero-shot"


def names(made: Plan, method: str) -> set[str]:
    return {digest for digest, trial in made.trials.items() if trial.config.method == method}


def test_a_source_training_s_name_does_not_know_targets_or_what_is_scored(planned: Any) -> None:
    one = planned()
    other = planned(target_languages=["tr"], k=[3], training={"max_test_examples": 4})
    assert names(one, "zero-shot") == names(other, "zero-shot")
    assert names(one, "ord-FS").isdisjoint(names(other, "ord-FS"))


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": [3]},
        {"training": {"epochs": 4}},
        {"training": {"learning_rate": 1e-3}},
        {"training": {"batch_size": 8}},
        {"training": {"max_source_examples": 5}},
    ],
)
def test_what_changes_the_weights_changes_the_name(planned: Any, change: dict[str, Any]) -> None:
    assert set(planned().trials).isdisjoint(planned(**change).trials)


def test_alpha_names_trials_with_surgery_alone(planned: Any) -> None:
    one, other = planned(), planned(alpha=0.5)
    assert names(one, "naive-mix-train") == names(other, "naive-mix-train")
    assert names(one, "gradient-mix-train").isdisjoint(names(other, "gradient-mix-train"))
    assert names(one, "gradient-mix-train") == names(planned(alpha=0.2), "gradient-mix-train")


@pytest.mark.parametrize("task", ["ner", "tydiqa", "xnli"])
def test_a_model_of_the_same_targets_is_the_same_trial_however_the_grouping_is_spelled(planned: Any, task: str) -> None:
    for targets, spelled in (
        (["fi"], ("single", "script", [["fi"]])),
        (["fi", "hu", "tr"], ("script", [["hu", "fi", "tr"]])),
    ):
        made = [
            planned(task=task, target_languages=targets, grouping=grouping, methods=["gradient-mix-train"])
            for grouping in ("all", *spelled)
        ]
        assert {frozenset(one.trials) for one in made} == {frozenset(made[0].trials)}


def test_data_count_by_content_not_by_place(planned: Any, root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    assert set(planned(data=copy).trials) == set(planned().trials)
    with (copy / "ner/hu/train.jsonl").open("a") as file:
        file.write('\n{"tokens": ["new"], "tags": ["O"]}')
    changed = planned(data=copy)
    assert names(changed, "zero-shot") == names(planned(), "zero-shot")
    assert names(changed, "naive-mix-train").isdisjoint(names(planned(), "naive-mix-train"))
    to_fi = names(planned(), "ord-FS") & names(changed, "ord-FS")
    assert {changed.trials[digest].config.target_languages for digest in to_fi} == {("fi",)}


def test_other_test_data_are_another_evaluation_of_the_same_trial(planned: Any, root: Path) -> None:
    before = planned()
    with (root / "ner/hu/test.jsonl").open("a") as file:
        file.write('\n{"tokens": ["new"], "tags": ["O"]}')
    after = planned()
    assert set(before.trials) == set(after.trials)
    (source, *_) = names(before, "zero-shot")
    changed = {
        language
        for language, data in after.trials[source].wanted.evaluate.items()
        if data != before.trials[source].wanted.evaluate[language]
    }
    assert changed == {"hu"}


def test_other_weights_of_the_encoder_are_other_trials(planned: Any, encoder: Path) -> None:
    before = planned()
    (encoder / "model.safetensors").write_bytes(b"other weights")
    assert set(before.trials).isdisjoint(planned().trials)


def test_all_targets_are_those_that_the_data_have(planned: Any) -> None:
    made = planned(target_languages="all", methods=["naive-mix-train"])
    assert {trial.config.target_languages for trial in made.trials.values()} == {("fi", "hu", "tr")}


def trials_of(made: Plan, method: str) -> list[PlannedTrial]:
    return [trial for trial in made.trials.values() if trial.config.method == method]


def results_of(made: Plan, method: str) -> list[PlannedResult]:
    return [result for result in made.results if result.method == method]


def test_the_order_of_targets_methods_and_seeds_changes_no_trial(planned: Any) -> None:
    targets, methods = ["fi", "hu", "tr"], ["ord-FS", "naive-mix-train", "gradient-mix-train"]
    one = planned(target_languages=targets, methods=methods, seeds=[1, 2])
    other = planned(target_languages=targets[::-1], methods=methods[::-1], seeds=[2, 1], k=[5, 1])
    assert set(one.trials) == set(other.trials)
    assert sorted(map(str, one.results)) == sorted(map(str, other.results))


# Sampling


def test_sampling_names_mixed_trials_alone_and_changes_no_shots(planned: Any) -> None:
    methods = [*METHODS]
    plain = planned(methods=methods)
    known = {name: names(plain, name) for name in methods}
    for sampling in ({"temperature": 5}, {"temperature": 3}, {"repeat_shots": 4}, {"repeat_shots": 5}):
        made = planned(methods=methods, sampling=sampling)
        for name in methods:
            found = names(made, name)
            assert found.isdisjoint(known[name]) if METHODS[name].mixes else found == names(plain, name)
            known[name] |= found if METHODS[name].mixes else set()
        for trial in made.trials.values():
            assert TrialConfig.from_dict(json.loads(json.dumps(trial.config.to_dict()))) == trial.config
            bare = replace(trial.config, sampling=None)
            assert bare.digest in plain.trials
            assert "sampling" not in bare.to_dict()


# Selections


BOTH = ["ord-FS", "ord-FS+dev"]


def test_two_selections_of_a_trajectory_are_two_results_of_one_trial(planned: Any) -> None:
    made = planned(methods=BOTH, k=[5], seeds=[1])
    adapted = trials_of(made, "ord-FS")
    assert [trial.config.target_languages for trial in adapted] == [("fi",), ("hu",)]
    assert {trial.wanted.selections for trial in adapted} == {("last", "target-dev")}
    assert not trials_of(made, "ord-FS+dev")
    for method, selection in (("ord-FS", "last"), ("ord-FS+dev", "target-dev")):
        of_targets = [one for one in results_of(made, method) if one.language != "en" and one.split == "test"]
        assert {one.trial for one in of_targets} == {trial.config.digest for trial in adapted}
        assert {one.selection for one in of_targets} == {selection}


def test_each_target_has_a_selection_of_its_own_in_one_mixed_training(planned: Any) -> None:
    mixing = ["naive-mix-train", "gradient-mix-train"]
    made = planned(methods=[*mixing, *(f"{name}+dev" for name in mixing)], k=[5], seeds=[1])
    assert len(made.trials) == 2
    for name in mixing:
        [trial] = trials_of(made, name)
        assert trial.wanted.selections == ("source-dev", "target-dev:fi", "target-dev:hu")
        tests = [one for one in results_of(made, f"{name}+dev") if one.split == "test"]
        assert {one.trial for one in tests} == {trial.config.digest}
        assert {(one.language, one.selection) for one in tests} == {
            ("en", "source-dev"), ("fi", "target-dev:fi"), ("hu", "target-dev:hu"),
        }  # fmt: skip
        assert {one.selection for one in results_of(made, name)} == {"source-dev"}


def test_adapting_to_all_takes_the_source_s_score_from_the_source_training_whatever_is_selected(planned: Any) -> None:
    made = planned(methods=["mix-FT", "mix-FT+dev", "mix-FT+average"], k=[5], seeds=[1], training={"epochs": 4})
    [trial] = trials_of(made, "mix-FT")
    assert trial.wanted.selections == ("last", "target-dev:fi", "target-dev:hu", "average:3")
    assert set(trial.wanted.evaluate) == {"fi", "hu"}
    for method in ("mix-FT", "mix-FT+dev", "mix-FT+average"):
        [source] = [one for one in results_of(made, method) if one.language == "en"]
        assert (source.selection, made.trials[source.trial].config.method) == ("source-dev", "zero-shot")


@pytest.mark.parametrize("average", [1, 3, 7])
def test_an_average_is_a_further_selection_of_the_same_trials_that_reads_no_dev_set(
    planned: Any, root: Path, average: int
) -> None:
    training = ["ord-FS", "mix-FT", "naive-mix-train", "gradient-mix-train"]
    plain = planned(methods=training, k=[5], seeds=[1])
    for language in ("fi", "hu"):
        (root / f"ner/{language}/dev.jsonl").unlink()
    made = planned(methods=[f"{name}+average" for name in training], average=average, k=[5], seeds=[1])
    assert set(made.trials) == set(plain.trials)
    for name in training:
        found = [one for one in results_of(made, f"{name}+average") if one.language != "en"]
        assert {(one.selection, one.split) for one in found} == {(f"average:{average}", "test")}
        assert {trial.wanted.selections[1:] for trial in trials_of(made, name)} == {(f"average:{average}",)}


def test_shots_that_are_held_out_make_a_training_of_its_own_that_reads_no_dev_set(planned: Any, root: Path) -> None:
    training = ["ord-FS", "mix-FT", "naive-mix-train", "gradient-mix-train"]
    for language in ("fi", "hu"):
        (root / f"ner/{language}/dev.jsonl").unlink()
    methods = [f"{name}+held-out" for name in training]
    one, two = (planned(methods=methods, held_out=number, k=[5], seeds=[1]) for number in (1, 2))
    plain = planned(methods=training, held_out=2, k=[5], seeds=[1])
    assert planned(methods=training, k=[5], seeds=[1]).trials == plain.trials
    for name in methods:
        assert names(one, name).isdisjoint(names(two, name))
        for made, number in ((one, 1), (two, 2)):
            for trial in trials_of(made, name):
                assert (trial.config.k, trial.config.held_out, trial.config.trained_shots) == (5, number, 5 - number)
                assert trial.wanted.selections == ("held-out",)
                assert TrialConfig.from_dict(json.loads(json.dumps(trial.config.to_dict()))) == trial.config
        found = [result for result in results_of(one, name) if result.language != "en"]
        assert {(result.k, result.split, result.selection) for result in found} == {(5, "test", "held-out")}


def test_the_unrealistic_selection_alone_is_of_the_same_trial(planned: Any) -> None:
    alone, both = planned(methods=["ord-FS+dev"]), planned(methods=BOTH)
    assert set(alone.trials) == set(both.trials)
    assert results_of(alone, "ord-FS+dev") == results_of(both, "ord-FS+dev")


def test_a_target_s_dev_set_is_needed_and_known_by_the_selection_that_reads_it_alone(planned: Any, root: Path) -> None:
    ordinary, unrealistic = planned(methods=["ord-FS", "mix-FT"]), planned(methods=BOTH)
    assert {trial.wanted.selections for trial in trials_of(ordinary, "ord-FS")} == {("last",)}
    change(root, "ner/fi/dev.jsonl")
    assert set(planned(methods=["ord-FS", "mix-FT"]).trials) == set(ordinary.trials)
    kept = set(planned(methods=BOTH).trials) & set(unrealistic.trials)
    assert {unrealistic.trials[digest].config.target_languages for digest in kept} == {(), ("hu",)}
    for target in ("fi", "hu"):
        (root / f"ner/{target}/dev.jsonl").unlink()
    assert set(planned(methods=["ord-FS", "mix-FT"]).trials) == set(ordinary.trials)
    assert {one.language for one in planned(methods=BOTH).left_out} == {"fi", "hu"}


def test_a_rule_of_another_package_is_named_by_its_trials_with_its_version(
    planned: Any, contributed_rule: Path
) -> None:
    first = planned(methods=["gradient-mix-train", "pcgrad-mix-train", "half-mix-train"], k=[5], seeds=[1])
    plugins = {trial.config.method: trial.config.plugins for trial in first.trials.values()}
    assert plugins == {
        "gradient-mix-train": (),
        "pcgrad-mix-train": (),
        "half-mix-train": (("rule", "halves", "1.2"),),
    }
    metadata = contributed_rule / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.2", "1.3"))
    vars(RULES).pop("_contributed")
    second = planned(methods=["gradient-mix-train", "pcgrad-mix-train", "half-mix-train"], k=[5], seeds=[1])
    [new] = set(second.trials) - set(first.trials)
    assert second.trials[new].config.plugins == (("rule", "halves", "1.3"),)


def test_dev_results_are_those_of_the_dev_set_that_selects(planned: Any, root: Path, tmp_path: Path) -> None:
    data = FolderData(root, "ner", tmp_path / "facts")
    made = planned(methods=[*METHODS], k=[5], seeds=[1])
    dev = {(one.method, one.language): one for one in made.results if one.split == "dev"}
    by_source = [name for name, one in METHODS.items() if one.selection in (None, "target-dev") and not one.adapts]
    by_target = [name for name, one in METHODS.items() if one.selection == "target-dev"]
    assert set(dev) == {*product(by_source, ["en"]), *product(by_target, ["fi", "hu"])}
    for (method, language), result in dev.items():
        assert result.data == data.facts(language, "dev").digest
        of_target = "target-dev" if method == "ord-FS+dev" else f"target-dev:{language}"
        assert result.selection == ("source-dev" if language == "en" else of_target)
        assert result.selection in made.trials[result.trial].wanted.selections


def test_shots_are_drawn_only_where_they_have_to_be_left_out_of_a_dev_set(
    planned: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(*_: object) -> None:
        raise AssertionError("drawn")

    monkeypatch.setattr("search_spaces.plan.draw_from", drawn)
    assert planned(task="tydiqa", methods=["ord-FS+dev"])
    for language in LANGUAGES:
        (root / f"tydiqa/{language}/test.jsonl").unlink()
    with pytest.raises(AssertionError, match="drawn"):
        planned(task="tydiqa", methods=["ord-FS+dev"])


def test_with_two_splits_dev_results_are_those_of_what_training_leaves(
    planned: Any, root: Path, tmp_path: Path
) -> None:
    for language in LANGUAGES:
        (root / f"tydiqa/{language}/test.jsonl").unlink()
    data = FolderData(root, "tydiqa", tmp_path / "facts")
    made = planned(task="tydiqa", methods=["zero-shot", "ord-FS+dev"], k=[1, 5])
    dev = {(one.language, one.k, one.seed): one.data for one in made.results if one.split == "dev"}
    facts = data.facts("fi", "train")
    for seed, k in product((1, 2), (1, 5)):
        shots = draw(facts.digest, "fi", [""] * facts.examples, k, seed)
        assert dev["fi", k, seed] == target_dev(data, "fi", shots).digest
        assert dev["en", 0, seed] == source_dev(data, "en").digest
    tests = {one.data for one in made.results if one.split == "test" and one.language == "fi"}
    assert tests == {data.facts("fi", "test").digest}


@pytest.mark.parametrize("method", ["ord-FS", "ord-FS+dev", "mix-FT"])
@pytest.mark.parametrize("grouping", ["all", "single"])
def test_an_adapted_method_has_one_result_in_the_source_language_at_each_k_and_seed(
    planned: Any, method: str, grouping: str
) -> None:
    made = planned(methods=[method], grouping=grouping)
    of_source = [one for one in results_of(made, method) if one.language == "en"]
    assert sorted((one.k, one.seed) for one in of_source) == [(1, 1), (1, 2), (5, 1), (5, 2)]
    for result in of_source:
        source = made.trials[result.trial]
        assert (source.config.method, source.config.seed) == ("zero-shot", result.seed)
        assert (result.split, result.selection, result.alpha) == ("test", "source-dev", None)
        assert result.data == source.wanted.evaluate["en"]


# Groups


def test_mix_ft_has_one_model_for_each_group(planned: Any) -> None:
    fields = {"methods": ["mix-FT"], "target_languages": ["fi", "hu", "tr"], "k": [5], "seeds": [1]}
    for grouping, models in {
        "all": [("fi", "hu", "tr")],
        "single": [("fi",), ("hu",), ("tr",)],
        "script": [("fi", "hu", "tr")],
        "family": [("fi", "hu"), ("tr",)],
    }.items():
        adapted = trials_of(planned(grouping=grouping, **fields), "mix-FT")
        assert sorted(trial.config.target_languages for trial in adapted) == models
        assert {trial.wanted.selections for trial in adapted} == {("last",)}
    listed = planned(grouping=[["tr", "fi"], ["hu"]], **fields)
    assert [trial.config.target_languages for trial in trials_of(listed, "mix-FT")] == [("fi", "tr"), ("hu",)]


@pytest.mark.parametrize("grouping", ["all", "single", "script", "family", [["fi"], ["hu"]]])
def test_zero_shot_and_the_models_of_single_targets_are_the_same_in_whatever_groups(
    planned: Any, grouping: Any
) -> None:
    methods = ["zero-shot", *BOTH]
    made = planned(methods=methods, grouping=grouping)
    assert len(trials_of(made, "zero-shot")) == 2  # one per seed
    assert (set(made.trials), made.results) == (set(planned(methods=methods).trials), planned(methods=methods).results)


def test_each_model_of_a_group_is_scored_in_the_source_language_and_in_its_own_targets(planned: Any) -> None:
    targets = ["fi", "hu", "tr"]
    made = planned(methods=["naive-mix-train"], target_languages=targets, grouping="family", k=[5], seeds=[1])
    scored = {trial.config.target_languages: set(trial.wanted.evaluate) for trial in made.trials.values()}
    assert scored == {("fi", "hu"): {"en", "fi", "hu"}, ("tr",): {"en", "tr"}}
    tests = Counter(one.language for one in made.results if one.split == "test")
    assert tests == {"en": 2, "fi": 1, "hu": 1, "tr": 1}


def alphas(made: Plan) -> dict[tuple[str, ...], float | None]:
    return {trial.config.target_languages: trial.config.alpha for trial in trials_of(made, "gradient-mix-train")}


def test_ner_operates_with_a_tenth_for_each_target_of_the_model(planned: Any) -> None:
    fields = {"methods": ["gradient-mix-train"], "target_languages": ["fi", "hu", "tr"]}
    assert alphas(planned(grouping="all", **fields)) == {("fi", "hu", "tr"): 0.3}
    assert set(alphas(planned(grouping="single", **fields)).values()) == {0.1}
    assert alphas(planned(grouping="family", **fields)) == {("fi", "hu"): 0.2, ("tr",): 0.1}


@pytest.mark.parametrize("grouping", ["all", "single", "family"])
def test_an_alpha_that_is_given_is_that_of_every_group(planned: Any, grouping: str) -> None:
    made = planned(methods=["gradient-mix-train"], grouping=grouping, alpha=0.3)
    assert set(alphas(made).values()) == {0.3}
    assert {one.alpha for one in made.results} == {0.3}


@pytest.mark.parametrize("grouping", ["all", "single"])
def test_xnli_operates_at_a_tenth_of_the_steps_in_whatever_groups(planned: Any, grouping: str) -> None:
    made = planned(task="xnli", methods=["gradient-mix-train"], grouping=grouping)
    assert set(alphas(made).values()) == {0.1}


# Protocols


def test_under_the_released_code_the_last_checkpoint_of_tydiqa_is_selected(planned: Any) -> None:
    for protocol, selection in (("paper", "source-dev"), ("released-code", "last")):
        made = planned(task="tydiqa", protocol=protocol)
        started = [trial for trial in made.trials.values() if trial.config.method != "ord-FS"]
        assert {trial.wanted.selections for trial in started} == {(selection,)}
        assert {one.selection for one in made.results if one.method == "zero-shot"} == {selection}
        assert {one.selection for one in results_of(made, "ord-FS") if one.language == "en"} == {selection}
        has_dev = any(one.split == "dev" for one in made.results)
        assert has_dev == (selection == "source-dev")


@pytest.mark.parametrize(("protocol", "split"), [("paper", "train"), ("released-code", "dev")])
def test_under_the_released_code_the_shots_of_xnli_are_drawn_from_dev(
    planned: Any, root: Path, protocol: str, split: str
) -> None:
    fields = {"task": "xnli", "protocol": protocol, "methods": ["naive-mix-train"]}
    other = "train" if split == "dev" else "dev"
    before = planned(**fields)
    change(root, f"xnli/fi/{other}.jsonl")
    assert set(planned(**fields).trials) == set(before.trials)
    change(root, f"xnli/fi/{split}.jsonl")
    assert set(planned(**fields).trials).isdisjoint(before.trials)


def test_a_protocol_is_part_of_a_trial_s_name_even_where_its_values_are_the_same(planned: Any) -> None:
    assert set(planned().trials).isdisjoint(planned(protocol="released-code").trials)
