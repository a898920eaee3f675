"""The client: what it can send, the columns of empty answers, and its patience with a service that is gone."""

import csv
import io
import json
import logging
import math
import re
import socket
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from pydantic import BaseModel
from starlette.testclient import TestClient

from plans import spec_of
from queried import filled, planned
from search_spaces.problems import Problem, SpecError
from service import commands
from service.client import Client, ServiceError
from service.csv_cells import as_csv
from service.json_values import parameters, plain
from service.json_values import spec_of as spec_to_send
from service.patience import Patience
from service.store import Store

Fields = dict[str, Any]


@pytest.fixture
def notebook(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client of the interface over a store."""
    monkeypatch.setattr("service.connection.httpx2.Client", lambda **_: client)
    return Client()


# What can be sent


class Method(str, Enum):  # noqa: UP042 - whose str() is no value
    ZERO_SHOT = "zero-shot"


class Split(Enum):
    DEV = "dev"


class Seeds(IntEnum):
    FIRST = 1


@dataclass
class Training:
    epochs: int
    learning_rate: Any


class Asked(BaseModel):
    k: list[int]


SENT: list[tuple[Any, Any]] = [
    (Method.ZERO_SHOT, "zero-shot"),
    (Split.DEV, "dev"),
    (Seeds.FIRST, 1),
    (Method, ["zero-shot"]),
    ({Method.ZERO_SHOT: 1, Split.DEV: 2}, {"zero-shot": 1, "dev": 2}),
    (np.float32(3e-4), 0.0003),
    (np.float16(0.1), 0.1),
    (np.longdouble("0.5"), 0.5),
    (np.array([3e-4, 1e-5], dtype=np.float32), [0.0003, 1e-5]),
    (array("f", [3e-4]), [0.0003]),
    (torch.tensor(3e-4), 0.0003),
    (torch.tensor([[1, 5]]), [[1, 5]]),
    (torch.tensor([0.1], requires_grad=True), [0.1]),
    (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
    (pd.Series([3e-4, 1], dtype="float32"), [0.0003, 1.0]),
    (pd.Series([1, 5], dtype="Int64"), [1, 5]),
    (pd.Series(["de", "sw"], dtype="category"), ["de", "sw"]),
    (pd.Index([1, 5]), [1, 5]),
    (Decimal("0.1"), 0.1),
    (Decimal(5), 5),
    (Fraction(1, 4), 0.25),
    (Fraction(10, 2), 5),
    ((seed for seed in range(3)), [0, 1, 2]),
    (Training(3, np.float32(0.1)), {"epochs": 3, "learning_rate": 0.1}),
    (Problem("k", "low"), {"field": "k", "message": "low"}),
    (Asked(k=[5]), {"k": [5]}),
    (np.int64(5), 5),
    (np.float32(0.5), 0.5),
    (np.bool_(True), True),
    (np.str_("de"), "de"),
    (np.array([[1, 5], [2, 3]]), [[1, 5], [2, 3]]),
    (np.array(3), 3),
    (range(1, 4), [1, 2, 3]),
    ((1, (2,)), [1, [2]]),
    ({10, 9, 1}, [1, 9, 10]),
    (frozenset({"sw", "de", 1}), [1, "de", "sw"]),
    (Path("/models/xlm-r"), "/models/xlm-r"),
    (pd.Series([1, 2]), [1, 2]),
    (pd.Index(["hi", "sw"]), ["hi", "sw"]),
    ({"a": 1}.keys(), ["a"]),
    (None, None),
]


def test_what_notebooks_have_is_sent_as_json() -> None:
    for value, sent in SENT:
        found = plain({"field": value})["field"]
        assert (found, type(found)) == (sent, type(sent))
        assert json.loads(json.dumps(found)) == sent


REFUSED: list[Any] = [
    b"de", object(), math.nan, np.array([1, math.inf]), 1j, datetime.now(UTC), pd.NaT, np.datetime64("2026"),
    {1: "one"}, {True: 1}, {None: 1}, "\ud800", range(10**7), print, count(), [print] * 2, memoryview(b"de"),
    bytearray(b"de"), np.bytes_(b"de"), np.array([b"de"]), np.datetime64("2026-01-01", "ns"), np.timedelta64(1, "s"),
    np.array([1j]), np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]), np.ma.array([1, 2], mask=[0, 1]),
    pd.DataFrame({"k": [1]}), pd.NA, pd.Series([1, pd.NA], dtype="Int64"), pd.Series(["de", None], dtype="str"),
    pd.Timestamp("2026"), pd.Series(pd.date_range("2026", periods=2)), pd.Timedelta(1), pd.Interval(0, 1),
    date(2026, 1, 1),
    -math.inf, np.float32("nan"), torch.tensor(math.nan), Decimal("NaN"), Decimal("sNaN"), Decimal("1e999"),
    Fraction(10**400, 3), 10**5000, np.zeros(10**6 + 1), StringIO("de"), int, pa.table({"k": [1]}),
    torch.eye(2).to_sparse(), Training,
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(REFUSED)))
def test_what_json_does_not_have_is_refused_by_the_name_of_its_field(place: int) -> None:
    value = REFUSED[place]
    with pytest.raises(SpecError, match=r"^training\.epochs"):
        plain({"name": "x", "training": {"epochs": value}})


TYPES: list[tuple[Any, str]] = [
    (pd.DataFrame({"k": [1]}), "DataFrame is nothing that JSON has"), (b"de", "bytes is nothing"),
    (pd.NA, "NAType is nothing"), (pd.Timestamp("2026"), "Timestamp is nothing"), ({1: 2}, "1 is no name.*but int"),
    (np.datetime64("2026"), r"datetime64 of type datetime64\[Y\]"), ({"dev": 1, Split.DEV: 2}, "two fields"),
]  # fmt: skip


def test_a_refusal_names_the_type() -> None:
    for value, words in TYPES:
        with pytest.raises(SpecError, match=f"k: .*{words}"):
            plain({"k": value})


def test_what_contains_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match=r"^k\.0\.0.*nested more than"):
        plain({"k": endless})
    monkeypatch.setattr("service.json_values.MOST_VALUES", 10_000)
    laughs: list[Any] = ["ha"]
    for _ in range(40):
        laughs = [laughs, laughs]  # of two to the power of 40 values, each once in memory
    with pytest.raises(ValueError, match=r"^k.*more than 10,000 values"):
        plain({"k": laughs})


def test_a_filter_without_a_single_value_is_not_taken_for_none() -> None:
    for given, words in (
        ({"language": []}, "language: there is no value"),
        ({"language": np.array([])}, "language: there is no value"),
        ({"alpha": None}, "alpha: None is no value"),
        ({"k": [[1]]}, r"k: \[1\] is no single value"),
        ({"k": {"ge": 5}}, "k: .*is no single value"),
    ):
        with pytest.raises(ValueError, match=words):
            parameters(given)
    assert parameters({"columns": None, "sort": [], "k": np.int64(5)}, ("columns", "sort")) == {"k": [5]}


def test_a_spec_of_numpy_and_paths_is_the_one_of_plain_values(notebook: Client, spec: Fields) -> None:
    plain_id = notebook.submit({**spec, "k": [1, 5], "seeds": [1, 2]})
    odd = {**spec, "k": np.array([1, 5]), "seeds": range(1, 3), "encoder": Path(spec["encoder"])}
    odd["target_languages"] = ("de", np.str_("hi"))
    assert notebook.experiment(notebook.submit(odd))["spec"] == notebook.experiment(plain_id)["spec"]
    with pytest.raises(ValueError, match=r"training\.epochs: nan"):
        notebook.plan({**spec, "training": {"epochs": np.nan}})


def test_a_path_is_the_spec_in_its_file(notebook: Client, spec: Fields, tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(spec), encoding="utf-8-sig")
    for path in (file, str(file)):
        assert notebook.experiment(notebook.submit(path))["name"] == spec["name"]
    assert notebook.plan(file)["trials"] == notebook.plan(spec)["trials"]
    for text, words in (
        ("[1]", "is no JSON object"),
        ("{", "is not JSON"),
        ('{"k": 1, "k": 2}', "is not JSON: the key 'k' stands twice"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=rf"spec\.json {words}"):
            notebook.submit(file)
    with pytest.raises(FileNotFoundError):
        notebook.submit("nowhere.json")
    with pytest.raises(ValueError, match=r"json\.loads"):
        spec_to_send(json.dumps(spec))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe{", b"[" * 100_000, b" " * 2**20 + b"{}"], ids=range(4))
def test_a_file_that_is_no_spec_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "spec.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"spec\.json is not JSON"):
        spec_to_send(tmp_path / "spec.json")
    with pytest.raises(ValueError, match="/dev/zero is not JSON: it is larger than 1 MiB"):
        spec_to_send("/dev/zero")


def test_a_spec_may_be_written_in_any_unicode(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        (tmp_path / "spec.json").write_text('{"name": "\u00f1"}', encoding=encoding)
        assert spec_to_send(tmp_path / "spec.json") == {"name": "\u00f1"}


@pytest.mark.parametrize("id_", ["", "..", ".", "a/../b", "a?x=1", "a#b", "a b", "a\n", "a\\b", "../../healthz"])
def test_an_id_that_leads_elsewhere_is_refused(id_: str) -> None:
    notebook = Client()  # of no service: nothing is asked
    asked: list[Callable[[], Any]] = [
        lambda: notebook.cancel(id_), lambda: notebook.experiment(id_), lambda: notebook.delete_dataset(id_),
        lambda: next(notebook.events(id_)), lambda: notebook.predictions(id_, "de"),
    ]  # fmt: skip
    for ask in asked:
        with pytest.raises(ValueError, match="has an id or a name that is none"):
            ask()


# What is answered


def test_empty_answers_have_the_columns_and_types_of_others(store: Store, notebook: Client) -> None:
    def types() -> dict[str, dict[str, str]]:
        frames = {
            "results": notebook.results(language="de", k=0, method="gradient-mix-train") if id_ else notebook.results(),
            "summary": notebook.summary(by="method", published=False),
            "published": notebook.summary(["task", "method", "k"], published=True),
            "experiments": notebook.experiments(),
        }
        return {name: dict(frame.dtypes.astype(str)) for name, frame in frames.items()}

    id_ = ""
    empty = types()
    id_ = filled(store, range(1, 2))
    assert types() == empty
    assert list(notebook.results().dtypes.astype(str)) == list(empty["results"].values())
    shots, samples = notebook.shots(id_), notebook.samples(id_)
    assert list(shots) == ["language", "k", "seed", "split", "indices", "ids", "digest"]
    assert (shots["k"].dtype, samples["of"].dtype, len(samples)) == (int, int, 0)
    sweep = notebook.sweep(id_)
    assert {"candidate", "alpha", "objective_mean", "one_label"} <= set(sweep)
    waiting = store.experiments.add(spec_of(), None)  # its data are being fetched
    assert list(notebook.results(waiting)) == list(empty["results"])
    assert list(notebook.sweep(waiting).dtypes.items())[-1] == ("chosen", bool)
    assert len(notebook.table(waiting)) == 0


def test_one_name_groups(store: Store, notebook: Client) -> None:
    filled(store, range(1, 3))
    assert notebook.summary(by="method").equals(notebook.summary(by=["method"]))
    with pytest.raises(SpecError, match="by: there is no value in it"):  # which would be the default's groups
        notebook.summary(by=[])


def test_a_dataset_that_lies_in_two_places_is_not_added(notebook: Client) -> None:
    with pytest.raises(ValueError, match="folder: there is a file as well; allowed: one of file, folder and hub"):
        notebook.add_dataset("mine", "mine.zip", folder="mine")


def test_a_filter_that_no_experiment_has_is_refused_with_what_there_is(store: Store, notebook: Client) -> None:
    id_ = filled(store, range(1, 2))
    sides = {"method": "naive-mix-train"}, {"method": "zero-shot"}
    asks: list[Callable[..., object]] = [
        notebook.results, notebook.summary, partial(notebook.report, "table-1"), partial(notebook.compare, *sides),
    ]  # fmt: skip
    for filters, said in (
        ({"experiment": "deadbeef"}, f"experiment: no experiment has 'deadbeef'; there are: {id_}"),
        ({"trial": "0" * 20}, "trial: no experiment has '0"),
        ({"method": ["zero-shot", "naive"]}, "method: no experiment has 'naive'; there are: gradient-mix-train, naive"),
        ({"k": 7}, "k: no experiment has 7; there are: 0, 5"),
        ({"alpha": 0.3}, "alpha: no experiment has 0.3; there are: 0.25"),
        ({"language": "xx"}, "language: no experiment has 'xx'; there are: Zz, de, en, zh-Hant"),
        ({"owner": "ana", "task": "pos"}, "owner: no experiment has 'ana'; there are: owner-1"),
        ({"tags": "x"}, "tags: no experiment has 'x'; there is none yet"),
        ({"metric": "f2"}, "metric: no experiment has 'f2'; there are: f1"),
        ({"numerics": 1}, "numerics: no experiment has 1; there are: "),
    ):
        for ask in asks:
            with pytest.raises(ServiceError) as refused:
                ask(**filters)
            assert refused.value.status == 422
            assert said in str(refused.value)


def test_conditions_on_what_no_experiment_has_are_refused_as_well(store: Store, notebook: Client) -> None:
    filled(store, range(1, 2))
    with pytest.raises(ServiceError, match="epoch: no experiment has 9; there are: 1, 2, 3"):
        notebook.results(epoch=9)
    tree = {"or": [{"column": "k", "op": "ge", "value": 9}, {"column": "method", "op": "eq", "value": "naive"}]}
    with pytest.raises(ServiceError, match="where: method: no experiment has 'naive'"):
        notebook.results(where=tree)
    for column, op, value, there in (
        ("split", "eq", "train", "allowed: dev, test"),
        ("split", "in", ["test", "train"], "allowed: dev, test"),
        ("selection", "eq", "first", "no experiment has 'first'; there are: "),
        ("judged_on", "in", ["test"], "no experiment has 'test'; there are: source-dev"),
    ):
        with pytest.raises(ServiceError, match=there):
            notebook.results(where={"column": column, "op": op, "value": value})
    assert notebook.results(where={"column": "split", "op": "ge", "value": "train"}).empty
    assert notebook.results(where={"column": "k", "op": "ge", "value": 9}).empty
    assert len(notebook.results(where={"column": "alpha", "op": "eq", "value": None}))
    for name in ("owner", "tags", "name"):
        with pytest.raises(ServiceError, match=f"{name}: no experiment has 'nobody'"):
            notebook.experiments(**{name: "nobody"})


def test_several_values_are_refused_where_one_would_be_taken(store: Store, notebook: Client) -> None:
    id_ = filled(store, range(1, 2))
    asked: list[Callable[[], object]] = [
        partial(notebook.experiments, state=["running", "queued"]), partial(notebook.trials, id_, state={"a", "b"}),
        partial(list, notebook.examples("0" * 20, "de", kind=np.array(["a", "b"]))),
    ]  # fmt: skip
    for ask in asked:
        with pytest.raises(ValueError, match=r"^(state|kind): there are 2 values; allowed: one$"):
            ask()
    assert len(notebook.experiments(state=["queued"])) == 1


@pytest.mark.parametrize("where", [None, {"column": "k", "op": "ge", "value": 0}])
def test_a_form_that_is_none_is_as_if_it_were_not_given(store: Store, notebook: Client, where: Fields | None) -> None:
    filled(store, range(1, 2))
    asked = dict.fromkeys(("columns", "sort", "at", "since", "limit"))
    assert notebook.results(where=where, **asked).equals(notebook.results())


def test_what_an_experiment_without_a_plan_may_have_is_not_refused(store: Store, notebook: Client) -> None:
    id_ = filled(store, range(1, 2))
    waiting = store.experiments.add(spec_of(methods=["mix-FT"], seeds=[77]), None)
    for filters in ({"method": "mix-FT"}, {"seed": 77}, {"language": "sw"}, {"epoch": 50}):
        assert notebook.results(id_, **filters).empty
    with pytest.raises(ServiceError, match="no experiment has 'naive'"):
        notebook.results(method="naive")
    store.control.move(waiting, "cancel")
    with pytest.raises(ServiceError, match="no experiment has 'mix-FT'"):
        notebook.results(method="mix-FT")


def test_csv_has_no_formulas_and_numbers_stay_numbers(store: Store, client: TestClient, notebook: Client) -> None:
    spec, plan = planned(range(1, 2))
    store.experiments.add(spec.model_copy(update={"owner": "=1+1"}), plan)
    summary = pd.read_csv(StringIO(client.get("/v1/results/summary?by=owner,alpha&format=csv").text))
    assert set(summary["owner"]) == {"'=1+1"}
    assert summary["alpha"].dropna().tolist() == [0.25]
    assert set(notebook.summary(by="owner")["owner"]) == {"=1+1"}
    texts = ["=1+1", "+a", "-a", "@a", "\ta", "\ra", "de", "-1.5", "+2e3", "", None]
    frame = pd.DataFrame({"text": texts, "number": np.linspace(-1, 1, len(texts)), "=x": -1})
    read = pd.read_csv(StringIO(as_csv(frame)))
    assert list(read) == ["text", "number", "'=x"]
    assert read["text"][:9].tolist() == ["'=1+1", "'+a", "'-a", "'@a", "'\ta", "'\ra", "de", "-1.5", "+2e3"]
    assert read["number"].equals(frame["number"])
    within = pd.DataFrame({"text": ["a\rb", "a;b\t=1", 'a\n"=1'], "number": [-0.5, math.nan, -math.inf]})
    read = pd.read_csv(StringIO(as_csv(within)))
    assert read["text"].tolist() == ["a\rb", "a;b\t'=1", "a\n'\"=1"]
    assert read["number"].equals(within["number"])
    assert as_csv(pd.DataFrame({"a": [None, "b"]})) == 'a\n""\nb\n'


LEADING = [
    "", " ", "\ufeff", "\0", "\v", "\f", "\t", "\r", "\n", "\u00a0", "\u200b", "\u200d", "\u2060", "\u202e", "\u00ad",
    "\u2003", "\u3000", "\u2028", "\x1b", "\x7f", "\x85", "\ufeff \u200b", "a;", "a\t", "a\r", "a\n", '"', 'a;"',
]  # fmt: skip


@pytest.mark.parametrize("sign", [*"=+-@＝＋－＠﹦﹢﹣﹫⁺⁻−"])
def test_no_cell_of_a_table_is_a_formula_whatever_comes_before_it(sign: str) -> None:
    """Read as a spreadsheet does, with each of the usual separators, and by who knows no quotes."""
    for before in LEADING:
        table = as_csv(pd.DataFrame({"text": [f"{before}{sign}cmd|' /C calc'!A0"], "number": [-0.5]}))
        cells = [cell for row in csv.reader(StringIO(table, newline="")) for cell in row]
        cells += re.split(r"[;,\t\r\n]", table.replace('"', ""))
        for cell in cells:
            bare = re.sub(r'^[\s"\0\x1b\x7f\x85\ufeff\u200b\u200d\u2060\u202e\u00ad]+', "", cell)
            assert not bare.startswith(sign) or bare == "-0.5", (before, cell)
        assert "-0.5" in cells


def test_what_is_no_formula_is_written_as_it_is() -> None:
    for text in (
        "de",
        "-1.5",
        "+2e3",
        "-.5",
        " -0.5",
        "a-b",
        "a=b",
        "a,b",
        'say "hi"',
        "'quoted'",
        "é",
        "a; -0.5",
        " x",
    ):
        frame = pd.DataFrame({"text": [text]})
        [[_], [read]] = csv.reader(StringIO(as_csv(frame), newline=""))
        assert read == text


# Patience


@dataclass
class Scripted:
    """A service that answers what a script says, one answer after the other, and the last one from then on.

    Streams of events are opened by another thread than that of what else is asked: they may have answers of their own.
    """

    answers: list[tuple[int, str]] = field(default_factory=list)
    events: list[tuple[int, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Scripted, str]]:
    """A scripted service and its address. Status 0 is a connection that breaks off."""
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script.asked.append(self.path)
            answers = script.events if script.events and "/events" in self.path else script.answers
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            if status:
                self.send_response(status)
                self.send_header("Content-Type", "text/event-stream" if body.startswith("id:") else "text/html")
                if not body.startswith("id:"):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setattr("service.connection.RETRIES", (0.0,))
    monkeypatch.setattr("service.connection.RECONNECT_SECONDS", 0.0)
    monkeypatch.setattr("service.patience.PAUSES", (0.01,))
    yield script, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def shown(state: str) -> tuple[int, str]:
    trials = dict.fromkeys(("total", "succeeded", "stopped", "failed", "cancelled", "running"), 1)
    one = {"id": "x", "state": state, "reason": "", "progress": 0.5, "trials": trials, "cost": {"eta": None}}
    return 200, json.dumps(one)


def event(number: int, state: str = "running") -> str:
    data = json.dumps({"state": state, "reason": ""})
    return f"id: {number}\nevent: experiment\ndata: {data}\n\n"


GONE = [(0, ""), (0, ""), (502, "<html>Bad Gateway</html>"), (503, ""), (504, ""), (0, "")]


def test_waiting_outlives_a_service_that_is_gone_and_says_so(
    scripted: tuple[Scripted, str], capsys: pytest.CaptureFixture[str]
) -> None:
    script, url = scripted
    script.answers = [shown("running"), *GONE, shown("running"), *GONE, shown("succeeded")]
    assert Client(url).wait("x", progress=False, poll_seconds=0)["state"] == "succeeded"
    said = capsys.readouterr().err
    assert said.count("waiting for it, up to 600 seconds") == 2
    assert said.count("the service answers again") == 2
    script.answers = GONE
    with pytest.raises(ConnectionError, match="no service answers"):
        Client(url).wait("x", progress=False, patience=0)
    script.answers = [(502, "<html>Bad\n Gateway</html>")]
    with pytest.raises(ServiceError, match=r"status 502 from http.*: <html>Bad Gateway</html>"):
        Client(url).wait("x", progress=False, patience=0.05)
    script.answers = [(404, "[]"), shown("running")]
    with pytest.raises(ServiceError, match="status 404"):
        Client(url).wait("x", progress=False)
    script.answers = [shown("paused")]
    with pytest.raises(TimeoutError, match=r"not over after 0 s: x \(paused\)"):
        Client(url).wait("x", progress=False, timeout=0.05, poll_seconds=0.01)
    script.answers = [shown("running"), (0, "")]  # its time is over, though there is patience left
    with pytest.raises(TimeoutError, match="the time to wait is over, and no service answers"):
        Client(url).wait("x", progress=False, patience=5, timeout=0.05, poll_seconds=0.01)


def test_a_service_that_never_answers_is_not_waited_for_beyond_the_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its answer was waited for four times a minute, and by the command without end."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # which commands add to
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begin = time.monotonic()
        with pytest.raises(TimeoutError, match="the time to wait is over, and no service answers"):
            Client(url).wait("x", progress=False, timeout=0.1)
        monkeypatch.setattr(sys, "argv", ["allasprak", "wait", "ab", "--timeout", "0.1s", "--url", url])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        assert ended.value.code == 124
        assert "the time to wait is over, and no service answers" in capsys.readouterr().err
        assert time.monotonic() - begin < 50  # what a single request had without a deadline is more


def test_a_service_that_says_nothing_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.results_client.PATIENT", httpx2.Timeout(60, read=0.1))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ConnectionError, match=r"no service answers at .*timed out"):
            client.page("x")
        silent.settimeout(0.5)
        silent.accept()
        with pytest.raises(TimeoutError):
            silent.accept()


@pytest.mark.parametrize(
    "body", ["{}", '{"detail": "x", "errors": "abc"}', '{"detail": 1, "errors": []}', "[{}]", "null"]
)
def test_a_refusal_of_another_program_is_shown_as_it_is(scripted: tuple[Scripted, str], body: str) -> None:
    script, url = scripted
    script.answers = [(404, body)]
    with pytest.raises(ServiceError, match=f"status 404 from {url}") as said:
        Client(url).experiment("x")
    assert str(said.value).endswith(body)


def test_what_an_answer_lacks_is_said_with_its_address(scripted: tuple[Scripted, str]) -> None:
    script, url = scripted
    script.answers = [(200, "{}")]
    for ask in (lambda: Client(url).datasets(), lambda: Client(url).trials("x")):
        with pytest.raises(ServiceError, match=rf"the answer has no '\w+': status 200 from {url}"):
            ask()


def test_an_answer_that_cannot_be_unpacked_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"Content-Encoding": "gzip"}, content=b"no gzip")

    client = Client("http://127.0.0.1:1")
    client._connection._http = httpx2.Client(base_url="http://127.0.0.1:1", transport=httpx2.MockTransport(answer))
    monkeypatch.setattr("service.connection.RETRIES", ())
    with pytest.raises(ConnectionError, match="no service answers"):
        client.experiment("x")
    assert not client.is_up()


def test_a_frame_that_broke_off_between_batches_is_none() -> None:
    sink = io.BytesIO()
    batch = pa.record_batch({"value": [1.0]})
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
        cut = sink.getvalue()
    client = Client("http://127.0.0.1:1")
    for content, is_whole in ((cut, False), (sink.getvalue(), True)):
        transport = httpx2.MockTransport(lambda _, content=content: httpx2.Response(200, content=content))
        client._connection._http = httpx2.Client(base_url="http://127.0.0.1:1", transport=transport)
        if is_whole:
            assert len(client._connection.frame("GET", "/v1/results")[0]) == 1
            with pytest.raises(ServiceError, match=r"the answer has no 'now': status 200 from http://127.0.0.1:1/"):
                client.results()
        else:
            with pytest.raises(ConnectionError, match=r"broke off after \d+ bytes"):
                client._connection.frame("GET", "/v1/results")


def test_what_is_too_long_for_an_address_says_so() -> None:
    client = Client("http://127.0.0.1:1")
    for ask in (lambda: client.results(trial=["0" * 20] * 2600), lambda: client.experiment("a" * 70_000)):
        with pytest.raises(ValueError, match=r"an address of \d\d,\d{3} characters; allowed: 60,000"):
            ask()


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:80", "ftp://127.0.0.1", "http://127.0.0.1:65536", "http://a:99999999999999"]
)
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="allowed: http:// or https://, a host, and a port"):
        Client(url)


@pytest.mark.parametrize("body", ["<html>A page of another program</html>", "[1]", '"text"', ""])
def test_an_answer_of_another_program_is_said_to_be_one(scripted: tuple[Scripted, str], body: str) -> None:
    script, url = scripted
    script.answers = [(200, body)]
    client = Client(url)
    for ask in (
        lambda: client.experiment("x"), lambda: client.results("x"), lambda: client.wait("x"),
        lambda: next(client.events("x")),
    ):  # fmt: skip
        with pytest.raises(ServiceError, match=f"no answer of allasprak, status 200 from {url}/v1/") as said:
            ask()
        assert str(said.value).endswith(body)


def test_events_go_on_after_the_last_that_was_seen(
    scripted: tuple[Scripted, str], caplog: pytest.LogCaptureFixture
) -> None:
    script, url = scripted
    half = event(3)[:-9]  # breaks off within the event
    script.answers = [*GONE, (200, event(1) + event(2) + half), *GONE, (200, event(3)), (200, event(4)), (204, "")]
    with caplog.at_level(logging.WARNING):
        assert [one["number"] for one in Client(url).events("x")] == [1, 2, 3, 4]
    assert [path.partition("after=")[2] for path in script.asked][-3:] == ["2", "3", "4"]
    assert caplog.text.count("waiting for it") == 2
    script.answers = GONE
    with pytest.raises((ConnectionError, ServiceError)):
        next(Client(url).events("x", patience=0))


def test_following_outlives_it_too(scripted: tuple[Scripted, str]) -> None:
    script, url = scripted
    script.answers = [shown("running"), *GONE, shown("running"), *GONE, shown("succeeded")]
    script.events = [*GONE, (200, event(1)), *GONE, (204, "")]
    assert Client(url).follow("x")["state"] == "succeeded"


def test_whatever_is_asked_of_a_service_that_is_gone_is_a_connection_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.connection.RETRIES", (0.0,))
    notebook = Client(url := "http://127.0.0.1:9")
    asked: list[Callable[[], object]] = [
        notebook.experiments, partial(notebook.submit, {}), partial(notebook.model, "0" * 20, tmp_path),
        partial(notebook.predictions, "0" * 20, "de"), partial(notebook.report, "table-1"), notebook.results,
        partial(notebook.delete, "x"), partial(list, notebook.examples("0" * 20, "de")),
    ]  # fmt: skip
    for ask in asked:
        with pytest.raises(ConnectionError, match=f"no service answers at {url}"):
            ask()


def test_patience_ends_and_begins_anew_with_every_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = [0.0], list[str]()
    monkeypatch.setattr("service.patience.time.monotonic", lambda: now[0])
    monkeypatch.setattr("service.patience.time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    patience, gone = Patience(10, told.append), ConnectionError("gone")
    for _ in range(3):
        while now[0] < 9:
            patience.wait(gone)
        patience.answered()
        now[0] = 0.0
    assert len(told) == 6
    while now[0] < 10:
        patience.wait(gone)
    with pytest.raises(ConnectionError, match="gone"):
        patience.wait(gone)
