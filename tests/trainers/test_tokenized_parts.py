"""Parts that stay tokenized between trials: the same to the bit, by content, whatever happens to their files.

More than 300 lines: a cache that is wrong once is worse than none, so that each way to be wrong has a test here.
"""

import errno
import gc
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any

import pytest

from trainers.artifacts.layout import models_of, predictions_of, tokenized_parts
from trainers.data.splits import Part
from trainers.tasks import TASKS
from trainers.tasks.pairs import PairWindow
from trainers.tasks.task import Window
from trainers.training import tokenized_parts as module
from trainers.training.tokenized_parts import Kept, TokenizedParts
from trainers.training.trial_data import TrialData
from trainers.trial import Trial

Make = Callable[..., Trial]
Train = Callable[[Trial], Any]

SMALL: dict[str, Any] = {"epochs": 1, "max_source_examples": 24, "max_length": 96, "max_test_examples": 6}

PART = Part("test", range(2), "digest")
EXAMPLES: list[dict[str, Any]] = [{"text": "Grüße", "tags": ["O"]}, {"text": "ไทย", "tags": []}]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """How many examples each task has tokenized, one number a call."""
    calls: dict[str, list[int]] = {name: [] for name in TASKS}
    for name, task in TASKS.items():

        def features(examples: Any, *others: Any, name: str = name, whole: Any = task.features) -> Any:
            calls[name].append(len(examples))
            return whole(examples, *others)

        monkeypatch.setattr(task, "features", features)
    return calls


def bits(trial: Trial) -> dict[str, bytes]:
    """Weights and predictions, as their files hold them."""
    folders = [models_of(trial.home, trial.config.digest), predictions_of(trial.home, trial.config.digest)]
    files = [file for folder in folders for file in folder.rglob("*") if file.suffix in (".safetensors", ".arrow")]
    return {str(file.relative_to(trial.home)): file.read_bytes() for file in files}


@pytest.mark.parametrize("task", TASKS)
def test_a_trial_that_tokenizes_nothing_has_the_same_bits(
    train: Train, make_trial: Make, counted: dict[str, list[int]], tmp_path: Path, task: str
) -> None:
    methods = {"task": task, "keep": True, **SMALL}
    cold = make_trial("gradient-mix-train", home=tmp_path / "cold", **methods)
    first = train(cold)
    assert len(counted[task]) == 7  # source, two languages' shots, source dev, three test sets
    counted[task].clear()

    warm = make_trial("gradient-mix-train", home=tmp_path / "warm", **methods)
    shutil.copytree(tokenized_parts(cold.home), tokenized_parts(warm.home))
    second = train(warm)
    assert counted[task] == []
    assert second.essence == first.essence
    assert second.outcome.facts["sizes"] == first.outcome.facts["sizes"]
    assert bits(warm) == bits(cold)
    assert {Path(name).suffix for name in bits(warm)} == {".safetensors", ".arrow"}


@pytest.mark.parametrize("task", TASKS)
def test_what_is_read_is_of_the_very_same_types(make_trial: Make, tiny_encoder: Path, task: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    trial = make_trial("ord-FS", task=task, **SMALL)
    anew = TrialData(trial, tokenizer)
    for _ in range(2):
        data = TrialData(trial, tokenizer, "tokenizer")
        for one, other in ((data.test("hi"), anew.test("hi")), (data.shots["de"], anew.shots["de"])):
            assert repr(vars(one)) == repr(vars(other))


def test_a_second_model_of_the_task_tokenizes_its_own_shots_alone(
    train: Train, make_trial: Make, counted: dict[str, list[int]]
) -> None:
    trial = make_trial("ord-FS", seed=1, target_languages=("de",), max_test_examples=None)
    train(trial)
    counted["ner"].clear()
    train(make_trial("ord-FS", seed=2, target_languages=("hi",), source=trial.source, max_test_examples=None))
    assert counted["ner"] == [3]


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def with_another_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    place = content.rindex(b"1")
    content[place : place + 1] = b"2"
    file.write_bytes(content)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def of_noise(file: Path) -> None:
    file.write_bytes(b"\xff\n\0" * 1000)


@pytest.mark.parametrize("damage", [cut_short, with_another_byte, emptied, of_noise])
def test_damaged_files_are_noticed_and_made_anew(
    train: Train, make_trial: Make, counted: dict[str, list[int]], damage: Callable[[Path], None]
) -> None:
    trial = make_trial("naive-mix-train", **SMALL)
    first, files = train(trial), list(tokenized_parts(trial.home).iterdir())
    whole = {file: file.read_bytes() for file in files}
    for file in files:
        damage(file)
        assert file.read_bytes() != whole[file]
    counted["ner"].clear()
    assert train(trial).essence == first.essence
    assert len(counted["ner"]) == len(files)
    assert {file: file.read_bytes() for file in files} == whole


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "the disk is full")


@pytest.mark.parametrize("hindrance", ["full", "full while writing", "no folder", "unreadable"])
def test_where_nothing_can_be_kept_trials_run_as_before(
    train: Train, make_trial: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hindrance: str
) -> None:
    expected = train(make_trial("naive-mix-train", **SMALL))
    trial = make_trial("naive-mix-train", home=tmp_path / hindrance, **SMALL)
    folder = tokenized_parts(trial.home)
    match hindrance:
        case "full":
            monkeypatch.setattr(module, "need_room", full)
        case "full while writing":
            monkeypatch.setattr(Path, "write_bytes", full)
        case "no folder":
            folder.parent.mkdir(parents=True)
            folder.touch()
        case _:
            monkeypatch.setattr(Path, "read_bytes", full)
    assert train(trial).essence == expected.essence
    assert not list(folder.glob(".*"))


# Windows of any task


@dataclass(frozen=True)
class Noted(Window):
    """A window of another package's task."""

    note: Any


@dataclass(frozen=True, slots=True)
class Slotted(Window):
    """A window of which Python keeps a field elsewhere."""

    note: Any


class Undecorated(PairWindow):
    """A window whose further attribute is no field."""


def kept_with(windows: list[Window], part: Part = PART) -> Kept:
    return Kept(part, EXAMPLES, windows)


def parts(home: Path, **changed: Any) -> TokenizedParts:
    return TokenizedParts(
        **{"home": home, "task": "ner", "labels": ("O",), "tokenizer": "t", "max_length": 8, **changed}
    )


@pytest.mark.parametrize(
    "notes",
    [
        ["one", "zwei"], [None, 1], [1.5, -0.0], [[1, [2, "a"]], []], [{"a": [1]}, {}], [True, 1],
        [(1, "a"), ()], [[(1, 2)], [(3,), (4,)]], [range(3), range(5, 7)],
    ],
)  # fmt: skip
def test_plain_values_come_back(tmp_path: Path, notes: list[Any]) -> None:
    kept = kept_with([Noted(place, [1, 2], [], 1, note) for place, note in enumerate(notes)])
    parts(tmp_path).write(PART, None, kept)
    found = parts(tmp_path).read(PART, None)
    assert repr(found) == repr(kept)


@pytest.mark.parametrize(
    "notes",
    [
        [{1}, {2}], [b"a", b"b"], [float("nan"), 1.0], [{1: "a"}, {}], [[(1, 2)], [[3, 4]]], [(1,), [1]],
        [((1, 2),), ()], [range(0, 9, 2), range(3)], ["\ud800", "a"], [object(), object()],
    ],
)  # fmt: skip
def test_values_that_json_would_change_are_not_kept(tmp_path: Path, notes: list[Any]) -> None:
    kept = kept_with([Noted(place, [1], [], 1, note) for place, note in enumerate(notes)])
    assert parts(tmp_path).write(PART, None, kept) is kept
    assert parts(tmp_path).read(PART, None) is None
    assert not tokenized_parts(tmp_path).exists()


def test_windows_that_are_more_than_their_fields_are_not_kept(tmp_path: Path) -> None:
    further = Undecorated(0, [1], [], 1, 0)
    vars(further)["more"] = 1
    for windows in ([further], [], [Noted(0, [1], [], 1, 0), PairWindow(1, [1], [], 1, 0)]):
        kept = kept_with(windows)
        assert parts(tmp_path).write(PART, None, kept) is kept
        assert parts(tmp_path).read(PART, None) is None


def test_windows_with_slots_come_back_or_are_not_kept(tmp_path: Path) -> None:
    kept = kept_with([Slotted(0, [1], [], 1, "a")])
    parts(tmp_path).write(PART, None, kept)
    assert parts(tmp_path).read(PART, None) in (kept, None)


def test_a_sample_comes_back_as_the_sample_that_was_drawn(tmp_path: Path) -> None:
    sample = Part("test", [3, 8], "of the sample", sample_of=10)
    whole = Part("test", range(10), "whole")
    kept = kept_with([PairWindow(0, [1], [], 1, 0)], sample)
    parts(tmp_path).write(whole, 2, kept)
    assert parts(tmp_path).read(whole, 2) == kept
    assert parts(tmp_path).read(whole, 3) is None


def test_only_what_was_made_in_the_same_way_of_the_same_examples_is_found(tmp_path: Path) -> None:
    kept = kept_with([PairWindow(0, [1], [], 1, 0)])
    parts(tmp_path).write(PART, None, kept)
    assert parts(tmp_path).read(PART, None) == kept
    for changed in ({"task": "pos"}, {"labels": ("O", "B-PER")}, {"tokenizer": "u"}, {"max_length": 9}):
        assert parts(tmp_path, **changed).read(PART, None) is None
    for other in (Part("dev", range(2), "digest"), Part("test", range(2), "other")):
        assert parts(tmp_path).read(other, None) is None


@pytest.mark.parametrize("changed", ["NUMERICS", "FORM", "package"])
def test_other_code_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    parts(tmp_path).write(PART, None, kept_with([PairWindow(0, [1], [], 1, 0)]))
    if changed == "package":
        monkeypatch.setattr(type(TASKS), "distribution", lambda *_: ("colors", "1.1"))
    else:
        monkeypatch.setattr(module, changed, 1000)
    assert parts(tmp_path).read(PART, None) is None


def test_windows_of_a_class_that_is_not_loaded_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts(tmp_path).write(PART, None, kept_with([Noted(0, [1], [], 1, "a")]))
    monkeypatch.setattr(module, "_kinds", lambda _: [])
    assert parts(tmp_path).read(PART, None) is None


def test_windows_whose_class_has_other_fields_by_now_are_made_anew(tmp_path: Path) -> None:
    def kind(*names: str) -> Any:
        of = [(name, int) for name in names]
        made = make_dataclass("Changing", of, bases=(Window,), frozen=True)
        made.__module__, made.__qualname__ = "colors", "Changing"
        return made

    parts(tmp_path).write(PART, None, kept_with([kind("first", "second")(0, [1], [], 1, 2, 3)]))
    gc.collect()
    kind("second", "first")
    assert parts(tmp_path).read(PART, None) is None


def test_tokens_are_objects_once(tmp_path: Path) -> None:
    tokens = [int(text) for text in ["70000", "70000"]]
    assert tokens[0] is not tokens[1]
    kept = parts(tmp_path).write(
        PART, None, kept_with([PairWindow(n, [id_], [], 1, 0) for n, id_ in enumerate(tokens)])
    )
    store = parts(tmp_path)
    for found in (kept, store.read(PART, None)):
        assert found is not None
        assert found.windows[0].input_ids[0] is found.windows[1].input_ids[0]


def test_several_workers_write_and_read_the_same_part(tmp_path: Path) -> None:
    kept = kept_with([PairWindow(place, [place] * 500, [], 1, 0) for place in range(200)])
    found: list[Kept | None] = []
    ends = threading.Event()

    def read() -> None:
        while not ends.is_set():
            found.append(parts(tmp_path).read(PART, None))

    def write() -> None:
        for _ in range(10):
            parts(tmp_path).write(PART, None, kept)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write) for _ in range(3)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ends.set()
    reader.join()
    assert all(one in (kept, None) for one in found)
    first = next(place for place, one in enumerate(found) if one is not None)
    assert None not in found[first:]  # once it is there, it is never half there
    assert len(list(tokenized_parts(tmp_path).iterdir())) == 1


@pytest.fixture
def three(tmp_path: Path) -> tuple[TokenizedParts, list[Part]]:
    """A store with three parts, of which the first was used last."""
    store, made = parts(tmp_path), [Part("test", range(2), name) for name in "abc"]
    for age, part in enumerate(made):
        store.write(part, None, kept_with([PairWindow(0, [1], [], 1, 0)], part))
        os.utime(store._path(part, None), (1000 + age, 1000 + age))
    store.read(made[0], None)
    return store, made


def test_those_used_longest_ago_are_removed_once_there_are_too_many(
    three: tuple[TokenizedParts, list[Part]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, made = three
    size = store._path(made[0], None).stat().st_size
    monkeypatch.setattr(module, "MOST_BYTES", 3 * size)
    new = Part("test", range(2), "d")
    store.write(new, None, kept_with([PairWindow(0, [1], [], 1, 0)], new))
    there = [part.digest for part in (*made, new) if store.read(part, None) is not None]
    assert there == ["a", "c", "d"]


def test_what_is_very_large_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TOKENS", 3)
    for tokens, is_kept in ((3, True), (4, False)):
        part = Part("test", range(2), f"{tokens}")
        parts(tmp_path).write(part, None, kept_with([PairWindow(0, [1] * tokens, [], 1, 0)], part))
        assert (parts(tmp_path).read(part, None) is not None) == is_kept
