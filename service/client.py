"""The client: what notebooks import to submit experiments and to get their results as frames.

More than 300 lines: a method for each thing that a notebook asks for.
"""

import io
import secrets
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pandas as pd

from service import frames
from service import progress as watched
from service.connection import PATIENT, Connection, ServiceError
from service.displayed import Displayed, experiment_html, trial_html
from service.frames import listed
from service.json_values import parameters, plain, single_parameters, spec_of
from service.patience import PATIENCE, Patience
from service.results_client import Report, ResultsClient
from service.security import require_sendable
from service.settings import url_of

__all__ = ["Client", "Report", "ServiceError"]

# Characters of a key, as the service takes them.
MOST_KEY = 200

Spec = Mapping[str, Any] | str | Path


class Client(ResultsClient):
    """A client of a service. Methods raise ServiceError where it refuses, ConnectionError where it does not answer.

    Values of specs and filters may be numpy's, ranges, sets or Paths; ValueError names a field whose value JSON does
    not have.

    Args:
        base_url: address of the service; by default `ALLASPRAK_URL`, or http://127.0.0.1:8000.
        token: if the service requires one; by default `ALLASPRAK_TOKEN`, or the content of the file
            `ALLASPRAK_TOKEN_FILE`.
    """

    def __init__(self, base_url: str | None = None, token: str | None = None) -> None:
        super().__init__(Connection(url_of() if base_url is None else base_url, token))

    def is_up(self) -> bool:
        """Whether the service answers."""
        return self._connection.is_up()

    def get(self, path: str, **asked: Any) -> dict[str, Any]:
        """The JSON answer to a GET of the REST API, as it is, such as `client.get("/v1/experiments", limit=5)`.

        Args:
            path: of the route.
            asked: its query parameters, one value or several for each. The answer is waited for, however long it takes.
        """
        return self._json("GET", path, params=parameters(asked), timeout=PATIENT)

    # Experiments

    def submit(self, spec: Spec, preset: str | None = None, key: str | None = None) -> str:
        """Submit an experiment; returns its id. What is odd about its data is a Python warning.

        Args:
            spec: its fields, or the path of a JSON file with them; with a preset, those that differ from it.
            preset: name of a preset to start from.
            key: up to 200 characters of your own: submitted again with the same key, it is the same experiment.

        Raises:
            ServiceError: the spec is refused; `errors` names every wrong field.
            ValueError: the key cannot be sent in a header.
        """
        key = require_sendable(key, "key", MOST_KEY) if key else secrets.token_hex(16)
        headers = {"Idempotency-Key": key}  # with a key, a lost request can be repeated
        answer = self._json("POST", "/v1/experiments", json=spec_of(spec), params=_of(preset), headers=headers)
        _warn(answer)
        return str(answer["id"])

    def plan(self, spec: Spec, preset: str | None = None) -> dict[str, Any]:
        """The trials, steps, tokens, device-hours, disk and memory that an experiment takes. Nothing is submitted.

        `left_out` has the targets that methods leave out.
        """
        return self._json("POST", "/v1/plans", json=spec_of(spec), params=_of(preset))

    def presets(self) -> dict[str, dict[str, Any]]:
        """The specs of the paper's tables and figures, by name."""
        return {one["preset"]: one["spec"] for one in self._json("GET", "/v1/presets")["presets"]}

    def experiment(self, id_: str) -> dict[str, Any]:
        """An experiment as it stands.

        `state`, `reason`, `progress` (0 to 1), `trials` by state, `cost` in device-seconds, `left_out` (targets that
        methods leave out, and why), `differs` (in what its data are not as published), `failures`, `disk` (bytes of its
        files, those that it shares with other experiments included), `spec`. A notebook displays its page.
        """
        return Displayed(self._json("GET", f"/v1/experiments/{id_}"), lambda: experiment_html(self, id_))

    def experiments(self, **filters: str) -> pd.DataFrame:
        """Experiments, newest first, filtered by one `owner`, `tags`, `state`, `name`, `task` or `method`.

        `search` is text within name, id, owner or a tag; `sort` a column such as "name", "-name" for descending.
        """
        pages = self._connection.pages("/v1/experiments", single_parameters(filters))
        return listed([one for page in pages for one in page["experiments"]], frames.EXPERIMENTS)

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
        return self._json("PATCH", f"/v1/experiments/{id_}", json=plain({"priority": priority}))

    def delete(self, id_: str) -> None:
        """Delete an experiment that is over, with the trials and models that no other experiment shares."""
        self._connection.answer("DELETE", f"/v1/experiments/{id_}")

    def wait(
        self,
        id_: str,
        progress: bool = True,
        poll_seconds: float = 1.0,
        patience: float = PATIENCE,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Wait until an experiment is over, with a progress bar; returns it in its final state, whichever that is.

        A paused experiment is waited for until somebody resumes or cancels it. A service that is gone, as while it
        restarts, is waited for as well, which is said.

        Args:
            id_: of the experiment.
            progress: show the bar.
            poll_seconds: between two looks at it.
            patience: seconds for which the service may be gone at a time.
            timeout: seconds after which it is waited for no longer; None for as long as it takes.

        Raises:
            ConnectionError: the service was gone for longer.
            TimeoutError: the experiment is not over.
        """
        return watched.wait(self, [id_], progress, poll_seconds, patience, timeout)[0]

    def follow(self, id_: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Show the running trials of an experiment, a bar each, until it is over; returns it in its final state.

        With `patience` for a service that is gone, as `wait`.
        """
        return watched.follow(self, id_, patience)

    def events(self, id_: str, after: int = 0, patience: float = PATIENCE) -> Iterator[dict[str, Any]]:
        """The events of an experiment from the one after `after` on, past and coming, until it is over.

        Each has `number`, `event` ("experiment" or "trial"), `at`, `state`, and further fields. A lost connection is
        opened again after the last event, with `patience` as of `wait`; a warning in the log says that it waits.
        """
        return self._connection.events(f"/v1/experiments/{id_}/events", after, Patience(patience))

    # Trials

    def trial(self, id_: str) -> dict[str, Any]:
        """A trial: `config`, its state in each experiment, `attempts`, and `facts`: surgery, shots, packages.

        A notebook displays its scores, and those on dev sets over epochs.
        """
        found = self._json("GET", f"/v1/trials/{id_}")
        return Displayed(found, lambda: trial_html(self, found))

    def trials(self, id_: str, **filters: str) -> pd.DataFrame:
        """The trials of an experiment as they stand, a row each: method, K, seed, state, epoch, last loss, attempts.

        Args:
            id_: of the experiment.
            filters: `state`, such as "running".
        """
        pages = self._connection.pages(f"/v1/experiments/{id_}/trials", single_parameters(filters))
        return listed([one for page in pages for one in page["trials"]], frames.TRIALS)

    def log(self, trial: str, lines: int = 200) -> str:
        """The last lines that all attempts at a trial logged."""
        return str(self._connection.answer("GET", f"/v1/trials/{trial}/log", params={"lines": lines}).text)

    def driver_log(self, id_: str, lines: int = 200) -> str:
        """The last lines that the processes logged which drive an experiment's trials."""
        return str(self._connection.answer("GET", f"/v1/experiments/{id_}/log", params={"lines": lines}).text)

    def shots(self, id_: str) -> pd.DataFrame:
        """The shots of an experiment's trials: ids and a digest for each language, K and seed."""
        return listed(self._json("GET", f"/v1/experiments/{id_}/shots")["shots"], frames.SHOTS)

    def samples(self, id_: str) -> pd.DataFrame:
        """The samples of cut data that an experiment's trials used: places and a digest for each language and split."""
        return listed(self._json("GET", f"/v1/experiments/{id_}/shots")["samples"], frames.SAMPLES)

    def predictions(
        self, trial: str, language: str, split: str = "test", selection: str | None = None, texts: bool = True
    ) -> pd.DataFrame:
        """The predictions of a trial's model: a row per example with its place in the split, `gold`, `prediction`.

        Args:
            trial: its id.
            language: code of a language that was scored.
            split: that was scored: "test", "dev", or "train" where shots that were held out select.
            selection: where the trial has several, as in results: "last", "target-dev", ...
            texts: with the examples: columns `tokens`, `question` and `context`, or both texts of a pair. Where the
                data no longer have the examples that were scored, a Python warning says so, and there are none.
        """
        wanted = {"language": language, "split": split, **({"selection": selection} if selection else {})}
        path = f"/v1/trials/{trial}/predictions"
        try:
            found = self._connection.answer("GET", path, params={**wanted, "texts": texts}).content
        except ServiceError as error:
            if not texts or error.status != HTTPStatus.CONFLICT:
                raise
            warnings.warn(str(error), stacklevel=2)
            found = self._connection.answer("GET", path, params=wanted).content
        return pd.read_feather(io.BytesIO(found))

    def examples(self, trial: str, language: str, **asked: Any) -> Iterator[dict[str, Any]]:
        """Scored examples of a language with gold values, predictions and errors, page after page.

        Each has `example`, `parts` (its texts), `gold`, `marks`, and `predictions` with their `errors`.

        Args:
            trial: its id.
            language: code of a language that was scored.
            asked: as `GET /v1/trials/{id}/examples` takes them: `split`, `selection`; `against`, a trial that stands
                beside; `which`, such as "differences"; `kind` of error.
        """
        wanted = {"language": language, "limit": 1000, **single_parameters(asked)}
        for page in self._connection.pages(f"/v1/trials/{trial}/examples", wanted):
            yield from page["examples"]

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
            try:
                with zipfile.ZipFile(file) as archive:
                    archive.extractall(folder)
            except zipfile.BadZipFile as error:
                raise ServiceError(HTTPStatus.OK, f"no answer of allasprak: {trial} is no zip", []) from error
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
        if file is not None and (others := [place for place, value in where.items() if value is not None]):
            raise ValueError(f"{', '.join(others)}: there is a file as well; allowed: one of file, folder and hub")
        if file is None:
            answer = self._json("POST", "/v1/datasets", json=plain({"name": name, **where}))
        else:
            with Path(file).open("rb") as content:
                headers = {"Content-Type": "application/zip"}
                answer = self._json("POST", "/v1/datasets", params={"name": name}, content=content, headers=headers)
        _warn(answer)
        return answer

    def delete_dataset(self, name: str) -> None:
        """Delete a dataset that was added. ServiceError while an experiment that is not over needs it."""
        self._connection.answer("DELETE", f"/v1/datasets/{name}")


def _warn(answer: Mapping[str, Any]) -> None:
    """Show the warnings of an answer where the client was called."""
    for one in answer.get("warnings", ()):
        warnings.warn(one, stacklevel=3)


def _of(preset: str | None) -> dict[str, str]:
    return {"preset": preset} if preset is not None else {}
