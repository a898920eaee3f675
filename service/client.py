"""The client: what notebooks import to submit experiments and to get their results as frames.

More than 300 lines: one method for each request, documented where notebooks look it up.
"""

import io
import secrets
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from service import progress as bars
from service.connection import PATIENT, Connection, ServiceError
from service.score_table import score_table
from trainers.marks import MARK_NAMES

__all__ = ["DEFAULT_URL", "Client", "Report", "ServiceError"]

DEFAULT_URL = "http://127.0.0.1:8000"

# Figures of a comparison that are null where nothing can be said.
MAY_BE_NULL = ("sd", "sd_examples", "low", "high", "p", "p_holm")

# Parameters of the form of an answer, besides those that filter.
FORM = ("columns", "sort", "at", "since", "limit")


class Client:
    """A client of a service. Methods raise ServiceError where it refuses, ConnectionError where it does not answer.

    Args:
        base_url: address of the service.
        token: if the service requires one; by default `ALLASPRAK_TOKEN`, or the content of the file
            `ALLASPRAK_TOKEN_FILE`.
    """

    def __init__(self, base_url: str = DEFAULT_URL, token: str | None = None) -> None:
        self._connection = Connection(base_url, token)
        self._json = self._connection.json

    def is_up(self) -> bool:
        """Whether the service answers."""
        return self._connection.is_up()

    # Experiments

    def submit(self, spec: Mapping[str, Any], preset: str | None = None, key: str | None = None) -> str:
        """Submit an experiment; returns its id. What is odd about its data is a Python warning.

        Args:
            spec: its fields; with a preset, those that differ from it.
            preset: name of a preset to start from.
            key: up to 200 characters of your own: submitted again with the same key, it is the same experiment.

        Raises:
            ServiceError: the spec is refused; `errors` names every wrong field.
        """
        named = {} if preset is None else {"preset": preset}
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}  # with a key, a lost request can be repeated
        answer = self._json("POST", "/v1/experiments", json=dict(spec), params=named, headers=headers)
        _warn(answer)
        return str(answer["id"])

    def plan(self, spec: Mapping[str, Any], preset: str | None = None) -> dict[str, Any]:
        """The trials, steps, tokens, device-hours, disk and memory that an experiment takes. Nothing is submitted.

        `left_out` has the targets that methods leave out.
        """
        named = {} if preset is None else {"preset": preset}
        return self._json("POST", "/v1/plans", json=dict(spec), params=named)

    def presets(self) -> dict[str, dict[str, Any]]:
        """The specs of the paper's tables and figures, by name."""
        return {one["preset"]: one["spec"] for one in self._json("GET", "/v1/presets")["presets"]}

    def experiment(self, id_: str) -> dict[str, Any]:
        """An experiment as it stands.

        `state`, `reason`, `progress` (0 to 1), `trials` by state, `cost` in device-seconds, `left_out` (targets that
        methods leave out, and why), `differs` (in what its data are not as published), `failures`, `spec`.
        """
        return self._json("GET", f"/v1/experiments/{id_}")

    def experiments(self, **filters: str) -> pd.DataFrame:
        """Experiments, newest first, filtered by `owner`, `tags`, `state` or `name`."""
        pages = self._connection.pages("/v1/experiments", filters)
        return pd.DataFrame([one for page in pages for one in page["experiments"]])

    def cancel(self, id_: str) -> dict[str, Any]:
        """Stop an experiment for good; returns it. Finished trials stay."""
        return self._json("POST", f"/v1/experiments/{id_}/cancel")

    def pause(self, id_: str) -> dict[str, Any]:
        """Stop an experiment until it is resumed; returns it."""
        return self._json("POST", f"/v1/experiments/{id_}/pause")

    def resume(self, id_: str) -> dict[str, Any]:
        """Continue a paused experiment from the last checkpoints of its trials; returns it."""
        return self._json("POST", f"/v1/experiments/{id_}/resume")

    def retry(self, id_: str) -> dict[str, Any]:
        """Queue the failed trials of a failed experiment again, unless they are of another NUMERICS; returns it."""
        return self._json("POST", f"/v1/experiments/{id_}/retry")

    def resubmit(self, id_: str) -> dict[str, Any]:
        """Submit an experiment's spec again, such as one of an earlier version; returns the new experiment.

        The old one stays, with its scores. A second call returns the same new one.
        """
        answer = self._json("POST", f"/v1/experiments/{id_}/resubmit")
        _warn(answer)
        return answer

    def prioritise(self, id_: str, priority: int) -> dict[str, Any]:
        """Change the priority of an experiment (-100 to 100, higher runs first); returns it."""
        return self._json("PATCH", f"/v1/experiments/{id_}", json={"priority": priority})

    def delete(self, id_: str) -> None:
        """Delete an experiment that is over, with the trials and models that no other experiment shares."""
        self._connection.answer("DELETE", f"/v1/experiments/{id_}")

    def wait(self, id_: str, progress: bool = True, poll_seconds: float = 1.0) -> dict[str, Any]:
        """Wait until an experiment is over, with a progress bar; returns it in its final state, whichever that is.

        A paused experiment is waited for until somebody resumes or cancels it.
        """
        return bars.wait(self, id_, progress, poll_seconds)

    def follow(self, id_: str) -> dict[str, Any]:
        """Show the running trials of an experiment, a bar each, until it is over; returns it in its final state."""
        return bars.follow(self, id_)

    def events(self, id_: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """The events of an experiment from the one after `after` on, past and coming, until it is over.

        Each has `number`, `event` ("experiment" or "trial"), `at`, `state`, and further fields. A lost connection is
        opened again after the last event.
        """
        return self._connection.events(f"/v1/experiments/{id_}/events", after)

    # Trials

    def trial(self, id_: str) -> dict[str, Any]:
        """A trial: `config`, its state in each experiment, `attempts`, and `facts`: surgery, shots, packages."""
        return self._json("GET", f"/v1/trials/{id_}")

    def log(self, trial: str, lines: int = 200) -> str:
        """The last lines that all attempts at a trial logged."""
        return str(self._connection.answer("GET", f"/v1/trials/{trial}/log", params={"lines": lines}).text)

    def shots(self, id_: str) -> pd.DataFrame:
        """The shots of an experiment's trials: ids and a digest for each language, K and seed."""
        return pd.DataFrame(self._json("GET", f"/v1/experiments/{id_}/shots")["shots"])

    def samples(self, id_: str) -> pd.DataFrame:
        """The samples of cut data that an experiment's trials used: places and a digest for each language and split."""
        return pd.DataFrame(self._json("GET", f"/v1/experiments/{id_}/shots")["samples"])

    def predictions(self, trial: str, language: str, split: str = "test", selection: str | None = None) -> pd.DataFrame:
        """The predictions of a trial's model: a row per example with its place in the split, `gold`, `prediction`."""
        wanted = {"language": language, "split": split, **({"selection": selection} if selection else {})}
        found = self._connection.answer("GET", f"/v1/trials/{trial}/predictions", params=wanted).content
        return pd.read_feather(io.BytesIO(found))

    def model(self, trial: str, folder: str | Path, selection: str | None = None) -> Path:
        """Download a trial's kept model as a Hugging Face folder (weights, tokenizer, card); returns that folder.

        Args:
            trial: its id.
            folder: the model is put in `<folder>/<trial>`.
            selection: where the trial has several, as in results: "last", "target-dev", ...

        Raises:
            ServiceError: the model was not kept (experiments with `"keep": "all"` keep every model).
        """
        with tempfile.TemporaryFile() as file:
            self._connection.download(f"/v1/trials/{trial}/model", {"selection": selection} if selection else {}, file)
            with zipfile.ZipFile(file) as archive:
                archive.extractall(folder)
        return Path(folder) / trial

    # Data

    def datasets(self) -> pd.DataFrame:
        """The data that specs can name, added datasets included; `tasks` has languages and numbers of examples."""
        return pd.DataFrame(self._json("GET", "/v1/datasets")["datasets"])

    def add_dataset(self, name: str, file: str | Path | None = None, **where: str) -> dict[str, Any]:
        """Add data of your own, after a check of every example; returns a description of them.

        What is odd about them, but taken as it is, is a Python warning.

        Args:
            name: what a spec calls it, as `{"data": {"dataset": name}}`.
            file: a zip with `<task>/<language>/<split>.jsonl`, or files of another format.
            where: instead of a file, `folder`, a path under the service's data root, or `hub`, a dataset repository.
        """
        if file is None:
            answer = self._json("POST", "/v1/datasets", json={"name": name, **where})
        else:
            with Path(file).open("rb") as content:
                headers = {"Content-Type": "application/zip"}
                answer = self._json("POST", "/v1/datasets", params={"name": name}, content=content, headers=headers)
        _warn(answer)
        return answer

    def delete_dataset(self, name: str) -> None:
        """Delete a dataset that was added. ServiceError while an experiment that is not over needs it."""
        self._connection.answer("DELETE", f"/v1/datasets/{name}")

    # Results

    def results(self, id_: str | None = None, where: Mapping[str, Any] | None = None, **asked: Any) -> pd.DataFrame:
        """Scores of one experiment or of all, as a frame with the columns of `search_spaces.columns`.

        Test scores are those of the selected weights, dev scores those of every epoch; `value` is in percent.
        `attrs["left_out"]` has the targets that methods leave out, and why.

        Args:
            id_: of the experiment.
            where: a tree of conditions, such as `{"or": [{"column": "k", "op": "ge", "value": 5}, ...]}`.
            asked: filters, one value or several for a column each, as `GET /v1/results` takes them; `columns`; `sort`;
                `at`; `since`, the `attrs["now"]` of an earlier frame, for rows that were added or changed after it.
        """
        given = {**({"experiment": id_} if id_ else {}), **asked}
        form = {name: given.pop(name) for name in FORM if name in given}
        form |= {name: _several(form[name]) for name in ("columns", "sort") if name in form}
        form["format"] = "arrow"
        if where is None:
            frame, headers = self._connection.frame("GET", "/v1/results", params={**given, **form})
        else:
            only = [{"column": name, "op": "in", "value": _several(values)} for name, values in given.items()]
            query = {"where": {"and": [where, *only]}, **form}
            frame, headers = self._connection.frame("POST", "/v1/results/query", json=query)
        frame.attrs["now"] = int(headers["Now"])
        return frame

    def summary(self, by: Sequence[str] = ("method", "k"), **asked: Any) -> pd.DataFrame:
        """Means over seeds of the mean over target languages, for each group.

        Args:
            by: groupable columns of `search_spaces.columns`: `task`, `method`, `k`, `alpha`, `language`, `seed`, ...
            asked: filters as of `results`; `split`; `metric`; `published=True` for the paper's figures beside ours.

        Returns:
            Columns of `by`, `mean`, `sd`, `n` (seeds), `min`, `max`, `mean_in_common` (over the languages that all
            methods have), `mean_with_source`, `sd_with_source`, `languages`, `seeds`, `missing`, `one_label` and
            `surgery_overflow` (scores with this mark), `complete`, `mixed` (what differs within a group), `left_out`
            (languages that its methods leave out), `best` and `numerics`.
        """
        wanted = {"by": ",".join(by), **asked, "format": "arrow"}
        return self._connection.frame("GET", "/v1/results/summary", params=wanted)[0]

    def compare(
        self, better: Mapping[str, Any], over: Mapping[str, Any], unit: str = "seeds", **asked: Any
    ) -> pd.DataFrame:
        """The gain of one side over another for each target language, and how certain it is.

        Args:
            better: filters of the side that gains, such as `{"method": "gradient-mix-train", "alpha": 1}`.
            over: filters of the side that it is compared with.
            unit: "seeds", for methods; "items" (test examples), for the two models of each seed; "seeds-and-items".
            asked: filters of both sides, as of `results`; `split`; `metric`; `allow`, names of settings that may differ
                though neither side names them; `interval`, over seeds Student's "t" or the narrower "bootstrap".

        Returns:
            `language`, `gain`, `sd`, `seeds`, `low`, `high`, `p`, `p_permutation`, `smallest_p`, `p_holm`, `wins`,
            `ties`, `losses`; with "items" a row for each language and `seed`. `attrs` has `overall`, the same for the
            mean over languages, `unit`, `differs` (the settings in which the sides differ), `left_out` (languages that
            are not compared since one side left them out), `missing` (how many planned scores of both sides are not
            there), `one_label` and `surgery_overflow` (scores with this mark) and `numerics`.

        Raises:
            ServiceError: the sides also differ in something else, which is named, or there is nothing to compare.
        """
        wanted = {**asked, "unit": unit}
        for side, filters in (("better", better), ("over", over)):
            wanted |= {f"{side}.{name}": values for name, values in filters.items()}
        found = self._json("GET", "/v1/results/compare", params=wanted, timeout=PATIENT)
        frame = pd.DataFrame(found.pop("languages"))
        frame.attrs = found
        return frame.astype({name: float for name in MAY_BE_NULL if name in frame})

    def report(self, name: str, id_: str | Sequence[str] | None = None, **asked: Any) -> "Report":
        """A report of the results of some experiments, or of all, such as the paper's tables and figures.

        Args:
            name: such as "table-1" or "figure-5"; `GET /v1/reports` lists all.
            id_: of the experiment or experiments.
            asked: filters as of `results`; `metric`, if not each task's main one; `allow`, names of settings that may
                differ, as the report then says; `published=True` for the paper's figures beside ours.

        Raises:
            ServiceError: there is no such report, or the results lack what it shows, or are of several settings.
        """
        wanted = {**({"experiment": _several(id_)} if id_ else {}), **asked}
        path = f"/v1/reports/{name}"
        found = self._json("GET", path, params=wanted, timeout=PATIENT)

        def form(format_: str) -> str:
            return str(self._connection.answer("GET", path, params={**wanted, "format": format_}, timeout=PATIENT).text)

        return Report(title=found["title"], notes=tuple(found["notes"]), data=pd.DataFrame(found["data"]), form=form)

    def metric_of(self, id_: str) -> str:
        """The metric that selects in an experiment: that of its task.

        Raises:
            ValueError: the package that brought the task is gone from the service, and the results have several.
        """
        task = self.experiment(id_)["spec"]["task"]
        known = {one["task"]: str(one["metric"]) for one in self._json("GET", "/v1/tasks")["tasks"]}
        if task in known:
            return known[task]
        found = sorted(self.results(id_, split="test")["metric"].unique())
        if len(found) != 1:
            raise ValueError(f"the service has no task {task!r} any more: name a metric ({', '.join(found) or 'none'})")
        return str(found[0])

    def table(self, id_: str, metric: str | None = None) -> pd.DataFrame:
        """Test scores of an experiment, mean over seeds: methods (with K and candidate) down, languages across.

        `mean` is over the target languages that all rows have, and over the seeds that have all of the row's. Where any
        row lacks a seed, `n` is how many these are; `attrs["lacking"]` has the means that lack seeds.
        `attrs["left_out"]` has the languages that methods leave out. `one_label` and `surgery_overflow`, where there
        are any, count the scores with this mark. Without a metric it is the task's main one.

        Raises:
            ValueError: none is given, and `metric_of` does not know it.
        """
        experiment = self.experiment(id_)
        by = ("method", "k", "candidate", "language", "seed")
        cells = self.summary(by, experiment=id_, metric=metric or self.metric_of(id_))
        spec = experiment["spec"]
        table = score_table(cells, spec["methods"], spec["source_language"], len(spec["seeds"]))
        marks = [name for name in MARK_NAMES if cells[name].any()]
        table[marks] = cells.groupby(list(table.index.names))[marks].sum()
        table.attrs["left_out"] = experiment["left_out"]
        return table

    def sweep(self, id_: str) -> pd.DataFrame:
        """The candidates of an experiment's search, with objective and test score in percent, and whether it is chosen.

        Means and sd are over seeds, as many as `seeds` says. `attrs` of the frame has `objective`, `cost` and `chosen`,
        with `regret` and `remarks`: what is incomplete, a tie, within the noise, or could not matter.
        """
        found = self._json("GET", f"/v1/experiments/{id_}/sweep")
        table = pd.DataFrame(found.pop("candidates"))
        if len(table):
            named = ["method", "k", "target_languages", "candidate"]
            chosen = {str([one[name] for name in named]) for one in found["chosen"]}
            table["chosen"] = [str(list(row)) in chosen for row in table[named].itertuples(index=False)]
        table.attrs = found
        return table

    def plot_sweep(self, id_: str, over: str = "alpha") -> Any:
        """A matplotlib figure of objective and test score against a searched hyperparameter, with sd over seeds.

        One panel for each method, K and group of targets; a vertical line marks the chosen candidate.
        """
        from service.reports.figures import sweep_figure

        return sweep_figure(self.sweep(id_), over)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report; a notebook displays it.

    Attributes:
        title: a line.
        notes: sentences below it.
        data: its figures.
        form: its text as "csv", "markdown", "latex", "html", or "svg" if it is a figure.
    """

    title: str
    notes: tuple[str, ...]
    data: pd.DataFrame = field(repr=False)
    form: Callable[[str], str] = field(repr=False)

    def _repr_html_(self) -> str:
        return self.form("html")


def _several(values: Any) -> list[Any]:
    """One value or several, as a list."""
    return [values] if isinstance(values, str | int | float) else list(values)


def _warn(answer: Mapping[str, Any]) -> None:
    """Show the warnings of an answer where the client was called."""
    for one in answer.get("warnings", ()):
        warnings.warn(one, stacklevel=3)
