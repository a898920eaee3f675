"""Bodies in JSON, in which no object has a key twice."""

import json
from typing import Annotated

from fastapi import Depends, Request

from search_spaces.problems import Problem, SpecError
from trainers.json_objects import unique


def parsed(body: bytes) -> object:
    """The value of a body. SpecError if it is not JSON, or has a key twice."""
    try:
        return json.loads(body, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise SpecError([Problem("body", f"not JSON: {ascii(str(error))[1:-1]}")]) from error


async def _sent(request: Request) -> bytes:
    return await request.body()


def require_keys_once(sent: Annotated[bytes, Depends(_sent)]) -> None:
    """SpecError if the body has a key twice. For routes whose body FastAPI parses, which takes the last of them."""
    parsed(sent)
