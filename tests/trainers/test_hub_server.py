"""The hub of our own, asked by the libraries that ask the real one."""

import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import HfApi, get_repo_discussions, hf_hub_download, list_repo_refs, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors.numpy import save

from hub_server import Fault, Files, Hub, PullRequest, Repository
from trainers.hub_client import leave_waiting_to_us

WEIGHTS = save({"layer.weight": np.zeros((200, 300), dtype=np.float32), "layer.bias": np.ones(3, dtype=np.float16)})
CARD = """---
configs:
- config_name: de
  data_files:
  - split: train
    path: de/train-*
  - split: validation
    path: de/validation-*
- config_name: sw
  data_files:
  - split: train
    path: sw/train-*
---
"""


def parquet(*values: int) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"number": values}), file)
    return file.getvalue()


def numbers(first: int) -> dict[str, str | bytes | Path]:
    return {
        "README.md": CARD,
        "de/train-00000-of-00002.parquet": parquet(first, 2),
        "de/train-00001-of-00002.parquet": parquet(3),
        "de/validation-00000-of-00001.parquet": parquet(4),
        "sw/train-00000-of-00001.parquet": parquet(5),
    }


MODEL: Files = {"config.json": '{"model_type": "bert"}', "pytorch_model.bin": b"pickle", "onnx/model.onnx": b"graph"}
REPOSITORIES = {
    "models/org/model": Repository(
        MODEL,
        tags={"v1": {"config.json": "{}"}},
        pull_requests={
            2: PullRequest(files={"config.json": "{}"}, title="Mine", author="somebody", status="closed"),
            5: PullRequest(files={"model.safetensors": WEIGHTS}),
        },
        formerly=("model", "old/model"),
    ),
    "models/short": Repository({"config.json": "{}", "empty.txt": ""}),
    "models/org/gated": Repository(MODEL, gated=True),
    "models/org/private": Repository(MODEL, private=True),
    "datasets/org/numbers": Repository(
        numbers(1), branches={"refs/convert/parquet": {"de/train/0000.parquet": parquet(7, 8)}}
    ),
}
TREEBANK = "UniversalDependencies/UD_Greek-GDT/r2.5/el_gdt-ud-train.conllu"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(REPOSITORIES, {TREEBANK: "# text = Ναι\n"}) as hub, hub.patched(tmp_path / "home"):
        yield hub


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the libraries would have waited."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


def get(url: str, **headers: str) -> httpx2.Response:
    return httpx2.get(url, headers=headers, follow_redirects=True, trust_env=False)


# What it says of repositories


@pytest.mark.parametrize("revision", [None, "main", "v1", "refs/pr/5", "refs/pr/2"])
def test_a_repository_is_described_at_every_revision(hub: Hub, revision: str | None) -> None:
    info = HfApi().model_info("org/model", revision=revision, files_metadata=True)
    files = {one.rfilename: one for one in info.siblings}
    expected = {"v1": {"config.json"}, "refs/pr/5": {*MODEL, "model.safetensors"}}.get(revision or "main", {*MODEL})
    assert set(files) == expected
    assert info.sha == hub.commit("models/org/model", revision or "main")
    assert HfApi().model_info("org/model", revision=info.sha).sha == info.sha
    if revision == "refs/pr/5":
        assert files["model.safetensors"].size == files["model.safetensors"].lfs.size == len(WEIGHTS)
        assert files["config.json"].lfs is None


def test_a_folder_is_listed_with_those_below_it_or_without(hub: Hub) -> None:
    api = HfApi()
    assert [one.path for one in api.list_repo_tree("org/model")] == ["onnx", "config.json", "pytorch_model.bin"]
    assert [one.path for one in api.list_repo_tree("org/model", "onnx")] == ["onnx/model.onnx"]
    assert {one.path for one in api.list_repo_tree("org/model", recursive=True)} == {"onnx", *MODEL}
    found = api.get_paths_info("org/numbers", ["de", "README.md", "nothing"], repo_type="dataset")
    assert [(one.path, getattr(one, "size", None)) for one in found] == [("de", None), ("README.md", len(CARD))]


def test_branches_conversions_tags_and_pull_requests_are_listed(hub: Hub) -> None:
    refs = list_repo_refs("org/model", include_pull_requests=True)
    assert [(one.name, one.ref) for one in refs.branches] == [("main", "refs/heads/main")]
    assert [(one.name, one.ref) for one in refs.tags] == [("v1", "refs/tags/v1")]
    assert [one.ref for one in refs.pull_requests or []] == ["refs/pr/2", "refs/pr/5"]
    assert list_repo_refs("org/model").pull_requests is None
    (converted,) = list_repo_refs("org/numbers", repo_type="dataset").converts
    assert (converted.name, converted.ref) == ("parquet", "refs/convert/parquet")
    assert converted.target_commit == hub.commit("datasets/org/numbers", "refs/convert/parquet")


def test_the_bots_pull_request_is_found_and_builds_on_main(hub: Hub) -> None:
    """As `transformers.safetensors_conversion` looks for it."""
    (found,) = get_repo_discussions("org/model", author="SFconvertbot", discussion_status="open")
    assert (found.num, found.title, found.is_pull_request) == (5, "Adding `safetensors` variant of this model", True)
    commits = [one.commit_id for one in HfApi().list_repo_commits("org/model", revision=found.git_reference)]
    assert commits == [hub.commit("models/org/model", "refs/pr/5"), hub.commit("models/org/model")]
    assert [one.num for one in get_repo_discussions("org/model")] == [5, 2]


# Files


def test_files_are_fetched_with_their_digests(hub: Hub) -> None:
    folder = Path(snapshot_download("org/model", revision="refs/pr/5"))
    assert {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()
    } == {
        "config.json": b'{"model_type": "bert"}',
        "pytorch_model.bin": b"pickle",
        "onnx/model.onnx": b"graph",
        "model.safetensors": WEIGHTS,
    }
    assert folder.name == hub.commit("models/org/model", "refs/pr/5")
    assert (folder / "pytorch_model.bin").resolve().name == hashlib.sha256(b"pickle").hexdigest()
    empty = Path(hf_hub_download("short", "empty.txt"))
    assert empty.resolve().name == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"  # git hash-object /dev/null


@pytest.mark.parametrize("former", ["model", "old/model"])
def test_a_former_name_leads_to_the_present_one(hub: Hub, former: str) -> None:
    assert HfApi().model_info(former).id == "org/model"
    assert HfApi().model_info(former, revision="v1").sha == hub.commit("models/org/model", "v1")
    assert Path(hf_hub_download(former, "pytorch_model.bin")).read_bytes() == b"pickle"
    assert json.loads(Path(hf_hub_download(former, "config.json")).read_text()) == {"model_type": "bert"}


def test_a_safetensors_header_is_read_by_its_range(hub: Hub) -> None:
    found = HfApi().get_safetensors_metadata("org/model", revision="refs/pr/5")
    tensors = found.files_metadata["model.safetensors"].tensors
    assert {name: (one.dtype, one.shape) for name, one in tensors.items()} == {
        "layer.weight": ("F32", [200, 300]),
        "layer.bias": ("F16", [3]),
    }
    (read,) = [one for one in hub.requests if one.sent]
    assert (read.range, read.status, read.sent) == ("bytes=0-100000", 206, 100_001)
    assert read.sent < len(WEIGHTS)


@pytest.mark.parametrize(
    ("wanted", "status", "body", "told"),
    [
        ("bytes=0-3", 206, b"pick", "bytes 0-3/6"),
        ("bytes=4-", 206, b"le", "bytes 4-5/6"),
        ("bytes=4-99", 206, b"le", "bytes 4-5/6"),
        ("bytes=-2", 206, b"le", "bytes 4-5/6"),
        ("bytes=6-", 416, b"", "bytes */6"),
        ("bytes=-", 200, b"pickle", None),
    ],
)
def test_ranges(hub: Hub, wanted: str, status: int, body: bytes, told: str | None) -> None:
    answer = get(f"{hub.endpoint}/org/model/resolve/main/pytorch_model.bin", range=wanted)
    assert (answer.status_code, answer.content, answer.headers.get("content-range")) == (status, body, told)


def test_a_folder_is_a_repository(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "a.bin").write_bytes(bytes(range(100)))
    with Hub({"models/x/y": Repository(folder)}) as hub:
        address = f"{hub.endpoint}/x/y/resolve/main/below/a.bin"
        assert get(address).content == bytes(range(100))
        assert get(address, range="bytes=10-19").content == bytes(range(10, 20))


def test_plain_files_lie_beside_the_repositories(hub: Hub) -> None:
    assert get(f"{hub.endpoint}/{TREEBANK}").text == "# text = Ναι\n"
    assert get(f"{hub.endpoint}/{TREEBANK}", range="bytes=2-5").text == "text"
    assert get(f"{hub.endpoint}/{TREEBANK}x").status_code == 404


def test_a_token_stays_with_the_hub(hub: Hub) -> None:
    hf_hub_download("org/private", "pytorch_model.bin", token="hf_secret")
    asked = {one.path.split("/")[1]: one.authorization for one in hub.requests}
    assert asked == {"org": "Bearer hf_secret", "storage": None}


def test_a_next_commit_leaves_those_before_it(hub: Hub) -> None:
    first = hub.commit("datasets/org/numbers")
    hub.put("datasets/org/numbers", Repository(numbers(9)))
    assert hub.commit("datasets/org/numbers") != first
    for revision, expected in ((first, 1), (None, 9)):
        assert load_dataset("org/numbers", "de", revision=revision)["train"]["number"][0] == expected


# Datasets


LOAD = """
import json, sys
from datasets import load_dataset
print(json.dumps({split: rows["number"][:] for split, rows in load_dataset(*sys.argv[1:3]).items()}))
"""


@pytest.mark.service
def test_datasets_are_loaded_in_a_process_of_its_own(hub: Hub, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOAD, "org/numbers", "de"]
    environment = os.environ | hub.environment(tmp_path / "other")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"train": [1, 2, 3], "validation": [4]}


def test_datasets_are_loaded_in_this_process(hub: Hub) -> None:
    loaded = load_dataset("org/numbers", "de")
    assert {split: rows["number"][:] for split, rows in loaded.items()} == {"train": [1, 2, 3], "validation": [4]}
    files = {"train": "de/train/*.parquet"}
    loaded = load_dataset("org/numbers", revision="refs/convert/parquet", data_files=files)
    assert loaded["train"]["number"][:] == [7, 8]


# What there is not, and what goes wrong


def test_what_there_is_not_is_named_as_the_hub_names_it(hub: Hub) -> None:
    for ask in (
        lambda: HfApi().model_info("org/nothing"),
        lambda: HfApi().model_info("org/private"),
        lambda: hf_hub_download("nothing", "config.json"),
    ):
        with pytest.raises(RepositoryNotFoundError) as found:
            ask()
        assert found.value.response.status_code == 401
    with pytest.raises(RepositoryNotFoundError) as found:
        HfApi().model_info("org/nothing", token="hf_secret")
    assert found.value.response.status_code == 404
    for ask in (
        lambda: HfApi().model_info("org/model", revision="v9"),
        lambda: list(HfApi().list_repo_tree("org/model", revision="0" * 40)),
        lambda: hf_hub_download("org/model", "config.json", revision="v9"),
    ):
        with pytest.raises(RevisionNotFoundError):
            ask()
    for ask in (
        lambda: hf_hub_download("org/model", "tokenizer.json"),
        lambda: list(HfApi().list_repo_tree("org/model", "nowhere")),
    ):
        with pytest.raises(RemoteEntryNotFoundError):
            ask()
    with pytest.raises(DatasetNotFoundError, match="doesn't exist on the Hub"):
        load_dataset("org/nothing")
    with pytest.raises(ValueError, match="BuilderConfig 'tlh' not found"):
        load_dataset("org/numbers", "tlh")


@pytest.mark.parametrize(("token", "status"), [(False, 401), ("hf_secret", 403)])
def test_a_gated_repository_is_described_but_not_handed_out(hub: Hub, token: Any, status: int) -> None:
    info = HfApi().model_info("org/gated", token=token)
    assert info.gated == "manual"
    assert len(info.siblings) == len(MODEL)
    with pytest.raises(GatedRepoError) as found:
        hf_hub_download("org/gated", "config.json", token=token)
    assert found.value.response.status_code == status


def test_a_broken_connection_is_taken_up_where_it_broke(
    hub: Hub, waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100)  # it takes up whole chunks: of 10 MB
    hub.order(Fault(path="*/model.safetensors", break_after=1000), Fault(path="*/model.safetensors", break_after=500))
    path = hf_hub_download("org/model", "model.safetensors", revision="refs/pr/5")
    assert Path(path).read_bytes() == WEIGHTS
    sent = [(one.range, one.sent) for one in hub.requests if one.sent]
    assert sent == [(None, 1000), ("bytes=1000-", 500), ("bytes=1500-", len(WEIGHTS) - 1500)]
    assert waited == [1, 1]


def test_a_reset_connection_is_an_error_to_clients(hub: Hub) -> None:
    hub.order(Fault(path="*/model.safetensors", break_after=1000, reset=True))
    with pytest.raises(httpx2.ReadError):
        hf_hub_download("org/model", "model.safetensors", revision="refs/pr/5")


def test_an_overloaded_hub_says_when_to_come_back(hub: Hub) -> None:
    url = f"{hub.endpoint}/api/models/org/model/tree/main"
    hub.order(Fault(path="/api/*/tree/*", status=429, retry_after=7), Fault(path="/api/*", status=503))
    found = [get(url) for _ in range(3)]
    assert [one.status_code for one in found] == [429, 503, 200]
    assert [one.headers.get("Retry-After") for one in found] == ["7", None, None]
    hub.order(Fault(path="/api/*", status=429, times=None))
    leave_waiting_to_us()
    with pytest.raises(httpx2.HTTPStatusError, match="429"):
        HfApi().model_info("org/model")


def test_a_fault_happens_so_often_and_to_such_requests_alone(hub: Hub) -> None:
    hub.order(Fault(path="*/config.json", status=500, times=2), Fault(path="/api/*", method="HEAD", status=502))
    statuses = [get(f"{hub.endpoint}/short/resolve/main/config.json").status_code for _ in range(3)]
    assert statuses == [500, 500, 200]
    assert get(f"{hub.endpoint}/api/models/short").status_code == 200


def test_a_hub_that_does_not_answer_in_time(hub: Hub) -> None:
    hub.order(Fault(path="/api/models/short", wait=0.5))
    with pytest.raises(httpx2.ReadTimeout):
        HfApi().model_info("short", timeout=0.05)
    assert HfApi().model_info("short", timeout=5).id == "short"
