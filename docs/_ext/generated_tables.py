"""Tables made from the code, which never go stale: the fields of a spec, the query parameters of REST requests."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from docutils.nodes import Node
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from search_spaces.spaces import Part
from search_spaces.spec import ExperimentSpec
from service.api import create_app


class SpecFields(SphinxDirective):
    """`{spec-fields}`: every field of a spec with its default and what it takes."""

    def run(self) -> list[Node]:
        """The table."""
        return self.parse_text_to_nodes(table(("field", "default", "allowed"), spec_fields(ExperimentSpec)))


class RestParameters(SphinxDirective):
    """`{rest-parameters}`: every route with the query parameters that it takes."""

    def run(self) -> list[Node]:
        """The table."""
        rows = [(f"`{verb} {path}`", parameters) for verb, path, parameters in routes() if parameters]
        return self.parse_text_to_nodes(table(("request", "query parameters"), rows))


def spec_fields(model: type[Part], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """(field, default, allowed values) of a part of the spec, and of the parts in it."""
    for name, field in model.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, Part):
            yield from spec_fields(part, f"{prefix}{name}.")
        else:
            yield f"`{prefix}{name}`", _default(field), (field.description or "").replace("<", "\\<")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    default: Any = field.get_default(call_default_factory=True)
    return f"`{json.dumps(default.model_dump() if isinstance(default, Part) else default)}`"


def routes() -> Iterator[tuple[str, str, str]]:
    """(verb, path, query parameters) of every route, in the order of the OpenAPI description."""
    app = create_app(store=None, environment=None, token="documentation")  # type: ignore[arg-type]  # nothing is asked
    for path, operations in app.openapi()["paths"].items():
        for verb, operation in operations.items():
            asked = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
            yield verb.upper(), path.replace("id_", "id"), ", ".join(f"`{name}`" for name in asked)


def table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("spec-fields", SpecFields)
    app.add_directive("rest-parameters", RestParameters)
    return {"parallel_read_safe": True}
