"""What several answers have: ids, times, the place of a page."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from search_spaces.targets import LeftOut

ExperimentId = Annotated[str, Field(description="id of an experiment", examples=["1b9528bc11c7"])]
TrialId = Annotated[str, Field(description="id of a trial", examples=["80c3ebb4992f0ba22d9c"])]
LanguageCode = Annotated[str, Field(description="code of a language", examples=["de"])]
MethodName = Annotated[str, Field(description="few-shot method", examples=["gradient-mix-train"])]
TaskName = Annotated[str, Field(description="name of a task", examples=["ner"])]
Package = Annotated[str | None, Field(description="package that brings it, with its version; null for a built-in one")]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-28T09:30:00.123456+00:00"])]
Next = Annotated[str | None, Field(description="`cursor` of the next page; null if this one is the last")]

LeftOuts = Annotated[list[LeftOut], Field(description="targets that methods leave out, and the splits that these lack")]

# What JSON has in a cell of a table.
Cell = str | float | bool | list[str | float] | None


def with_fields(types: Mapping[str, Any], *, required: bool = True) -> Callable[[Any], Any]:
    """A decorator that adds to the type of an object, before its own, the fields that a table names."""

    def decorate(of: Any) -> Any:
        added = types if required else {name: NotRequired[type_] for name, type_ in types.items()}
        made: Any = TypedDict(of.__name__, {**added, **of.__annotations__})  # type: ignore[misc]
        made.__doc__, made.__module__ = of.__doc__, of.__module__
        return made

    return decorate
