"""Makes the frozen home of a version: what a service of that version has left, for later code to go on with.

Run by hand, once a version, with the code of that version and nothing else:

    PYTHONPATH=. python tests/service/frozen/make_home.py

`home-0003.tar.xz` and `expected-0003.json` beside this file were made like that by version 0.1.0 (schema 0003,
`NUMERICS` 3). They are never made again: what is frozen stays as it is, whatever becomes of the code.
`tests/service/test_frozen_home.py` holds both against the code of its day.

The archive has what a stopped service leaves and a later one needs: `store.sql` (the database as text; `@HOME@` stands
for the home's path), `encoder/`, `models/`, `checkpoints/` and `predictions/`. It lacks logs, caches, locks and Ray's
files. Its experiments, by name:

    ner, pos, tydiqa, xnli   every task; ner with every method, and all its models kept
    released-code            the other protocol
    search, asha             two alphas; two learning rates, of which one is stopped
    population               population-based training
    half-trained             paused in the third of its epochs, with surgery: its only trial has a checkpoint

The JSON has the answers about them, and what the same version makes in another home, undisturbed, of the half-trained
experiment and of one further experiment over the kept models (`FURTHER`).
"""

import hashlib
import io
import json
import os
import platform
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from safetensors.numpy import load_file

from service.client import Client
from trainers import NUMERICS

REVISION = "0003"
FOLDER = Path(__file__).parent
KEPT = ("encoder", "models", "checkpoints", "predictions")

TRAINING = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-2, "max_source_examples": 320, "max_test_examples": 12}
NER: dict[str, Any] = {
    "name": "ner",
    "task": "ner",
    "encoder": "@HOME@/encoder",
    "data": "sample",
    "target_languages": ["de", "hi"],
    "methods": [
        "zero-shot", "ord-FS", "ord-FS+dev", "mix-FT", "naive-mix-train", "gradient-mix-train", "pcgrad-mix-train",
    ],
    "k": [5],
    "seeds": [1],
    "training": TRAINING,
    "keep": "all",
    "resources": {"max_concurrent_trials": 1},
}  # fmt: skip
BRIEF = {**NER, "keep": "none", "methods": ["zero-shot", "ord-FS", "gradient-mix-train"]}
SEARCH = {**BRIEF, "methods": ["gradient-mix-train"], "k": [2], "training": {**TRAINING, "epochs": 3}}
FINISHED: list[dict[str, Any]] = [
    NER,
    {**BRIEF, "name": "pos", "task": "pos"},
    {**BRIEF, "name": "tydiqa", "task": "tydiqa", "training": {**TRAINING, "max_source_examples": 32}},
    {
        **BRIEF,
        "name": "xnli",
        "task": "xnli",
        "training": {**TRAINING, "learning_rate": 5e-3, "max_source_examples": 64},
    },
    {
        **BRIEF,
        "name": "released-code",
        "protocol": "released-code",
        "methods": ["ord-FS", "gradient-mix-train"],
        "training": {**TRAINING, "batch_size": 16},
    },
    {**SEARCH, "name": "search", "alpha": {"grid": [0.25, 1.0]}},
    {
        **SEARCH,
        "name": "asha",
        "training": {**SEARCH["training"], "learning_rate": {"grid": [3e-2, 1e-5]}},
        "search": {"scheduler": {"name": "asha", "reduction_factor": 2}},
        "methods": ["naive-mix-train"],
    },
    {
        **SEARCH,
        "name": "population",
        "alpha": {"uniform": [0, 1], "samples": 2},
        "search": {"scheduler": {"name": "pbt", "population": "frozen", "quantile_fraction": 0.5}},
    },
]
HALF: dict[str, Any] = {
    **BRIEF,
    "name": "half-trained",
    "methods": ["gradient-mix-train"],
    "training": {**TRAINING, "epochs": 5, "learning_rate": 1e-2, "max_source_examples": 480},
}
# Scores a kept model on one more language, and adapts one to it.
FURTHER: dict[str, Any] = {
    **NER,
    "name": "further",
    "methods": ["zero-shot", "ord-FS", "ord-FS+dev"],
    "target_languages": ["de", "hi", "sw"],
}


def main() -> None:
    """Make both files, and print what is in them."""
    with tempfile.TemporaryDirectory() as scratch:
        first, second = Path(scratch) / "first", Path(scratch) / "second"
        make_encoder(first / "encoder")
        shutil.copytree(first / "encoder", second / "encoder")
        with service(first) as (client, get):
            ids = {spec["name"]: finish(client, spec, first) for spec in FINISHED}
            ids["half-trained"] = pause_within(client, first)
            experiments = {name: answers(get, id_) for name, id_ in ids.items()}
            digests = sorted({trial for one in experiments.values() for trial in one["trials"]})
            shown = {*experiments["ner"]["trials"], *(one["trials"][0] for one in experiments.values())}
            trials = {trial: get(f"/v1/trials/{trial}") for trial in sorted(shown)}
            mixed = trial_of(experiments["ner"], "gradient-mix-train")
            predicted = json.loads(client.predictions(mixed, "de").to_json(orient="records", force_ascii=False))
        checkpoint = training_state(first / "checkpoints" / experiments["half-trained"]["trials"][0])
        adapted = trial_of(experiments["ner"], "ord-FS+dev")
        model = export(first, adapted, "target-dev", Path(scratch) / "exported")
        with service(second) as (client, get):
            of_second = {spec["name"]: finish(client, spec, second) for spec in (HALF, NER, FURTHER)}
            undisturbed = {name: answers(get, id_) for name, id_ in of_second.items()}
            for one in undisturbed.values():
                one["measures"] = {trial: get(f"/v1/trials/{trial}")["measures"] for trial in one["trials"]}
        for name in ("half-trained", "ner"):
            assert undisturbed[name]["trials"] == experiments[name]["trials"], "digests have paths in them"
        expected = {
            "packages": trials[mixed]["facts"]["packages"],
            "processor": processor(),
            "numerics": NUMERICS,
            "specs": {spec["name"]: spec for spec in (*FINISHED, HALF, FURTHER)},
            "experiments": experiments,
            "digests": digests,
            "trials": trials,
            "predicted": {"trial": mixed, "language": "de", "rows": predicted},
            "exported": model,
            "checkpoint": {name: checkpoint[name] for name in ("epoch", "position", "step")},
            "undisturbed": {name: undisturbed[name] for name in ("half-trained", "further")},
        }
        text = json.dumps(expected, indent=0, sort_keys=True, ensure_ascii=False)
        text = text.replace(str(first), "@HOME@").replace(str(second), "@HOME@")
        (FOLDER / f"expected-{REVISION}.json").write_text(text + "\n")
        pack(first, FOLDER / f"home-{REVISION}.tar.xz")
        assert scratch not in text
    for name, one in {**experiments, **undisturbed}.items():
        print(name, one["experiment"]["state"], one["experiment"]["trials"], [row["value"] for row in one["results"]])
    print(f"{len(digests)} trials in {len(experiments)} experiments, checkpoint: {expected['checkpoint']}")


def make_encoder(folder: Path) -> None:
    """A random BERT with 1 layer of 8, 512 positions and a few hundred pieces, of the sample's en, de, hi and sw."""
    import torch
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True)
    config = BertConfig(
        vocab_size=_write_tokenizer(folder),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=512,
        initializer_range=0.3,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    torch.manual_seed(1)
    model = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter * 64).round() / 64)  # half as large when packed
    model.save_pretrained(folder)


def _write_tokenizer(folder: Path) -> int:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    from trainers.data.sample import examples

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", prepend_scheme="always")]
    )
    sentences = [
        " ".join(sentence["tokens"])
        for language in ("en", "de", "hi", "sw")
        for sentence in examples("ner", language, "train")
    ]
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        sentences, trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "bos_token": "<s>", "eos_token": "</s>",
        "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return int(tokenizer.get_vocab_size())


@contextmanager
def service(home: Path) -> Iterator[tuple[Client, Callable[[str], Any]]]:
    """A service that writes a checkpoint after every update that it can: its client, and what it answers to a path."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (home.parent / f"{home.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", str(port)],
            env={**os.environ, "ALLASPRAK_HOME": str(home), "ALLASPRAK_CHECKPOINT_SECONDS": "0"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    client = Client(f"http://127.0.0.1:{port}")

    def get(path: str) -> Any:
        with urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return json.load(answer)

    try:
        while not client.is_up():
            assert process.poll() is None, f"see {log.name}"
            time.sleep(0.2)
        yield client, get
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def finish(client: Client, spec: dict[str, Any], home: Path) -> str:
    """Submit a spec and wait for its end; its id."""
    id_ = client.submit(json.loads(json.dumps(spec).replace("@HOME@", str(home))))
    found = client.wait(id_, progress=False)
    assert found["state"] == "succeeded", found
    return id_


def pause_within(client: Client, home: Path) -> str:
    """Submit the half-trained experiment, and pause it with a checkpoint within its third epoch; its id."""
    checkpoints = home / "checkpoints"
    before = set(checkpoints.glob("*"))
    id_ = client.submit(json.loads(json.dumps(HALF).replace("@HOME@", str(home))))
    while not (new := set(checkpoints.glob("*")) - before) or training_state(*new).get("epoch", 0) < 3:
        assert client.experiment(id_)["state"] != "succeeded", "too late"
        time.sleep(0.02)
    client.pause(id_)
    while client.experiment(id_)["trials"]["running"]:
        time.sleep(0.1)
    time.sleep(2)
    state = training_state(*new)
    assert state["epoch"] == 3, state["epoch"]
    assert state["position"] > 0, "between two epochs"
    return id_


def training_state(folder: Path) -> dict[str, Any]:
    """The training's state in a trial's last checkpoint, as it is written; empty if there is none."""
    versions = sorted(folder.glob("[0-9]*"), key=lambda path: int(path.name))
    try:
        state = dict(json.loads((versions[-1] / "state.json").read_text())["dict"])
    except (IndexError, FileNotFoundError):
        return {}
    return dict(state["training"]["dict"])


def answers(get: Callable[[str], Any], id_: str) -> dict[str, Any]:
    """What a service answers about an experiment."""
    experiment = get(f"/v1/experiments/{id_}")
    found = get(f"/v1/results?experiment={id_}&limit=10000")
    assert found["next"] is None
    searches = experiment["spec"]["search"]["scheduler"] or isinstance(experiment["spec"]["alpha"], dict)
    return {
        "experiment": experiment,
        "results": found["results"],
        "trials": sorted({row["trial"] for row in found["results"]}),
        "shots": get(f"/v1/experiments/{id_}/shots")["shots"],
        "sweep": get(f"/v1/experiments/{id_}/sweep") if searches else None,
    }


def trial_of(experiment: dict[str, Any], method: str) -> str:
    """The trial of a method that has a result in German."""
    return next(row["trial"] for row in experiment["results"] if (row["method"], row["language"]) == (method, "de"))


def export(home: Path, trial: str, selection: str, folder: Path) -> dict[str, Any]:
    """What `allasprak export` writes of a trial's kept model."""
    command = [sys.executable, "-m", "service.cli", "export", trial, str(folder), "--selection", selection]
    subprocess.run(command, env={**os.environ, "ALLASPRAK_HOME": str(home)}, check=True)
    return {"trial": trial, "selection": selection, **exported(folder)}


def exported(folder: Path) -> dict[str, Any]:
    """What is in an exported model: its labels, and a digest of its weights."""
    labels = json.loads((folder / "config.json").read_text())["id2label"]
    return {"labels": labels, "weights": digest_of_weights(folder / "model.safetensors")}


def digest_of_weights(file: Path) -> str:
    """SHA-256 over the names, shapes and bytes of a file's tensors."""
    sha = hashlib.sha256()
    for name, tensor in sorted(load_file(file).items()):
        sha.update(f"{name} {tensor.dtype} {tensor.shape} ".encode() + tensor.tobytes())
    return sha.hexdigest()


def processor() -> dict[str, str]:
    """What rounding depends on: the processor's maker, family and model."""
    found = {"machine": platform.machine()}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("vendor_id", "cpu family", "model"):
            found[name.strip()] = value.strip()
    return found


def pack(home: Path, file: Path) -> None:
    """What is kept of a home, in an archive that is the same for the same files."""
    with sqlite3.connect(home / "allasprak.sqlite") as connection:
        dump = "\n".join(connection.iterdump()).replace(str(home), "@HOME@") + "\n"
    files = {"store.sql": dump.encode()}
    for path in sorted(path for folder in KEPT for path in (home / folder).rglob("*") if path.is_file()):
        files[str(path.relative_to(home))] = path.read_bytes()
    with tarfile.open(file, "w:xz", preset=9) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
            assert str(home).encode() not in content, name
    print(f"{file.name}: {len(files)} files, {sum(map(len, files.values())):,} bytes, packed {file.stat().st_size:,}")


if __name__ == "__main__":
    main()
