"""Progress bars of experiments, for terminals and notebooks."""

import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

from tqdm.auto import tqdm

from service.connection import patiently
from service.patience import PATIENCE, Patience
from trainers.marks import marks_of

FINAL = ("succeeded", "failed", "cancelled")


class Watched(Protocol):
    """A service whose experiments are watched: see `service.client.Client`."""

    def experiment(self, id_: str) -> dict[str, Any]:
        """An experiment as it stands."""

    def trial(self, id_: str) -> dict[str, Any]:
        """A trial."""

    def events(self, id_: str, after: int = 0, patience: float = PATIENCE) -> Iterator[dict[str, Any]]:
        """The events of an experiment, until it is over."""


def wait(client: Watched, id_: str, progress: bool, poll_seconds: float, patience: float = PATIENCE) -> dict[str, Any]:
    """One bar for an experiment, until it is over; returns it in its final state.

    A service that is gone is waited for, for `patience` seconds.
    """
    patient = Patience(patience, _tell)
    with tqdm(total=100, disable=not progress, unit="%", bar_format="{l_bar}{bar}| {elapsed}{postfix}") as bar:
        while True:
            experiment = patiently(partial(client.experiment, id_), patient)
            trials = experiment["trials"]
            done = trials["succeeded"] + trials["stopped"] + trials["failed"] + trials["cancelled"]
            reason = f" ({experiment['reason']})" if experiment["reason"] else ""
            bar.n = round(100 * experiment["progress"], 1)
            bar.set_description_str(f"{experiment['state']}{reason}")
            bar.set_postfix_str(f"{done} of {trials['total']} trials, {trials['running']} running")
            if experiment["state"] in FINAL:
                return experiment
            time.sleep(poll_seconds)


def follow(client: Watched, id_: str, patience: float = PATIENCE) -> dict[str, Any]:
    """A bar for each running trial of an experiment, until it is over; returns it in its final state.

    A service that is gone is waited for, for `patience` seconds.
    """
    patient = Patience(patience, _tell)

    def experiment() -> dict[str, Any]:
        return patiently(partial(client.experiment, id_), patient)

    whole = tqdm(total=experiment()["trials"]["total"], unit="trial", desc="trials")
    bars: dict[str, Any] = {}
    for event in client.events(id_, patience=patience):
        if event["event"] == "experiment":
            whole.set_postfix_str(event["reason"] or event["state"])
            whole.total = experiment()["trials"]["total"]
        elif event["state"] == "running":
            trial = event["trial"]
            if trial not in bars:
                bars[trial] = _bar(patiently(partial(client.trial, trial), patient)["config"])
            bars[trial].n = event["epoch"]
            scores = {f"{one['language']} {one['metric']}": _shown(one) for one in event.get("scores", [])}
            bars[trial].set_postfix(scores)
        else:
            if event["trial"] in bars:
                bars.pop(event["trial"]).close()
            for mark in marks_of(event):
                whole.write(f"{event['trial']}: {mark.brief}: {event[mark.name]}")
            whole.update(event["state"] in ("succeeded", "stopped", "failed"))
    whole.close()
    return experiment()


def _bar(config: dict[str, Any]) -> Any:
    words = f"{config['method']} K={config['k']} seed {config['seed']}"
    return tqdm(total=config["training"]["epochs"], unit="epoch", desc=words, leave=False)


def _tell(words: str) -> None:
    """Say something above the bars."""
    tqdm.write(words, file=sys.stderr)


def _shown(score: dict[str, Any]) -> str:
    """A score with its marks."""
    return f"{score['value']:.1f}{''.join(f' ({mark.brief})' for mark in marks_of(score))}"
