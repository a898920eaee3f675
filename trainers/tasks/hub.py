"""Where the Hugging Face hub has a task's data, and how its rows become examples."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainers.examples import Example
from trainers.trial import Split


@dataclass(frozen=True, kw_only=True)
class HubPart:
    """Splits of a task that come from the same configuration of a dataset repository.

    Attributes:
        repository: where it is.
        splits: ours.
        configuration: its name, given a language's code.
        columns: those that an example needs, as the repository's card names them.
        example: our example, given an id and the values of the columns, classes by their names.
        language_column: tells rows apart where the configuration has all languages.
        is_in: whether a row is in a language, given the value of that column and the language's code.
    """

    repository: str
    splits: tuple[Split, ...]
    configuration: Callable[[str], str]
    columns: tuple[str, ...]
    example: Callable[..., Example]
    language_column: str | None = None
    is_in: Callable[[Any, str], bool] = operator.eq
