"""Files of whoever runs a command: a page that is written, a folder that is sent."""

import zipfile
from pathlib import Path

from service.arguments import UsageError
from trainers.artifacts.atomic import write_text


def write(file: Path, text: str) -> None:
    """Write a file whole or not at all, where a link leads if it is one. What is no file, as a pipe, gets the text."""
    try:
        if file.exists() and not file.is_file():
            file.write_text(text, encoding="utf-8")
        else:
            write_text(file.resolve(), text)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def zipped(folder: Path, file: Path) -> Path:
    """A zip of the files of a folder, however old they are."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for one in sorted(folder.rglob("*")):
            if not one.is_file():  # but a pipe, or a link to nothing
                continue
            try:
                archive.write(one, one.relative_to(folder))
            except UnicodeEncodeError as error:
                raise UsageError(f"PATH: {str(one)!a} has a name that is no UTF-8") from error
    return file
