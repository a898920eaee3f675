"""How the hub's libraries ask: HTTP 429 is an error at once.

They wait themselves otherwise, hours if the hub asks for hours, and tell nobody.
"""

from functools import cache
from typing import Any


@cache
def leave_waiting_to_us() -> None:
    """From now on, in this process."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def client() -> Any:
        made = default_client_factory()
        made.event_hooks = {**made.event_hooks, "response": [*made.event_hooks["response"], _not_limited]}
        return made

    set_client_factory(client)


def _not_limited(response: Any) -> None:
    if response.status_code == 429:  # "too many requests"
        response.raise_for_status()
