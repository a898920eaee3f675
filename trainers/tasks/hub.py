"""Where the Hugging Face hub has a task's data, and how its rows become examples."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainers.examples import Example
from trainers.languages import LANGUAGES
from trainers.trial import Split

# Configurations, splits and columns are those of its dataset card (https://huggingface.co/datasets/google/xtreme) and
# of the script that made its files (datasets/xtreme/xtreme.py in huggingface/datasets). It is XTREME: of XTREME-R's
# languages PAN-X lacks az, gu, lt, pa, pl, qu, ro and uk, udpos lt, pl, ro, uk and wo.
XTREME = "google/xtreme"

# Our languages as "udpos.<name>" spells them (Universal Dependencies' names) and, in lower case, TyDi QA's ids.
_NAMES = {code: language.name for code, language in LANGUAGES.items()} | {"zh": "Chinese"}


@dataclass(frozen=True, kw_only=True)
class HubPart:
    """Splits of a task that come from the same configuration of a dataset repository.

    Attributes:
        splits: ours.
        configuration: its name, given a language's code.
        columns: those that an example needs.
        example: our example, given an id and the values of the columns, classes by their names.
        language_column: tells rows apart where the configuration has all languages.
        is_in: whether a row is in a language, given the value of that column and the language's code.
        repository: where it is.
    """

    splits: tuple[Split, ...]
    configuration: Callable[[str], str]
    columns: tuple[str, ...]
    example: Callable[..., Example]
    language_column: str | None = None
    is_in: Callable[[Any, str], bool] = operator.eq
    repository: str = XTREME


def english_name(language: str) -> str:
    """A language's name as XTREME spells it; the code where it has none."""
    return _NAMES.get(language, language)
