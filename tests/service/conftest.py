"""The REST interface over each database, without a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from search_spaces.environment import Environment
from service.api.app import create_app
from service.store import Store


@pytest.fixture
def client(store: Store, tmp_path: Path) -> Iterator[TestClient]:
    """A client of the interface."""
    app = create_app(store, lambda: Environment(tmp_path, tmp_path, None, None, None), None)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client
