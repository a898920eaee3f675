"""The documentation site: `sphinx-build -n -W docs docs/_build`."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "allasprak"
author = "the authors of allasprak"
version = release = version_of("allasprak")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "markdown_docstrings",
    "repository_links",
    "generated_tables",
]
exclude_patterns = ["_build"]

# Pages are Markdown: links to headings are `page.md#heading`, as code hosts make them.
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# As running text: napoleon would take what stands before a colon for a type.
napoleon_custom_sections = ["Returns"]

# Every reference must resolve (`-n`), but for types of other packages and of the standard library: external sites are
# never asked.
nitpick_ignore_regex = [
    ("py:.*", r"(torch|pandas|pd|numpy|np|httpx2|pathlib|contextlib|collections|typing|transformers)(\..*)?"),
    ("py:.*", r"(.*\.)?(Batch|W|T)"),  # type variables
    ("py:.*", r"(trainers\.sample_corpus|trainers\.artifacts\.disk|re)\..*"),  # what is nobody's interface
]

html_theme = "furo"
html_title = "allasprak"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_copyright = False
toc_object_entries_show_parents = "hide"
