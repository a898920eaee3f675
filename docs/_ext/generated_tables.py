"""Tables made from the code, which never go stale: the fields of a spec, the REST interface, and the command line."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from docutils.nodes import Node
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from search_spaces.spaces import Part
from search_spaces.spec import ExperimentSpec
from service.api import create_app
from service.cli import parser


class SpecFields(SphinxDirective):
    """`{spec-fields}`: every field of a spec with its default and what it takes."""

    def run(self) -> list[Node]:
        """The table."""
        return self.parse_text_to_nodes(table(("field", "default", "allowed"), spec_fields(ExperimentSpec)))


class RestRoutes(SphinxDirective):
    """`{rest-routes} TAG`: the routes of a tag, with their parameters, answers and problems."""

    required_arguments = 1

    def run(self) -> list[Node]:
        """The table."""
        head = ("request", "what it is for", "parameters", "answer", "problems")
        return self.parse_text_to_nodes(table(head, list(rest_routes(self.arguments[0]))))


class RestModels(SphinxDirective):
    """`{rest-models}`: the fields of all that is answered."""

    def run(self) -> list[Node]:
        """The table."""
        return self.parse_text_to_nodes(table(("answer", "field", "type", "meaning"), list(rest_models())))


class CommandLine(SphinxDirective):
    """`{command-line}`: every command with all that it takes."""

    def run(self) -> list[Node]:
        """The table."""
        return self.parse_text_to_nodes(table(("command", "takes", "meaning"), list(command_line())))


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


@cache
def description() -> dict[str, Any]:
    """What `/openapi.json` says."""
    app = create_app(store=None, environment=None, token="documentation")  # type: ignore[arg-type]  # nothing is asked
    return app.openapi()


def rest_routes(tag: str) -> Iterator[tuple[str, ...]]:
    """(request, words, parameters, answer, problems) of each route of a tag, in the order of the description."""
    for path, operations in description()["paths"].items():
        for verb, operation in operations.items():
            if tag not in operation["tags"]:
                continue
            said = operation["description"].removeprefix(f"{operation['summary']}.")
            words = " ".join(f"**{operation['summary']}.** {said}".split())
            asked = [one["name"] for one in operation.get("parameters", []) if one["in"] != "path"]
            answers = operation["responses"]
            sent = "; ".join(f"{status} {_forms(answer)}" for status, answer in answers.items() if status < "4")
            problems = ", ".join(status for status in answers if status >= "4")
            parameters = ", ".join(f"`{name}`" for name in asked)
            yield f"`{verb.upper()} {path}`", words, parameters, sent, problems


def _forms(answer: Mapping[str, Any]) -> str:
    """The forms of an answer: its model, or media types."""
    forms = []
    for media_type, content in answer.get("content", {}).items():
        model = content["schema"].get("$ref", "").rpartition("/")[2]
        forms.append(f"`{model or media_type}`")
    return ", ".join(forms) or "without content"


def rest_models() -> Iterator[tuple[str, ...]]:
    """(model, field, type, meaning) of each field of an answer, and of what answers are made of."""
    for name in _answered():
        schema = description()["components"]["schemas"][name]
        for field, of in schema.get("properties", {}).items():
            absent = "" if field in schema.get("required", ()) else "; may be absent"
            yield f"`{name}`", f"`{field}`", _type(of) + absent, of.get("description", "")


def _answered() -> list[str]:
    """The models of all answers, each before those that it is made of."""
    schemas = description()["components"]["schemas"]
    operations = [one for of in description()["paths"].values() for one in of.values()]
    found = dict.fromkeys(name for one in operations for name in _models(one["responses"]))
    waiting = list(found)
    while waiting:
        new = [name for name in _models(schemas[waiting.pop(0)]) if name not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return list(found)


def _models(part: Any) -> Iterator[str]:
    """The models that a part of the description refers to."""
    if isinstance(part, dict) and isinstance(part.get("$ref"), str):
        yield part["$ref"].rpartition("/")[2]
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _models(one)


def _type(schema: Mapping[str, Any]) -> str:
    """The type of a schema, in words."""
    match schema:
        case {"$ref": str(model)}:
            return f"`{model.rpartition('/')[2]}`"
        case {"anyOf": [*types]} | {"oneOf": [*types]}:
            return " or ".join(dict.fromkeys(map(_type, types)))
        case {"enum": [*values]}:
            return " or ".join(f"`{value}`" for value in values)
        case {"items": of}:
            return f"list of {_type(of)}"
        case {"additionalProperties": dict(of)}:
            return f"{_type(of)} by name"
        case {"format": "date-time"}:
            return "time"
    names = {"string": "text", "array": "list"}
    return names.get(schema.get("type", "any"), schema.get("type", "any"))


def command_line() -> Iterator[tuple[str, str, str]]:
    """(command, what it takes, meaning) of each command, and below it of its arguments and options."""
    [subparsers] = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    helps = {action.dest: action.help or "" for action in subparsers._choices_actions}
    for name, of in subparsers.choices.items():
        yield f"`{name}`", "", helps[name]
        for action in of._actions:
            if not isinstance(action, argparse._HelpAction):
                yield "", f"`{_taken(action)}`", (action.help or "").replace("<", "\\<")


def _taken(action: argparse.Action) -> str:
    """An argument or an option, as usage lines write it."""
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper().replace("_", "-")
    option = action.option_strings[-1] if action.option_strings else ""
    return " ".join(filter(None, [option, value if action.nargs != 0 else ""]))


def table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("command-line", CommandLine)
    app.add_directive("spec-fields", SpecFields)
    app.add_directive("rest-routes", RestRoutes)
    app.add_directive("rest-models", RestModels)
    return {"parallel_read_safe": True}
