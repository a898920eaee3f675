"""Bars that move, in a terminal and in a notebook; elsewhere a line whenever their words change."""

import sys
import time
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from service.printing import clean, is_terminal

# Seconds between two drawings in a notebook, each of which is a message to the browser.
PAUSE = 0.2


class Bars:
    """Bars with words beside them; a context.

    Args:
        file: where they are written; standard error if not given, which a notebook shows as what it is.
        shown: False shows none, and no line for any.
    """

    def __init__(self, file: TextIO | None = None, shown: bool = True) -> None:
        self._file = sys.stderr if file is None else file
        console = Console(file=self._file, highlight=False, markup=False, emoji=False)
        self._in_notebook = shown and console.is_jupyter
        self._in_terminal = shown and not console.is_jupyter and is_terminal(self._file) and console.is_interactive
        self._in_lines = shown and not (self._in_notebook or self._in_terminal)
        words = [TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("amount", "said", "left")]
        # their own text, since a name may have what rich takes for markup
        name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
        self._progress = Progress(name, BarColumn(bar_width=24), *words, console=console)
        self._lines: dict[TaskID, str] = {}
        self._cell: Any = None
        self._drawn = 0.0

    def __enter__(self) -> "Bars":
        if self._in_terminal:
            self._progress.start()
        if self._in_notebook:
            from IPython.display import display  # which is there in every notebook

            # not by rich.live: it needs ipywidgets, and what those show is lost where a notebook is saved
            self._cell = display(self._progress, display_id=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._in_terminal:
            self._progress.stop()
        self._draw(at_once=True)

    def add(self, name: str, total: float) -> TaskID:
        """Add a bar."""
        return self._progress.add_task(clean(name), total=total, amount="", said="", left="")

    def set(self, bar: TaskID, done: float, amount: str, said: str = "", left: str = "") -> None:
        """Move a bar.

        Args:
            bar: which.
            done: of its total.
            amount: the same in words.
            said: what else there is to say.
            left: how long it still takes, which changes all the time: no line is written for it.
        """
        said = clean(said)
        self._progress.update(bar, completed=done, amount=amount, said=said, left=left)
        [task] = [task for task in self._progress.tasks if task.id == bar]
        self._line_of(bar, f"{task.description}: {amount}{', ' if said else ''}{said}")
        self._draw()

    def remove(self, bar: TaskID) -> None:
        """Remove a bar."""
        self._progress.remove_task(bar)
        self._draw()

    def note(self, words: str) -> None:
        """Say something that stays, above the bars."""
        if self._in_terminal:
            self._progress.console.print(Text(clean(words)))
        else:
            print(clean(words), file=self._file, flush=True)

    def line(self, words: str) -> None:
        """Say something where there are lines instead of bars."""
        if self._in_lines:
            self.note(words)

    def tell(self, words: str) -> None:
        """Say what is no news of what is watched, such as that the service is gone."""
        if self._in_terminal:
            self.note(words)
        else:
            print(clean(words), file=sys.stderr, flush=True)

    def _line_of(self, bar: TaskID, words: str) -> None:
        if self._lines.get(bar) != words:
            self._lines[bar] = words
            self.line(words)

    def _draw(self, at_once: bool = False) -> None:
        if self._cell is not None and (at_once or time.monotonic() - self._drawn > PAUSE):
            self._cell.update(self._progress)
            self._drawn = time.monotonic()
