"""Answers that a notebook displays: an experiment as its page, a trial with its curves and its test scores."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from html import escape
from typing import Any

from service.connection import ServiceError
from service.results_client import ResultsClient

# CSS pixels of an experiment's frame.
HEIGHT = 640


class Displayed(dict[str, Any]):
    """An answer, as it is. A notebook displays it; what that takes is asked for when it is displayed."""

    def __init__(self, answer: Mapping[str, Any], html: Callable[[], str]) -> None:
        super().__init__(answer)
        self._html = html

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)  # elsewhere there may be no service to ask

    def _repr_html_(self) -> str | None:
        try:
            return self._html()
        except (ServiceError, ConnectionError):
            return None  # it is displayed as the dictionary that it is


def experiment_html(client: ResultsClient, id_: str) -> str:
    """An experiment's page, in a frame in which no script runs."""
    page = escape(client.page(id_))
    return f'<iframe title="experiment {id_}" srcdoc="{page}" sandbox width="100%" height="{HEIGHT}"></iframe>'


def trial_html(client: ResultsClient, trial: Mapping[str, Any]) -> str:
    """A trial: what it is, its test scores by language, and its dev scores over epochs."""
    id_, config = str(trial["id"]), trial["config"]
    of = [config["task"], config["method"], f"K = {config['k']}", f"seed {config['seed']}"]
    states = {one["state"] for one in trial["experiments"]}
    words = [f"<p><b>{escape(', '.join(of))}</b> {', '.join(sorted(states))} <code>{id_}</code></p>"]
    tests = client.results(trial=id_, split="test", at="selected")
    if len(tests):
        words.append(tests.pivot_table("value", "language", ["selection", "metric"]).round(2).to_html())
    with suppress(ServiceError):  # nothing was scored on dev sets
        words.append(str(client.report("dev-curves", trial=id_).form("svg")))
    return "".join(words)
