"""Which examples train, select and give shots, with a third split and without one."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.data.folder import FolderData
from trainers.data.shots import Shots, draw
from trainers.data.splits import Part, source_dev, source_training, target_dev
from trainers.digests import digest
from trainers.examples import Example, Facts
from trainers.trial import Split


class WithinTrain:
    """Data whose dev set is what training leaves; `train` is how many examples they train on."""

    def __init__(self, train: int, content: str = "") -> None:
        self.train = train
        self.digest = digest([train, content])

    def languages(self) -> tuple[str, ...]:
        return ("en", "xx")

    def facts(self, language: str, split: Split) -> Facts:
        return Facts(self.train, self.digest, (), {"": self.train}, (), within_train=split == "dev")

    def examples(self, language: str, split: Split) -> list[Example]:
        raise AssertionError("which examples select is known without reading any")

    place = examples  # type: ignore[assignment]


def shots_of(data: WithinTrain, k: int, seed: int = 1) -> Shots:
    facts = data.facts("xx", "train")
    return draw(facts.digest, "xx", [""] * facts.examples, k, seed)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 300))
def test_of_the_source_a_tenth_selects_and_all_else_trains(train: int) -> None:
    data = WithinTrain(train)
    training, dev = source_training(data, "en", "source-dev"), source_dev(data, "en")
    assert sorted([*training.places, *dev.places]) == list(range(train))
    assert len(dev.places) == max(1, train // 10)
    assert training.split == dev.split == "train"
    assert training.digest != dev.digest
    assert len({training.digest, dev.digest, data.facts("en", "train").digest}) == 3


def test_nothing_is_held_out_of_the_source_where_its_dev_set_selects_nothing() -> None:
    data = WithinTrain(30)
    assert source_training(data, "en", "last") == Part("train", range(30), data.digest)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(0, 2**31), st.data())
def test_of_a_target_what_the_shots_leave_selects(train: int, seed: int, data: st.DataObject) -> None:
    within = WithinTrain(train)
    shots = shots_of(within, data.draw(st.integers(1, train)), seed)
    dev = target_dev(within, "xx", shots)
    assert dev.split == "train"
    assert sorted([*dev.places, *shots.indices]) == list(range(train))


def test_shots_that_come_from_the_dev_set_do_not_select() -> None:
    class ThreeSplits(WithinTrain):
        def facts(self, language: str, split: Split) -> Facts:
            return Facts(self.train, self.digest, (), {"": self.train}, ())

    data = ThreeSplits(30)
    shots = shots_of(data, 4)
    assert target_dev(data, "xx", shots) == Part("dev", range(30), data.digest)
    left = target_dev(data, "xx", shots, drawn_from="dev")
    assert left.split == "dev"
    assert sorted([*left.places, *shots.indices]) == list(range(30))
    assert left.digest != data.digest


def test_every_shot_seed_leaves_the_source_s_dev_set_as_it_is() -> None:
    assert source_dev(WithinTrain(50), "en") == source_dev(WithinTrain(50), "en")
    assert source_dev(WithinTrain(50), "en").places != source_dev(WithinTrain(50, "other content"), "en").places


def test_parts_have_the_same_digest_only_if_they_have_the_same_examples() -> None:
    data, other = WithinTrain(20), WithinTrain(20, "other content")
    parts: list[Part] = []
    for one in (data, other):
        parts += [source_training(one, "en", "source-dev"), source_dev(one, "en")]
        parts += [target_dev(one, "xx", shots_of(one, k, seed)) for k in (1, 2) for seed in range(3)]
    drawn = {(part.digest, tuple(part.places)) for part in parts}
    assert len(drawn) == len({part.digest for part in parts}) == len(parts)
    whole = shots_of(data, 5)
    reordered = Shots("xx", whole.indices[::-1], "another draw of the same examples")
    assert target_dev(data, "xx", whole) == target_dev(data, "xx", reordered)


# Over folders


def question(id_: str) -> dict[str, Any]:
    return {"id": id_, "context": "a b", "question": "which?", "answers": {"text": ["b"], "answer_start": [2]}}


def folder(root: Path, **splits: int) -> FolderData:
    for language in ("en", "xx"):
        path = root / "tydiqa" / language
        path.mkdir(parents=True)
        for split, number in splits.items():
            lines = [json.dumps(question(f"{language} {split} {place}")) for place in range(number)]
            (path / f"{split}.jsonl").write_text("\n".join(lines))
    return FolderData(root, "tydiqa", root / "cache")


def test_with_three_splits_everything_is_as_it_is(tmp_path: Path) -> None:
    data = folder(tmp_path, train=20, dev=6, test=5)
    for part, split, language in (
        (source_training(data, "en", "source-dev"), "train", "en"),
        (source_dev(data, "en"), "dev", "en"),
        (target_dev(data, "xx", Shots("xx", (0, 1), "draw")), "dev", "xx"),
    ):
        facts = data.facts(language, split)  # type: ignore[arg-type]
        assert (part.split, list(part.places), part.digest) == (split, list(range(facts.examples)), facts.digest)


@pytest.mark.parametrize("k", [1, 5])
def test_with_two_splits_no_part_has_a_test_example(tmp_path: Path, k: int) -> None:
    data = folder(tmp_path, train=20, dev=6)
    facts = data.facts("xx", "train")
    shots = draw(facts.digest, "xx", [""] * facts.examples, k, 1)
    parts = [
        ("en", source_training(data, "en", "source-dev")),
        ("en", source_dev(data, "en")),
        ("xx", target_dev(data, "xx", shots)),
    ]
    for language, part in parts:
        ids = {data.examples(language, part.split)[place]["id"] for place in part.places}
        assert len(ids) == len(part.places)
        assert ids.isdisjoint(one["id"] for one in data.examples(language, "test"))
