"""Commands that go on for a while: follow, wait and log; and bars in terminals, notebooks and pipes."""

import io
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from starlette.testclient import TestClient

from plans import spec_of
from queried import filled
from search_spaces.environment import Environment
from service import progress
from service.bars import Bars
from service.client import Client, ServiceError
from service.progress import together
from service.store import Store
from service.watching import new_lines
from trainers.artifacts.layout import driver_log, log_of

Command = Callable[..., Any]

ENDS = {"succeed": 0, "fail": 1, "cancel": 3}


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    return sqlite_store


@pytest.fixture
def client(store: Store, tmp_path: Path, client_over: Any) -> Iterator[TestClient]:
    with client_over(store, Environment(tmp_path, tmp_path, None, None, None)) as client:
        yield client


def over(store: Store, end: Any = "succeed") -> str:
    """An experiment that has ended so."""
    id_ = filled(store, range(1, 2))
    store.control.move(id_, "start")
    store.control.move(id_, end, "some reason" if end == "fail" else "")
    return id_


# Follow and wait


@pytest.mark.parametrize("end", ENDS)
def test_the_exit_code_says_how_an_experiment_ended(allasprak: Command, store: Store, end: str) -> None:
    id_ = over(store, end)
    [state] = {one.state for one in store.experiments.page(limit=9)[0]}
    followed = allasprak("follow", id_[:6])
    assert (followed.code, followed.err) == (ENDS[end], "")
    assert followed.out.splitlines()[-1].startswith(f"{id_}: 3 of 3 trials, {state}")
    waited = allasprak("wait", id_)
    assert (waited.code, waited.err) == (ENDS[end], "")
    assert waited.out == f"{id_}: {state}{' (some reason)' if end == 'fail' else ''}\n"


def test_the_worst_of_several_counts(allasprak: Command, store: Store, client: TestClient) -> None:
    succeeded, failed, cancelled = (over(store, end) for end in ENDS)
    assert allasprak("wait", succeeded, cancelled).code == 3
    assert allasprak("wait", cancelled, failed, succeeded).code == 1
    done = allasprak("wait", succeeded, cancelled, succeeded, "--json")
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [one["id"] for one in found] == [succeeded, cancelled]
    assert found[0] | {"disk": None} == client.get(f"/v1/experiments/{succeeded}").json() | {"disk": None}


def test_waiting_ends_with_its_time(allasprak: Command, store: Store) -> None:
    id_ = filled(store, range(1, 2))
    store.control.move(id_, "start")
    done = allasprak("wait", id_, "--timeout", "0s")
    assert (done.code, done.out) == (124, "")
    assert done.err == f"allasprak: not over after 0 s: {id_} (running)\n"


def test_events_are_lines_of_json_for_scripts(allasprak: Command, store: Store) -> None:
    id_ = over(store)
    done = allasprak("follow", id_, "--json")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [one["number"] for one in events] == list(range(1, len(events) + 1))
    assert events[-1]["state"] == "succeeded"
    assert {"trial", "experiment"} == {one["event"] for one in events}


def test_ctrl_c_is_silent(allasprak: Command, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    id_ = over(store)
    monkeypatch.setattr("service.progress.patiently", interrupted)
    for command in ("follow", "wait"):
        assert tuple(allasprak(command, id_)) == (130, "", "")


class Lived:
    """A service without its interface."""

    def __init__(self, store: Store, id_: str) -> None:
        self._store, self._id = store, id_
        self.asked: list[str] = []

    def experiment(self, id_: str) -> dict[str, Any]:
        one = self._store.experiments.one(id_)
        assert one is not None
        return {**vars(one), "cost": {"eta": None}}

    def trial(self, id_: str) -> dict[str, Any]:
        self.asked.append(id_)
        trial = self._store.trials.one(id_)
        assert trial is not None
        return trial

    def events(self, id_: str, after: int = 0, patience: float = 0.0) -> Iterator[dict[str, Any]]:
        return iter([{"event": event.kind, **event.data} for event in self._store.events.after(self._id, after)])


def test_what_has_happened_before_costs_no_request(store: Store) -> None:
    id_, file = over(store), io.StringIO()
    lived = Lived(store, id_)
    assert progress.follow(lived, id_, file=file)["state"] == "succeeded"
    assert lived.asked == []
    assert file.getvalue() == f"{id_}: 3 of 3 trials, succeeded\n"


def test_a_pipe_gets_a_line_for_each_epoch_and_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "together", lambda events: ([one] for one in events))
    id_, file = over(store), io.StringIO()
    lived = Lived(store, id_)
    progress.follow(lived, id_, file=file)
    lines = file.getvalue().splitlines()
    words = {re.escape(f"{one} seed 1: ") for one in ("zero-shot K=0", "gradient-mix-train K=5", "naive-mix-train K=5")}
    for one in words:
        said = [line for line in lines if re.match(one, line)]
        assert [re.sub(r"\d+\.\d", "N", line.partition("seed 1: ")[2]) for line in said] == [
            "0/3 epochs",
            "1/3 epochs, en f1 N, de f1 N, zh-Hant f1 N, Zz f1 N",
            "2/3 epochs, en f1 N, de f1 N, zh-Hant f1 N, Zz f1 N",
            "succeeded",
        ]
    assert len(set(lived.asked)) == len(lived.asked) == 3


def test_what_comes_together_is_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TOGETHER", 0.02)
    monkeypatch.setattr(progress, "AT_LATEST", 0.1)

    def events(fails: bool = False) -> Iterator[int]:
        yield from (1, 2)
        time.sleep(0.3)
        yield 3
        if fails:
            raise ConnectionError("gone")

    batches = list(together(events()))
    assert [batch for batch in batches if batch] == [[1, 2], [3]]
    assert [] in batches[1:-1]  # meanwhile there is time for something else
    with pytest.raises(ConnectionError, match="gone"):
        list(together(events(fails=True)))


# Logs


def test_the_log_of_a_trial_and_of_the_drivers(allasprak: Command, store: Store, tmp_path: Path) -> None:
    id_ = over(store)
    [trial, *_] = store.trials.begun(id_)
    for path, words in ((log_of(tmp_path, trial), "trial"), (driver_log(tmp_path, id_), "driver")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{words} says {number}\n" for number in range(3)), encoding="utf-8")
    assert allasprak("log", trial).out == "trial says 0\ntrial says 1\ntrial says 2\n"
    assert allasprak("log", id_[:5], "--lines", "1").out == "driver says 2\n"
    assert allasprak("log", id_, "--lines", "1", "--follow").out == "driver says 2\n"
    lines = allasprak("log", trial, "--json", "--follow").out.splitlines()
    assert [json.loads(line) for line in lines] == [{"line": f"trial says {number}"} for number in range(3)]
    missing = allasprak("log", "0" * 20)
    assert (missing.code, missing.err) == (1, "allasprak: there is no trial with this id\n")


def test_a_log_is_followed_to_the_end_of_its_trial(
    allasprak: Command, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = filled(store, range(1, 2))
    other = store.experiments.one(id_)
    assert other is not None
    store.control.move(id_, "start")
    path, moments = driver_log(tmp_path, id_), iter(range(1, 4))
    path.parent.mkdir(parents=True)
    path.write_text("0\n", encoding="utf-8")

    def pause(_: float) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{(now := next(moments))}\n")
        if now == 2:
            store.control.move(id_, "succeed")

    monkeypatch.setattr("service.watching.time.sleep", pause)
    assert allasprak("log", id_, "--follow").out == "0\n1\n2\n"


def test_a_log_is_followed_beyond_a_restart_of_the_service(
    allasprak: Command, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_, gone = over(store), iter([ConnectionError("no service answers"), ServiceError(502, "Bad Gateway", [])])

    def read(*_: Any) -> str:
        if (error := next(gone, None)) is not None:
            raise error
        return "a line"

    monkeypatch.setattr("service.patience.PAUSES", (0.01,))
    monkeypatch.setattr(Client, "driver_log", read)
    followed = allasprak("log", id_, "--follow")
    assert (followed.code, followed.out) == (0, "a line\n")
    assert followed.err.startswith("allasprak: no service answers: waiting for it, up to 600 seconds\n")


def test_of_a_log_that_grows_new_lines_are_found() -> None:
    whole = [f"line {number // 3}" for number in range(90)]  # each three times
    for seen in range(1, 60):
        for new in range(12):
            before, now = whole[:seen][-20:], whole[: seen + new][-20:]
            assert new_lines(before, now) == whole[seen : seen + new], (seen, new)
    assert new_lines(["a", "a"], ["a", "a", "a"]) == ["a"]
    assert new_lines(["begin of a", "b"], ["of a", "b", "c"]) == ["c"]  # a long log is cut within its first line
    assert new_lines(["a", "b"], ["x", "y"]) == ["x", "y"]


# Bars


def test_bars_move_in_a_terminal_and_notes_stay_above_them(
    terminal: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    file = terminal()
    with Bars(file) as bars:
        bar = bars.add("[red]trial[/red]", 3)
        bars.set(bar, 2, "2/3 epochs", "en f1 81.4", "5 s left")
        bars.line("a line for pipes")
        bars.note("it failed \x1b[2J")
        bars.tell("the service is gone")
        bars.set(bar, 3, "3/3 epochs", "en f1 90.0")
    shown = file.getvalue()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    last = plain.splitlines()[-1]
    assert re.fullmatch(r"\[red\]trial\[/red\] \u2501+ 3/3 epochs en f1 90\.0 *", last)
    assert "it failed \N{REPLACEMENT CHARACTER}[2J" in plain
    assert "the service is gone" in plain
    assert "for pipes" not in plain
    assert shown.rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_a_bar_that_is_not_shown_says_nothing_but_that_the_service_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars(shown=False) as bars:
        bars.set(bars.add("one", 3), 2, "2/3")
        bars.line("a line")
        bars.tell("the service is gone")
    assert tuple(capsys.readouterr()) == ("", "the service is gone\n")


CELL = """
from service.bars import Bars
from service.client import Client, ServiceError
with Bars() as bars:
    bar = bars.add("one <b>", 4)
    for epoch in range(5):
        bars.set(bar, epoch, f"{epoch}/4 epochs", "en f1 81.4")
"""


@pytest.mark.service
def test_a_notebook_keeps_its_bars_as_they_were_last(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(CELL)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120).execute()
    [shown] = notebook.cells[0].outputs  # neither a warning nor one output for each epoch
    assert shown.output_type == "display_data"
    assert "one &lt;b&gt;" in shown.data["text/html"]
    assert "4/4 epochs" in shown.data["text/html"]
    assert "4/4 epochs" in shown.data["text/plain"]


def test_an_experiment_that_is_being_fetched_has_a_bar(store: Store) -> None:
    id_, file = store.experiments.add(spec_of(), None), io.StringIO()
    store.control.note(id_, "fetching de")
    store.control.move(id_, "cancel")
    progress.follow(Lived(store, id_), id_, file=file)
    assert file.getvalue().startswith(f"{id_}: 0 of 0 trials, cancelled")


class AheadOfEvents:
    """A service that knows that an experiment is over before its events say so."""

    def experiment(self, id_: str) -> dict[str, Any]:
        trials = {"total": 1, "succeeded": 1, "stopped": 0, "failed": 0, "cancelled": 0, "running": 0}
        return {"id": id_, "state": "succeeded", "reason": "", "progress": 1.0, "trials": trials, "cost": {"eta": None}}

    def trial(self, _: str) -> dict[str, Any]:
        return {"config": {"method": "zero-shot", "k": 0, "seed": 1, "training": {"epochs": 2}}}

    def events(self, _: str, after: int = 0, patience: float = 0) -> Iterator[dict[str, Any]]:
        yield {"event": "trial", "trial": "t", "state": "running", "epoch": 1, "number": after}
        time.sleep(3 * progress.TOGETHER)
        yield {"event": "trial", "trial": "t", "state": "succeeded", "number": 2}


def test_the_last_line_is_that_of_the_experiment() -> None:
    file = io.StringIO()
    assert progress.follow(AheadOfEvents(), "x", file=file)["state"] == "succeeded"
    assert file.getvalue().splitlines()[-2:] == ["zero-shot K=0 seed 1: succeeded", "x: 1 of 1 trial, succeeded"]
