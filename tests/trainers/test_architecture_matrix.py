"""Which architectures train which tasks: the table of docs/encoders.md, cell by cell."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from encoder_families import ARCHITECTURES
from search_spaces.checks import accepted
from search_spaces.environment import Environment
from search_spaces.problems import SpecError
from trainers.artifacts.places import place_of
from trainers.export import export
from trainers.one_trial import run
from trainers.tasks import TASKS
from trainers.trial import Report, Trial

PAGE = Path(__file__).parents[2] / "docs" / "encoders.md"
BEGIN, END = "<!-- architectures: begin -->\n", "<!-- architectures: end -->"

COLUMNS = ("ner", "pos", "tydiqa", "xnli")

# What the examination says, by what the table says.
REASONS = {"no head": r"has no ModelFor\w+ of the model_type", "slow tokenizer": "its tokenizer is a slow one"}

# All other cells are "trains".
REFUSED = {
    **dict.fromkeys([("MBart", "ner"), ("MBart", "pos")], "no head"),
    **dict.fromkeys([("Gemma3", "ner"), ("Gemma3", "pos"), ("Gemma3", "tydiqa")], "no head"),
    **dict.fromkeys([("XLM", task) for task in COLUMNS], "slow tokenizer"),
    **dict.fromkeys([("Canine", task) for task in COLUMNS], "slow tokenizer"),
}
TRAINS = [(name, task) for name in ARCHITECTURES for task in COLUMNS if (name, task) not in REFUSED]


def table() -> str:
    """The table of the page."""
    rows = [["architecture", *COLUMNS], ["---"] * (1 + len(COLUMNS))]
    for name in ARCHITECTURES:
        reasons = [REFUSED.get((name, task)) for task in COLUMNS]
        rows.append([name, *("trains" if reason is None else f"refused: {reason}" for reason in reasons)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def refusal(folder: Path, task: str) -> str | None:
    """What keeps an experiment with this encoder from being accepted; None if nothing does."""
    body = {
        "task": task, "encoder": str(folder), "data": "sample", "target_languages": ["de"], "methods": ["zero-shot"],
        "k": [5], "seeds": [1],
    }  # fmt: skip
    try:
        accepted(body, Environment(folder.parent / "home", None, None, None))
    except SpecError as error:
        [problem] = error.problems
        assert problem.field == "encoder"
        return problem.message
    return None


def test_the_page_has_what_is_tested_here() -> None:
    assert PAGE.read_text().partition(BEGIN)[2].partition(END)[0] == table()


@pytest.mark.parametrize(("name", "task"), REFUSED)
def test_an_architecture_that_cannot_be_trained_is_refused_on_submission(
    encoder_of: Callable[[str], Path], name: str, task: str
) -> None:
    assert re.search(REASONS[REFUSED[name, task]], refusal(encoder_of(name), task) or "")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), TRAINS)
def test_an_architecture_that_is_accepted_trains(
    make_trial: Callable[..., Trial], encoder_of: Callable[[str], Path], tmp_path: Path, name: str, task: str
) -> None:
    encoder = encoder_of(name)
    assert refusal(encoder, task) is None
    trial = make_trial(
        "gradient-mix-train", task=task, encoder=str(encoder), epochs=6, batch_size=8, k=2, learning_rate=3e-3,
        max_length=96, max_source_examples=24, max_test_examples=6, evaluate=("de", "hi"), keep=True,
    )  # fmt: skip
    reports: list[Report] = []
    outcome = run(trial, reports.append)
    assert "untrimmed" not in outcome.facts
    assert reports[-1].measures["loss"] < reports[0].measures["loss"]
    assert len(outcome.scores) == len(trial.wanted.evaluate) * len(TASKS[task].metrics_names)
    assert run(trial, lambda _: None).scores == outcome.scores  # of the kept model
    export(place_of(trial), trial.config, "source-dev", outcome.scores, tmp_path / "exported")
