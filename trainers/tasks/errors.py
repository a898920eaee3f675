"""What a person reads of a prediction: the pieces of the text that it marks, and its errors, each of one kind."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

# How an example is read: with a tag under each word, with marked pieces of its text, or with a value beside its text.
Reading = Literal["words", "pieces", "values"]

Place = tuple[int, int]  # first, after the last: of tokens where a part is a list of them, else of characters

Entity = tuple[str, int, int]  # type, first word, word after the last

# The kind of error of tasks that tell apart none.
WRONG = "wrong"

MISSED, SPURIOUS = "missed", "spurious"
WRONG_TYPE, WRONG_BOUNDARY, WRONG_BOTH = "wrong type", "wrong boundary", "wrong type and boundary"


@dataclass(frozen=True)
class Mark:
    """A piece of an example that a gold value or a prediction marks.

    Attributes:
        part: name of the part of the example that it is a piece of (`Task.parts`).
        place: where it is in that part.
        label: such as a tag or an entity's type; empty where pieces have none.
    """

    part: str
    place: Place
    label: str = ""


@dataclass(frozen=True)
class Error:
    """An error of a prediction.

    Attributes:
        kind: in a few words, the same for all errors that a person would count together.
        gold: the place of the gold mark that it is about; None where there is none, or it is about the whole example.
        predicted: the same of the prediction's mark.
    """

    kind: str
    gold: Place | None = None
    predicted: Place | None = None


def taken_for(gold: str, predicted: str) -> str:
    """The kind of error that takes one label for another."""
    return f"{gold} → {predicted}"


def entity_errors(gold: Iterable[Entity], predicted: Iterable[Entity]) -> list[Error]:
    """The errors of predicted entities, in the order of the text.

    Each wrong entity of either side is in one error: of two that are taken for each other, in the same. First those of
    one place are, then those of one type that overlap, then any that overlap; of several the one that shares most
    words, of equals the first. What is left is missed or spurious.
    """
    wanted, found = list(gold), list(predicted)
    wrong, made = [one for one in wanted if one not in found], [one for one in found if one not in wanted]
    errors = []
    for kind, fits in _PAIRINGS:
        for entity in list(wrong):
            fitting = [other for other in made if _shared(entity, other) > 0 and fits(entity, other)]
            if fitting:
                other = max(fitting, key=lambda one: _shared(entity, one))
                errors.append(Error(kind, entity[1:], other[1:]))
                wrong.remove(entity)
                made.remove(other)
    errors += [Error(MISSED, gold=entity[1:]) for entity in wrong]
    errors += [Error(SPURIOUS, predicted=entity[1:]) for entity in made]
    return sorted(errors, key=lambda error: error.gold or error.predicted or (0, 0))


# Which entities that share words are taken for each other, the better reasons first.
_PAIRINGS: tuple[tuple[str, Callable[[Entity, Entity], bool]], ...] = (
    (WRONG_TYPE, lambda one, other: one[1:] == other[1:]),
    (WRONG_BOUNDARY, lambda one, other: one[0] == other[0]),
    (WRONG_BOTH, lambda one, other: True),
)


def _shared(one: Entity, other: Entity) -> int:
    """How many words two entities share."""
    return max(0, min(one[2], other[2]) - max(one[1], other[1]))
