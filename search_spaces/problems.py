"""What is wrong with a spec or a request: one problem per field, all reported together."""

from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.messages import shortened


@dataclass(frozen=True)
class Problem:
    """One wrong field: its dotted path, and a message that says what is wrong and what is allowed."""

    field: str
    message: str


# Of an answer: what is wrong is said in a few kilobytes, however much of it there is.
MOST_PROBLEMS, MOST_CHARACTERS = 100, 2000


class SpecError(ValueError):
    """A spec or a request is refused.

    Attributes:
        problems: what is wrong: the first `MOST_PROBLEMS`, with the middle of long messages left out.
        count: the number of all problems.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.count = len(problems)
        self.problems = [
            Problem(shortened(one.field, 200), shortened(one.message, MOST_CHARACTERS))
            for one in problems[:MOST_PROBLEMS]
        ]
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in self.problems))
