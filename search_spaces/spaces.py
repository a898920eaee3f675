"""The space of a hyperparameter: one value, a grid, a range to draw from, or a schedule over the epochs."""

import math
import random
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from search_spaces.problems import MOST_PROBLEMS
from trainers.trial import Schedule

# The hyperparameters that take a space, and whether their values are whole numbers.
SEARCHABLE = {"alpha": False, "learning_rate": False, "batch_size": True, "epochs": True}

# The path of each in a spec.
FIELDS = {name: name if name == "alpha" else f"training.{name}" for name in SEARCHABLE}

# Significant digits of a drawn value: enough for any hyperparameter, few enough to read.
DIGITS = 4

MAX_VALUES = 10_000

NO_FORM = "not a form that this field takes"

Number = int | float
Value = Number | Schedule


def as_int(value: Any) -> Any:
    """A whole number that is written as 5.0; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Whole numbers may be written as 5.0, as JSON Schema has it: languages with one type of number send them so.
WHOLE = BeforeValidator(as_int)

Whole = Annotated[int, Field(ge=1, le=MAX_VALUES), WHOLE]
Seed = Annotated[int, Field(ge=0, lt=2**31), WHOLE]


class Closed(BaseModel):
    """An object of JSON without further fields, of which no more are refused one by one than an answer names.

    An error of each, 90,000 of a body of a mebibyte, would hold up everything else meanwhile.
    """

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_flood(cls, given: Any) -> Any:
        known = cls.model_fields
        if not isinstance(given, dict) or len(given) <= len(known) + MOST_PROBLEMS:
            return given
        unknown = [name for name in given if name not in known]
        return {name: given[name] for name in (*(name for name in known if name in given), *unknown[:MOST_PROBLEMS])}


class Part(Closed):
    """A part of a spec: strict types, no unknown fields, no NaN, immutable."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)


def by_field(*fields: str) -> Discriminator:
    """Tells the forms of a value apart: each is a `Part` that has one of these fields, and is tagged with it."""

    def field(value: object) -> str | None:
        there = [name for name in fields if (name in value if isinstance(value, dict) else hasattr(value, name))]
        return there[0] if len(there) == 1 else None

    return Discriminator(field, custom_error_type="form", custom_error_message=NO_FORM)


class Grid(Part):
    """Each of these values."""

    grid: Annotated[list[float], Field(min_length=1, max_length=MAX_VALUES)]


class Uniform(Part):
    """Values drawn uniformly between two bounds. `samples` is for grids; other searchers set the number of draws."""

    uniform: Annotated[list[float], Field(min_length=2, max_length=2)]
    samples: Annotated[int, Field(ge=1, le=MAX_VALUES), WHOLE] | None = None


class LogUniform(Part):
    """Values whose logarithm is drawn uniformly between the logarithms of two bounds. `samples` as for `Uniform`."""

    loguniform: Annotated[list[float], Field(min_length=2, max_length=2)]
    samples: Annotated[int, Field(ge=1, le=MAX_VALUES), WHOLE] | None = None


class Scheduled(Part):
    """A value for each stretch of epochs: (first epoch, value), with epochs counted from 0."""

    schedule: Annotated[
        list[
            Annotated[list[Annotated[int, Field(ge=0, le=1000), WHOLE] | float], Field(min_length=2, max_length=2)]
        ],
        Field(min_length=1, max_length=1000),
    ]  # fmt: skip

    def steps(self) -> Schedule:
        """The schedule in the form that the trainer takes."""
        return tuple((int(epoch), float(value)) for epoch, value in self.schedule)


Range = Uniform | LogUniform
FORMS = {"grid": Grid, "uniform": Uniform, "loguniform": LogUniform, "schedule": Scheduled}


def form(value: object) -> str:
    """The form of a space: its tag in the unions below."""
    if isinstance(value, dict):
        return next((name for name in FORMS if name in value), "number")
    return next((name for name, model in FORMS.items() if isinstance(value, model)), "number")


def _within(lowest: float, highest: float, *, above: bool = False, whole: bool = False) -> Callable[[Any], Any]:
    """A validator of a space whose values lie between `lowest` (excluded if `above`) and `highest`."""

    def check_value(value: Number) -> None:
        if not (lowest <= value <= highest) or (above and value == lowest):
            raise ValueError(f"{value:g} is outside {'(' if above else '['}{lowest:g}, {highest:g}]")
        if whole and value != int(value):
            raise ValueError(f"{value:g} is not a whole number")

    def check(space: Any) -> Any:
        for value in _values_named(space):
            check_value(value)
        if isinstance(space, Grid) and len(set(space.grid)) < len(space.grid):
            raise ValueError("a value is given twice")
        if isinstance(space, Range):
            low, high = bounds(space)
            if low >= high:
                raise ValueError(f"the lower bound {low:g} is not below the upper bound {high:g}")
            if isinstance(space, LogUniform) and low <= 0:
                raise ValueError("the lower bound of a loguniform space must be above 0")
        if isinstance(space, Scheduled):
            epochs = [epoch for epoch, _ in space.steps()]
            if any(epoch != int(epoch) for epoch, _ in space.schedule):
                raise ValueError("an epoch is not a whole number")
            if epochs[0] != 0 or sorted(set(epochs)) != epochs:
                raise ValueError("the epochs of a schedule start at 0 and grow")
        return space

    return check


def _values_named(space: Any) -> list[Number]:
    """The values or bounds that a space names."""
    if isinstance(space, Grid):
        return list(space.grid)
    if isinstance(space, Range):
        return list(bounds(space))
    if isinstance(space, Scheduled):
        return [value for _, value in space.steps()]
    return [space]


_Spread = Annotated[Grid, Tag("grid")] | Annotated[Uniform, Tag("uniform")] | Annotated[LogUniform, Tag("loguniform")]
_Float = Annotated[float, Tag("number")]
_Int = Annotated[int, WHOLE, Tag("number")]
_Scheduled = Annotated[Scheduled, Tag("schedule")]
_by_form = Discriminator(form, custom_error_type="form", custom_error_message=NO_FORM)

Alpha = Annotated[_Float | _Spread | _Scheduled, _by_form, AfterValidator(_within(0, 1))]
LearningRate = Annotated[_Float | _Spread | _Scheduled, _by_form, AfterValidator(_within(0, 1, above=True))]
BatchSize = Annotated[_Int | _Spread, _by_form, AfterValidator(_within(1, 4096, whole=True))]
Epochs = Annotated[_Int | _Spread, _by_form, AfterValidator(_within(1, 1000, whole=True))]

Space = Number | Grid | Uniform | LogUniform | Scheduled


def bounds(space: Range) -> tuple[float, float]:
    """The lower and the upper bound of a range."""
    low, high = space.uniform if isinstance(space, Uniform) else space.loguniform
    return low, high


def lowest(space: Space) -> float:
    """The smallest value or bound that a space names."""
    return min(_values_named(space))


def highest(space: Space) -> float:
    """The largest value or bound that a space names."""
    return max(_values_named(space))


def is_search(space: Space | None) -> bool:
    """Whether a space has more than one value."""
    return isinstance(space, Range) or (isinstance(space, Grid) and len(space.grid) > 1)


def size(space: Space) -> int:
    """The number of values that a grid search tries, repeated draws included."""
    if isinstance(space, Grid):
        return len(space.grid)
    return (space.samples or 1) if isinstance(space, Range) else 1


def values(space: Space, whole: bool, name: str, seed: int) -> list[Value]:
    """The values that a grid search tries, each once; a range contributes `samples` draws.

    Args:
        space: the space of a hyperparameter.
        whole: whether values are whole numbers.
        name: the hyperparameter's name; each name has its own draws.
        seed: the seed of the draws.
    """
    if isinstance(space, Scheduled):
        return [space.steps()]
    if isinstance(space, Grid):
        return [_number(value, whole) for value in space.grid]
    if isinstance(space, Range):
        drawn = [draw(space, whole, name, seed, place) for place in range(space.samples or 1)]
        return list(dict.fromkeys(drawn))
    return [_number(space, whole)]


def draw(space: Space, whole: bool, name: str, seed: int, place: int) -> Value:
    """Draw number `place` from a space: a function of name, seed and place, the same on every machine."""
    unit = random.Random(f"{name} {seed} {place}").random()
    if isinstance(space, Grid):
        return _number(space.grid[int(unit * len(space.grid))], whole)
    if isinstance(space, Range):
        return from_unit(space, unit, whole)
    [value] = values(space, whole, name, seed)
    return value


def from_unit(space: Range, unit: float, whole: bool) -> Number:
    """The value of a range at the fraction `unit`, in [0, 1), of the way from its lower to its upper bound."""
    low, high = bounds(space)
    if whole:
        high = math.nextafter(high + 1, low)
    if isinstance(space, LogUniform):
        value = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
    else:
        value = low + unit * (high - low)
    if whole:
        return int(value)
    return min(max(rounded(value), low), high)


def rounded(value: float) -> float:
    """A drawn value, rounded to `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def _number(value: Number, whole: bool) -> Number:
    return int(value) if whole else abs(float(value))  # -0.0 is 0.0
