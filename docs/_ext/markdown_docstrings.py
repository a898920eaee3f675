"""Docstrings are written with Markdown's backticks and plain punctuation: make them safe reStructuredText."""

import re
from typing import Any

from sphinx.application import Sphinx

# In reStructuredText these begin or end emphasis, substitutions and references.
SPECIAL = re.compile(r"([*|\\])|(?<=\w)(_)(?=\W|$)")
CODE = re.compile(r"(`[^`]+`)")


def as_restructuredtext(text: str) -> str:
    """Code spans as literals, everything else as plain text."""
    parts = []
    for part in CODE.split(text):
        if CODE.fullmatch(part):
            parts.append(f"``{part[1:-1]}``")
        else:
            parts.append(SPECIAL.sub(lambda found: "\\" + found[0], part))
    return "".join(parts)


def convert(_app: Sphinx, kind: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Rewrite a docstring's lines in place."""
    lines[:] = as_restructuredtext("\n".join(lines)).split("\n")
    if kind in ("property", "attribute"):
        lines.insert(0, "\\")  # nothing; else napoleon takes what stands before a colon for a type


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before napoleon, which turns the sections of a docstring into fields."""
    app.connect("autodoc-process-docstring", convert, priority=400)
    return {"parallel_read_safe": True}
