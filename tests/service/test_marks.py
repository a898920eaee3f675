"""Marks of scores, and the surgery that an overflow takes away, in events, reports and what follows an experiment."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from starlette.testclient import TestClient

from plans import config_of, result_of, score_of, spec_of, trial_of
from search_spaces.plan import Plan
from service.progress import follow
from service.score_table import printed, score_table
from service.store import Store
from trainers import Outcome, Report
from trainers.marks import MARK_NAMES, surgery_overflow

TOLD = "12 of 30 surgery operations were lost to overflow (de 12 of 30)"

# What surgery has met after each epoch: 10 operations in the first, of which 6 were lost, and 20 in the second.
MET = [
    {"operations": 10, "nonfinite": 6, "finite": 4, "conflict_rate": 0.25},
    {"operations": 30, "nonfinite": 12, "finite": 18, "conflict_rate": 8 / 18},
]


@pytest.fixture
def id_(store: Store) -> str:
    """An experiment whose one training lost much of its surgery."""
    config, plan = config_of("gradient-mix-train", alpha=1.0), Plan()
    plan.add(trial_of(config, evaluate={"de": "test"}))
    plan.results.append(result_of(config, "de"))
    id_ = store.experiments.add(spec_of(target_languages=["de"], methods=["gradient-mix-train"]), plan)
    attempt = store.trials.started(id_, config.digest)
    for epoch, met in enumerate(MET, 1):
        dev = score_of("en", 50.0, step=10 * epoch, epoch=epoch, split="dev", data="dev", surgery_overflow=True)
        report = Report(epoch=epoch, step=10 * epoch, scores=(dev,), measures={"surgery": met})
        store.trials.reported(config.digest, attempt, report)
    facts = {"shots": {}, "surgery_overflow": TOLD}
    test = score_of("de", 40.0, surgery_overflow=True)
    outcome = Outcome(selected={"source-dev": 10}, scores=(test,), facts=facts)
    assert store.trials.succeeded(config.digest, attempt, outcome) == "taken"
    return id_


@pytest.mark.parametrize(("lost", "of", "is_much"), [(0, 0, False), (0, 5, False), (1, 10, False), (2, 19, True)])
def test_more_than_a_tenth_is_much(lost: int, of: int, is_much: bool) -> None:
    assert (surgery_overflow({"surgery": {"operations": of, "nonfinite": lost}}) is not None) == is_much


def test_languages_that_lost_much_are_named() -> None:
    languages = {"ar": {"operations": 25, "nonfinite": 25}, "hi": {"operations": 41, "nonfinite": 4}}
    met = {"operations": 66, "nonfinite": 29, "per_language": languages}
    assert surgery_overflow({"surgery": met}) == "29 of 66 surgery operations were lost to overflow (ar 25 of 25)"
    assert surgery_overflow({"loss": 1.0}) is None


def test_one_language_that_lost_much_is_enough() -> None:
    languages = {"ar": {"operations": 20, "nonfinite": 20}, "de": {"operations": 980, "nonfinite": 9}}
    met = {"operations": 1000, "nonfinite": 29, "per_language": languages}
    assert surgery_overflow({"surgery": met}) == "29 of 1000 surgery operations were lost to overflow (ar 20 of 20)"


def test_events_say_what_was_lost(store: Store, id_: str) -> None:
    told = [event.data for event in store.events.after(id_, 0) if event.kind == "trial"]
    assert [score["surgery_overflow"] for data in told for score in data.get("scores", [])] == [True, True]
    assert told[-1]["surgery_overflow"] == TOLD
    assert "one_label" not in told[-1]


def test_conflicts_say_of_how_many_operations_they_speak(client: TestClient, id_: str) -> None:
    found = client.get("/v1/reports/conflicts").json()
    rows = [(row["epoch"], row["mean"], row["operations"]) for row in found["data"]]
    assert rows == [(1, 25.0, 4), (2, 50.0, 14)]
    table = client.get("/v1/reports/conflicts", params={"format": "markdown"}).text
    assert "25.00 % of 4" in table
    assert "50.00 % of 14" in table
    said = (
        "Models that lost more than a tenth of all, or of a language's, surgery operations to overflow: ner,"
        " gradient-mix-train, K = 5 ("
    )
    assert any(note.startswith(said) for note in found["notes"])


def test_who_follows_an_experiment_is_told(
    store: Store, id_: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.progress.together", lambda events: ([one] for one in events))
    store.control.move(id_, "start")
    store.control.move(id_, "succeed")

    class Followed:
        """An experiment's events, as the service sends them."""

        def experiment(self, id_: str) -> dict[str, Any]:
            one = store.experiments.one(id_)
            assert one is not None
            return {**vars(one), "cost": {"eta": None}}

        def trial(self, id_: str) -> dict[str, Any]:
            trial = store.trials.one(id_)
            assert trial is not None
            return trial

        def events(self, id_: str, after: int = 0, patience: float = 0.0) -> Iterator[dict[str, Any]]:
            return iter([{"event": one.kind, **one.data} for one in store.events.after(id_, 0)])

    follow(Followed(), id_)
    shown = capsys.readouterr()
    assert TOLD in shown.out + shown.err
    assert "(surgery overflowed)" in shown.err


def test_counts_of_marks_are_whole_numbers_in_a_terminal() -> None:
    cells = pd.DataFrame(
        {"method": "ord-FS", "k": 5, "candidate": "", "language": ["en", "de"], "seed": 1, "mean": 1.5}
    )
    table = score_table(cells, ["ord-FS"], "en", 1)
    table[list(MARK_NAMES)] = [[2, 0]]
    assert printed(table).splitlines()[-1].split() == ["ord-FS", "5", "1.5", "1.5", "1.5", "2", "0"]
