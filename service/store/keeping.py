"""What is still needed: trials, experiments and datasets that unfinished experiments ask for."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, delete, literal, null, select, true, update

from service.store.database import Database
from service.store.events import record_event
from service.store.schema import experiments, lease, planned_trials, selections, shares, slots, trials
from service.store.states import FINAL
from service.store.trials import end
from service.store.upgrade import upgrade

Of = Literal["trial", "experiment", "dataset"]


class Use(NamedTuple):
    """Whether an unfinished experiment needs something, and when the last that names it ended; 0 if none has."""

    needed: bool
    ended: float


class Keeping:
    """What is needed, and letting go of what is not.

    Args:
        database: where experiments are stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def uses(self, of: Of) -> dict[str, Use]:
        """The use of all trials, all experiments, or all datasets that experiments name."""
        with self._database.read() as connection:
            return _uses(connection, of)

    def trials_of(self, experiment: str) -> list[str]:
        """The digests of an experiment's trials."""
        query = select(planned_trials.c.trial).where(planned_trials.c.experiment == experiment)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def let_go(
        self, of: Of, name: str, remove: Callable[[], None], *, even_named: bool = False, models: bool = False
    ) -> bool:
        """Remove files while no experiment that needs them can be submitted.

        Args:
            of: what they belong to.
            name: its digest, id or name.
            remove: removes them, at once.
            even_named: also those of a dataset that an experiment names which is over.
            models: they are a trial's models: whoever asks for them from now on has the trial run again.

        Returns:
            False, and nothing is removed, if an unfinished experiment needs them, or any experiment names the dataset.
        """
        with self._database.write() as connection:
            # an experiment that is being submitted finds all as it was before, or as it is afterwards
            self._database.lock(connection, trials if of == "trial" else experiments)
            use = _uses(connection, of, name).get(name)
            if use is not None and (use.needed or (of == "dataset" and not even_named)):
                return False
            if models:
                connection.execute(update(selections).where(selections.c.trial == name).values(kept=False))
            remove()
        return True


def become_another(connection: Connection, with_models: bool) -> None:
    """Make the copy of a database that of another home: nobody works on its experiments, and it is up to date.

    Args:
        connection: to the copy, in a transaction.
        with_models: kept models are copied as well; otherwise none is kept.
    """
    upgrade(connection)
    why = "it was running when the backup was made"
    of_nobody = {"driver_pid": None, "driver_created": None, "driver_due": None, "driver_unwanted": False}
    connection.execute(update(experiments).values(of_nobody))  # whose pids are processes of the other home
    for id_ in connection.execute(select(experiments.c.id).where(experiments.c.state == "running")).scalars().all():
        connection.execute(update(experiments).where(experiments.c.id == id_).values(state="queued", reason=why))
        record_event(connection, id_, "experiment", state="queued", reason=why)
    for table in (slots, shares, lease):
        connection.execute(delete(table))
    end(connection, "interrupted", why)
    connection.execute(update(planned_trials).where(planned_trials.c.state == "running").values(state="queued"))
    if not with_models:
        connection.execute(update(selections).values(kept=False))


def _uses(connection: Connection, of: Of, name: str | None = None) -> dict[str, Use]:
    """The uses of all, or of what has a name alone."""
    rows = {"trial": _of_trials, "experiment": _of_experiments, "dataset": _of_datasets}[of]
    found: dict[str, Use] = {}
    for one, state, finished in rows(connection, name):
        use = found.get(one, Use(False, 0.0))
        found[one] = Use(use.needed or state not in FINAL, max(use.ended, finished or 0.0))
    return found


def _of_experiments(connection: Connection, id_: str | None) -> Iterator[Any]:
    only = experiments.c.id == id_ if id_ is not None else true()
    yield from connection.execute(select(experiments.c.id, experiments.c.state, experiments.c.finished).where(only))


def _of_trials(connection: Connection, digest: str | None) -> Iterator[Any]:
    """The experiments of each trial: those that plan it, and those that plan one which starts from its model."""
    of_experiment = experiments.c.state, experiments.c.finished
    both = planned_trials.join(experiments, experiments.c.id == planned_trials.c.experiment)
    from_its_model = both.join(trials, trials.c.digest == planned_trials.c.trial)
    for column, query in (
        (trials.c.digest, select(trials.c.digest, literal(FINAL[0]), null())),  # known, whoever needs it
        (planned_trials.c.trial, select(planned_trials.c.trial, *of_experiment).select_from(both)),
        (trials.c.source, select(trials.c.source, *of_experiment).select_from(from_its_model)),
    ):
        only = column == digest if digest is not None else column.is_not(None)
        yield from connection.execute(query.where(only))


def _of_datasets(connection: Connection, _name: str | None) -> Iterator[Any]:
    query = select(experiments.c.spec, experiments.c.state, experiments.c.finished)
    for spec, state, finished in connection.execute(query):
        data = spec.get("data") if isinstance(spec, dict) else None  # something else has changed the row
        if isinstance(data, dict) and "dataset" in data:
            yield data["dataset"], state, finished
