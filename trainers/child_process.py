"""How modules of allasprak are run in other processes."""

import sys
from collections.abc import Mapping
from types import MappingProxyType

# What `python` has as options, for processes that others start.
VARIABLES: Mapping[str, str] = MappingProxyType({"PYTHONSAFEPATH": "1", "PYTHONUTF8": "1"})


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module.

    A file of the same name in the current folder does not hide it (-P), and text is UTF-8, whatever the locale says.
    """
    return [sys.executable, "-P", "-X", "utf8", "-m", module, *arguments]
