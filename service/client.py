"""The client: what notebooks import to submit experiments and to get their results as frames."""

import io
import json
import secrets
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pandas as pd
import pyarrow as pa
from tqdm.auto import tqdm

from service.settings import secret

DEFAULT_URL = "http://127.0.0.1:8000"
NO_CONTENT = 204
RECONNECT_SECONDS = 1.0

# A connection that is lost is tried again after so many seconds, where asking twice is as good as asking once.
RETRIES = (0.2, 1.0, 3.0)
FINAL = ("succeeded", "failed", "cancelled")


class ServiceError(RuntimeError):
    """The service refused; the message is its own words, `errors` are the fields that it names."""

    def __init__(self, status: int, detail: str, errors: list[dict[str, str]]) -> None:
        super().__init__("\n".join([detail, *(f"  {error['field']}: {error['message']}" for error in errors)]))
        self.status, self.errors = status, errors


class Client:
    """A connection to a service.

    Args:
        base_url: where it listens.
        token: if it asks for one; if not given `ALLASPRAK_TOKEN`, or what the file `ALLASPRAK_TOKEN_FILE` says.
    """

    def __init__(self, base_url: str = DEFAULT_URL, token: str | None = None) -> None:
        token = token or secret("TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(base_url=base_url, headers=headers, timeout=60.0)

    def submit(self, spec: Mapping[str, Any], preset: str | None = None, key: str | None = None) -> str:
        """Submit an experiment; returns its id. ServiceError names every wrong field of the spec.

        With a preset's name the fields of `spec`, if any, take the place of that preset's. Submitted again with the
        same `key` (of your own, up to 200 characters) it is the same experiment.
        """
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}  # so that it may be asked again
        answer = self._json("POST", "/v1/experiments", json=dict(spec), params=_query(preset), headers=headers)
        return str(answer["id"])

    def cancel(self, id_: str) -> dict[str, Any]:
        """Stop an experiment for good; returns it. What is done stays."""
        return self._json("POST", f"/v1/experiments/{id_}/cancel")

    def pause(self, id_: str) -> dict[str, Any]:
        """Stop an experiment until it is resumed; returns it."""
        return self._json("POST", f"/v1/experiments/{id_}/pause")

    def resume(self, id_: str) -> dict[str, Any]:
        """Let a paused experiment go on, its trials from their last checkpoints; returns it."""
        return self._json("POST", f"/v1/experiments/{id_}/resume")

    def retry(self, id_: str) -> dict[str, Any]:
        """Queue a failed experiment's failed trials again; returns it."""
        return self._json("POST", f"/v1/experiments/{id_}/retry")

    def prioritise(self, id_: str, priority: int) -> dict[str, Any]:
        """Change an experiment's priority (-100 to 100, the higher goes first); returns it."""
        return self._json("PATCH", f"/v1/experiments/{id_}", json={"priority": priority})

    def delete(self, id_: str) -> None:
        """Forget an experiment that is over, with the trials and models that no other one asks for."""
        self._answer("DELETE", f"/v1/experiments/{id_}")

    def presets(self) -> dict[str, dict[str, Any]]:
        """The paper's tables and figures as specs, by name."""
        return {one["preset"]: one["spec"] for one in self._json("GET", "/v1/presets")["presets"]}

    def plan(self, spec: Mapping[str, Any], preset: str | None = None) -> dict[str, Any]:
        """What that experiment would take: trials, steps, tokens, device-hours, disk, memory. Nothing is submitted."""
        return self._json("POST", "/v1/plans", json=dict(spec), params=_query(preset))

    def experiment(self, id_: str) -> dict[str, Any]:
        """An experiment as it stands.

        `state`, `reason`, `progress` (0 to 1), `trials` by state, `cost` in device-seconds, `failures`, `spec`.
        """
        return self._json("GET", f"/v1/experiments/{id_}")

    def trial(self, id_: str) -> dict[str, Any]:
        """A trial: `config`, its state for each experiment, `attempts`; `facts`: what surgery met, shots, packages."""
        return self._json("GET", f"/v1/trials/{id_}")

    def log(self, trial: str, lines: int = 200) -> str:
        """The last lines that all attempts at a trial have written."""
        return str(self._answer("GET", f"/v1/trials/{trial}/log", params={"lines": lines}).text)

    def shots(self, id_: str) -> pd.DataFrame:
        """The draws that an experiment's trials were trained on: per language, K and seed the ids and a digest."""
        return pd.DataFrame(self._json("GET", f"/v1/experiments/{id_}/shots")["shots"])

    def predictions(self, trial: str, language: str, split: str = "test", selection: str | None = None) -> pd.DataFrame:
        """What a trial's model predicted: a row per example with its place in the split, `gold` and `prediction`."""
        wanted = {"language": language, "split": split, **({"selection": selection} if selection else {})}
        answer = self._answer("GET", f"/v1/trials/{trial}/predictions", params=wanted)
        return pd.read_feather(io.BytesIO(answer.content))

    def model(self, trial: str, folder: str | Path, selection: str | None = None) -> Path:
        """Download a trial's kept model as a Hugging Face folder (weights, tokenizer, card); returns that folder.

        Args:
            trial: its id.
            folder: where to put it: in `<folder>/<trial>`.
            selection: where the trial has several: "last" or "target-dev".

        Raises:
            ServiceError: it was not kept (an experiment with `"keep": "all"` keeps every one).
        """
        path, wanted = f"/v1/trials/{trial}/model", {"selection": selection} if selection else {}
        with tempfile.TemporaryFile() as file, self._http.stream("GET", path, params=wanted) as answer:
            if not answer.is_success:
                answer.read()
            for chunk in _succeeded(answer).iter_bytes():
                file.write(chunk)
            with zipfile.ZipFile(file) as archive:
                archive.extractall(folder)
        return Path(folder) / trial

    def datasets(self) -> pd.DataFrame:
        """The data that a spec may name: ours, and those that were added; `tasks` has languages and examples."""
        return pd.DataFrame(self._json("GET", "/v1/datasets")["datasets"])

    def add_dataset(self, name: str, file: str | Path | None = None, **where: str) -> dict[str, Any]:
        """Add data of your own, once every example was checked; returns what is known of them.

        Args:
            name: what a spec calls it, as `{"data": {"dataset": name}}`.
            file: a zip with `<task>/<language>/<split>.jsonl`; or instead
            where: `folder`, a path under the service's data root, or `hub`, a dataset repository.
        """
        if file is None:
            return self._json("POST", "/v1/datasets", json={"name": name, **where})
        with Path(file).open("rb") as content:
            headers = {"Content-Type": "application/zip"}
            return self._json("POST", "/v1/datasets", params={"name": name}, content=content, headers=headers)

    def sweep(self, id_: str) -> pd.DataFrame:
        """What an experiment's search found: a row per candidate with its objective, test score, and if it is chosen.

        `attrs` of the frame has `objective`, `chosen` (with `regret`) and `cost`. In percent; sd over the seeds.
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
        """Objective and test score against a searched hyperparameter, with their sd over the seeds, as a figure.

        One panel for each method, K and group of targets; the chosen candidate has a vertical line. Needs matplotlib
        (extra `notebooks`).
        """
        from service.reports.figures import sweep_figure

        return sweep_figure(self.sweep(id_), over)

    def is_up(self) -> bool:
        """Whether the service answers."""
        try:
            return self._http.get("/healthz").is_success
        except httpx2.TransportError:
            return False

    def experiments(self, **filters: str) -> pd.DataFrame:
        """Experiments, newest first, filtered by `owner`, `tags`, `state` or `name`."""
        pages = self._pages("GET", "/v1/experiments", filters)
        return pd.DataFrame([one for page in pages for one in page["experiments"]])

    def wait(self, id_: str, progress: bool = True, poll_seconds: float = 1.0) -> dict[str, Any]:
        """Wait for an experiment's end, with a progress bar; returns it in its final state, whichever that is.

        One that is paused is waited for until somebody resumes or cancels it.
        """
        with tqdm(total=100, disable=not progress, unit="%", bar_format="{l_bar}{bar}| {elapsed}{postfix}") as bar:
            while True:
                experiment = self.experiment(id_)
                trials = experiment["trials"]
                done = trials["succeeded"] + trials["stopped"] + trials["failed"] + trials["cancelled"]
                reason = f" ({experiment['reason']})" if experiment["reason"] else ""
                bar.n = round(100 * experiment["progress"], 1)
                bar.set_description_str(f"{experiment['state']}{reason}")
                bar.set_postfix_str(f"{done} of {trials['total']} trials, {trials['running']} running")
                if experiment["state"] in FINAL:
                    return experiment
                time.sleep(poll_seconds)

    def follow(self, id_: str) -> dict[str, Any]:
        """Show an experiment's trials live, a bar for each that runs, until it is over; returns it as it is then."""
        whole = tqdm(total=self.experiment(id_)["trials"]["total"], unit="trial", desc="trials")
        bars: dict[str, Any] = {}
        for event in self.events(id_):
            if event["event"] == "experiment":
                whole.set_postfix_str(event["reason"] or event["state"])
                whole.total = self.experiment(id_)["trials"]["total"]
            elif event["state"] == "running":
                trial = event["trial"]
                if trial not in bars:
                    config = self.trial(trial)["config"]
                    words = f"{config['method']} K={config['k']} seed {config['seed']}"
                    bars[trial] = tqdm(total=config["training"]["epochs"], unit="epoch", desc=words, leave=False)
                bars[trial].n = event["epoch"]
                scores = {f"{one['language']} {one['metric']}": one["value"] for one in event.get("scores", [])}
                bars[trial].set_postfix({name: f"{value:.1f}" for name, value in scores.items()})
            else:
                if event["trial"] in bars:
                    bars.pop(event["trial"]).close()
                whole.update(event["state"] in ("succeeded", "stopped", "failed"))
        whole.close()
        return self.experiment(id_)

    def events(self, id_: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """What has happened to an experiment since an event, and then what does, until it is over.

        Each has its `number`, `event` ("experiment" or "trial"), `at`, `state`, and what else is to be said. A
        connection that is lost is made again, and goes on where it ended. ConnectionError if there never was one.
        """
        connected = False
        while True:
            try:
                with self._http.stream("GET", f"/v1/experiments/{id_}/events", params={"after": after}) as answer:
                    connected = True
                    if not answer.is_success:
                        answer.read()
                    if _succeeded(answer).status_code == NO_CONTENT:
                        return
                    for event in _events(answer.iter_lines()):
                        after = event["number"]
                        yield event
            except httpx2.TransportError as error:
                if not connected:
                    raise self._no_answer(error) from error
                time.sleep(RECONNECT_SECONDS)

    def results(self, id_: str | None = None, where: Mapping[str, Any] | None = None, **asked: Any) -> pd.DataFrame:
        """Score rows, of one experiment or of all, as a frame.

        Test scores are those of the selected weights, dev scores are there for every epoch; `value` is in percent.

        Args:
            id_: of the experiment.
            where: a tree of conditions, such as `{"or": [{"column": "k", "op": "ge", "value": 5}, ...]}`.
            asked: one value or several for a column each, as `GET /v1/results` takes them; `columns`; `sort`; `at`;
                `since`, which is `attrs["now"]` of an earlier frame, for what came after it.
        """
        given = {**({"experiment": id_} if id_ else {}), **asked}
        named = {name: given.pop(name) for name in ANSWER if name in given}
        named |= {name: _several(named[name]) for name in ("columns", "sort") if name in named}
        named["format"] = "arrow"
        if where is None:
            answer = self._answer("GET", "/v1/results", params={**given, **named})
        else:
            only = [{"column": name, "op": "in", "value": _several(values)} for name, values in given.items()]
            answer = self._answer("POST", "/v1/results/query", json={"where": {"and": [where, *only]}, **named})
        frame = _frame(answer)
        frame.attrs["now"] = int(answer.headers["Now"])
        return frame

    def summary(self, by: Sequence[str] = ("method", "k"), **asked: Any) -> pd.DataFrame:
        """Means over seeds by some columns, a seed's value being the mean over target languages.

        Args:
            by: of `task`, `method`, `k`, `alpha`, `candidate`, `language`, `seed`, `metric`, `experiment`, ...
            asked: filters as of `results`; `split`; `metric`; `published=True` for the paper's figures beside ours.

        Returns:
            Columns of `by`, `mean`, `sd`, `n` (seeds), `min`, `max`, `mean_with_source`, `sd_with_source`, `languages`,
            `seeds`, `missing`, `complete`, `mixed` (what differs within a group) and `best`.
        """
        wanted = {"by": ",".join(by), **asked, "format": "arrow"}
        return _frame(self._answer("GET", "/v1/results/summary", params=wanted))

    def compare(self, better: str, over: str, shots: int, **asked: Any) -> pd.DataFrame:
        """What each target language gains by one method over another at K, and whether it is noise.

        Args:
            better: the method that gains.
            over: the other one.
            shots: K.
            asked: filters as of `results`.

        Returns:
            `language`, `gain`, `sd`, `seeds`, `low`, `high`, `p`, `smallest_p`, `p_holm`, `wins`, `ties`, `losses`; the
            same of the mean over languages is `attrs["overall"]`.
        """
        wanted = {"better": better, "over": over, "shots": shots, **asked}
        found = self._json("GET", "/v1/results/compare", params=wanted)
        frame = pd.DataFrame(found["languages"]).astype({"sd": float, "low": float, "high": float})
        frame.attrs["overall"] = found["overall"]
        return frame

    def report(self, name: str, id_: str | Sequence[str] | None = None, **asked: Any) -> "Report":
        """One of the paper's tables or figures of some experiments' results, or of all; a notebook displays it.

        Args:
            name: such as "table-1" or "figure-5"; `GET /v1/reports` lists them.
            id_: of the experiment or experiments.
            asked: filters as of `results`.

        Raises:
            ServiceError: there is no such report, or the results lack what it is about.
        """
        wanted = {**({"experiment": _several(id_)} if id_ else {}), **asked}
        path = f"/v1/reports/{name}"
        found = self._json("GET", path, params=wanted)

        def form(format_: str) -> str:
            return str(self._answer("GET", path, params={**wanted, "format": format_}).text)

        return Report(found["title"], tuple(found["notes"]), pd.DataFrame(found["data"]), form)

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
        """Test scores of an experiment: methods (with K and candidate) down, languages across, mean over seeds.

        `mean` is over the target languages. Of tasks with several metrics the one that selects is shown, if none is
        given.

        Raises:
            ValueError: none is given, and `metric_of` does not know it.
        """
        experiment = self.experiment(id_)
        test = self.results(id_, split="test", metric=metric or self.metric_of(id_))
        rows = ["method", "k", *(["candidate"] if test["candidate"].any() else [])]
        table = test.pivot_table("value", rows, "language", aggfunc="mean")
        source = experiment["spec"]["source_language"]
        targets = [language for language in table.columns if language != source]
        table = table[[language for language in (source, *targets) if language in table.columns]]
        table["mean"] = table[targets].mean(axis=1)
        methods = experiment["spec"]["methods"]
        return table.sort_index(key=lambda index: index.map(methods.index) if index.name == "method" else index)

    def _pages(self, method: str, path: str, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Every page of an answer; what is asked goes into the query, or into the body where there is one."""
        where = "params" if method == "GET" else "json"
        cursor: dict[str, str] = {}
        while True:
            page = self._json(method, path, **{where: {**given, **cursor}})
            yield page
            if page["next"] is None:
                return
            cursor = {"cursor": page["next"]}

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        return dict(self._answer(method, path, **arguments).json())

    def _answer(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        again = method == "GET" or "Idempotency-Key" in arguments.get("headers", {})
        for seconds in (*(RETRIES if again else ()), None):
            try:
                return _succeeded(self._http.request(method, path, **arguments))
            except httpx2.TransportError as error:
                if seconds is None:
                    raise self._no_answer(error) from error
                time.sleep(seconds)
        raise AssertionError("the last try answers or raises")

    def _no_answer(self, error: httpx2.TransportError) -> ConnectionError:
        return ConnectionError(f"no service answers at {self._http.base_url} ({error})")


@dataclass(frozen=True)
class Report:
    """A report: `data` is a frame of its figures; in a notebook it shows itself.

    `form(name)` is its text as "csv", "markdown", "latex", "html", or "svg" if it is a figure.
    """

    title: str
    notes: tuple[str, ...]
    data: pd.DataFrame = field(repr=False)
    form: Callable[[str], str] = field(repr=False)

    def _repr_html_(self) -> str:
        return self.form("html")


def _succeeded(answer: httpx2.Response) -> httpx2.Response:
    """An answer that is no refusal."""
    if answer.is_success:
        return answer
    try:
        problem = answer.json()
        detail, errors = problem["detail"], problem["errors"]
    except (ValueError, KeyError):
        detail, errors = answer.text or f"status {answer.status_code}", []
    raise ServiceError(answer.status_code, detail, errors)


def _frame(answer: httpx2.Response) -> pd.DataFrame:
    """What an Arrow stream holds."""
    with pa.ipc.open_stream(answer.content) as stream:
        return stream.read_pandas()


def _events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Server-sent events: fields a line, an empty line after each event."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
        elif "id" in fields:
            yield {"number": int(fields["id"]), "event": fields["event"], **json.loads(fields["data"])}
            fields = {}


# What is asked of an answer besides which rows it has.
ANSWER = ("columns", "sort", "at", "since", "limit")


def _several(values: Any) -> list[Any]:
    """One value or several, as a list."""
    return [values] if isinstance(values, str | int | float) else list(values)


def _query(preset: str | None) -> dict[str, str]:
    return {} if preset is None else {"preset": preset}
