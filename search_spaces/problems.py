"""What is wrong with a spec or a request: one problem per field, all reported together."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One wrong field: its dotted path, and a message that says what is wrong and what is allowed."""

    field: str
    message: str


class SpecError(ValueError):
    """A spec or a request is refused, with all its problems."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = list(problems)
