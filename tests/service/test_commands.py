"""Commands that ask a service and end at once: list, show, compare, add-dataset; ids, options, and what is wrong.

More than 300 lines, since all of them share one small experiment and the way to run a command.
"""

import errno
import fcntl
import json
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from plans import config_of, result_of, score_of, spec_of, trial_of
from search_spaces.environment import Environment
from search_spaces.plan import Plan
from service.api.comparisons import Pair
from service.api.experiments import Listing
from service.comparing import OPTIONS, verdict
from service.overviews import FILTERS
from service.printing import clean, duration
from service.store import Store
from trainers import Outcome
from trainers.data import sample

Command = Callable[..., Any]

LANGUAGES = ("en", "de", "hi")
ZERO, NAIVE, SURGERY = "zero-shot", "naive-mix-train", "gradient-mix-train"
MEANS = {ZERO: 40.0, NAIVE: 50.0, SURGERY: 60.0}


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    return sqlite_store


@pytest.fixture
def client(store: Store, tmp_path: Path, client_over: Any) -> Iterator[TestClient]:
    with client_over(store, Environment(tmp_path, tmp_path, None, None, None)) as client:
        yield client


@pytest.fixture
def ids(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids that the next experiments get, the first first."""
    coming = ["9d2243fcc53a", "9d3300000000", "1b9528bc11c7"]
    monkeypatch.setattr("service.store.experiments.secrets.token_hex", lambda _: coming.pop(0))
    return list(coming)


def experiment(store: Store, seeds: int = 3, done: bool = True, **fields: Any) -> str:
    """An experiment of three methods; German has MEANS, or a bit more, and Hindi the same with all, or nearly."""
    spec = spec_of(methods=list(MEANS), seeds=list(range(1, seeds + 1)), **fields)
    plan = Plan()
    for seed in spec.seeds:
        for method in MEANS:
            targets = () if method == ZERO else ("de", "hi")
            alpha = 1.0 if method == SURGERY else None
            config = config_of(method, seed=seed, alpha=alpha, target_languages=targets, encoder=spec.encoder)
            plan.add(trial_of(config, evaluate=dict.fromkeys(LANGUAGES, "test")))
            plan.results.extend(result_of(config, language) for language in LANGUAGES)
    id_ = store.experiments.add(spec, plan)
    for digest, trial in store.trials.outstanding(id_).items() if done else ():
        attempt, draw = store.trials.started(id_, digest), random.Random(digest)
        hindi = 30.0 + (0.5 if trial.config.seed % 2 else -0.5) * (trial.config.method == SURGERY)
        found = dict.fromkeys(LANGUAGES, MEANS[trial.config.method] + draw.uniform(0, 1)) | {"hi": hindi}
        scores = tuple(score_of(language, value) for language, value in found.items())
        store.trials.succeeded(
            digest, attempt, Outcome(selected={"source-dev": 10}, scores=scores, facts={"shots": {}})
        )
    return id_


# What is listed and shown


def test_experiments_are_listed_as_the_service_has_them(
    allasprak: Command, client: TestClient, store: Store, ids: list[str]
) -> None:
    experiment(store, name="first one", owner="ana")
    experiment(store, done=False, name="second", owner="bo", encoder="other")
    store.control.move(ids[1], "pause")
    found = allasprak("list")
    head, second, first = found.out.splitlines()
    assert head.split() == ["id", "state", "done", "trials", "left", "task", "created", "(UTC)", "owner", "name"]
    assert first.startswith(f"{ids[0]}  queued  100%     9/9        ner")
    assert first.endswith("ana    first one")
    assert second.split()[:4] == [ids[1], "paused", "0%", "0/9"]
    assert json.loads(allasprak("list", "--json").out) == client.get("/v1/experiments").json()
    filtered = json.loads(allasprak("list", "--owner", "ana", "--state=queued", "--json").out)
    assert [one["id"] for one in filtered["experiments"]] == [ids[0]]
    page = allasprak("list", "--limit", "1", "--sort=created")
    assert page.out.splitlines()[1].startswith(ids[0])
    cursor = re.findall(r"--cursor (\S+) goes on", page.err)[0]
    rest = allasprak("list", "--sort=created", "--cursor", cursor)
    assert (rest.out.splitlines()[1][:12], rest.err) == (ids[1], "")


def test_every_parameter_of_the_routes_is_an_option() -> None:
    assert {*FILTERS, "limit"} == set(Listing.model_fields)
    both = {"method", "k", "metric", "split", "unit", "interval"}
    assert set(OPTIONS) == both <= {field.alias or name for name, field in Pair.model_fields.items()}


def test_an_experiment_is_shown_with_the_means_of_its_scores(
    allasprak: Command, client: TestClient, store: Store, ids: list[str]
) -> None:
    experiment(store, name="three methods", tags=["pilot", "b"])
    shown = allasprak("show", "9d").out
    fields = dict(re.findall(r"^(\S+(?: disk)?) {2,}(.*)$", shown.partition("\n\n")[0], re.MULTILINE))
    assert fields["id"] == ids[0]
    assert fields["trials"] == "9: 9 succeeded"
    assert fields["tags"] == "b, pilot"
    assert fields["state"] == "queued"
    by_method = {row["method"]: row for row in client.get(f"/v1/results/summary?experiment={ids[0]}").json()["summary"]}
    for method, row in by_method.items():
        line = rf"^{method} +{row['k']} +{row['mean']:.1f} ± {row['sd']:.1f} +3( +best at this K)?$"
        [best] = re.findall(line, shown, re.MULTILINE)
        assert bool(best) == (method == SURGERY)
        assert row["best"] == (method != NAIVE)  # of those at K = 0 as well, of which there is one
    answer = client.get(f"/v1/experiments/{ids[0]}").json()
    assert json.loads(allasprak("show", ids[0], "--json").out) | {"disk": None} == answer | {"disk": None}


def test_what_is_not_there_yet_and_what_failed_is_said(allasprak: Command, store: Store, ids: list[str]) -> None:
    experiment(store, done=False)
    first, *_ = store.trials.outstanding(ids[0])
    store.trials.started(ids[0], first)
    store.trials.failed(ids[0], first, "no \x1b[31mmemory")
    shown = allasprak("show", ids[0]).out
    assert "no test scores yet" in shown
    assert "9: 1 failed, 8 queued" in shown
    assert f"failed: trial {first} (" in shown
    assert "no \N{REPLACEMENT CHARACTER}[31mmemory" in shown
    waiting = store.experiments.add(spec_of(), None)
    assert "not planned yet" in allasprak("show", waiting).out


# What is compared


def test_two_methods_are_compared_by_language_in_words(
    allasprak: Command, client: TestClient, store: Store, ids: list[str]
) -> None:
    experiment(store, seeds=5)
    asked = {"better.method": SURGERY, "over.method": NAIVE, "experiment": ids[0], "k": 5}
    answer = client.get("/v1/results/compare", params=asked).json()
    said = allasprak("compare", "9d", SURGERY, NAIVE, "--k", "5")
    lines = said.out.splitlines()
    assert lines[0] == f"{SURGERY} over {NAIVE}: gain in points, with 95 % intervals"
    rows = {line.split()[0]: line for line in lines if line.split()[:1] in (["de"], ["hi"], ["all"])}
    for one in answer["languages"]:
        assert f"{one['gain']:+.2f}  {one['low']:+.2f}" in rows[one["language"]]
    assert rows["de"].endswith("a gain")
    assert rows["hi"].endswith("within the noise")
    assert f"Over all languages: {answer['overall']['gain']:+.2f} (" in said.out
    assert f"They differ in method: {SURGERY} and {NAIVE}." in said.out
    both = ("compare", ids[0], f"method={SURGERY},k=5", f"method={NAIVE},k=5", "--json")
    found = json.loads(allasprak(*both).out)
    assert found["languages"] == answer["languages"]


def test_two_experiments_are_compared(allasprak: Command, store: Store, ids: list[str]) -> None:
    experiment(store, seeds=3)
    experiment(store, seeds=3, encoder="other")
    asked = ("compare", ids[0], "9d33", "--method", NAIVE)
    refused = allasprak(*asked)
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert "encoder (e and other)" in refused.err
    allowed = allasprak(*asked, "--allow", "encoder")
    assert allowed.out.startswith(f"{ids[0]} over {ids[1]}: ")
    assert "They differ in encoder: e and other." in allowed.out


def test_one_seed_is_said_to_say_nothing_and_models_are_compared_by_seed(allasprak: Command, store: Store) -> None:
    id_ = experiment(store, seeds=1)
    for interval in ("t", "bootstrap"):
        said = allasprak("compare", id_, SURGERY, NAIVE, "--interval", interval)
        assert (said.code, said.err) == (0, "")
        assert "unknown: nothing to tell it from noise by" in said.out
    refused = allasprak("compare", id_, SURGERY, NAIVE, "--unit", "items")  # whose predictions are not there
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("allasprak: unit: ")


def test_a_gain_is_called_so_where_it_is_no_noise() -> None:
    said = [(2.0, 0.01), (-2.0, 0.01), (2.0, 0.05), (2.0, None), (None, 0.01)]
    words = [verdict({"gain": gain, "p": 0.001, "p_holm": p}).partition(":")[0] for gain, p in said]
    assert words == ["a gain", "a loss", "within the noise", "unknown", "unknown"]
    assert verdict({"gain": 1.0, "p": 0.001}) == "a gain"  # over all languages nothing is corrected


# Data


def test_a_zip_or_a_folder_becomes_a_dataset(allasprak: Command, client: TestClient, tmp_path: Path) -> None:
    for language, splits in {"en": ("train", "dev", "test"), "de": ("train", "test")}.items():
        folder = tmp_path / "mine" / "ner" / language
        folder.mkdir(parents=True)
        for split in splits:
            lines = [json.dumps(one) for one in sample.examples("ner", language, "train")][: 10 * len(split)]
            (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    added = allasprak("add-dataset", "mine", str(tmp_path / "mine"))
    assert (added.code, added.err) == (0, "")
    assert [line.split() for line in added.out.splitlines()] == [
        ["task", "language", "train", "dev", "test"],
        ["ner", "de", "50", "40"],
        ["ner", "en", "50", "30", "40"],
    ]
    again = allasprak("add-dataset", "mine", str(tmp_path / "mine"))
    assert (again.code, again.err) == (1, "allasprak: name: there is a dataset 'mine'; allowed: another name\n")
    answer = json.loads(allasprak("add-dataset", "other", str(tmp_path / "mine"), "--json").out)
    assert {**answer, "kind": "zip"} == client.get("/v1/datasets/other").json()
    os.utime(tmp_path / "mine" / "ner" / "en" / "dev.jsonl", (0, 0))  # zips have no dates before 1980
    assert allasprak("add-dataset", "old", str(tmp_path / "mine")).code == 0
    os.mkfifo(tmp_path / "mine" / "pipe")
    (tmp_path / "mine" / "gone").symlink_to("nowhere")
    assert allasprak("add-dataset", "files", str(tmp_path / "mine")).code == 0
    (tmp_path / "mine" / "\udcff").touch()
    assert "has a name that is no UTF-8" in allasprak("add-dataset", "odd", str(tmp_path / "mine")).err
    missing = allasprak("add-dataset", "mine", "nowhere.zip")
    assert (missing.code, missing.err) == (
        2,
        "allasprak: PATH: there is no 'nowhere.zip'; allowed: a zip, or a folder\n",
    )


def test_page_writes_an_experiment_as_one_file(
    allasprak: Command, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = experiment(store, name="four languages")
    monkeypatch.chdir(tmp_path)
    assert allasprak("page", id_[:3]) == (0, f"{id_}.html\n", "")
    assert "<bdi>four languages</bdi>" in (tmp_path / f"{id_}.html").read_text()
    assert allasprak("page", id_, "a/b.html").err == "allasprak: FILE: there is no folder 'a'\n"
    assert allasprak("page", id_, str(tmp_path / "b.html")).code == 0
    assert (tmp_path / "b.html").exists()

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "b.html").write_text("an earlier one")
    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_text", full)
        said = allasprak("page", id_, "b.html")
    assert (said.code, said.err) == (1, "allasprak: [Errno 28] No space left on device: 'b.html'\n")
    assert (tmp_path / "b.html").read_text() == "an earlier one"
    (tmp_path / "link.html").symlink_to("b.html")
    assert allasprak("page", id_, "link.html").code == 0
    assert (tmp_path / "link.html").is_symlink()
    assert "<bdi>four languages</bdi>" in (tmp_path / "b.html").read_text()


def test_page_writes_to_what_is_no_file_as_well(allasprak: Command, store: Store, tmp_path: Path) -> None:
    """A folder of devices would get a file instead of one."""
    id_, pipe = experiment(store, name="four languages"), tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 2**20)  # the whole page, which nobody reads meanwhile
    assert allasprak("page", id_, str(pipe)).code == 0
    assert b"<bdi>four languages</bdi>" in os.read(end, 2**20)
    os.close(end)
    assert list(tmp_path.glob("*pipe*")) == [pipe]
    assert pipe.is_fifo()


# Ids, terminals, and what is wrong


def test_an_id_may_be_abbreviated_as_long_as_it_is_one(allasprak: Command, store: Store, ids: list[str]) -> None:
    for name in ("one", "two", "9d"):
        store.experiments.add(spec_of(name=name), None)
    for command in ("show", "results"):
        assert allasprak(command, "9d2").code == 0
        assert allasprak(command, "9D2243FCC53A").code == 0
    several = allasprak("show", "9d")
    assert several.err == (
        f"allasprak: ID: the ids of several experiments begin with '9d': {ids[1]} (two), {ids[0]} (one)\n"
    )
    none = allasprak("cancel", "9d4")
    assert (none.code, none.err) == (
        1,
        "allasprak: ID: no experiment has an id that begins with '9d4'; the newest are:"
        f" {ids[2]} (9d), {ids[1]} (two), {ids[0]} (one)\n",
    )
    assert allasprak("cancel", "1b").out == f"{ids[2]}: cancelled\n"
    assert allasprak("delete", "1b").out == f"{ids[2]}: deleted\n"


def test_where_there_is_no_experiment_no_id_means_one(allasprak: Command) -> None:
    assert allasprak("show", "a").err.endswith("begins with 'a'; there is none yet\n")
    assert allasprak("list").out.split()[:3] == ["id", "state", "done"]


def test_a_terminal_has_colors_and_rules_and_a_pipe_has_neither(
    allasprak: Command, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = experiment(store, name="[red]markup[/red] \u4e2d\u6587")
    store.control.move(id_, "start")
    for command in (("list",), ("show", id_), ("compare", id_, SURGERY, NAIVE, "--k=5")):
        monkeypatch.setenv("FORCE_COLOR", "1")
        piped = allasprak(*command).out
        monkeypatch.delenv("FORCE_COLOR")
        assert not re.search("[\x1b\u2500-\u257f]", piped)
        assert not re.search(" +$", piped, re.MULTILINE)
        seen = allasprak(*command, in_terminal=True).out
        assert "\x1b[" in seen
        assert "\u2500" in seen
        monkeypatch.setenv("NO_COLOR", "1")
        plain = allasprak(*command, in_terminal=True).out
        assert not re.search(r"\x1b\[[0-9;]*(3|4|9|10)[0-7][;m]", plain)
        monkeypatch.delenv("NO_COLOR")
        if command[0] != "compare":
            assert "[red]markup[/red] \u4e2d\u6587" in piped
    assert "\x1b[36mrunning" in allasprak("list", in_terminal=True).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--limit", "many"], "list: argument --limit: 'many'; allowed: a whole number from 1"),
        (["list", "--limit", "0"], "list: argument --limit: '0'; allowed: a whole number from 1"),
        (["show"], "show: the following arguments are required: ID; allasprak show --help says what is allowed"),
        (["show", "a/b"], "show: argument ID: 'a/b'; allowed: letters and digits, as in 9d2243fcc53a"),
        (["wait", "a", "--timeout", "soon"], "wait: argument --timeout: 'soon'; allowed: a number of seconds, or"),
        (["list", "--url", "leda"], "list: argument --url: 'leda'; allowed: http:// or https://, a host, and a"),
        (["add-dataset", "mine", ""], "add-dataset: argument PATH: it is empty; allowed: a path, such as . for"),
        (["page", "9d", ""], "page: argument FILE: it is empty; allowed: a path"),
        (["submit"], ": give a file, --preset or both"),
        (["plan", "nowhere.json"], ": FILE: there is no 'nowhere.json'"),
        (["nonsense"], ": argument COMMAND: invalid choice: 'nonsense' (choose from"),
        (["compare", "9d", "a", "b", "c"], ": SIDE: there are 3; allowed: two methods of ID, or one other experiment"),
        (["compare", "9d", "k=5,", "x"], ": SIDE: 'k=5,'; allowed: a method, or column=value, several with commas"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_named_in_a_line_with_what_is_allowed(
    allasprak: Command, store: Store, ids: list[str], words: list[str], said: str
) -> None:
    store.experiments.add(spec_of(), None)
    done = allasprak(*words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"allasprak{'' if said.startswith(':') else ' '}{said}")


def test_a_refusal_is_a_line_that_names_the_parameter(allasprak: Command) -> None:
    done = allasprak("list", "--state", "done")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert done.err.startswith("allasprak: state: ")
    assert "succeeded" in done.err


def test_the_address_is_an_option_or_a_variable(
    allasprak: Command, monkeypatch: pytest.MonkeyPatch, client: TestClient
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("service.connection.httpx2.Client", lambda **by: asked.append(by["base_url"]) or client)
    allasprak("list")
    monkeypatch.setenv("ALLASPRAK_URL", "http://leda:8000")
    allasprak("list")
    allasprak("list", "--url", "https://elsewhere/allasprak")
    assert asked == ["http://127.0.0.1:8000", "http://leda:8000", "https://elsewhere/allasprak"]
    monkeypatch.setenv("ALLASPRAK_URL", "leda:8000")
    wrong = allasprak("list")
    assert (wrong.code, wrong.err[:41]) == (1, "allasprak: ALLASPRAK_URL is 'leda:8000'; ")


def test_the_version_is_that_of_the_distribution(allasprak: Command) -> None:
    done = allasprak("--version")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"allasprak \d+\.\d+\.\d+\n", done.out)


def test_text_of_others_cannot_steer_a_terminal() -> None:
    assert clean("a\x1b[2Jb\nc\u202ed\x07") == "a\ufffd[2Jb c\ufffdd\ufffd"
    assert clean("نمی\u200cخواهم 中文") == "نمی\u200cخواهم 中文"


def test_time_spans_have_the_two_units_that_matter() -> None:
    spans = [0.4, 40, 90, 3600, 7800, 86400 * 5 + 3 * 3600 + 59, -5]
    assert list(map(duration, spans)) == ["0 s", "40 s", "1 min 30 s", "1 h", "2 h 10 min", "5 d 3 h", "0 s"]
