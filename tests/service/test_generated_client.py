"""A client that a generator made from `/openapi.json` does the whole first hour."""

import importlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

Fields = dict[str, Any]

PACKAGE = "generated_allasprak"

# Media types that the generator does not know.
SETTINGS = {"post_hooks": [], "content_type_overrides": {"application/zip": "application/octet-stream"}}


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Generates a client of a service, and imports it."""

    def generate(url: str) -> Any:
        settings = tmp_path / "settings.json"
        settings.write_text(json.dumps(SETTINGS))
        command = [
            sys.executable, "-m", "openapi_python_client", "generate", "--url", f"{url}/openapi.json", "--meta", "none",
            "--output-path", str(tmp_path / "generated" / PACKAGE), "--config", str(settings),
        ]  # fmt: skip
        (tmp_path / "generated").mkdir()
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "ERROR" not in told.stdout + told.stderr
        assert "removal" not in told.stdout + told.stderr
        monkeypatch.syspath_prepend(tmp_path / "generated")
        return importlib.import_module(PACKAGE)

    return generate


@pytest.mark.slow
@pytest.mark.service
def test_a_generated_client_does_the_whole_first_hour(
    generated: Callable[[str], Any], start_service: Callable[..., Any], tmp_path: Path, spec: Fields
) -> None:
    service = start_service(tmp_path / "home", ALLASPRAK_TOKEN="s3cret")
    client = generated(service.url).AuthenticatedClient(base_url=service.url, token="s3cret")
    models = importlib.import_module(f"{PACKAGE}.models")

    def ask(tag: str, operation: str, *arguments: Any, **parameters: Any) -> Any:
        """What an operation answers, as the model that the description has for it."""
        module = importlib.import_module(f"{PACKAGE}.api.{tag}.{operation}")
        answer = module.sync_detailed(*arguments, client=client, **parameters)
        assert answer.status_code in (HTTPStatus.OK, HTTPStatus.CREATED), answer.content
        assert answer.parsed is not None, answer.content
        return answer.parsed

    body = models.ExperimentSpec.from_dict({**spec, "keep": "all", "methods": ["zero-shot", "gradient-mix-train"]})
    plan = ask("experiments", "plan_experiment", body=body)
    assert isinstance(plan, models.Plan)
    assert (plan.trials, plan.reused) == (2, 0)

    submitted = ask("experiments", "submit_experiment", body=body, idempotency_key="first")
    assert ask("experiments", "submit_experiment", body=body, idempotency_key="first").id == submitted.id

    def is_over() -> Any:
        shown = ask("experiments", "get_experiment", submitted.id)
        return shown if shown.state in ("succeeded", "failed") else None

    shown = service.until(is_over)
    assert (shown.state, shown.trials.succeeded, shown.progress) == ("succeeded", 2, 1.0)
    assert shown.finished > shown.created
    assert "succeeded" in str(ask("experiments", "follow_experiment", submitted.id))

    where = {
        "and": [
            {"column": "experiment", "op": "eq", "value": submitted.id},
            {"column": "split", "op": "eq", "value": "test"},
        ]
    }
    found = ask("results", "query_results", body=models.ResultBody(where=where, sort=["-value"]))
    assert {(row.method, row.language) for row in found.results} == {
        (method, language) for method in ("zero-shot", "gradient-mix-train") for language in ("en", "de", "hi")
    }
    assert [row.value for row in found.results] == sorted((row.value for row in found.results), reverse=True)
    [best, *_] = [row for row in found.results if row.method == "gradient-mix-train"]

    summary = ask("results", "summarize_results", experiment=[submitted.id])
    assert {row.method: row.n for row in summary.summary} == {"zero-shot": 1, "gradient-mix-train": 1}
    gain = ask(
        "results", "compare_results",
        experiment=[submitted.id], better_method=["gradient-mix-train"], over_method=["zero-shot"],
    )  # fmt: skip
    assert {row.language for row in gain.languages} == {"de", "hi"}
    report = ask("reports", "get_report", "table-1", experiment=[submitted.id])
    assert {row["method"] for row in report.data} == {"zero-shot", "gradient-mix-train"}

    trial = ask("trials", "get_trial", best.trial)
    assert trial.config.method == "gradient-mix-train"
    assert trial.saved.models
    model = ask("trials", "get_model", best.trial)
    with zipfile.ZipFile(io.BytesIO(model.payload.read())) as archive:
        assert f"{best.trial}/model.safetensors" in archive.namelist()

    refused = importlib.import_module(f"{PACKAGE}.api.experiments.get_experiment").sync("nothing", client=client)
    assert isinstance(refused, models.ProblemDetails)
    assert refused.status == HTTPStatus.NOT_FOUND
