"""The paper's tables and figures as specs, and the sample: each a JSON file to copy and change."""

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def _texts() -> dict[str, str]:
    folder = files("search_spaces").joinpath("presets")
    found = (file for file in folder.iterdir() if file.name.endswith(".json"))
    return {
        file.name.removesuffix(".json"): file.read_text(encoding="utf-8")
        for file in sorted(found, key=lambda file: file.name)
    }


def names() -> tuple[str, ...]:
    """The presets there are, in alphabetical order."""
    return tuple(_texts())


def preset(name: str) -> dict[str, Any]:
    """The spec of a preset, as it would be POSTed. KeyError if there is none of this name."""
    return dict(json.loads(_texts()[name]))
