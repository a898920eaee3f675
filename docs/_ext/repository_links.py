"""Pages that lie outside of `docs/`: the site shows their text, and links between all of them lead where they should.

On a code host every link is that to the file; on the site the same link leads to the file's page.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
PAGES = {"index": "README.md", "contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md",
         "containers": "docker/README.md"}  # fmt: skip
OWN_TEXT = ("index",)  # the site's first page is not the README

LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def to_site(_app: Sphinx, page: str, source: list[str]) -> None:
    """Replace a placeholder by the file that it stands for, and links by those of the site, in place."""
    file = ROOT / "docs" / f"{page}.md"
    if page in PAGES and page not in OWN_TEXT:
        file = ROOT / PAGES[page]
        source[0] = file.read_text(encoding="utf-8")
    source[0] = LINK.sub(lambda found: f"]({_target(file.parent / found[1])}", source[0])


def _target(file: Path) -> str:
    for page, path in PAGES.items():
        if file.resolve() == ROOT / path:
            return f"{page}.md"
    return str(file.resolve().relative_to(ROOT / "docs"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Rewrite each page as it is read."""
    app.connect("source-read", to_site)
    return {"parallel_read_safe": True}
