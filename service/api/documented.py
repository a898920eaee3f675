"""What routes say of themselves beside models: what stands in paths, and answers that are not JSON."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Path
from pydantic import Field

OfExperiment = Annotated[str, Path(alias="id", description="id of an experiment", examples=["1b9528bc11c7"])]
OfTrial = Annotated[str, Path(alias="id", description="id of a trial", examples=["80c3ebb4992f0ba22d9c"])]
OfDataset = Annotated[str, Path(description="name of a dataset that was added", examples=["mine"])]
OfReport = Annotated[str, Path(description="name of a report", examples=["table-1"])]

# How many of a list are asked for at a time.
OfPage = Annotated[int, Field(ge=1, le=1000)]

Documented = dict[int | str, dict[str, Any]]

TEXT, BINARY, OBJECT = {"type": "string"}, {"type": "string", "format": "binary"}, {"type": "object"}

# An answer says where what it has made is.
LOCATED: Documented = {201: {"headers": {"Location": {"description": "its path", "schema": TEXT}}}}


def sent_as(*media_types: str, headers: Mapping[str, str] | None = None) -> Documented:
    """An answer of one of these media types.

    Args:
        media_types: beside JSON, if the route has a model. Those that end with `+json` are objects.
        headers: what each says, by name.
    """
    content = {one: {"schema": _schema(one)} for one in media_types}
    told = {name: {"description": says, "schema": TEXT} for name, says in (headers or {}).items()}
    return {200: {"content": content, **({"headers": told} if told else {})}}


def _schema(media_type: str) -> Mapping[str, str]:
    if media_type.startswith(("text/", "image/svg")):
        return TEXT
    return OBJECT if media_type.endswith("+json") else BINARY
