"""How the spaces of an experiment are searched: the searcher, the scheduler, the objective and the budget of a spec."""

import json
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import Field, Tag

from search_spaces.schedulers import AnyScheduler
from search_spaces.searchers import AnySearcher, GridSearcher
from search_spaces.spaces import Part, Whole, by_field


def variants(annotation: Any) -> dict[str, type[Part]]:
    """The models that a field's annotation allows, by the `name` that tells them apart."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        name = annotation.model_fields.get("name")
        is_variant = name is not None and get_origin(name.annotation) is Literal
        return {get_args(name.annotation)[0]: annotation} if name is not None and is_variant else {}
    return {name: model for part in get_args(annotation) for name, model in variants(part).items()}


def _forms(annotation: Any) -> str:
    """The variants as a spec writes them, with their defaults; `n` stands for a number that must be given."""
    *others, last = (
        ", ".join(f'"{field}": {value}' for field, value in _shown(name, model).items())
        for name, model in variants(annotation).items()
    )
    return f"{{{'}, {'.join(others)}}} or {{{last}}}"


def _shown(name: str, model: type[Part]) -> dict[str, str]:
    defaults = {
        field: "n" if info.is_required() else json.dumps(info.default)
        for field, info in model.model_fields.items()
        if info.is_required() or info.default is not None
    }
    return {**defaults, "name": json.dumps(name)}


class TrialBudget(Part):
    """At most this many trials."""

    trials: Whole


class HourBudget(Part):
    """At most this many device-hours; trials that are running when they are used up are finished."""

    device_hours: Annotated[float, Field(gt=0, le=1e9)]


AnyBudget = Annotated[
    Annotated[TrialBudget, Tag("trials")] | Annotated[HourBudget, Tag("device_hours")],
    by_field("trials", "device_hours"),
]


class SearchSpec(Part):
    """How the spaces of an experiment are searched."""

    searcher: Annotated[AnySearcher, Field(discriminator="name")] = Field(
        default_factory=GridSearcher, description=_forms(AnySearcher)
    )
    scheduler: Annotated[AnyScheduler, Field(discriminator="name")] | None = Field(
        None, description=f"null, {_forms(AnyScheduler)}"
    )
    objective: Literal["source-dev", "target-dev"] = Field(
        "source-dev", description="source-dev, or target-dev, which marks every result as selected on target dev"
    )
    budget: AnyBudget | None = Field(None, description='null, {"trials": n from 1} or {"device_hours": above 0}')

    @property
    def population(self) -> str | None:
        """The population that the searched trials are members of; None where trials are independent."""
        return self.scheduler.member_of if self.scheduler is not None else None

    def with_population(self, name: str) -> Self:
        """The same, with a name for its population if it has one that lacks a name."""
        if self.scheduler is None:
            return self
        return self.model_copy(update={"scheduler": self.scheduler.with_population(name)})

    def with_candidates_drawn(self) -> Self:
        """The same, with a searcher all of whose candidates are known before anything is trained."""
        return self.model_copy(update={"searcher": self.searcher.drawn()})
