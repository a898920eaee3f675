"""The description of the interface, `/openapi.json`: FastAPI's, and what holds for many routes at once."""

from typing import Any, Literal

from pydantic.json_schema import models_json_schema

from search_spaces.spec import ExperimentSpec
from service.api.browsers import SAFE_METHODS
from service.api.problems import ProblemDetails, refusals

ABOUT = """\
Cross-lingual few-shot experiments: plan, submit, follow, and query their results.

Every error is a problem (RFC 9457) that names each wrong field. `HEAD` is answered wherever `GET` is. Answers may have
further fields in later versions.
"""

TAGS = {
    "experiments": "Plan, submit and follow experiments.",
    "control": "Change what becomes of an experiment.",
    "trials": "The trainings that experiments are made of.",
    "results": "Scores, summaries and comparisons.",
    "reports": "The paper's tables and figures.",
    "catalog": "What a spec may name.",
    "service": "The service itself, and its pool.",
}


def describe(found: dict[str, Any]) -> dict[str, Any]:
    """Complete what FastAPI says of an application, in place, and return it."""
    found["components"]["schemas"] |= _by_hand()
    _without_const(found["components"])
    for operations in found["paths"].values():
        for method, operation in operations.items():
            _complete(method.upper(), operation)
    return found


def _by_hand() -> dict[str, Any]:
    """Schemas of what no parameter or model of a route has: specs, and problems."""
    models: list[tuple[Any, Literal["validation"]]] = [(ExperimentSpec, "validation"), (ProblemDetails, "validation")]
    _, found = models_json_schema(models, ref_template="#/components/schemas/{model}")
    return dict(found["$defs"])


def _complete(method: str, operation: dict[str, Any]) -> None:
    """Give an operation the summary that its docstring begins with, and the problems that any may answer."""
    summary, _, rest = operation["description"].partition("\n\n")
    operation["summary"] = " ".join(summary.split()).removesuffix(".")
    operation["description"] = rest or summary
    for parameter in operation.get("parameters", []):
        _without_null(parameter["schema"])
    # reading writes as well: copies, sorted rows, what is downloaded
    any_of_them = refusals(400, 500, 503, 507, *(() if method in SAFE_METHODS else (403,)))
    of_body = refusals(408, 413) if "requestBody" in operation else {}
    told = operation["responses"] | {str(status): answer for status, answer in (any_of_them | of_body).items()}
    operation["responses"] = dict(sorted(told.items()))
    for answer in operation["responses"].values():
        for content in answer.get("content", {}).values():
            content.pop("itemSchema", None)  # which OpenAPI has from version 3.2 on


def _without_null(schema: dict[str, Any]) -> None:
    """What stands in a URL or a header may be absent, but not null, as FastAPI says it is."""
    null = {"type": "null"}
    if null in schema.get("anyOf", ()):
        [given] = [one for one in schema.pop("anyOf") if one != null]
        schema |= given


def _without_const(part: Any) -> None:
    """Say each single value as an `enum` of one, in place, which generators of clients tell from other types."""
    if isinstance(part, dict) and "const" in part:
        part["enum"] = [part.pop("const")]
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _without_const(one)
