"""Fixtures that several rooms share: a tiny encoder in the layout of a real one, the data beside the project, and real
parts: a PostgreSQL server, a running service on a port.

What only the service needs is imported where it is used: the tests of `trainers` run from a checkout with torch and
transformers alone, as on a machine that is lent for its GPU.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pandas as pd
    import psutil
    from fastapi import FastAPI
    from sqlalchemy import Engine
    from starlette.testclient import TestClient

    from s3_server import S3Server
    from search_spaces.environment import Environment
    from service.client import Client
    from service.store import Store

AppOver = Callable[..., "FastAPI"]
ClientOver = Callable[["Store", "Environment"], "TestClient"]

SHARED = Path(__file__).parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The tests that are left out by default, the long forms of tests/chaos, and where trainings run."""
    parser.addoption("--slow", action="store_true", help="run tests that are marked `slow`, minutes each, as well")
    parser.addoption("--full", action="store_true", help="tests/chaos: the long forms, minutes to an hour each")
    devices = {"choices": ("cpu", "cuda"), "default": "cpu"}
    parser.addoption("--device", help="tests/trainers: where the loop and whole trials run", **devices)


def pytest_configure() -> None:
    """Let servers be interrupted, also where a script runs the tests in the background: shells let it ignore SIGINT."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


STARTS_SERVERS = {"start_service", "start_services", "start_empty", "postgres_server", "s3_server", "browser"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests that start a server or a browser `service`, so that `-m "not service"` is quick.

    Those that start Ray have the mark themselves.

    What is marked `slow` is skipped, whatever `-m` says, unless `--slow` or `--full` is given.
    """
    with_slow = config.getoption("--slow") or config.getoption("--full")
    for item in items:
        if item.get_closest_marker("slow") and not with_slow:
            item.add_marker(pytest.mark.skip(reason="takes minutes: run it with --slow"))
        is_on_server = any(one in ("postgresql", "s3") for one in _parameters(item))
        if is_on_server or STARTS_SERVERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("service")


def _parameters(item: pytest.Item) -> list[object]:
    return list(item.callspec.params.values()) if hasattr(item, "callspec") else []


# Collecting imports all tests, in a third less time without garbage collections: there is no garbage.
gc.disable()


def pytest_collection_finish() -> None:
    gc.enable()


@pytest.fixture(autouse=True, scope="module")
def _frozen() -> None:
    """No garbage collection looks through what is there already, such as all imports: half of a tiny trial's time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """Where trainings run: "cpu" unless `--device` says otherwise. On a GPU they are deterministic, as trials are."""
    asked = str(request.config.getoption("--device"))
    if asked == "cuda":
        import torch

        assert torch.cuda.is_available(), "--device cuda: torch finds no GPU"
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    return asked


@pytest.fixture(scope="session")
def long_form(request: pytest.FixtureRequest) -> bool:
    """Whether tests that take minutes are wanted."""
    return bool(request.config.getoption("--slow") or request.config.getoption("--full"))


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the long forms are wanted."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared/` beside the project."""
    if not (SHARED / "data" / "ner").is_dir():
        pytest.skip(f"the shared data are not there: {SHARED} has no data/ner")
    return SHARED


@pytest.fixture(scope="session")
def settings_names() -> set[str]:
    """The variables that the service reads: what it asks of an environment that has none."""
    from service.settings import Settings

    asked: set[str] = set()

    class Environment(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.add(name)
            return default

    Settings.from_environment(Environment())
    return asked


HALVES = """
from trainers.surgery.rules import MEAN, Rule

class Half(Rule):
    "Nobody (2026): half of each gradient."

    name, scale = "half", MEAN

    def weights(self, gramian):
        return 0.5, 0.5

BROKEN = {}
"""


# All that a task needs: which of two colors a text is about.
COLORS = """
from dataclasses import dataclass

from trainers.tasks.task import Task, Window, missing_text


@dataclass(frozen=True)
class Text(Window):
    label: int


class Color(Task[Text]):
    name = "color"
    metric = "accuracy"
    metrics_names = ("accuracy",)
    model_class = "AutoModelForSequenceClassification"

    def problem(self, example):
        return missing_text(example, "text", "color")

    def labels_of(self, example):
        return {example["color"]}

    def text(self, example):
        return example["text"]

    def gold(self, example):
        return example["color"]

    def features(self, examples, labels, tokenizer, max_length):
        encoded = tokenizer([one["text"] for one in examples], truncation=True, max_length=max_length)["input_ids"]
        golds = [labels.index(one["color"]) for one in examples]
        return [Text(place, ids, [], 1, gold) for place, (ids, gold) in enumerate(zip(encoded, golds))]

    def targets(self, windows, length):
        return {"labels": [window.label for window in windows]}

    def decode(self, outputs, windows):
        return outputs.logits.argmax(-1).tolist()

    def predictions(self, examples, windows, decoded, labels):
        return [labels[label] for label in decoded]

    def fractions(self, gold, predictions):
        return [{"accuracy": (color == found, 1)} for color, found in zip(gold, predictions, strict=True)]


COLOR = Color()
"""


@pytest.fixture(scope="session")
def colors() -> str:
    """The module `colors` with the task `color`, as text."""
    return COLORS


@pytest.fixture(scope="session")
def halves() -> str:
    """The module `halves` with the rule `half`, as text."""
    return HALVES


WriteDistribution = Callable[[Path, str, Mapping[str, str], str], Path]


@pytest.fixture(scope="session")
def write_distribution() -> WriteDistribution:
    """Writes what an installed package is into a folder: modules and metadata; returns the folder of the metadata."""

    def write(site: Path, package: str, modules: Mapping[str, str], points: str) -> Path:
        """`package`: "<name>-<version>"; `points`: what its entry_points.txt has."""
        name, _, version = package.rpartition("-")
        metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        for module, code in modules.items():
            (site / f"{module}.py").write_text(code)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(points)
        return metadata

    return write


@pytest.fixture
def contributed_rule(
    write_distribution: WriteDistribution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """An installed package `halves`, version 1.2, with the rule `half` and a broken one; the folder of its metadata."""
    from trainers.surgery.rules import RULES

    site = tmp_path / "site-packages"
    points = "[allasprak.rules]\nhalf = halves:Half\nbroken = halves:BROKEN\n"
    metadata = write_distribution(site, "halves-1.2", {"halves": HALVES}, points)
    monkeypatch.syspath_prepend(site)
    vars(RULES).pop("_contributed", None)  # what was found before
    yield metadata
    vars(RULES).pop("_contributed", None)
    sys.modules.pop("halves", None)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: a random BERT with 2 layers of 32, and a fast tokenizer of about 2,000 pieces.

    Special tokens have XLM-R's ids: <s> 0, <pad> 1, </s> 2, <unk> 3. The tokenizer knows the sample's en, de, hi, sw.
    """
    import torch
    import transformers
    from transformers import BertConfig, BertModel

    torch.set_num_threads(1)  # the fastest for trials with this encoder, and the same everywhere
    gc.freeze()  # these imports are large
    folder = tmp_path_factory.mktemp("encoders") / "tiny"
    folder.mkdir()
    pieces = _write_tokenizer(folder)
    config = BertConfig(
        vocab_size=pieces,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        transformers.logging.disable_progress_bar()
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder_for_all(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """The tiny encoder with the 512 positions that tydiqa's windows need."""
    from transformers import AutoConfig, BertModel

    folder = tmp_path_factory.mktemp("encoders") / "long"
    shutil.copytree(tiny_encoder, folder)
    config = AutoConfig.from_pretrained(tiny_encoder, max_position_embeddings=512)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 512}))
    return folder


MakeDistribution = Callable[..., Path]


@pytest.fixture
def make_distribution(write_distribution: WriteDistribution, tmp_path: Path) -> MakeDistribution:
    """Makes what an installed package is: a module, and its metadata with an entry point; returns the folder."""

    def make(group: str, entry: str, code: str, version: str = "1.2") -> Path:
        """`entry`: "<module>:<object>"; the distribution is called as the module."""
        name, _, _ = entry.partition(":")
        root = tmp_path / "site" / f"{name}-{version}"
        write_distribution(root, f"{name}-{version}", {name: code}, f"[{group}]\nany-name = {entry}\n")
        return root

    return make


def _write_tokenizer(folder: Path) -> int:
    """tokenizer.json and tokenizer_config.json, as `trainers.encoders.offline` writes them; the number of pieces."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    from trainers.data.sample import examples

    special = ["<s>", "<pad>", "</s>", "<unk>"]
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
    tokenizer.train_from_iterator(
        sentences,
        trainers.BpeTrainer(vocab_size=2000, special_tokens=special, show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 128, "bos_token": "<s>", "eos_token": "</s>",
        "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer.get_vocab_size()


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server of our own: its URL, and how it is controlled."""

    url: str
    control: list[Any]

    def run(self, *command: str) -> None:
        """`pg_ctl`."""
        subprocess.run([*self.control, *command], check=True, stdout=subprocess.DEVNULL, cwd="/")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A server on a socket in a temporary folder."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL server is installed (Debian's package postgresql)")
    binaries = found[-1].parent
    root = Path(f"/tmp/allasprak-postgres-{os.getpid()}")
    root.mkdir(mode=0o700)
    as_user: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(root, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    data = root / "data"
    initdb = [*as_user, binaries / "initdb", "-D", data, "-A", "trust", "-U", "tester", "--no-sync"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/")
    options = f"-c listen_addresses='' -c fsync=off -k {root}"
    control = [*as_user, binaries / "pg_ctl", "-D", data, "-w", "-o", options, "-l", root / "log"]
    server = Postgres(f"postgresql+psycopg://tester@/postgres?host={root}", control)
    server.run("start")
    try:
        yield server
    finally:
        server.run("-m", "immediate", "stop")
        shutil.rmtree(root)


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Postgres) -> str:
    """URL of that server."""
    return postgres_server.url


@pytest.fixture
def postgres(postgres_url: str) -> str:
    """URL of a PostgreSQL database that is empty."""
    from sqlalchemy import create_engine, text

    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return postgres_url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server of our own with a bucket, to which this process and those that it starts are led."""
    from s3_server import S3Server

    server = S3Server()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        server.make_bucket()
        yield server
    server.close()


def _s3_url(request: pytest.FixtureRequest) -> str:
    from s3_server import BUCKET

    request.getfixturevalue("s3_server")
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def s3_url(request: pytest.FixtureRequest) -> str:
    """URL of a place that is empty."""
    return _s3_url(request)


@pytest.fixture
def artifacts(request: pytest.FixtureRequest) -> str | None:
    """URL of the place of artifacts, by the parameter "home" (the default, None), "folder" or "s3"."""
    where = getattr(request, "param", "home")
    if where == "folder":
        folder: Path = request.getfixturevalue("tmp_path")
        return (folder / "another folder").as_uri()
    return _s3_url(request) if where == "s3" else None


@pytest.fixture(scope="session")
def place_settings(request: pytest.FixtureRequest) -> Callable[[str], dict[str, str]]:
    """The settings of a service whose artifacts lie in the "home", or on "s3", at a place that is empty."""
    return lambda where: {"ALLASPRAK_ARTIFACTS": _s3_url(request)} if where == "s3" else {}


@pytest.fixture
def real_groups() -> Iterator[list[Path]]:
    """Groups of this kernel with one CPU and 3 GiB, of whichever version it has."""
    name, made = f"allasprak-test-{uuid.uuid4().hex}", []
    limits = {
        "/sys/fs/cgroup": {"cpu.max": "100000 100000", "memory.max": "3221225472"},
        "/sys/fs/cgroup/cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"},
        "/sys/fs/cgroup/memory": {"memory.limit_in_bytes": "3221225472"},
    }
    try:
        for folder, files in limits.items():
            if (Path(folder) / "cgroup.procs").exists():
                made.append(Path(folder) / name)
                made[-1].mkdir()
                for file, limit in files.items():
                    (made[-1] / file).write_text(limit)
    except OSError as error:
        pytest.skip(f"this user may make no cgroup with limits: {error}")
    else:
        if not made:
            pytest.skip("no cgroups are mounted in /sys/fs/cgroup")
        yield made
    finally:
        for folder in made:
            folder.rmdir()


DATABASES = pytest.fixture(params=["sqlite", "postgresql"])


@DATABASES
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database without tables, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    return str(request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the tables of a store, to be copied: Alembic's migrations take longer than most tests."""
    from service.store import Store

    file = tmp_path_factory.mktemp("tables") / "store.sqlite"
    Store(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def sqlite_url(sqlite_tables: Path, tmp_path: Path) -> str:
    """URL of an SQLite database with empty tables."""
    return f"sqlite:///{shutil.copy(sqlite_tables, tmp_path / 'store.sqlite')}"


@pytest.fixture(scope="session")
def postgres_tables(postgres_url: str) -> Engine:
    """A database with the tables of a store, to be emptied."""
    from sqlalchemy import create_engine, make_url, text

    from service.store import Store

    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("CREATE DATABASE store"))
    server.dispose()
    url = make_url(postgres_url).set(database="store")
    Store(url.render_as_string(hide_password=False)).close()
    return create_engine(url, pool_pre_ping=True)  # a test may have started the server anew


@DATABASES
def url(request: pytest.FixtureRequest) -> str:
    """URL of a database with the empty tables of a store, of each kind in turn."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    from service.store.schema import clock, metadata

    engine: Engine = request.getfixturevalue("postgres_tables")
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(clock.update().values(now=0) if table is clock else table.delete())
    return engine.url.render_as_string(hide_password=False)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store, in a database of each kind in turn."""
    from service.store import Store

    store = Store(url)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    """An empty store in SQLite, for what does not depend on the database."""
    from service.store import Store

    store = Store(sqlite_url)
    yield store
    store.close()


@pytest.fixture(scope="session")
def description() -> dict[str, Any]:
    """The description of the interface, which the first request with a parameter needs: making it takes 0.2 s."""
    from service.api import create_app
    from service.web import add_pages

    app = create_app(None, None, None)  # type: ignore[arg-type]  # nothing is asked
    add_pages(app)
    return app.openapi()


@pytest.fixture
def app_over(description: dict[str, Any]) -> AppOver:
    """Makes the REST interface with the pages over a store."""
    from service.api import create_app
    from service.web import add_pages

    def make(store: Store, environment: Environment, token: str | None = None, **options: Any) -> FastAPI:
        app = create_app(store, lambda: environment, token, **options)
        add_pages(app)
        app.openapi_schema = description
        return app

    return make


@pytest.fixture
def client_over(app_over: AppOver) -> ClientOver:
    """Makes a client of the same."""
    from starlette.testclient import TestClient

    def make(store: Store, environment: Environment) -> TestClient:
        return TestClient(app_over(store, environment), base_url="http://127.0.0.1", raise_server_exceptions=False)

    return make


@dataclass
class Service:
    """A service in a process of its own."""

    process: subprocess.Popen[bytes]
    home: Path
    url: str
    log: Path
    artifacts: str | None = None

    @property
    def client(self) -> Client:
        from service.client import Client

        return Client(self.url)

    def scores(self, id_: str) -> pd.Series[float]:
        """An experiment's test scores by method, K, seed and language."""
        rows = self.client.results(id_, split="test")
        return rows.set_index(["method", "k", "seed", "language"])["value"].sort_index()

    def stop(self) -> int:
        """SIGTERM, as an operator would; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def processes(self) -> list[psutil.Process]:
        """Every process that was started with this service's home."""
        return _processes_of(self.home)

    def named(self, words: str) -> list[psutil.Process]:
        """Those of its processes whose command line has these words."""
        import psutil

        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if words in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """Those that trials run in."""
        return self.named("ray::ImplicitFunc")

    @staticmethod
    def until(condition: Callable[[], Any], seconds: float = 180, every: float = 0.05) -> Any:
        """The first true value of a condition, which is looked at `every` so many seconds."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(every)
        return value


StartService = Callable[..., Service]


def _processes_of(home: Path) -> list[psutil.Process]:
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("ALLASPRAK_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.fixture
def processes_of() -> Callable[[Path], list[psutil.Process]]:
    """Every process that was started with a home."""
    return _processes_of


@pytest.fixture
def start_service() -> Iterator[StartService]:
    """Starts services, and sees at the end that each is stopped and has left no process behind."""
    yield from _services()


@pytest.fixture(scope="module")
def start_services() -> Iterator[StartService]:
    """The same for tests that share one."""
    yield from _services()


def _services() -> Iterator[StartService]:
    services: list[Service] = []

    def start(home: Path, changed: str = "", within: Sequence[str] = (), **settings: str) -> Service:
        """`changed`: a statement before the server's own. `within`: the command that starts it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        home.mkdir(parents=True, exist_ok=True)
        log = home.parent / f"{home.name}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ALLASPRAK_")}
        program = ["-c", f"{changed}; from service.cli import main; main()"] if changed else ["-m", "service.cli"]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*within, sys.executable, *program, "serve", "--port", str(port)],
                env={**clean, "ALLASPRAK_HOME": str(home), **settings},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        service = Service(process, home, f"http://127.0.0.1:{port}", log, settings.get("ALLASPRAK_ARTIFACTS"))
        services.append(service)
        deadline = time.monotonic() + 60
        while not service.client.is_up():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        return service

    yield start
    for service in services:
        service.stop()
    deadline = time.monotonic() + 5  # what has been told to end may take a moment
    while (
        left := [process for service in services for process in service.processes()]
    ) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in left:
        process.kill()
    assert not left, f"left running: {left}"


@pytest.fixture
def empty_trials(tmp_path: Path) -> Callable[[float], dict[str, str]]:
    """The environment of a service whose trials sleep so many seconds, and write down when in the file `times`."""
    paths = [str(Path(__file__).parent / "chaos" / "empty"), *filter(None, [os.environ.get("PYTHONPATH")])]
    common = {"PYTHONPATH": os.pathsep.join(paths), "EMPTY_TIMES": str(tmp_path / "times")}
    return lambda seconds: {**common, "EMPTY_SECONDS": str(seconds)}


@pytest.fixture
def spec(tiny_encoder: Path) -> dict[str, Any]:
    """A small experiment over the sample corpus with a tiny encoder: some seconds of work."""
    text = json.dumps(
        {
            "name": "small",
            "task": "ner",
            "encoder": str(tiny_encoder),
            "data": "sample",
            "target_languages": ["de", "hi"],
            "methods": ["zero-shot", "ord-FS", "naive-mix-train", "gradient-mix-train"],
            "k": [5],
            "seeds": [1],
            "training": {"epochs": 2, "learning_rate": 1e-3, "max_source_examples": 64, "max_test_examples": 20},
            "resources": {"max_concurrent_trials": 1},
        }
    )
    return dict(json.loads(text))


@pytest.fixture
def longer(spec: dict[str, Any]) -> dict[str, Any]:
    """The same with some seconds more to be interrupted in, and scores that are not all zero."""
    training = {**spec["training"], "epochs": 12, "learning_rate": 1e-2, "max_source_examples": 200}
    return {**spec, "training": training, "resources": {"max_concurrent_trials": 2}}
