"""Requests of every kind: each is answered as `/openapi.json` says it is, and none meets a fault of the service."""

from pathlib import Path

import pytest

from fuzzed import fuzz, old_service

CASES = 20_000


@pytest.mark.slow
@pytest.mark.service
def test_twenty_thousand_requests_are_answered_as_the_description_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLASPRAK_HOME", str(tmp_path / "home"))
    app, store = old_service(tmp_path / "home")
    found = fuzz(app, store, 600, ("examples", "coverage", "fuzzing", "stateful"))
    print(found.cases, dict(found.succeeded))
    assert not found.failures, "\n\n".join(found.failures)
    assert found.cases >= CASES
