"""The examples behind predictions, read again through the data of an experiment, and remembered for the next look."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from search_spaces.environment import Environment
from search_spaces.sources import DataSpec
from trainers.artifacts import predictions
from trainers.artifacts.place import Place
from trainers.data.scored import scored_examples
from trainers.examples import DataError, Example
from trainers.tasks import TASKS
from trainers.tasks.errors import Error
from trainers.trial import Score, TrialConfig

# Examples that are remembered: some tens of megabytes, and the last that were read, however many.
MOST_REMEMBERED = 50_000

# Files of predictions that are: two trials' in a few languages.
MOST_FILES = 8


class Examples:
    """Examples of evaluations; those that were read last are remembered, by what was scored."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, str, str], list[Example]] = OrderedDict()

    def behind(
        self,
        config: TrialConfig,
        score: Score,
        columns: Mapping[str, Sequence[Any]],
        specs: Mapping[str, Mapping[str, Any]],
        environment: Environment,
    ) -> list[Example]:
        """The examples that a trial was scored on.

        Args:
            config: of the trial, whose task there is.
            score: that is over the examples.
            columns: of its predictions.
            specs: of the experiments that asked for the trial, by id: the first whose data still have the examples.
            environment: where the data of specs lie.

        Raises:
            DataError: no data have them any more; says why of the first experiment.
        """
        key = (config.task, score.language, score.data)
        with self._lock:
            found = self._known.get(key)
        if found is None:
            found = _read(config, score, columns["example"], specs, environment)
        if [TASKS[config.task].gold(example) for example in found] != columns["gold"]:
            raise DataError("the gold values of the predictions are not those of the data")
        with self._lock:
            self._known[key] = found
            self._known.move_to_end(key)
            while len(self._known) > 1 and sum(map(len, self._known.values())) > MOST_REMEMBERED:
                self._known.popitem(last=False)
        return found


def _read(
    config: TrialConfig,
    score: Score,
    places: Sequence[int],
    specs: Mapping[str, Mapping[str, Any]],
    environment: Environment,
) -> list[Example]:
    refused: list[str] = []
    for id_, spec in specs.items():
        try:
            data = DataSpec.from_json(spec.get("data"))
            opened = data.open(config.task, environment.home, environment.data_root)
            return scored_examples(opened, config, score, places)
        except KeyError:
            refused.append(f"experiment {id_}: no installed package brings its data source")
        except ValueError as error:  # DataError, and data without a form
            refused.append(f"experiment {id_}: {error}")
    raise DataError(refused[0] if refused else "no experiment asks for the trial any more")


@dataclass(frozen=True)
class _Predictions:
    """Predictions of a trial. What was predicted at a step on some data stays what it is, wherever it lies."""

    shown: str
    task: str
    place: Place = field(compare=False)
    path: Path = field(compare=False)


@lru_cache(maxsize=MOST_FILES)
def _judged(of: _Predictions) -> tuple[dict[str, list[Any]], list[list[Error]]]:
    _, columns = predictions.read(of.place, of.path)
    pairs = zip(columns["gold"], columns["prediction"], strict=True)
    return columns, [TASKS[of.task].errors(gold, found) for gold, found in pairs]


def judged(place: Place, path: Path, task: str) -> tuple[dict[str, list[Any]], list[list[Error]]]:
    """The columns of a file of predictions, and the errors of each of its examples.

    Raises:
        FileNotFoundError: it is gone.
    """
    return _judged(_Predictions(place.shown(path), task, place, path))
