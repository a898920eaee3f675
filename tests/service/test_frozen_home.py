"""A home that an earlier version with other `NUMERICS` left: its results show as they did, marked, and none is reused.

`frozen/make_home.py` says what is in a frozen home and how it was made. Here it is met through public doors alone (the
command line, REST, the client, and files of the home), so that it holds whatever becomes of the code behind them.
"""

import hashlib
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from frozen_home import FROZEN, unpack
from service.client import ServiceError
from trainers.trial import NUMERICS

Fields = dict[str, Any]
StartService = Callable[..., Any]

MAKER = runpy.run_path(str(FROZEN / "make_home.py"))

UNFINISHED = "half-trained"


@dataclass(frozen=True)
class Home:
    """A frozen home in which a service of this version runs.

    Attributes:
        service: the service.
        expected: what the version that left it has answered, and made of the same experiments elsewhere.
        ids: of its experiments, by name.
        before: what this version answered when it had just been started, by path.
        files: digests of its models, checkpoints and predictions, by path, as they were left.
    """

    service: Any
    expected: Fields
    ids: dict[str, str]
    before: dict[str, Any]
    files: dict[str, str]

    @property
    def numerics(self) -> int:
        """The NUMERICS of the version that left it: 3, if that is 0.1.0, whose answers do not say so."""
        return int(self.expected.get("numerics", 3))

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
    """A frozen home, unpacked and served."""
    folder = tmp_path_factory.mktemp("frozen") / "home"
    expected = unpack(request.param, folder)
    files = files_of(folder)
    service = start_services(folder)
    ids = {name: one["experiment"]["id"] for name, one in expected["experiments"].items()}
    paths = [f"/v1/trials/{trial}" for trial in expected["trials"]]
    for name, id_ in ids.items():
        paths += [f"/v1/experiments/{id_}", f"/v1/experiments/{id_}/shots", results_of(id_)]
        if expected["experiments"][name]["sweep"] is not None:
            paths.append(f"/v1/experiments/{id_}/sweep")
    before = {path: get(service, path) for path in paths}
    return Home(service, expected, ids, before, files)


def files_of(folder: Path) -> dict[str, str]:
    """The trials' files in a home, each with a digest of its content."""
    found = [path for name in ("models", "checkpoints", "predictions") for path in (folder / name).rglob("*")]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found if path.is_file()
    }


def test_its_experiments_and_results_are_shown_as_they_were(home: Home) -> None:
    for name, then in home.expected["experiments"].items():
        id_ = home.ids[name]
        now = home.before[f"/v1/experiments/{id_}"]
        if name == UNFINISHED:  # what becomes of it is a test of its own
            now = {**now, **{one: then["experiment"][one] for one in ("state", "reason", "finished")}}
        unlike(then["experiment"], now)
        assert now["numerics"] == home.numerics
        assert {row["numerics"] for row in home.before[results_of(id_)]["results"]} <= {home.numerics}
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


def is_within(then: Fields, now: Fields) -> bool:
    """Whether fields are as they were; there may be others that were not there then."""
    return all(
        is_within(value, now[name]) if isinstance(value, dict) else now[name] == value for name, value in then.items()
    )


def test_its_trials_are_shown_as_they_were(home: Home) -> None:
    for trial, then in home.expected["trials"].items():
        now = home.before[f"/v1/trials/{trial}"]
        written = [one["saved"].pop("checkpoint") is not None for one in (then, now)]  # when, is lost with the archive
        assert written == [trial in home.expected["experiments"][UNFINISHED]["trials"]] * 2
        unlike(then, now)
    kept = home.expected["predicted"]
    frame = home.service.client.predictions(kept["trial"], kept["language"], texts=False)
    assert json.loads(frame.to_json(orient="records")) == kept["rows"]


def test_a_kept_model_is_exported(home: Home, tmp_path: Path) -> None:
    then = home.expected["exported"]
    command = [sys.executable, "-m", "service.cli", "export", then["trial"], str(tmp_path / "model")]
    environment = {**os.environ, "ALLASPRAK_HOME": str(home.service.home)}
    subprocess.run([*command, "--selection", then["selection"]], env=environment, check=True)
    unlike(then, {**then, **MAKER["exported"](tmp_path / "model")})


def test_nothing_of_it_is_reused(home: Home) -> None:
    for name in ("ner", "pos", "tydiqa", "xnli", "released-code", "search", "further"):
        plan = home.service.client.plan(home.expected["specs"][name])
        assert plan["trials"] > plan["reused"] == 0, name


def test_what_was_not_finished_says_so_and_is_submitted_again_with_one_call(home: Home) -> None:
    client, id_ = home.service.client, home.ids[UNFINISHED]
    shown = home.before[f"/v1/experiments/{id_}"]
    assert shown["state"] == "failed"
    assert f"NUMERICS {home.numerics}, and this one has {NUMERICS}" in shown["reason"]
    old = home.rows(id_)
    assert old, "the scores of its first epochs"
    again = client.resubmit(id_)
    found = client.wait(again["id"], progress=False, poll_seconds=0.2)
    assert found["state"] == "succeeded", found["reason"]
    assert found["numerics"] == NUMERICS
    assert is_within(shown["spec"], found["spec"])
    assert found["trials"]["reused"] == 0
    new = home.rows(again["id"])
    assert {row["numerics"] for row in new} == {NUMERICS}
    assert {row["trial"] for row in new}.isdisjoint(row["trial"] for row in old)
    [digest] = {row["trial"] for row in new}
    assert re.findall(r"from step (\d+)", client.log(digest)) == ["0"]
    assert home.rows(id_) == old


def test_a_retry_of_what_was_not_finished_is_refused_for_the_same_reason(home: Home) -> None:
    before = home.before[path := f"/v1/experiments/{home.ids[UNFINISHED]}"]
    with pytest.raises(ServiceError, match=re.escape(before["reason"])):
        home.service.client.retry(home.ids[UNFINISHED])
    assert {**home.get(path), "disk": None} == {**before, "disk": None}  # which is counted some time after the start


def test_all_that_is_shown_of_it_is_marked(home: Home) -> None:
    client, id_ = home.service.client, home.ids["ner"]
    for trial in home.expected["trials"]:
        assert home.before[f"/v1/trials/{trial}"]["config"]["numerics"] == home.numerics
    assert set(client.summary(experiment=id_)["numerics"]) == {home.numerics}
    sides = {"method": "gradient-mix-train"}, {"method": "ord-FS"}
    assert client.compare(*sides, experiment=id_).attrs["numerics"] == home.numerics
    assert f"NUMERICS {home.numerics}." in client.report("table-4", id_).form("markdown")
    command = [sys.executable, "-m", "service.cli", "results", id_, "--url", home.service.url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"NUMERICS {home.numerics}\n" in printed


def test_both_are_not_for_one_report(home: Home) -> None:
    client = home.service.client
    ids = [home.ids[UNFINISHED], client.resubmit(home.ids[UNFINISHED])["id"]]
    client.wait(ids[1], progress=False, poll_seconds=0.2)
    with pytest.raises(ServiceError, match=rf"numerics \({home.numerics}, {NUMERICS}; task ner\)"):
        client.report("table-1", experiment=ids)


def test_no_model_checkpoint_or_prediction_of_it_is_changed(home: Home) -> None:
    client = home.service.client
    client.wait(client.resubmit(home.ids[UNFINISHED])["id"], progress=False, poll_seconds=0.2)
    now = files_of(home.service.home)
    assert home.files.items() <= now.items()
    assert len(now) > len(home.files)
