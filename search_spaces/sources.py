"""The data of a spec as an object: a source, and the value that the spec gives it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator

from trainers.data.source import RemoteSource, Source
from trainers.data.sources import SOURCES, open_data
from trainers.examples import Data
from trainers.trial import DataReference


@dataclass(frozen=True)
class DataSpec:
    """What a spec has as its data: the name of a source, and its value, None where the bare name is written."""

    name: str
    value: Any = None

    @classmethod
    def from_json(cls, data: object) -> "DataSpec":
        """Read what a spec or a stored one has, whether there is such a source or not. ValueError: it has no form."""
        if isinstance(data, str):
            return cls(data)
        if isinstance(data, dict) and len(data) == 1:
            [(name, value)] = data.items()
            if value is not None:
                return cls(name, value)
        raise ValueError("neither the name of a data source nor an object with such a name and a value")

    def to_json(self) -> Any:
        """The inverse of `from_json`."""
        return self.name if self.value is None else {self.name: self.value}

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name} {self.value}"

    @property
    def source(self) -> Source:
        """The source. KeyError if the package that brings it is not installed."""
        return SOURCES[self.name]

    def locate(self, home: Path, data_root: Path | None) -> DataReference:
        """Where the data lie. DataError if they are not there."""
        return self.source.locate(self.value, home, data_root)

    def open(self, task: str, home: Path, data_root: Path | None) -> Data:
        """A task's examples. DataError if there can be none."""
        return open_data(self.locate(home, data_root), task, home)

    def words(self) -> str:
        """The data in a column of results, also when the package that brought the source is gone."""
        source = SOURCES.get(self.name)
        return source.words(self.value) if source is not None else str(self)

    def title(self) -> str:
        """The data in a sentence, also when the package that brought the source is gone."""
        source = SOURCES.get(self.name)
        return source.title(self.value) if source is not None else str(self)

    def is_remote(self) -> bool:
        """Whether they are fetched after an experiment has been accepted."""
        return isinstance(SOURCES.get(self.name), RemoteSource)


def forms() -> str:
    """Every way in which a spec may write its data, for messages and documentation."""
    *others, last = [source.form for source in SOURCES.values()]
    return f"{', '.join(others)} or {last}"


def _parsed(data: object) -> DataSpec:
    """What a spec writes, validated by its source. ValueError: what is wrong with it."""
    given = DataSpec.from_json(data)
    source = SOURCES.get(given.name)
    if source is None:
        raise ValueError("there is no such data source")
    value = source.parse(given.value)
    _require_storable(value)
    return DataSpec(given.name, value)


def _require_storable(value: Any) -> None:
    """Refuse what databases do not hold: NaN, lone surrogates, NUL characters, and nesting without end."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    text.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError("a NUL character is not allowed")


def _extend_schema(schema: dict[str, Any]) -> None:
    schema.update(anyOf=[source.schema() for source in SOURCES.values()], description=forms())


# The field of a spec. Sources of other packages are loaded when one is validated, or its schema asked for.
DataField = Annotated[
    DataSpec, PlainValidator(_parsed), PlainSerializer(DataSpec.to_json), Field(json_schema_extra=_extend_schema)
]
