"""The place of a home: the home itself, or what the URL of its artifacts names."""

import re
from functools import cache
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from trainers.artifacts.folder_place import FolderPlace
from trainers.artifacts.place import Place

# Seconds that an object store which does not answer is waited for, by trials and commands; and by whoever cannot wait:
# one try, for which pyarrow itself takes some seconds.
PATIENCE, NO_PATIENCE = 300.0, 0.0

# What pyarrow opens without libraries of one's own.
STORES = ("s3", "gs", "abfs", "abfss")


class Where(Protocol):
    """What says where artifacts lie, such as a trial."""

    @property
    def home(self) -> Path:
        """The home."""

    @property
    def artifacts(self) -> str | None:
        """The URL of their place; None for the home itself."""


def place_of(where: Where, patience: float = PATIENCE) -> Place:
    """The place of a home.

    Args:
        where: says which.
        patience: seconds that it is waited for where it does not answer, before PlaceLostError.
    """
    if where.artifacts is None:
        return FolderPlace(where.home)
    if where.artifacts.startswith("file:"):
        return FolderPlace(where.home, _folder(where.artifacts))
    return _opened(where.home, where.artifacts, patience)


@cache
def _opened(home: Path, url: str, patience: float) -> Place:
    from trainers.artifacts.url_place import UrlPlace  # imported late: it loads pyarrow

    return UrlPlace(home, url, patience)


def problem_of(url: str) -> str | None:
    """What is wrong with the URL of a place, as "is ...; allowed: ..."; None if nothing is. Nothing is opened."""
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        is_folder = _folder(url).is_absolute() and not set("?#") & set(url)  # a URL's path ends before these
        return None if is_folder else f"is {url!r}; allowed: file:/// and the path of a folder, %3F for ? and %23 for #"
    if scheme == "s3" and "@" in rest.partition("/")[0]:
        return "has a key in it; allowed: a URL without, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if scheme not in STORES or not re.match(r"[^/?#\s]+", rest):
        others = ", ".join(f"{other}://" for other in STORES[1:])
        return f"is {url!r}; allowed: s3://bucket/prefix, file:///folder, {others}"
    return None


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    return Path(unquote(parts.netloc + parts.path))
