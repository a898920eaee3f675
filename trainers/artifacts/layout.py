"""The paths below the home, the folder for everything that a service and its trials write. No other file knows them.

Models, predictions and checkpoints have them as names where they lie at another place.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from trainers.artifacts.atomic import lock
from trainers.artifacts.folder_place import FolderPlace
from trainers.artifacts.place import Place
from trainers.trial import Selection, Split

# The process of a trial that was told to end is gone after two seconds.
END_SECONDS = 5.0


# A trial, by its digest


def lock_of(home: Path, digest: str) -> Path:
    """The lock that a process holds while it runs a trial."""
    return home / "locks" / digest


def log_of(home: Path, digest: str) -> Path:
    """The log of all attempts at a trial."""
    return home / "logs" / "trials" / f"{digest}.log"


def checkpoints_of(home: Path, digest: str) -> Path:
    """The checkpoints from which the next attempt at a trial resumes."""
    return home / "checkpoints" / digest


def models_of(home: Path, digest: str) -> Path:
    """The models of a trial that are kept."""
    return home / "models" / digest


def model_of(home: Path, digest: str, selection: Selection) -> Path:
    """The model that a selection chose."""
    return models_of(home, digest) / selection


def predictions_of(home: Path, digest: str) -> Path:
    """The predictions of a trial's models."""
    return home / "predictions" / digest


def predictions_file(home: Path, digest: str, *, step: int, language: str, split: Split, data: str) -> Path:
    """The predictions of a trial's weights after `step`, for the examples with the digest `data`."""
    return predictions_of(home, digest) / f"{language}.{split}.{data}.{step}.arrow"


Kind = Literal["models", "predictions", "checkpoints", "logs"]

# Where a trial has its files of each kind.
OF_TRIAL: Mapping[Kind, Callable[[Path, str], Path]] = {
    "models": models_of, "predictions": predictions_of, "checkpoints": checkpoints_of, "logs": log_of,
}  # fmt: skip


def place_of_kind(place: Place, kind: Kind) -> Place:
    """Where files of a kind lie: logs in the home, wherever the place is."""
    return FolderPlace(place.home) if kind == "logs" else place


def trials_with(place: Place, kind: Kind) -> dict[str, Path]:
    """The files of a kind, by the digests of the trials that have any."""
    folder = OF_TRIAL[kind](place.home, "*").parent
    return {name.removesuffix(".log"): folder / name for name in place_of_kind(place, kind).names(folder)}


def pruned_mark(home: Path, kind: str, digest: str) -> Path:
    """The file that says that a trial's files of a kind were pruned, since it was written."""
    return home / "pruned" / kind / digest


def fate(home: Path, kind: Kind, digest: str) -> str:
    """What became of a trial's files that are not there, in words."""
    try:
        pruned = pruned_mark(home, kind, digest).stat().st_mtime
    except FileNotFoundError:
        return "not kept on this machine"
    return f"pruned on {datetime.fromtimestamp(pruned, UTC):%Y-%m-%d}"


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The files of a trial.

    Attributes:
        models: the selections whose models are kept.
        predictions: the number of files with predictions.
        checkpoint: when the last checkpoint was written, in seconds since 1970; None if there is none, as once the
            trial has ended.
    """

    models: list[str]
    predictions: int
    checkpoint: float | None


def saved(place: Place, digest: str) -> Saved:
    """The files of a trial."""
    home = place.home
    return Saved(
        models=place.complete(models_of(home, digest)),
        predictions=len(place.complete(predictions_of(home, digest))),
        checkpoint=place.written(checkpoints_of(home, digest)),
    )


def remove_trial(place: Place, digest: str) -> None:
    """Remove the files of a trial: models, checkpoints, predictions and log; none of a trial that is running again.

    A process that runs it and is about to end is waited for. PlaceLostError as by the place; the rest may stay.
    """
    home = place.home
    with suppress(TimeoutError), lock(lock_of(home, digest), patience=END_SECONDS):
        log_of(home, digest).unlink(missing_ok=True)
        for folder in (models_of, checkpoints_of, predictions_of):
            place.remove(folder(home, digest))
        for kind in OF_TRIAL:
            pruned_mark(home, kind, digest).unlink(missing_ok=True)


# Encoders and data


def encoders_folder(home: Path) -> Path:
    """Encoders that were converted to Hugging Face folders."""
    return home / "encoders"


def datasets_folder(home: Path) -> Path:
    """Registered datasets, a folder each."""
    return home / "datasets"


def dataset_folder(home: Path, name: str) -> Path:
    """A registered dataset."""
    return datasets_folder(home) / name


def dataset_names(home: Path) -> list[str]:
    """The registered datasets."""
    return sorted(path.name for path in datasets_folder(home).glob("[!.]*"))


def fetched_data(home: Path, source: str) -> Path:
    """The data that were fetched from a source. Version 1 had others, with other examples, in the folder `data`."""
    return home / "fetched" / source


def encoder_digests(home: Path) -> Path:
    """Cached digests of encoder folders."""
    return home / "cache" / "encoders"


def split_facts(home: Path) -> Path:
    """Cached facts of the splits of data folders."""
    return home / "cache" / "facts"


def tokenized_parts(home: Path) -> Path:
    """Parts of splits that were tokenized, of a bounded size."""
    return home / "cache" / "tokenized"


# The service


def downloads_folder(home: Path) -> Path:
    """Models that are being downloaded, a folder each."""
    return home / "downloads"


def export_file(home: Path, name: str) -> Path:
    """Says which process writes the model of a download; `name` is that of its folder."""
    return downloads_folder(home) / name / "export.json"


def leftovers(home: Path) -> list[Path]:
    """What is left where a server was killed: of downloads of models, and of datasets that were being added."""
    return [*downloads_folder(home).glob("*"), *datasets_folder(home).glob(".*")]


def database_file(home: Path) -> Path:
    """The SQLite database, unless the settings name another one."""
    return home / "allasprak.sqlite"


def reserve_file(home: Path) -> Path:
    """The file whose room is given to the database when the disk is full."""
    return home / "reserve"


def server_lock(home: Path) -> Path:
    """The lock that keeps a second server from using the same home."""
    return home / "server.lock"


def logs_folder(home: Path) -> Path:
    """All logs."""
    return home / "logs"


def server_log(home: Path) -> Path:
    """The log of a server that the command line has started."""
    return home / "logs" / "server.log"


def pool_log(home: Path) -> Path:
    """The log of the embedded Ray."""
    return home / "logs" / "pool.log"


def driver_log(home: Path, experiment: str) -> Path:
    """The log of the processes that have run an experiment."""
    return home / "logs" / f"{experiment}.log"


def tune_folder(home: Path, experiment: str) -> Path:
    """Ray Tune's files of an experiment."""
    return home / "tune" / experiment


def end_file(home: Path, experiment: str) -> Path:
    """Asks an experiment's running trials to end, and says why."""
    return home / "tune" / f"{experiment}.end"


def pool_file(home: Path) -> Path:
    """Address and process of the embedded Ray."""
    return home / "pool.json"


def starting_pool_file(home: Path) -> Path:
    """The process of an embedded Ray that is being started."""
    return home / "pool-starting.json"


def ray_token(home: Path) -> Path:
    """The token of the embedded Ray."""
    return home / "ray-token"


def ray_folder(home: Path) -> Path:
    """Files and sockets of the embedded Ray."""
    return home / "ray"


def driver_logs(home: Path) -> dict[str, Path]:
    """The logs of drivers, by experiment."""
    others = (server_log(home), pool_log(home))
    return {path.stem: path for path in logs_folder(home).glob("[!.]*.log") if path not in others}


def tune_folders(home: Path) -> dict[str, Path]:
    """Ray Tune's files, by experiment."""
    return {path.name: path for path in tune_folder(home, "*").parent.glob("*")}


def cosines_file(home: Path, digest: str, selection: str) -> Path:
    """The cosines of a kept model's gradients (Figure 1)."""
    return home / "cosines" / f"{digest}-{selection}.json"


def cosines_files(home: Path) -> Iterator[tuple[str, Path]]:
    """All cosines, each with the digest of its trial."""
    for path in cosines_file(home, "*", "*").parent.glob("[!.]*.json"):
        yield path.name.partition("-")[0], path


def unfinished(home: Path) -> Iterator[Path]:
    """What a process was writing, or removing, when it was killed: nothing else has a name that begins with a dot."""
    for place in (*(of(home, "*").parent for of in OF_TRIAL.values()), datasets_folder(home)):
        yield from place.glob(".*")
    yield from downloads_folder(home).glob("*")


def irreplaceable(home: Path, with_models: bool, with_predictions: bool = True) -> list[Path]:
    """The folders besides the database that neither a download nor a computation of minutes brings back."""
    predictions = [predictions_of(home, "*").parent] if with_predictions else []
    models = [models_of(home, "*").parent] if with_models else []
    return [datasets_folder(home), *predictions, cosines_file(home, "*", "*").parent, *models]


def results_table(home: Path, experiment: str) -> Path:
    """The results of a demonstration as CSV."""
    return home / f"results-{experiment}.csv"
