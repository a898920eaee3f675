"""A form that derives from a JSON schema: its fields, how it is filled in for an object, and the object that it says.

What is filled in is a mapping from names of inputs to texts, as a browser posts it. Each field has one input, of the
field's path, but for those of several forms: there `<path>:form` names the chosen one, which has inputs of its own.

More than 300 lines: reading and filling in are inverse to each other, kind by kind.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel

from search_spaces.problems import Problem, SpecError

Filled = Mapping[str, Sequence[str]]

Kind = Literal["text", "number", "flag", "choice", "numbers", "texts", "words", "forms", "group"]

# Scalars of JSON Schema, and how a form asks for them.
SCALARS: Mapping[str, Kind] = {"string": "text", "integer": "number", "number": "number", "boolean": "flag"}

# How a description says what a field means that is left empty, and what JSON has there.
EMPTY = re.compile(r"null for ([^,{]+)")
NULL = re.compile(r"\bnull( or absent)?\b")

MOST_INPUTS = 5000

ABSENT: Any = object()


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a form.

    Attributes:
        path: of the field, with dots; the name of its input.
        words: its label.
        hint: what it takes, in words.
        kind: how it is asked for; "words" is a word, or JSON.
        required: it has no default.
        default: of the schema; None if there is none.
        options: values that it takes, where they are known.
        empty: what it means that it is left empty, where it may be.
        forms: of "forms".
        fields: of "group".
    """

    path: str
    words: str
    hint: str
    kind: Kind
    required: bool = False
    default: Any = None
    options: tuple[str, ...] = ()
    empty: str = ""
    forms: tuple["Form", ...] = ()
    fields: tuple["Field", ...] = ()

    @property
    def name(self) -> str:
        """The last part of its path: as the object calls it."""
        return self.path.rpartition(".")[2]

    @property
    def key(self) -> str:
        """For ids of elements."""
        return re.sub(r"[^\w-]", "-", self.path)


@dataclass(frozen=True, kw_only=True)
class Form:
    """One of several forms of a value: a constant, a scalar (one field), or an object, which may say its own name.

    Attributes:
        name: what it is called.
        hint: what it means, in words.
        constant: the value, if it is one.
        tag: the property that has `name` as its value; empty if none has.
        is_object: whether the fields are properties.
        fields: its inputs.
    """

    name: str
    hint: str = ""
    constant: Any = None
    tag: str = ""
    is_object: bool = False
    fields: tuple[Field, ...] = ()

    def fits(self, value: Any) -> bool:
        """Whether a value has this form, right or wrong in its parts."""
        if self.constant is not None:
            return bool(value == self.constant)
        if not self.is_object:
            return not isinstance(value, dict)
        if self.tag:
            return isinstance(value, dict) and value.get(self.tag) == self.name
        return isinstance(value, dict) and self.name in value


def fields_of(model: type[BaseModel], options: Mapping[str, Sequence[str]] | None = None) -> tuple[Field, ...]:
    """The fields of a model, from its JSON schema.

    Args:
        model: what the form is for.
        options: by path, values that the schema does not list: the only ones where it is a text, or those to suggest.
    """
    schema = model.model_json_schema()
    return _Reader(schema.get("$defs", {}), options or {}).properties(schema, "")


def every(fields: Sequence[Field]) -> Iterator[Field]:
    """Fields, and those of groups among them."""
    for field in fields:
        yield field
        yield from every(field.fields)


@dataclass(frozen=True)
class _Reader:
    definitions: Mapping[str, Any]
    options: Mapping[str, Sequence[str]]

    def properties(self, schema: Mapping[str, Any], before: str, without: str = "") -> tuple[Field, ...]:
        """The fields of an object."""
        required = schema.get("required", ())
        return tuple(
            self.field(f"{before}{name}", of, name in required)
            for name, of in schema.get("properties", {}).items()
            if name != without
        )

    def field(self, path: str, schema: Mapping[str, Any], required: bool) -> Field:
        schema = self._resolved(schema)
        forms = [one for one in self._alternatives(schema) if one.get("type") != "null"]
        hint = schema.get("description", "")
        found = EMPTY.search(hint)
        given: dict[str, Any] = {
            "path": path,
            "words": _words(path),
            "hint": NULL.sub("empty", hint),
            "required": required,
            "default": schema.get("default"),
            "options": tuple(self.options.get(path, ())),
            "empty": found[1] if found else "none" if hint.startswith("null") else "the default",
        }
        if len(forms) > 1:
            return self._several(forms, given)
        [only] = forms
        if "properties" in only:
            return Field(**{**given, "hint": NULL.sub("empty", only.get("description", ""))}, kind="group",
                         fields=self.properties(only, f"{path}."))  # fmt: skip
        return Field(**{**given, **_scalar(only, given["options"])})

    def _several(self, forms: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> Field:
        """A field that takes values of several forms."""
        if any("properties" in one for one in forms):
            return Field(**given, kind="forms", forms=tuple(self._form(one, given["path"]) for one in forms))
        if {one.get("type") for one in forms} == {"string", "array"} and not any(map(_listed, forms)):
            items = next(self._resolved(one["items"]) for one in forms if one["type"] == "array")
            return Field(**given, kind="texts" if items.get("type") == "string" else "words")
        known = tuple(str(value) for one in forms for value in _listed(one))
        return Field(**{**given, "options": given["options"] or known}, kind="words")

    def _form(self, schema: Mapping[str, Any], path: str) -> Form:
        hint = " ".join(schema.get("description", "").partition("\n\n")[0].split())
        if "const" in schema:
            return Form(name=str(schema["const"]), hint=hint, constant=schema["const"])
        if "properties" not in schema:
            field = self.field(f"{path}.value", schema, required=True)
            return Form(name="value", hint=hint, fields=(field,))
        properties = schema["properties"]
        tag = next((name for name, of in properties.items() if "const" in of), "")
        name = properties[tag]["const"] if tag else [*schema.get("required", ()), *properties][0]
        fields = self.properties(schema, f"{path}.{name}.", without=tag)
        return Form(name=name, hint=hint, tag=tag, is_object=True, fields=fields)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in schema:
            return schema
        return {**self.definitions[schema["$ref"].rpartition("/")[2]], **schema, "$ref": ""}

    def _alternatives(self, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        if schema.get("$ref"):
            schema = self._resolved(schema)
        several = schema.get("anyOf") or schema.get("oneOf")
        if several is None:
            # what is said beside a reference is said of the field; a group keeps the words of its model
            definition = self.definitions.get(schema.get("title", ""), {})
            yield {**schema, **({"description": definition["description"]} if "description" in definition else {})}
        for one in several or ():
            yield from self._alternatives(one)


def _listed(schema: Mapping[str, Any]) -> Sequence[Any]:
    """The values that a schema lists."""
    return [schema["const"]] if "const" in schema else schema.get("enum", ())


def _scalar(schema: Mapping[str, Any], options: tuple[str, ...]) -> dict[str, Any]:
    """Kind and options of a field that takes values of one form."""
    if listed := _listed(schema):
        return {"kind": "choice", "options": tuple(map(str, listed))}
    if schema.get("type") == "array":
        of = schema.get("items", {}).get("type")
        kind: Kind = "texts" if of == "string" else "numbers" if of in ("integer", "number") else "words"
        return {"kind": kind}
    kind = SCALARS.get(schema.get("type", ""), "words")
    return {"kind": kind}


def _words(path: str) -> str:
    name = path.rpartition(".")[2]
    words = name.replace("_", " ").replace("cpus", "CPUs").replace("gpus", "GPUs")
    return {"k": "K", "alpha": "α"}.get(name, words[0].upper() + words[1:])


def posted(body: bytes) -> dict[str, list[str]]:
    """What a browser has filled in, from the body of its request. SpecError: more inputs than there may be."""
    found: dict[str, list[str]] = {}
    text = body.decode(errors="replace")
    try:
        given = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_INPUTS)
    except ValueError as error:
        raise SpecError([Problem("body", f"more inputs than allowed: {MOST_INPUTS:,}")]) from error
    for name, value in given:
        found.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return found


def said(fields: Sequence[Field], filled: Filled) -> dict[str, Any]:
    """The object that a filled form says. What is left empty, or has its default, is left out."""
    found = {field.name: _value(field, filled) for field in fields}
    return {name: value for name, value in found.items() if value is not ABSENT}


def _value(field: Field, filled: Filled) -> Any:
    texts = filled.get(field.path, ())
    text = texts[0].strip() if texts else ""
    value: Any = ABSENT
    if field.kind == "group":
        return said(field.fields, filled) or ABSENT
    if field.kind == "forms":
        return _of_form(field, filled)
    if field.kind == "flag":
        value = bool(texts)
    elif field.kind == "numbers":
        value = [_number(one) for one in re.split(r"[\s,;]+", text) if one]
    elif field.kind == "texts":
        value = [one.strip() for given in texts for one in given.split(",") if one.strip()]
    elif text:
        value = {"number": _number, "words": _word}.get(field.kind, str)(text)
    return ABSENT if not field.required and value in ([], field.default) else value


def _of_form(field: Field, filled: Filled) -> Any:
    chosen = filled.get(f"{field.path}:form", ("",))[0]
    form = next((one for one in field.forms if one.name == chosen), None)
    if form is None:
        return ABSENT
    if form.constant is not None:
        return form.constant
    if not form.is_object:
        value = _value(form.fields[0], filled)
        return "" if value is ABSENT else value
    found = said(form.fields, filled)
    if form.tag:
        return {form.tag: form.name, **found}
    return found if form.name in found else {form.name: "", **found}


def _number(text: str) -> Any:
    """A number; text that is none as it is, for the words of the refusal."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else text


def _word(text: str) -> Any:
    """JSON of a list or an object; other text as it is."""
    try:
        value = json.loads(text) if text[0] in "[{" else text
    except (ValueError, RecursionError):
        return text
    return value


def filled_in(fields: Sequence[Field], value: Mapping[str, Any]) -> dict[str, list[str]]:
    """A form that is filled in for an object: the inverse of `said`."""
    found: dict[str, list[str]] = {}
    for field in fields:
        _fill(field, value.get(field.name, field.default), found)
    return found


def _fill(field: Field, value: Any, found: dict[str, list[str]]) -> None:
    if field.kind == "group":
        found |= filled_in(field.fields, value if isinstance(value, dict) else {})
    elif field.kind == "forms":
        form = next((one for one in field.forms if value is not None and one.fits(value)), None)
        found[f"{field.path}:form"] = [form.name if form is not None else ""]
        if form is not None and form.is_object:
            found |= filled_in(form.fields, value)
        elif form is not None and form.fields:
            _fill(form.fields[0], value, found)
    elif field.kind == "flag":
        found[field.path] = ["true"] if value is True else []
    elif field.kind == "texts":
        found[field.path] = [shown(one) for one in (value if isinstance(value, list) else [value]) if one is not None]
    elif isinstance(value, list) and field.kind == "numbers":
        found[field.path] = [", ".join(map(shown, value))]
    else:
        found[field.path] = [] if value is None else [shown(value)]


def shown(value: Any) -> str:
    """A value as text: a text as it is, anything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode(errors="replace").decode()  # a lone surrogate cannot be sent


def as_json(value: Mapping[str, Any]) -> str:
    """An object as JSON to read and to change: a line for each field."""
    lines = [f"  {json.dumps(name)}: {json.dumps(one, ensure_ascii=False)}" for name, one in value.items()]
    text = "{\n" + ",\n".join(lines) + "\n}" if lines else "{}"
    return text if text.encode(errors="ignore").decode() == text else json.dumps(value)
