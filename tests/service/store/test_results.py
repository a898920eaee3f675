"""Results in the store: filters agree with pandas on the same rows, pages stay as they were, nothing is missed."""

import random
import threading
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, select

from queried import LANGUAGES, filled, planned, run, scored
from service.store import RESULT_COLUMNS, Query, Store, arrow
from service.store.query import EVERYTHING, And, By, Condition, Or, Where
from service.store.results import EVERY_PLANNED, EVERY_SCORE
from trainers import Outcome, Report
from trainers.marks import MARK_NAMES


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


def test_filters_sorts_and_pages_are_those_of_pandas(store: Store, long_form: bool) -> None:
    for seeds in (range(1, 5), range(3, 9)):
        filled(store, seeds)
    found = rows_of(store, Query())
    rows = pd.DataFrame(found, columns=pd.Index(RESULT_COLUMNS)).astype({"alpha": float})
    assert len(rows) == (4 + 6) * 3 * 4 * 3
    chance = random.Random(7)
    sizes = []
    for _ in range(1000 if long_form else 150):
        where = random_tree(chance, rows)
        order = tuple(By(name, chance.random() < 0.5) for name in chance.sample(list(RESULT_COLUMNS), 2))
        expected = rows[as_pandas(where, rows)]
        for by in reversed(order):  # a stable sort for each, the last one first
            expected = expected.sort_values(by.column, ascending=not by.descending, kind="stable",
                                            na_position="first" if by.descending else "last")  # fmt: skip
        sizes.append(len(expected))
        answer = rows_of(store, Query(where, order), limit=chance.choice((150, 10_000, 10_000)))
        assert answer == [found[index] for index in expected.index], where
        if len(sizes) % 10 == 0:  # by other drivers than the pages
            assert whole(store, Query(where, order)) == answer
    assert sum(0 < size < len(rows) for size in sizes) / len(sizes) > 0.2  # they are no trivial questions


def test_scores_of_every_epoch_are_read_beside_what_they_share(store: Store) -> None:
    done, (spec, plan), chance = filled(store, range(2, 5)), planned(range(1, 4)), random.Random(3)
    id_ = store.experiments.add(spec, plan)
    digest = next(iter(store.trials.outstanding(id_)))
    attempt = store.trials.started(id_, digest)
    for step in (1, 2):
        marked = (replace(one, one_label=one.language == "de", surgery_overflow=step == 2)
                  for one in scored(step, "test", chance))  # fmt: skip
        store.trials.reported(digest, attempt, Report(epoch=step, step=step, scores=tuple(marked), measures={}))
    columns = [name for name in (*EVERY_PLANNED, *EVERY_SCORE) if name in RESULT_COLUMNS] + [*MARK_NAMES]
    counts = []
    for where, metric in (
        (EVERYTHING, None), (Condition("split", "eq", "dev"), None), (Condition("experiment", "eq", done), "f1"),
        (Condition("method", "in", ("zero-shot", "mix-FT")), "accuracy"), (Condition("trial", "eq", digest), "f1"),
    ):  # fmt: skip
        of_plan, rows = (batch.to_pylist() for batch in store.results.every(where, metric))
        shared = {one["id"]: one for one in of_plan}
        marks = {(row["planned"], row["step"], row["metric"]) for row in rows if row["metric"] in MARK_NAMES}
        found = [{**shared[row["planned"]], **row, **{name: (row["planned"], row["step"], name) in marks
                                                     for name in MARK_NAMES}}
                 for row in rows if row["metric"] not in MARK_NAMES]  # fmt: skip
        whole = And((where, EVERYTHING if metric is None else Condition("metric", "eq", metric)))
        expected = rows_of(store, Query(whole, columns=tuple(columns), every_step=True))
        assert [{name: row[name] for name in columns} for row in found] == expected
        counts.append((len(expected), sum(row["one_label"] for row in expected)))
    trials = 3 * 3 + 2 * 3  # two seeds are of both experiments
    assert counts == [(trials * 4 * 3 + 8, 2), (trials * 4 * 2, 0), (3 * 3 * 4 * 3, 0), (0, 0), (8, 2)]


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


@pytest.mark.service
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


def test_a_large_answer_that_another_process_could_not_read_is_an_error_and_not_a_short_answer(
    store: Store, url: str
) -> None:
    table = Table("there_is_none", MetaData(), Column("k", Integer))
    with pytest.raises(RuntimeError, match=r"the database could not be read: (.|\n)*there_is_none"):
        list(arrow.batches(url, select(table), {"k": int}))
