"""State on disk: whatever a training's state is comes back, and only whole; nothing is pickled."""

import errno
import json
import math
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.artifacts import checkpoints
from trainers.artifacts.folder_place import FolderPlace
from trainers.artifacts.place import Place


class Killed(BaseException):
    """As sudden as a signal: nothing in the code catches it."""


def same(one: Any, other: Any) -> bool:
    """Equal to the bit, with tuples as lists."""
    if isinstance(one, Tensor):
        return (
            isinstance(other, Tensor)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            and torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))
            and torch.equal(one.isnan(), other.isnan())
        )
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and one == other


PLACES = pytest.mark.parametrize("artifacts", ["home", "folder", "s3"], indirect=True)


@pytest.fixture
def state_folder(tmp_path: Path) -> Path:
    """The name of a state."""
    return tmp_path / "checkpoints" / "digest"


DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.uint8, torch.bool)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    tensor = (torch.randn([size + 2 for size in shape], generator=generator) * 3).to(draw(st.sampled_from(DTYPES)))
    layout = draw(st.sampled_from(("whole", "part", "every other", "transposed", "expanded")))
    if layout == "part":
        return tensor[tuple(slice(1, size + 1) for size in shape)]
    if layout == "every other":
        return tensor[::2] if shape else tensor
    if layout == "expanded":
        return tensor.expand(3, *tensor.shape)
    return tensor.T if layout == "transposed" and len(shape) == 2 else tensor


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text("adeinorst", max_size=6) | st.integers(0, 9) | st.sampled_from(("tensor", "dict"))
STATES = st.recursive(
    PLAIN | tensors(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(STATES)
def test_any_state_comes_back_as_it_was(state: Any) -> None:
    with TemporaryDirectory() as folder:
        place = FolderPlace(Path(folder))
        checkpoints.save(place, place.home, state)
        assert same(state, checkpoints.load(place, place.home))


@PLACES
def test_tensors_that_share_memory_come_back_each_with_its_own_values(place: Place, state_folder: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = {
        "base": base,
        "again": base,
        "detached": base.detach(),
        "flat": base.view(-1),
        "transposed": base.T,
        "row": base[1],
        "column": base[:, 2],
        "parameter": torch.nn.Parameter(base),
    }
    checkpoints.save(place, state_folder, state)
    loaded = checkpoints.load(place, state_folder)
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    assert list(loaded) == list(state)


def test_a_part_of_a_large_tensor_is_written_without_the_rest(tmp_path: Path, place: Place, state_folder: Path) -> None:
    checkpoints.save(place, state_folder, [torch.zeros(1_000_000)[:10]])
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 10_000


@PLACES
def test_what_is_saved_does_not_change_with_the_state_that_was_saved(place: Place, state_folder: Path) -> None:
    state = {"weights": torch.ones(3)}
    checkpoints.save(place, state_folder, state)
    state["weights"].zero_()
    assert checkpoints.load(place, state_folder)["weights"].tolist() == [1.0, 1.0, 1.0]


def test_an_optimizer_and_a_generator_go_on_from_their_loaded_state_to_the_same_bits(
    place: Place, state_folder: Path
) -> None:
    def steps(optimizer: torch.optim.Optimizer, generator: torch.Generator, number: int) -> None:
        for _ in range(number):
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    weight.grad = torch.randn(weight.shape, generator=generator)
            optimizer.step()

    def begin() -> tuple[list[torch.nn.Parameter], torch.optim.Optimizer, torch.Generator]:
        weights = [torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(4))]
        return weights, torch.optim.AdamW(weights, lr=0.1), torch.Generator().manual_seed(1)

    weights, optimizer, generator = begin()
    steps(optimizer, generator, 3)
    checkpoints.save(place, state_folder, (weights, optimizer.state_dict(), generator.get_state()))
    steps(optimizer, generator, 3)
    again, other_optimizer, other_generator = begin()
    loaded_weights, optimizer_state, generator_state = checkpoints.load(place, state_folder)
    for weight, loaded in zip(again, loaded_weights, strict=True):
        weight.data = loaded
    other_optimizer.load_state_dict(optimizer_state)
    other_generator.set_state(generator_state)
    steps(other_optimizer, other_generator, 3)
    assert all(map(torch.equal, weights, again))


@PLACES
def test_where_nothing_was_saved_there_is_nothing(place: Place, state_folder: Path) -> None:
    assert checkpoints.load(place, state_folder / "nowhere") is None
    assert checkpoints.load(place, state_folder) is None


# Whole or not at all


@pytest.mark.parametrize("moment", ["before the tensors", "after the tensors", "at the end"])
def test_killed_while_saving_it_leaves_the_state_before(
    place: Place, state_folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    checkpoints.save(place, state_folder, {"step": 1, "weights": torch.ones(3)})
    save_file = checkpoints.save_file

    def killed(*arguments: Any, **named: Any) -> None:
        if moment == "after the tensors":
            save_file(arguments[0], arguments[1])
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)  # a killed process tidies nothing up
        if moment == "at the end":
            patched.setattr(Path, "replace", killed)
        else:
            patched.setattr(checkpoints, "save_file", killed)
        with pytest.raises(Killed):
            checkpoints.save(place, state_folder, {"step": 2, "weights": torch.zeros(3)})
    left = checkpoints.load(place, state_folder)
    assert left["step"] == 1
    assert left["weights"].tolist() == [1.0, 1.0, 1.0]
    checkpoints.save(place, state_folder, {"step": 3})
    assert checkpoints.load(place, state_folder) == {"step": 3}


def test_killed_before_the_state_before_is_gone_it_leaves_the_new_one(
    place: Place, state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(1, 11):  # from 9 to 10 the names get longer
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "rmtree", lambda *_, **__: None)
            checkpoints.save(place, state_folder, {"step": step})
        assert checkpoints.load(place, state_folder) == {"step": step}
    checkpoints.save(place, state_folder, {"step": 11})
    assert checkpoints.load(place, state_folder) == {"step": 11}
    assert len(list(state_folder.iterdir())) == 1


def test_what_fails_to_be_saved_leaves_the_state_before_and_nothing_half_written(
    tmp_path: Path, place: Place, state_folder: Path
) -> None:
    checkpoints.save(place, state_folder, {"step": 1})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TypeError):
        checkpoints.save(place, state_folder, {"step": object(), "weights": torch.ones(3)})
    assert checkpoints.load(place, state_folder) == {"step": 1}
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_leaves_the_state_before(
    tmp_path: Path, place: Place, state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(place, state_folder, {"step": 1})
    monkeypatch.setattr("trainers.artifacts.atomic.RESERVE_BYTES", shutil.disk_usage(tmp_path).total)
    with pytest.raises(OSError, match="the disk is full") as caught:
        checkpoints.save(place, state_folder, {"step": 2, "weights": torch.ones(3)})
    assert caught.value.errno == errno.ENOSPC
    assert checkpoints.load(place, state_folder) == {"step": 1}


# Nothing is pickled


def test_the_files_are_json_and_safetensors_and_what_they_have_no_words_for_is_refused(
    tmp_path: Path, place: Place, state_folder: Path
) -> None:
    checkpoints.save(place, state_folder, {"weights": torch.ones(3), "epoch": 2})
    files = {path.name: path for path in tmp_path.rglob("*") if path.is_file()}
    assert set(files) == {"state.json", "tensors.safetensors"}
    json.loads(files["state.json"].read_text())
    content = files["tensors.safetensors"].read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert [entry["dtype"] for name, entry in header.items() if name != "__metadata__"] == ["F32"]
    with pytest.raises(TypeError, match="not JSON serializable"):
        checkpoints.save(place, state_folder, {"when": Path("x")})
