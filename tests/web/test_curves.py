"""The curves of an experiment's page."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from pyarrow import RecordBatch
from starlette.testclient import TestClient

from large import fill
from service.reports.rows import Rows
from service.store import Store
from service.store.query import Where, equal
from service.store.results import Results


@pytest.fixture
def done(sqlite_store: Store) -> str:
    """An experiment that is over, with a search and test scores of every epoch."""
    return fill(sqlite_store, "succeeded", ("de", "hi", "ar"))


def test_curves_are_of_dev_and_test_scores(pages: TestClient, done: str) -> None:
    text = pages.get(f"/experiments/{done}/curves").text
    assert "Dev scores over epochs" in text
    data = pages.get(f"/v1/reports/dev-curves?experiment={done}&method=mix-FT").json()["data"]
    assert [row["epoch"] for row in data if row["k"] == 5] == list(range(1, 11))
    assert {(row["of"], row["n"]) for row in data} == {("source", 5)}
    assert all(row["sd"] > 0 for row in data)


def test_curves_of_one_experiment_are_made_of_scores_that_are_read_once(
    pages: TestClient, sqlite_store: Store, done: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked, every = list[str](), Results.every

    def noted(results: Results, where: Where, metric: str | None) -> tuple[RecordBatch, RecordBatch]:
        asked.append(repr(where))
        return every(results, where, metric)

    monkeypatch.setattr(Results, "every", noted)
    text = pages.get(f"/experiments/{done}/curves").text
    assert "<h3>Scores over epochs</h3>" in text
    assert "<h3>Dev scores over epochs</h3>" in text
    assert len(asked) == 1
    where = equal({"experiment": [done]})
    rows = Rows(sqlite_store, tmp_path, where)
    assert set(rows.of("every")["split"]) == {"dev", "test"}
    of_dev, alone = (
        one.drop(columns="setting") for one in (rows.of("dev"), Rows(sqlite_store, tmp_path, where).of("dev"))
    )
    pd.testing.assert_frame_equal(of_dev.reset_index(drop=True), alone)


def test_of_a_search_a_panel_has_the_candidate_that_was_chosen_at_its_k(pages: TestClient, done: str) -> None:
    chosen = {one["k"]: one["candidate"] for one in pages.get(f"/v1/experiments/{done}/sweep").json()["chosen"]}
    assert len(set(chosen.values())) > 1
    for section, name in {"curves": "dev, percent", "surgery": "conflicts, percent of operations"}.items():
        text = pages.get(f"/experiments/{done}/{section}").text
        charts = [json.loads(one) for one in re.findall(r'<script type="application/json">(.+?)</script>', text)]
        [chart] = [one for one in charts if one["title"]["text"] == name]
        found: dict[int, set[str]] = {}
        for row in chart["datasets"][chart["data"]["name"]]:
            if row["series"].startswith("gradient-mix-train"):
                words = row["series"].partition(", ")[2].partition(" (")[0].replace("α = ", "alpha ")
                found.setdefault(int(row["panel"].rpartition(" ")[2]), set()).add(words)
        assert found == {k: {candidate} for k, candidate in chosen.items()}
