"""The whole path of a trial, from the POST to its scores, without what a trainer does in it: how long it takes, and how
much of the pool it leaves idle. With `--full` at the sizes that the README tells of."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Fields = dict[str, Any]
Start = Callable[..., Any]

SLOTS = 2


@pytest.fixture
def start_empty(tmp_path: Path, start_service: Start, empty_trials: Start) -> Start:
    """A service whose trials sleep, and write down when."""
    return lambda seconds: start_service(tmp_path / "home", **empty_trials(seconds))


def of_trials(spec: Fields, first: int, trials: int) -> Fields:
    """An experiment of so many trials, of other seeds than those of one that begins elsewhere."""
    seeds = list(range(first, first + trials // 2))
    return {**spec, "methods": ["naive-mix-train"], "k": [1, 5], "seeds": seeds, "resources": {}}


@pytest.mark.slow
def test_a_thousand_trials_that_do_nothing(start_empty: Start, spec: Fields, full: bool) -> None:
    trials = 1000 if full else 20
    service = start_empty(0)
    client = service.client
    client.wait(client.submit(of_trials(spec, 10**6, 2)), progress=False)  # the encoder is prepared once
    begin = time.monotonic()
    id_ = client.submit(of_trials(spec, 0, trials))
    experiment = client.wait(id_, progress=False, poll_seconds=0.2)
    seconds = time.monotonic() - begin
    print(f"\n{trials} trials that do nothing: {seconds:.1f} s from the POST to the last score")
    assert (experiment["state"], experiment["trials"]["succeeded"]) == ("succeeded", trials)
    rows = client.results(id_, split="test", language="de")
    assert (len(rows), rows["trial"].nunique()) == (trials, trials)
    assert (rows["value"] == rows["seed"] % 100).all()
    assert not full or seconds < 60


@pytest.mark.slow
@pytest.mark.parametrize("experiments", [2, 4])
def test_no_slot_idles_while_there_is_something_to_run(
    tmp_path: Path, start_empty: Start, spec: Fields, full: bool, experiments: int
) -> None:
    if experiments > 2 and not full:
        pytest.skip("a figure for the README, of its long form (--full)")
    trials = (240 // experiments) if full else 4
    service = start_empty(2)
    client = service.client
    begin = time.time()
    ids = [client.submit(of_trials(spec, 1000 * one, trials)) for one in range(experiments)]
    for id_ in ids:
        assert client.wait(id_, progress=False, poll_seconds=0.2)["state"] == "succeeded"
    times = pd.read_csv(tmp_path / "times", sep=" ", names=["seed", "begin", "end", "gpus"])
    times["experiment"] = times["seed"] // 1000
    assert times.groupby("experiment").size().to_dict() == dict.fromkeys(range(experiments), trials)
    # from when every slot has been used to when there is nothing left that has not begun
    first, last = times.nsmallest(SLOTS, "begin")["begin"].max(), times["begin"].max()
    busy = (times["end"].clip(first, last) - times["begin"].clip(first, last)).sum()
    idle = 1 - busy / (SLOTS * (last - first))
    minute = times[times["begin"] < first + 60]
    used = (minute["end"].clip(first, first + 60) - minute["begin"].clip(first)).groupby(minute["experiment"]).sum()
    waited = [round(float(of["begin"].min() - begin), 1) for _, of in times.groupby("experiment")]
    print(
        f"\n{experiments} experiments of {trials} trials of 2 s: {idle:.1%} of the pool idle; in its first minute"
        f" they had {(used / (SLOTS * 60)).round(2).tolist()}; first slots after {waited} s"
    )
    assert not full or experiments > 2 or idle < 0.05
