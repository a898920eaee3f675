"""Clearing a home: files of trials, logs, datasets and leftovers that no unfinished experiment needs, by kind and age.

It may run beside the service. A file is removed in a transaction in which no experiment that needs it can be submitted.
"""

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from trainers.artifacts import layout
from trainers.artifacts.atomic import lock, write_text
from trainers.artifacts.folder_place import FolderPlace
from trainers.artifacts.place import Place
from trainers.data.datasets import require_dataset

if TYPE_CHECKING:  # the command line reads KINDS, and needs no database for that
    from service.store import Store
    from service.store.keeping import Of, Use

Kind = Literal["models", "predictions", "checkpoints", "logs", "datasets", "leftovers"]

KINDS: tuple[Kind, ...] = get_args(Kind)

# What is younger may be being written, by an upload or a download.
LEFTOVER_SECONDS = 24 * 3600.0

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}


@dataclass(frozen=True, kw_only=True)
class Prunable:
    """Files that no unfinished experiment needs.

    Attributes:
        kind: what they are.
        of: what they belong to; None if to nothing that is stored.
        name: digest, id or name of that.
        path: a file or folder.
        place: where it lies.
        bytes: that it takes.
        age: seconds since they were written, or since the last experiment that named them ended.
    """

    kind: Kind
    of: "Of | None"
    name: str
    path: Path
    place: Place
    bytes: int
    age: float


def seconds_of(words: str) -> float:
    """A duration such as 30d, 12h or 0s. ValueError if it is none."""
    found = re.fullmatch(r"(\d{1,9})([smhdw])", words)
    if found is None:
        raise ValueError(f"{words!r} is no duration; allowed: a number with s, m, h, d or w, such as 30d")
    return float(int(found[1]) * UNITS[found[2]])


def prunable(
    place: Place, store: "Store", kinds: Sequence[Kind], older_than: float, even_named: bool = False
) -> Iterator[Prunable]:
    """What can be removed.

    Args:
        place: where the home has its artifacts.
        store: the home's database.
        kinds: of files.
        older_than: their least age in seconds; that of leftovers is a day at least.
        even_named: also datasets that experiments name, if these are all over.

    Raises:
        ValueError: the database has no experiment, and the home has files of some: it is not that of this home.
    """
    now, home, in_home = time.time(), place.home, FolderPlace(place.home)
    trials, experiments = store.keeping.uses("trial"), store.keeping.uses("experiment")
    if not experiments and any(layout.trials_with(place, kind) for kind in layout.OF_TRIAL):
        raise ValueError(f"the database knows no experiment of {home}: set ALLASPRAK_DATABASE_URL as for the service")

    def found(
        kind: Kind, of: "Of | None", name: str, path: Path, use: "Use | None", at: Place = in_home
    ) -> Iterator[Prunable]:
        if use is not None and use.needed:
            return
        files = at.taken([path])
        age = now - max(files.written, use.ended if use is not None else 0.0)
        if age >= (older_than if of is not None else max(older_than, LEFTOVER_SECONDS)):
            yield Prunable(kind=kind, of=of, name=name, path=path, place=at, bytes=files.bytes, age=age)

    for kind in layout.OF_TRIAL:
        for digest, path in sorted(layout.trials_with(place, kind).items()):
            if digest in trials and kind in kinds:
                yield from found(kind, "trial", digest, path, trials[digest], layout.place_of_kind(place, kind))
            elif digest not in trials and "leftovers" in kinds:
                yield from found("leftovers", None, digest, path, None, layout.place_of_kind(place, kind))
    for id_, path in sorted(layout.driver_logs(home).items()):
        if id_ in experiments and "logs" in kinds:
            yield from found("logs", "experiment", id_, path, experiments[id_])
        elif id_ not in experiments and "leftovers" in kinds:
            yield from found("leftovers", None, id_, path, None)
    if "datasets" in kinds:
        named = store.keeping.uses("dataset")
        for name in layout.dataset_names(home):
            if name not in named or even_named:
                yield from found("datasets", "dataset", name, layout.dataset_folder(home, name), named.get(name))
    if "leftovers" in kinds:
        others = [
            *((digest, path) for digest, path in layout.cosines_files(home) if digest not in trials),
            *((id_, path) for id_, path in layout.tune_folders(home).items() if id_ not in experiments),
            *((path.name, path) for path in layout.unfinished(home)),
        ]
        for name, path in others:
            yield from found("leftovers", None, name, path, None)


def cleared(
    place: Place, store: "Store", kinds: Sequence[Kind], older_than: float, even_named: bool, dry_run: bool
) -> Iterator[str]:
    """Remove what can be removed, or only show it; yields a line for each thing, and the sum of each kind.

    Arguments as for `prunable`.
    """
    counts = dict.fromkeys(kinds, (0, 0))
    for one in prunable(place, store, kinds, older_than, even_named):
        if dry_run or prune(store, one, even_named):
            number, size = counts[one.kind]
            counts[one.kind] = number + 1, size + one.bytes
            shown = one.place.shown(one.path)
            yield f"{one.kind:<11} {one.age / UNITS['d']:>5.0f} days {one.bytes:>16,} bytes  {shown}"
        else:
            yield f"{one.kind:<11} stays, as it is in use: {one.place.shown(one.path)}"
    for kind, (number, size) in counts.items():
        yield f"{'would remove' if dry_run else 'removed'} {number} of {kind}, {size:,} bytes"


def prune(store: "Store", one: Prunable, even_named: bool = False) -> bool:
    """Remove something; False, and it stays, if it is needed or being written by now."""
    home, detached = one.place.home, list[Callable[[], None]]()

    def remove() -> None:
        if one.of == "trial":
            write_text(layout.pruned_mark(home, one.kind, one.name), "")
        detached.append(one.place.detach(one.path))

    if one.of is None:
        remove()
    else:
        with suppress(TimeoutError), _unused(home, one):
            store.keeping.let_go(one.of, one.name, remove, even_named=even_named, models=one.kind == "models")
    for clear_up in detached:
        clear_up()
    if detached and one.kind == "datasets":
        shutil.rmtree(layout.tokenized_parts(home), ignore_errors=True)  # which hold its texts
    return bool(detached)


def remove_dataset(home: Path, store: "Store", name: str) -> bool:
    """Remove a dataset that was added, also one that is broken; files of a folder under the data root stay.

    Returns:
        False, and it stays, if an experiment that is not over needs it.

    Raises:
        DataError: there is no dataset of this name.
    """
    require_dataset(home, name)
    path = layout.dataset_folder(home, name)
    one = Prunable(kind="datasets", of="dataset", name=name, path=path, place=FolderPlace(home), bytes=0, age=0.0)
    return prune(store, one, even_named=True)


def _unused(home: Path, one: Prunable) -> AbstractContextManager[None]:
    """No process runs the trial meanwhile. TimeoutError if one does."""
    return lock(layout.lock_of(home, one.name), layout.END_SECONDS) if one.of == "trial" else nullcontext()
