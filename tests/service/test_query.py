"""Questions about results: filters agree with pandas on the same rows, pages stay as they were, nothing is missed."""

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from search_spaces.environment import Environment
from search_spaces.plan import Plan, PlannedResult, PlannedTrial
from search_spaces.spec import ExperimentSpec
from service.store import RESULT_COLUMNS, Query, Store
from service.store.query import And, By, Condition, Or, Where
from trainers import Outcome, Report, Score, TrialConfig
from trainers.trial import Training, Wanted

TRAINING = Training(
    epochs=3, batch_size=32, learning_rate=2e-5, weight_decay=0.0, adam_epsilon=1e-8, clip_norm=1.0, warmup_steps=0,
    max_length=128,
)  # fmt: skip
LANGUAGES = ("en", "de", "zh-Hant", "Zz")  # upper case before lower, by code points
METHODS = {"zero-shot": None, "gradient-mix-train": 0.25, "naive-mix-train": None}


def config_of(method: str, seed: int, alpha: float | None) -> TrialConfig:
    return TrialConfig(
        task="ner",
        method=method,
        source_language="en",
        target_languages=("de",),
        k=5,
        seed=seed,
        alpha=alpha,
        protocol="paper",
        training=TRAINING,
        encoder="e",
        encoder_digest="d",
        data_digest="data",
    )


def result_of(config: TrialConfig, language: str, split: Any) -> PlannedResult:
    assert not isinstance(config.alpha, tuple)
    return PlannedResult(
        method=config.method,
        k=5 if config.alpha else 0,
        seed=config.seed,
        alpha=config.alpha,
        candidate="α = ¼" if config.alpha else "",
        judged_on="source-dev",
        language=language,
        split=split,
        trial=config.digest,
        selection="source-dev",
        data=split,
    )


def planned(seeds: range) -> tuple[ExperimentSpec, Plan]:
    """An experiment of a trial for each method and seed."""
    fields = {"task": "ner", "encoder": "e", "data": "sample", "target_languages": ["de"], "methods": ["zero-shot"]}
    spec = ExperimentSpec.model_validate({**fields, "k": [5], "seeds": [1], "owner": f"owner-{len(seeds)}"})
    plan = Plan()
    for seed in seeds:
        for method, alpha in METHODS.items():
            config = config_of(method, seed, alpha)
            plan.add(
                PlannedTrial(
                    config=config,
                    source=None,
                    wanted=Wanted(selections=("source-dev",), evaluate=dict.fromkeys(LANGUAGES, "test")),
                )
            )
            for language in LANGUAGES:
                for split in ("dev", "test"):
                    plan.results.append(result_of(config, language, split))
    return spec, plan


def scored(step: int, split: Any, chance: random.Random) -> tuple[Score, ...]:
    values = (0.0, 12.5, 33.3, 50.0, 99.9)
    return tuple(
        Score(
            step=step,
            epoch=step,
            language=language,
            split=split,
            metric="f1",
            value=chance.choice(values),
            examples=10,
            data=split,
            cut=language == "de",
        )
        for language in LANGUAGES
    )


def run(store: Store, experiment: str, digest: str, chance: random.Random) -> None:
    """One trial, of two epochs."""
    attempt = store.trials.started(experiment, digest)
    for step in (1, 2):
        store.trials.reported(
            digest, attempt, Report(epoch=step, step=step, scores=scored(step, "dev", chance), measures={})
        )
    store.trials.succeeded(
        digest, attempt, Outcome(selected={"source-dev": 2}, scores=scored(2, "test", chance), facts={"shots": {}})
    )


def filled(store: Store, seeds: range) -> str:
    """An experiment that is done."""
    spec, plan = planned(seeds)
    id_ = store.experiments.add(spec, plan)
    for digest in store.trials.outstanding(id_):
        run(store, id_, digest, random.Random(digest))
    return id_


def rows_of(store: Store, query: Query, limit: int = 10_000) -> list[dict[str, Any]]:
    """The whole answer, page by page."""
    rows, cursor = [], None
    while True:
        page = store.results.rows(query, limit, cursor)
        rows += page.rows
        if (cursor := page.next) is None:
            return rows


def whole(store: Store, query: Query) -> list[dict[str, Any]]:
    """The whole answer in Arrow."""
    _, batches = store.results.whole(query)
    return [row for batch in batches for row in batch.to_pylist()]


def random_tree(chance: random.Random, rows: pd.DataFrame, depth: int = 3) -> Where:
    if depth and chance.random() < 0.6:
        parts = tuple(random_tree(chance, rows, depth - 1) for _ in range(chance.randint(0, 3)))
        return And(parts) if chance.random() < 0.5 else Or(parts)
    column = chance.choice(list(RESULT_COLUMNS))
    drawn = [
        None if pd.isna(value) else value for value in rows[column].sample(3, random_state=chance.randint(0, 9**9))
    ]
    values = [value.item() if hasattr(value, "item") else value for value in drawn]
    if RESULT_COLUMNS[column] is str and chance.random() < 0.2:
        values[0] = chance.choice(["", "Z", "é", "%", "de' OR 1=1"])
    op: Any = chance.choice(("eq", "ne", "in", "lt", "le", "gt", "ge"))
    if RESULT_COLUMNS[column] is bool and op not in ("eq", "ne", "in"):
        op = "eq"
    return Condition(column, op, tuple(values) if op == "in" else values[0])


def as_pandas(where: Where, rows: pd.DataFrame) -> "pd.Series[bool]":
    """The rows for which a tree holds, by pandas."""
    match where:
        case And(of):
            return (
                pd.Series(True, rows.index)
                if not of
                else pd.concat([as_pandas(w, rows) for w in of], axis=1).all(axis=1)
            )
        case Or(of):
            return (
                pd.Series(False, rows.index)
                if not of
                else pd.concat([as_pandas(w, rows) for w in of], axis=1).any(axis=1)
            )
    column, value = rows[where.column], where.value
    match where.op:
        case "eq" | "ne":
            same = column.isna() if value is None else column == value
            return same if where.op == "eq" else ~same
        case "in":
            return column.isin([one for one in value if one is not None]) | (column.isna() & (None in value))
        case _ if value is None:
            return pd.Series(False, rows.index)
        case op:
            return getattr(column, op)(value)


def test_filters_sorts_and_pages_are_those_of_pandas(store: Store, url: str) -> None:
    for seeds in (range(1, 5), range(3, 9)):
        filled(store, seeds)
    found = rows_of(store, Query())
    rows = pd.DataFrame(found, columns=pd.Index(RESULT_COLUMNS)).astype({"alpha": float})
    assert len(rows) == (4 + 6) * 3 * 4 * 3
    chance = random.Random(7)
    sizes = []
    for _ in range(500 if url.startswith("sqlite") else 300):
        where = random_tree(chance, rows)
        order = tuple(By(name, chance.random() < 0.5) for name in chance.sample(list(RESULT_COLUMNS), 2))
        expected = rows[as_pandas(where, rows)]
        for by in reversed(order):  # a stable sort for each, the last one first
            expected = expected.sort_values(by.column, ascending=not by.descending, kind="stable",
                                            na_position="first" if by.descending else "last")  # fmt: skip
        sizes.append(len(expected))
        answer = rows_of(store, Query(where, order), limit=chance.choice((150, 10_000)))
        assert answer == [found[index] for index in expected.index], where
        if len(sizes) % 10 == 0:  # by other drivers than the pages
            assert whole(store, Query(where, order)) == answer
    assert sum(0 < size < len(rows) for size in sizes) / len(sizes) > 0.2  # they are no trivial questions


def test_pages_are_of_the_moment_of_the_first_and_since_asks_for_the_rest(store: Store) -> None:
    spec, plan = planned(range(1, 3))
    id_ = store.experiments.add(spec, plan)
    first, *others = store.trials.outstanding(id_)
    run(store, id_, first, random.Random(1))
    whole = rows_of(store, Query())
    page = store.results.rows(Query(), 5)
    for digest in others:
        run(store, id_, digest, random.Random(2))
    rest: list[dict[str, Any]] = []
    cursor = page.next
    while cursor is not None:
        following = store.results.rows(Query(), 5, cursor)
        assert following.now == page.now
        rest, cursor = rest + following.rows, following.next
    assert page.rows + rest == whole
    came = rows_of(store, Query(since=page.now))
    assert len(came) == len(others) * 12
    assert sorted(map(str, whole + came)) == sorted(map(str, rows_of(store, Query())))
    assert rows_of(store, Query(since=store.results.rows(Query(), 1).now)) == []


def test_what_changes_comes_again_and_what_is_reported_again_does_not(store: Store) -> None:
    spec, plan = planned(range(1, 2))
    id_ = store.experiments.add(spec, plan)
    digest = next(iter(store.trials.outstanding(id_)))
    attempt = store.trials.started(id_, digest)
    dev = scored(2, "dev", random.Random(1))
    store.trials.reported(digest, attempt, Report(epoch=2, step=2, scores=dev, measures={}))
    now = store.results.rows(Query(), 1).now
    store.trials.reported(digest, attempt, Report(epoch=2, step=2, scores=dev, measures={}))  # as after a resume
    assert rows_of(store, Query(since=now)) == []
    store.trials.succeeded(digest, attempt, Outcome(selected={"source-dev": 2}, scores=(), facts={"shots": {}}))
    assert [row["selected"] for row in rows_of(store, Query(since=now))] == [True] * len(LANGUAGES)  # chosen since


def test_an_experiment_whose_trials_are_there_already_is_news(store: Store) -> None:
    filled(store, range(1, 3))
    now = store.results.rows(Query(), 1).now
    spec, plan = planned(range(1, 3))
    again = store.experiments.add(spec, plan)
    assert {row["experiment"] for row in rows_of(store, Query(since=now))} == {again}


def test_who_polls_while_many_write_misses_nothing_and_gets_nothing_twice(store: Store, url: str) -> None:
    work = []
    for writer in range(4):
        spec, plan = planned(range(10 * writer, 10 * writer + 3))
        id_ = store.experiments.add(spec, plan)
        work.append((id_, list(store.trials.outstanding(id_))))

    def write(id_: str, digests: list[str]) -> None:
        mine = Store(url)
        for digest in digests:
            run(mine, id_, digest, random.Random(digest))
        mine.close()

    writers = [threading.Thread(target=write, args=one) for one in work]
    for one in writers:
        one.start()
    polled, now = [], 0
    while True:
        over = not any(one.is_alive() for one in writers)
        page = store.results.rows(Query(where=Condition("split", "eq", "test"), since=now), 10_000)
        polled, now = polled + page.rows, page.now
        if over:
            break
    whole = rows_of(store, Query(where=Condition("split", "eq", "test")))
    assert len(whole) == 4 * 3 * 3 * len(LANGUAGES)
    assert sorted(map(str, polled)) == sorted(map(str, whole))


@pytest.fixture
def client(store: Store, tmp_path: Path, client_over: Any) -> Iterator[TestClient]:
    with client_over(store, Environment(tmp_path, tmp_path, None, None, None)) as client:
        yield client


def test_a_tree_and_plain_parameters_ask_the_same(store: Store, client: TestClient) -> None:
    id_ = filled(store, range(1, 4))
    plain = client.get(f"/v1/results?experiment={id_}&k=5&language=de&language=en&tags=x&sort=-value&columns=value")
    assert plain.json()["results"] == []
    plain = client.get(
        f"/v1/results?experiment={id_}&k=5&language=de&language=en&owner=owner-3&sort=-value&columns=value"
    )
    where = {
        "and": [
            {"column": "experiment", "op": "eq", "value": id_},
            {"column": "k", "op": "gt", "value": 0},
            {"or": [{"column": "language", "op": "eq", "value": one} for one in ("de", "en")]},
        ]
    }
    tree = client.post("/v1/results/query", json={"where": where, "sort": ["-value"], "columns": ["value"]})
    assert tree.json() == plain.json()
    values = [row["value"] for row in tree.json()["results"]]
    assert values == sorted(values, reverse=True)
    assert len(values) == 3 * 2 * 3
    table = client.post(
        "/v1/results/query", json={"where": where, "format": "csv", "columns": ["value", "k"], "limit": 2}
    )
    assert table.text.splitlines()[0] == "value,k"
    assert "Next-Cursor" in table.headers
    assert int(table.headers["Now"]) == tree.json()["now"]


def test_large_answers_come_from_another_process_and_are_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store, range(1, 4))
    queries = [Query(), Query(order=(By("value", True),), columns=("value", "alpha", "method", "cut"))]
    queries += [Query(Condition("language", "in", ("de", "Zz"))), Query(Condition("alpha", "eq", None), since=1)]
    expected = [whole(store, query) for query in queries]
    monkeypatch.setattr("service.store.results.FEW_ROWS", 3)
    assert [whole(store, query) for query in queries] == expected
    _, batches = store.results.whole(Query(), limit=5)
    assert sum(batch.num_rows for batch in batches) == 5


def test_parquet_and_arrow_come_whole_and_typed(store: Store, client: TestClient) -> None:
    id_ = filled(store, range(1, 4))
    rows = client.get("/v1/results").json()["results"]
    for format_, read in (("arrow", pa.ipc.open_stream), ("parquet", pq.ParquetFile)):
        answer = client.get("/v1/results", params={"format": format_})
        table = read(pa.BufferReader(answer.content))
        table = table.read_all() if format_ == "arrow" else table.read()
        assert table.to_pylist() == rows
        assert int(answer.headers["Now"]) > 0
        assert [str(table.schema.field(name).type) for name in ("k", "alpha", "cut", "language")] == [
            "int64", "double", "bool", "string",
        ]  # fmt: skip
        some = client.post("/v1/results/query", json={"format": format_, "limit": 3, "columns": ["value", "alpha"]})
        found = read(pa.BufferReader(some.content))
        assert (found.read_all() if format_ == "arrow" else found.read()).to_pylist() == [
            {"value": row["value"], "alpha": row["alpha"]} for row in rows[:3]
        ]
        cursor = client.get("/v1/results?limit=2").json()["next"]
        refused = client.get("/v1/results", params={"format": format_, "cursor": cursor})
        assert refused.json()["errors"][0]["field"] == "cursor"
    empty = client.get("/v1/results?format=arrow&k=77")
    assert pa.ipc.open_stream(empty.content).read_all().num_rows == 0
    refused = client.get("/v1/results?format=parquet&k=77")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "format")
    assert "allowed" in refused.json()["errors"][0]["message"]
    assert client.get(f"/v1/results?experiment={id_}&format=arrow&since={answer.headers['Now']}").status_code == 200


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"where": 3}, "where", "allowed"),
        ({"where": {"and": [{"or": 1}]}}, "where.and.0", "allowed"),
        ({"where": {"and": [], "or": []}}, "where", "allowed"),
        ({"where": {"column": "colour", "op": "eq", "value": 1}}, "where.column", "allowed: experiment"),
        ({"where": {"column": [], "op": "eq", "value": 1}}, "where.column", "allowed: experiment"),
        ({"where": {"column": "\ud800", "op": "eq", "value": 1}}, "where.column", "ud800"),
        ({"where": {"column": "k", "op": "like", "value": 1}}, "where.op", "allowed: eq"),
        ({"where": {"column": "tags", "op": "lt", "value": "a"}}, "where.op", "allowed: eq, in"),
        ({"where": {"column": "cut", "op": "ge", "value": True}}, "where.op", "allowed: eq, ne, in"),
        ({"where": {"column": "k", "op": "eq", "value": "5"}}, "where.value", "integer"),
        ({"where": {"column": "k", "op": "eq", "value": True}}, "where.value", "integer"),
        ({"where": {"column": "k", "op": "eq", "value": 2**63}}, "where.value", "less than"),
        ({"where": {"column": "value", "op": "eq", "value": "x"}}, "where.value", "number"),
        ({"where": {"column": "cut", "op": "eq", "value": 1}}, "where.value", "boolean"),
        ({"where": {"column": "language", "op": "eq", "value": "a\0"}}, "where.value", "NUL"),
        ({"where": {"column": "language", "op": "in", "value": "de"}}, "where.value", "list"),
        ({"where": {"column": "language", "op": "in", "value": ["de", 1]}}, "where.value.1", "string"),
        ({"where": {"column": "k", "op": "in", "value": [1] * 1001}}, "where.value", "1000"),
        ({"where": {"or": [{"column": "k", "op": "eq", "value": 1}] * 201}}, "where", "200"),
        ({"sort": ["colour"]}, "sort", "allowed: experiment"),
        ({"sort": ["--k"]}, "sort", "allowed: experiment"),
        ({"columns": ["1; DROP TABLE scores"]}, "columns", "allowed: experiment"),
        ({"limit": 10**9}, "limit", "less than or equal to 10000"),
        ({"format": "xml"}, "format", "json"),
        ({"since": -1}, "since", "greater"),
        ({"cursor": "WzEsMl0x"}, "cursor", "not a cursor"),
        ({"cursor": "ñ"}, "cursor", "not a cursor"),
        ({"colour": 1}, "colour", "no such"),
    ],
)
def test_a_question_that_is_none_is_refused(client: TestClient, body: dict[str, Any], field: str, words: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/v1/results/query", content=json.dumps(body), headers=headers)  # a lone surrogate as \\ud800
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert words in error["message"]


def test_nesting_has_an_end(client: TestClient) -> None:
    tree: dict[str, Any] = {"column": "k", "op": "eq", "value": 1}
    for _ in range(11):
        tree = {"and": [tree]}
    answer = client.post("/v1/results/query", json={"where": tree})
    assert (answer.status_code, "10 deep" in answer.text) == (422, True)
    body = b'{"where": ' + b'{"and": [' * 50_000 + b"]}" * 50_000 + b"}"
    answer = client.post("/v1/results/query", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "body")
    for number in ("NaN", "1e400", "9" * 400):
        body = b'{"where": {"column": "value", "op": "eq", "value": %s}}' % number.encode()
        answer = client.post("/v1/results/query", content=body, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, number


@pytest.mark.parametrize(
    "where",
    [
        {"and": [{"and": []}] * 1100},
        {"and": [{"or": []}] * 60_000},
        {"or": [{"column": "k", "op": "in", "value": [1] * 1000}] * 11},
    ],
)
def test_empty_groups_and_long_lists_count_too(client: TestClient, where: dict[str, Any]) -> None:
    answer = client.post("/v1/results/query", json={"where": where})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "where")


def test_a_cursor_is_of_its_own_query(store: Store, client: TestClient) -> None:
    filled(store, range(1, 3))
    following = client.get("/v1/results?limit=2&k=5").json()["next"]
    assert client.get("/v1/results", params={"limit": 3, "k": 5, "cursor": following}).status_code == 200
    experiments = client.get("/v1/experiments?limit=1").json()
    assert experiments["next"] is None
    for path in ("/v1/results", "/v1/results?k=0", "/v1/results?k=5&sort=value", "/v1/experiments"):
        answer = client.get(
            path,
            params={"limit": 2, "cursor": following}
            | dict(pair.split("=") for pair in path.partition("?")[2].split("&") if pair),
        )
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": "cursor", "message": "it is of another query"}]
