"""Weights as pickles: shapes without values, and conversion to safetensors."""

import io
import json
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from service import cli
from tiny_encoders import write_encoder
from trainers.encoders import pickled_shapes
from trainers.encoders.encoder import EncoderError
from trainers.encoders.pickled_shapes import shapes
from trainers.encoders.pickles import main

TIED = torch.randn(6, 4)
STATES: dict[str, Any] = {
    "tensors": {
        "a": torch.randn(3, 2),
        "b": torch.randn(5).half(),
        "c": torch.randn(2).bfloat16(),
        "n": torch.tensor(7),
    },
    "a module's": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).state_dict(),
    "parameters": {"a": nn.Parameter(torch.randn(2, 3)), "b": nn.Parameter(torch.randn(2), requires_grad=False)},
    "tied": {"embed": TIED, "head": TIED, "first": TIED[:2]},
    "transposed": {"a": torch.randn(3, 5).T, "mask": torch.ones(2, 2, dtype=torch.bool)},
    "with a version": OrderedDict([("a", torch.randn(1, 1))]),
}


def saved(state: Any, is_archive: bool) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=is_archive)
    file.seek(0)
    return file


@pytest.mark.parametrize("is_archive", [True, False], ids=["archive", "before torch 1.6"])
@pytest.mark.parametrize("state", STATES)
def test_shapes_are_those_that_torch_loads(state: str, is_archive: bool) -> None:
    file = saved(STATES[state], is_archive)
    loaded = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    assert shapes(file) == {name: list(tensor.shape) for name, tensor in loaded.items()}


@pytest.mark.parametrize(
    "content", [b"", b"x" * 100, saved(nn.Linear(1, 1), True).getvalue(), saved([1], False).getvalue()]
)
def test_what_is_no_file_of_tensors_is_refused(content: bytes) -> None:
    with pytest.raises(EncoderError, match="not a file of tensors"):
        shapes(io.BytesIO(content))


BEFORE_1_6 = b"".join(pickle.dumps(one, 2) for one in (0x1950A86A20F9469CFC6C, 1001, {}))
DOUBLED = b"h\x00h\x00\x86q\x000"  # a tuple of itself twice
BOMBS = {
    "a key whose hash takes for ever": b"})q\x000" + 60 * DOUBLED + b"h\x00K\x01s.",
    "a name that takes all memory": b"})q\x000" + 60 * DOUBLED + b"h\x00K\x01\x85s.",
    "a memo of 34 GB": b"}r\xff\xff\xff\x7f.",
    "millions of objects": 8_000_000 * b"}" + b".",
    "no end": 5_000_000 * b"}0",
}


@pytest.mark.service
@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize(
    "is_archive",
    [pytest.param(True, id="archive", marks=pytest.mark.slow), pytest.param(False, id="before torch 1.6")],
)
def test_a_pickle_that_asks_for_everything_gets_little(
    bomb: str, is_archive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickled_shapes, "PATIENCE", 1.0)
    content = BEFORE_1_6 + b"\x80\x02" + BOMBS[bomb]
    file = io.BytesIO(content)
    if is_archive:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model/data.pkl", content[len(BEFORE_1_6) :])
    with pytest.raises(EncoderError, match=r"takes more than 3 s or 512 MB|8388608"):
        shapes(file)


def test_an_archive_of_a_large_directory_is_not_read() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02}.")
    content = bytearray(file.getvalue())
    content[-10:-6] = struct.pack("<I", 2**24)  # the size of the directory
    with pytest.raises(EncoderError, match="more than 8388608 bytes"):
        shapes(io.BytesIO(bytes(2**24) + content))


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process does that converts."""
    monkeypatch.setattr(sys, "argv", ["pickles", str(folder), str(folder)])
    main()


def load(folder: Path) -> dict[str, torch.Tensor]:
    return {name: one for path in folder.glob("*.safetensors") for name, one in load_file(path).items()}


@pytest.mark.parametrize("is_archive", [True, False], ids=["archive", "before torch 1.6"])
def test_converted_values_are_those_of_the_pickles(
    tmp_path: Path, is_archive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {f"{name}.{key}": one for name, part in STATES.items() for key, one in part.items()}
    (tmp_path / "pytorch_model.bin").write_bytes(saved(state, is_archive).getvalue())
    run(tmp_path, monkeypatch)
    found = load(tmp_path)
    assert found.keys() == state.keys()
    for name, one in state.items():
        assert found[name].dtype == one.dtype
        assert torch.equal(found[name], one)


def test_several_files_stay_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {f"pytorch_model-0000{place}-of-00002.bin": {f"layer.{place}": torch.randn(2, place)} for place in (1, 2)}
    for name, part in parts.items():
        torch.save(part, tmp_path / name)
    places = {tensor: name for name, part in parts.items() for tensor in part}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {"a": 1}, "weight_map": places}))
    run(tmp_path, monkeypatch)
    assert json.loads((tmp_path / "model.safetensors.index.json").read_text()) == {
        "metadata": {"a": 1},
        "weight_map": {f"layer.{place}": f"model-0000{place}-of-00002.safetensors" for place in (1, 2)},
    }
    assert {name: one.shape for name, one in load(tmp_path).items()} == {"layer.1": (2, 1), "layer.2": (2, 2)}


@pytest.mark.service
def test_the_command_that_a_refusal_names_makes_an_encoder_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_encoder(tmp_path / "encoder")
    before = load(folder)
    torch.save(before, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    monkeypatch.setattr(sys, "argv", ["allasprak", "convert", str(folder)])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert capsys.readouterr().out == f"{folder / 'model.safetensors'}\n"
    after = load(folder)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], one) for name, one in before.items())
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert "has safetensors" in capsys.readouterr().err
