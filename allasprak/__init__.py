"""What notebooks and scripts import. Torch is loaded once a name is asked for that needs it.

allasprak's three packages have common names: a file in the folder where Python was started may hide one of them.
Importing this package raises an ImportError that names such a file.
"""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.client import Client, ServiceError
    from trainers.surgery import StochasticGradientSurgery

__all__ = ["Client", "ServiceError", "StochasticGradientSurgery", "__version__"]

_MODULES = {
    "Client": "service.client",
    "ServiceError": "service.client",
    "StochasticGradientSurgery": "trainers.surgery",
}

try:
    __version__ = version("allasprak")
except PackageNotFoundError:  # the client alone is installed
    __version__ = version("allasprak-client")


def _refuse_what_hides_ours() -> None:
    for room in ("service", "search_spaces", "trainers"):
        ours = Path(__file__).parents[1] / room / "__init__.py"
        loaded = sys.modules.get(room)
        spec = find_spec(room) if loaded is None else None
        found = getattr(loaded, "__file__", None) if spec is None else spec.origin
        if found is not None and not (Path(found).exists() and Path(found).samefile(ours)):
            anew = "" if loaded is None else " and start Python anew"  # which has loaded it, whatever it is called now
            raise ImportError(
                f"{found} hides allasprak's package {room!r}: rename it{anew}, or start Python in another folder or"
                " with -P",
                name=room,
                path=found,
            )


_refuse_what_hides_ours()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec(_MODULES[name]) is None:
        raise ImportError(f"{name} is not in the distribution allasprak-client: install allasprak", name=_MODULES[name])
    return getattr(import_module(_MODULES[name]), name)
