"""A home that an earlier version has left: its results show as they did, nothing is trained anew, and what was half
trained goes on from its checkpoint.

`frozen/make_home.py` says what is in a frozen home and how it was made. Here it is met through public doors alone (the
command line, REST, the client, and files of the home), so that it holds whatever becomes of the code behind them.
"""

import json
import os
import re
import runpy
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

Fields = dict[str, Any]
StartService = Callable[..., Any]

FROZEN = Path(__file__).parent / "frozen"
MAKER = runpy.run_path(str(FROZEN / "make_home.py"))

# Every finished experiment but those whose trials are stopped, or members of a population: they are never taken over.
RESUBMITTED = ("ner", "pos", "tydiqa", "xnli", "released-code", "search")

# Where another processor rounds otherwise: of losses and cosines relatively, of scores in percent.
OTHER_PROCESSOR = {"rel": 1e-3, "abs": 5e-3}
OTHER_PROCESSOR_SCORES = 2.5


@dataclass(frozen=True)
class Home:
    """A frozen home in which a service of this version runs.

    Attributes:
        service: the service.
        expected: what the version that left it has answered, and made of the same experiments elsewhere.
        ids: of its experiments, by name.
        before: what this version answered when it had just been started, by path.
        again: ids of its finished experiments, submitted once more, by name.
        further: id of the experiment that goes on from its kept models.
    """

    service: Any
    expected: Fields
    ids: dict[str, str]
    before: dict[str, Any]
    again: dict[str, str]
    further: str

    def get(self, path: str) -> Any:
        """The answer to a path."""
        return get(self.service, path)

    def rows(self, id_: str) -> list[Fields]:
        """An experiment's results."""
        return list(self.get(results_of(id_))["results"])


def get(service: Any, path: str) -> Any:
    with urlopen(service.url + path) as answer:
        return json.load(answer)


def results_of(id_: str) -> str:
    return f"/v1/results?experiment={id_}&limit=10000"


@pytest.fixture(scope="module", params=sorted(FROZEN.glob("home-*.tar.xz")), ids=lambda file: file.name.split(".")[0])
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, start_services: StartService
) -> Home:
    """A frozen home, unpacked and served; all that the tests ask for is at work at the same time."""
    folder = tmp_path_factory.mktemp("frozen") / "home"
    expected = unpack(request.param, folder)
    service = start_services(folder)
    ids = {name: one["experiment"]["id"] for name, one in expected["experiments"].items()}
    paths = [f"/v1/trials/{trial}" for trial in expected["trials"]]
    for name, id_ in ids.items():
        paths += [f"/v1/experiments/{id_}", f"/v1/experiments/{id_}/shots", results_of(id_)]
        if expected["experiments"][name]["sweep"] is not None:
            paths.append(f"/v1/experiments/{id_}/sweep")
    before = {path: get(service, path) for path in paths}
    service.client.resume(ids["half-trained"])
    again = {name: service.client.submit(expected["specs"][name]) for name in RESUBMITTED}
    further = service.client.submit(expected["specs"]["further"])
    return Home(service, expected, ids, before, again, further)


def unpack(archive: Path, folder: Path) -> Fields:
    """Put a frozen home into a folder; what is expected of it."""
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    dump = folder / "store.sql"
    with sqlite3.connect(folder / "allasprak.sqlite") as connection:
        connection.executescript(dump.read_text().replace("@HOME@", str(folder)))
    dump.unlink()
    expected = archive.with_name(archive.name.replace("home-", "expected-").replace(".tar.xz", ".json"))
    return dict(json.loads(expected.read_text().replace("@HOME@", str(folder))))


def test_its_experiments_and_results_are_shown_as_they_were(home: Home) -> None:
    for name, then in home.expected["experiments"].items():
        id_ = home.ids[name]
        unlike(then["experiment"], home.before[f"/v1/experiments/{id_}"])
        unlike(then["results"], home.before[results_of(id_)]["results"])
        unlike(then["shots"], home.before[f"/v1/experiments/{id_}/shots"]["shots"])
        if then["sweep"] is not None:
            unlike(then["sweep"], home.before[f"/v1/experiments/{id_}/sweep"])
        assert sorted({row["trial"] for row in home.before[results_of(id_)]["results"]}) == then["trials"]


def unlike(then: Any, now: Any) -> None:
    """Fail by the first differences, if there are any. What is new in an object is no difference."""
    found = list(differences(then, now))
    assert not found, "\n".join(found[:20])


def differences(then: Any, now: Any, place: str = "") -> Iterator[str]:
    if isinstance(then, dict) and isinstance(now, dict):
        for name in then:
            if name in now:
                yield from differences(then[name], now[name], f"{place}.{name}")
            else:
                yield f"{place}.{name} is gone"
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from differences(one, other, f"{place}.{number}")
    elif then != now:
        yield f"{place} was {then!r}, is {now!r}"


def test_its_trials_are_shown_as_they_were(home: Home) -> None:
    for trial, then in home.expected["trials"].items():
        now = home.before[f"/v1/trials/{trial}"]
        written = [one["saved"].pop("checkpoint") is not None for one in (then, now)]  # when, is lost with the archive
        assert written == [trial in home.expected["experiments"]["half-trained"]["trials"]] * 2
        unlike(then, now)
    kept = home.expected["predicted"]
    frame = home.service.client.predictions(kept["trial"], kept["language"])
    assert json.loads(frame.to_json(orient="records")) == kept["rows"]


def test_a_kept_model_is_exported(home: Home, tmp_path: Path) -> None:
    then = home.expected["exported"]
    command = [sys.executable, "-m", "service.cli", "export", then["trial"], str(tmp_path / "model")]
    environment = {**os.environ, "ALLASPRAK_HOME": str(home.service.home)}
    subprocess.run([*command, "--selection", then["selection"]], env=environment, check=True)
    unlike(then, {**then, **MAKER["exported"](tmp_path / "model")})


@pytest.mark.parametrize("name", RESUBMITTED)
def test_what_is_submitted_again_is_there_already(home: Home, name: str) -> None:
    then, id_ = home.expected["experiments"][name], home.again[name]
    found = home.service.client.wait(id_, progress=False, poll_seconds=0.2)
    assert found["state"] == "succeeded", found["reason"]
    assert found["trials"]["reused"] == found["trials"]["total"] == len(then["trials"])
    rows = home.rows(id_)
    assert {row["experiment"] for row in rows} == {id_}
    unlike(in_order(then["results"]), in_order(rows))
    for trial in then["trials"]:
        attempts = [one for one in home.get(f"/v1/trials/{trial}")["attempts"] if one["experiment"] != home.further]
        assert [(one["number"], one["experiment"]) for one in attempts] == [(1, home.ids[name])]


def in_order(rows: list[Fields]) -> list[Fields]:
    """Rows without their experiment, by what they are the results of."""
    named = ("method", "k", "seed", "candidate", "language", "split", "metric", "epoch", "trial")
    return sorted(
        ({name: value for name, value in row.items() if name != "experiment"} for row in rows),
        key=lambda row: [row[name] for name in named],
    )


def test_what_was_half_trained_goes_on_from_its_checkpoint_to_the_same_end(home: Home) -> None:
    id_, then = home.ids["half-trained"], home.expected["undisturbed"]["half-trained"]
    found = home.service.client.wait(id_, progress=False, poll_seconds=0.2)
    assert found["state"] == "succeeded", found["reason"]
    [digest] = then["trials"]
    before, trial = home.before[f"/v1/trials/{digest}"], home.get(f"/v1/trials/{digest}")
    assert [one["state"] for one in trial["attempts"]] == [*(one["state"] for one in before["attempts"]), "succeeded"]
    checkpoint, last = home.expected["checkpoint"], then["measures"][digest][-1]
    assert checkpoint["step"] > 0
    # the log of the frozen version's own attempts is not in the home
    assert re.findall(r"from step (\d+)", home.service.client.log(digest)) == [str(checkpoint["step"])]
    assert trial["facts"]["work"]["training"]["steps"] == last["step"] - checkpoint["step"]
    same_training(home, then, id_)


def same_training(home: Home, then: Fields, id_: str) -> None:
    """An experiment has come to what the frozen version came to: to the bit, where this machine rounds as its did."""
    rows, exact = home.rows(id_), rounds_alike(home.expected)
    if exact:
        unlike(in_order(then["results"]), in_order(rows))
    else:
        assert len(rows) == len(then["results"])
        values = [[row["value"] for row in in_order(one)] for one in (then["results"], rows)]
        assert values[1] == pytest.approx(values[0], abs=OTHER_PROCESSOR_SCORES)
    for trial, measures in then["measures"].items():
        for was, now in zip(measures, home.get(f"/v1/trials/{trial}")["measures"], strict=True):
            assert (was["epoch"], was["step"]) == (now["epoch"], now["step"])
            before, after = figures(was["values"]), figures(now["values"])
            assert after == (before if exact else pytest.approx(before, **OTHER_PROCESSOR))


def figures(values: Fields) -> dict[str, float]:
    """The loss and what surgery met, without speeds."""
    found = {f"surgery {name}": value for name, value in values.get("surgery", {}).items()}
    return {"loss": values["loss"], **{name: value for name, value in found.items() if isinstance(value, int | float)}}


def rounds_alike(expected: Fields) -> bool:
    return bool(MAKER["processor"]() == expected["processor"] and version("torch") == expected["packages"]["torch"])


def test_kept_models_are_scored_and_adapted_further_and_not_trained_again(home: Home) -> None:
    then = home.expected["undisturbed"]["further"]
    found = home.service.client.wait(home.further, progress=False, poll_seconds=0.2)
    assert found["state"] == "succeeded", found["reason"]
    assert found["trials"]["reused"] == then["experiment"]["trials"]["reused"]
    source = next(row["trial"] for row in then["results"] if row["method"] == "zero-shot")
    assert home.get(f"/v1/trials/{source}")["attempts"][-1]["experiment"] == home.further
    assert "from step" not in home.service.client.log(source)  # it takes no step
    same_training(home, then, home.further)
