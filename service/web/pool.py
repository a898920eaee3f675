"""The pool: what runs where, and who waits for what."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from service.api.pool import get_pool
from service.web.rendering import Page, answered, page

router = APIRouter(route_class=Page, include_in_schema=False)

KINDS = (("cpus", "CPU threads"), ("gpus", "GPUs"), ("memory", "Memory reserved"))


@router.get("/pool")
def pool(request: Request) -> HTMLResponse:
    """The pool as it is now."""
    found = answered(get_pool(request))
    return page(request, "pool", pool=found, bars=[_bar(found, *kind) for kind in KINDS])


def _bar(found: dict[str, Any], name: str, words: str) -> dict[str, Any]:
    """What of a kind of resource is in use."""
    there, taken = found["has"][name], found["in_use"][name]
    return {
        "words": words,
        "share": taken / there if there else 0,
        "taken": _shown(taken, name),
        "there": None if there is None else _shown(there, name),
    }


def _shown(amount: float, name: str) -> str:
    return f"{amount / 2**30:.1f} GiB" if name == "memory" else f"{amount:g}"
