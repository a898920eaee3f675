"""The store: one room for each idea, over one database."""

from collections.abc import Callable

from service.owner import Owner
from service.store.column_values import Values
from service.store.control import Control
from service.store.database import Database, Observe, nobody
from service.store.events import Events
from service.store.experiments import Experiments
from service.store.health import Health
from service.store.keeping import Keeping
from service.store.lease import Lease
from service.store.objectives import Objectives
from service.store.occupancy import Occupancy
from service.store.planned import Planned
from service.store.results import Results
from service.store.slots import Slots
from service.store.tokens import Tokens
from service.store.trials import Trials


class Store:
    """Experiments, trials and scores in a database.

    Args:
        url: of the database, in SQLAlchemy's form.
        observe: is called with the seconds that each connection was in use, see `Database`.
        patience: seconds to wait for a database server that does not answer.
        leased: for a server, which calls `upgrade` once it has the lease, and before that nothing but `lease`.

    Attributes:
        experiments: as submitted, planned and listed.
        control: their states, and the processes that run them.
        slots: which of their trials may run.
        occupancy: what runs, and who shares the pool.
        trials: what is outstanding, and how each attempt ended.
        planned: the trials of an experiment as they stand.
        results: scores under each experiment that asked for them.
        values: what experiments have in the columns of results.
        keeping: what of the files of trials, experiments and datasets is still needed.
        objectives: what trials achieved.
        events: all that happened, in order.
        health: whether the database can be trusted.
        tokens: who may ask.
    """

    def __init__(self, url: str, observe: Observe = nobody, patience: float = 0.0, leased: bool = False) -> None:
        self._database = Database(url, observe, patience, leased)
        self.experiments = Experiments(self._database)
        self.control = Control(self._database)
        self.slots = Slots(self._database)
        self.occupancy = Occupancy(self._database)
        self.trials = Trials(self._database)
        self.planned = Planned(self._database)
        self.results = Results(self._database)
        self.values = Values(self._database)
        self.keeping = Keeping(self._database)
        self.objectives = Objectives(self._database)
        self.events = Events(self._database)
        self.health = Health(self._database)
        self.tokens = Tokens(self._database)

    def lease(self, owner: Owner, process: tuple[int, float], is_running: Callable[[int, float], bool]) -> Lease:
        """The lease that a server needs before it runs experiments; see `Lease`. Nobody needs it to read."""
        return Lease(self._database, owner, process, is_running)

    def upgrade(self, lease: Lease) -> None:
        """Migrate a database of an earlier version, for a server that has the lease. SchemaVersionError: it has not."""
        self._database.upgrade(lease.token)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()
