"""The windows that a trial may train on, each with an index by which methods and the training loop name it."""

from collections.abc import Iterable, Iterator, Sequence

from trainers.tasks.task import Window
from trainers.training.trial_data import TrialData


class TrainingWindows:
    """The source language's training windows and those of the shots.

    They are added when they are first asked for: adapting a model tokenizes nothing of the source language.

    Args:
        data: the trial's examples.

    Attributes:
        all: the windows, by index.
    """

    def __init__(self, data: TrialData) -> None:
        self.data, self.config = data, data.config
        self.all: list[Window] = []
        self._indices: dict[str, range] = {}

    @property
    def source(self) -> range:
        """Indices of the source language's training windows."""
        return self._added("source", self.data.source.windows)

    @property
    def shots(self) -> list[int]:
        """Indices of the shots of all targets together."""
        return [index for language in self.config.target_languages for index in self.shots_of(language)]

    def shots_of(self, language: str) -> range:
        """Indices of a language's shots that are trained on."""
        windows = self.data.shots[language].windows
        if self.data.settings.k_counts_windows:
            windows = windows[: self.config.trained_shots]
        return self._added(f"shots {language}", windows)

    def at(self, indices: Iterable[int]) -> Iterator[Window]:
        """The windows with these indices."""
        return (self.all[index] for index in indices)

    def _added(self, name: str, windows: Sequence[Window]) -> range:
        if name not in self._indices:
            self._indices[name] = range(len(self.all), len(self.all) + len(windows))
            self.all += windows
        return self._indices[name]
